//! Settings and entries made at run time belong to the device that a port had then. When it leaves, the
//! port is again what the file says: the next device of that name may be another guest's.

use bridge::EntryKind;
use config::Config;
use tracing::info;

use crate::assembly::new_entry;
use crate::attachment::Attachment;
use crate::to_workers::ToWorkers;
use crate::vlans;

/// The kinds of entry that a user makes and that outlive a link.
const LASTING: [EntryKind; 4] = [EntryKind::Static, EntryKind::Sticky, EntryKind::External, EntryKind::Local];

/// Makes a port again what the file says, if that was changed.
pub(crate) fn forget(config: &Config, attachments: &mut [Attachment], index: usize, workers: &ToWorkers) {
    let Some(attachment) = attachments.get_mut(index) else { return };
    if !std::mem::take(&mut attachment.steered) {
        return;
    }
    let (port, settings, name) = (attachment.id, attachment.settings, attachment.config.name.clone());
    let of_port = config.fdb.iter().filter(|entry| entry.port.as_ref() == Some(&name));
    let entries: Vec<_> =
        of_port.filter_map(|entry| Some(((entry.mac, entry.vlan), new_entry(entry, attachments)?))).collect();
    let vlans = vlans::table(&config.bridge.vlan, &attachments[index].config);
    info!(port = name, "what was set at run time goes with the device");
    workers.set(move |bridge, now| {
        // The core took these settings at the start. A backup that was removed since is none any more.
        let _ = bridge.set_port_settings(port, settings);
        let _ = bridge.set_vlans(port, &vlans);
        for kind in LASTING {
            bridge.flush(Some(port), Some(kind));
        }
        for (address, entry) in &entries {
            // One that has moved to another port stays there.
            let _ = bridge.add_entry(*address, *entry, now);
        }
    });
}
