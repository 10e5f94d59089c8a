//! Mirrors of the configuration in the words of the core.

use bridge::{Bridge, Mirror, MirrorRefused, PortId};
use config::{MirrorConfig, MirrorDirection};

use crate::assembly::find;
use crate::attachment::Attachment;

/// The mirrors, of the ports that there are.
pub(crate) fn of(configs: &[MirrorConfig], attachments: &[Attachment]) -> Vec<Mirror> {
    let id = |name: &String| find(attachments, name);
    let one = |config: &MirrorConfig| {
        let MirrorConfig { from, to, direction, vlan } = config;
        let from: Vec<PortId> = from.iter().filter_map(id).collect();
        let (ingress, egress) =
            (*direction != MirrorDirection::Egress, *direction != MirrorDirection::Ingress);
        Some(Mirror { from, to: id(to)?, ingress, egress, vlan: *vlan })
    };
    configs.iter().filter_map(one).collect()
}

/// Gives the bridge the mirrors of a configuration.
///
/// # Errors
/// The bridge does not take them, which the configuration should have told of before.
pub(crate) fn set(
    bridge: &mut Bridge,
    configs: &[MirrorConfig],
    attachments: &[Attachment],
) -> Result<(), MirrorRefused> {
    bridge.set_mirrors(of(configs, attachments))
}
