//! Configuration to bridge: the same settings in the words of the core.

use anyhow::Context;
use bridge::{Bridge, BridgeSettings, Moment, NewEntry, PortId, PortSettings, Span};
use config::{Config, EntryType, PortConfig, PortKind, PortState, StaticEntry};

use crate::attachment::Attachment;
use crate::{mirrors, vlans};

/// A bridge with all ports of the configuration, none of them with a device.
///
/// # Errors
/// If the core refuses a setting or an entry, which the configuration should have told of before.
pub(crate) fn assemble(config: &Config) -> anyhow::Result<(Bridge, Vec<Attachment>)> {
    let settings = bridge_settings(config);
    settings.check()?;
    let mut bridge = Bridge::new(settings);
    bridge.set_private_vlans(vlans::private(&config.private_vlans)).context("private VLANs")?;
    let mut attachments = Vec::with_capacity(config.ports.len());
    for port in &config.ports {
        // The backup may be a port that is still to come.
        let settings = settings_of(port, None);
        let id = bridge.add_port(settings).with_context(|| format!("port {}", port.name))?;
        let vlans = vlans::table(&config.bridge.vlan, port);
        bridge.set_vlans(id, &vlans).with_context(|| format!("port {}", port.name))?;
        attachments.push(Attachment::new(id, port.clone(), settings));
    }
    for index in 0..attachments.len() {
        let Attachment { id, config: port, .. } = &attachments[index];
        let backup = port.rules.backup_port.as_deref().and_then(|name| find(&attachments, name));
        if backup.is_some() {
            let settings = settings_of(port, backup);
            bridge.set_port_settings(*id, settings).with_context(|| format!("port {}", port.name))?;
            attachments[index].settings = settings;
        }
    }
    for entry in &config.fdb {
        if let Some(new) = new_entry(entry, &attachments) {
            let made = bridge.replace_entry((entry.mac, entry.vlan), new, Moment(0));
            made.with_context(|| format!("static entry {}", entry.mac))?;
        }
    }
    mirrors::set(&mut bridge, &config.mirrors, &attachments).context("mirrors")?;
    Ok((bridge, attachments))
}

/// The settings of the bridge that a configuration asks for.
pub(crate) fn bridge_settings(config: &Config) -> BridgeSettings {
    BridgeSettings {
        ageing_time: Span(config.bridge.ageing_time.as_millis() as u64),
        fdb_max: config.bridge.fdb_max,
        fdb_max_learned: config.bridge.fdb_max_learned,
        group_fwd_mask: config.bridge.group_fwd_mask,
        no_linklocal_learn: config.bridge.no_linklocal_learn,
        move_damping: Span(config.bridge.move_damping.as_millis() as u64),
        vlan: vlans::settings(&config.bridge.vlan),
    }
}

/// The number of the port of that name.
pub(crate) fn find(attachments: &[Attachment], name: &str) -> Option<PortId> {
    attachments.iter().find(|attachment| attachment.config.name == name).map(|attachment| attachment.id)
}

/// The settings of a port that a configuration asks for, but for its backup, which is given.
pub(crate) fn settings_of(port: &PortConfig, backup_port: Option<PortId>) -> PortSettings {
    let rules = &port.rules;
    PortSettings {
        host: matches!(&port.kind, PortKind::Tap(tap) if tap.host),
        promisc: rules.promisc,
        enabled: rules.enabled,
        state: match rules.state {
            PortState::Disabled => bridge::PortState::Disabled,
            PortState::Blocking => bridge::PortState::Blocking,
            PortState::Listening => bridge::PortState::Listening,
            PortState::Learning => bridge::PortState::Learning,
            PortState::Forwarding => bridge::PortState::Forwarding,
        },
        learning: rules.learning,
        flood: rules.flood,
        mcast_flood: rules.mcast_flood,
        bcast_flood: rules.bcast_flood,
        hairpin: rules.hairpin,
        isolated: rules.isolated,
        locked: rules.locked,
        mab: rules.mab,
        group_fwd_mask: rules.group_fwd_mask,
        backup_port,
        max_macs: rules.max_macs,
    }
}

/// The entry; `None` if its port is none of these.
pub(crate) fn new_entry(entry: &StaticEntry, attachments: &[Attachment]) -> Option<NewEntry> {
    let port = || find(attachments, entry.port.as_deref()?);
    Some(match entry.kind {
        EntryType::Static => NewEntry::Static(port()?),
        EntryType::Sticky => NewEntry::Sticky(port()?),
        EntryType::Local => NewEntry::Local(port()?),
        EntryType::ExternLearn => NewEntry::External(port()?),
        EntryType::Blackhole => NewEntry::Blackhole,
    })
}

#[cfg(test)]
mod tests {
    use bridge::EntryKind;

    use super::*;

    #[test]
    fn what_the_file_says_is_what_the_bridge_does() {
        let text = "[bridge]\nageing_time = \"60s\"\nfdb_max = 7\ngroup_fwd_mask = 0x4000\nmove_damping = \"3s\"\n\
                    [ports.a]\ntype = \"raw\"\nbackup_port = \"b\"\nstate = \"learning\"\nhairpin = true\n\
                    flood = false\ngroup_fwd_mask = 4\n\
                    [ports.b]\ntype = \"raw\"\nlocked = true\nmab = true\nisolated = true\nmax_macs = 3\n\
                    mcast_flood = false\nbcast_flood = false\nenabled = false\n\
                    [ports.h]\ntype = \"tap\"\nhost = true\npromisc = true\n\
                    [[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\n\
                    [[fdb]]\nmac = \"02:00:00:00:00:02\"\nport = \"b\"\ntype = \"sticky\"\n\
                    [[fdb]]\nmac = \"02:00:00:00:00:03\"\nport = \"h\"\ntype = \"local\"\n\
                    [[fdb]]\nmac = \"02:00:00:00:00:04\"\nport = \"a\"\ntype = \"extern_learn\"\n\
                    [[fdb]]\nmac = \"02:00:00:00:00:05\"\ntype = \"blackhole\"\n";
        let config = config::parse("x.toml", text).unwrap();
        let (bridge, attachments) = assemble(&config).unwrap();
        let ids: Vec<PortId> = attachments.iter().map(|attachment| attachment.id).collect();
        let plain = PortSettings::default();
        let expected = [
            PortSettings {
                state: bridge::PortState::Learning,
                hairpin: true,
                flood: false,
                group_fwd_mask: 4,
                backup_port: Some(ids[1]),
                ..plain
            },
            PortSettings {
                locked: true,
                mab: true,
                isolated: true,
                max_macs: Some(3),
                mcast_flood: false,
                bcast_flood: false,
                enabled: false,
                ..plain
            },
            PortSettings { promisc: true, ..PortSettings::host() },
        ];
        for (id, expected) in ids.iter().zip(expected) {
            assert_eq!(bridge.port_settings(*id), Some(expected));
        }
        let mut entries: Vec<_> =
            bridge.fdb().map(|entry| (entry.mac.0[5], entry.kind, entry.port)).collect();
        entries.sort_unstable();
        let expected = [
            (1, EntryKind::Static, Some(ids[0])),
            (2, EntryKind::Sticky, Some(ids[1])),
            (3, EntryKind::Local, Some(ids[2])),
            (4, EntryKind::External, Some(ids[0])),
            (5, EntryKind::Blackhole, None),
        ];
        assert_eq!(entries, expected);
    }
}
