//! VLANs of the configuration in the words of the core, and back.

use std::collections::BTreeSet;

use bridge::{Bridge, Membership, PortId, VlanSettings};
use config::{PortConfig, PortVlans, VlanConfig, VlanProtocol};
use frame::Vid;

/// What a bridge makes of VLAN tags.
pub(crate) fn settings(config: &VlanConfig) -> VlanSettings {
    VlanSettings {
        filtering: config.filtering,
        protocol: match config.protocol {
            VlanProtocol::Dot1q => bridge::VlanProtocol::Dot1q,
            VlanProtocol::Dot1ad => bridge::VlanProtocol::Dot1ad,
        },
        default_pvid: config.default_pvid,
        stats: config.stats,
        stats_per_port: config.stats_per_port,
    }
}

/// The VLANs of a port: those that it names, else the default one.
pub(crate) fn table(config: &VlanConfig, port: &PortConfig) -> Vec<(Vid, Membership)> {
    let Some(PortVlans { pvid, members, untagged }) = &port.rules.vlans else {
        let default = Membership { pvid: true, untagged: true };
        return config.default_pvid.map(|vid| (vid, default)).into_iter().collect();
    };
    let membership = |vid: &Vid| Membership { pvid: *pvid == Some(*vid), untagged: untagged.contains(vid) };
    members.iter().map(|vid| (*vid, membership(vid))).collect()
}

/// The VLANs of a port as a file would name them; `None` for the default one, where a file says nothing.
pub(crate) fn of_port(bridge: &Bridge, port: PortId) -> Option<PortVlans> {
    let mut vlans = PortVlans { pvid: bridge.pvid(port), ..PortVlans::default() };
    for entry in bridge.vlans(port) {
        vlans.members.insert(entry.vid);
        if entry.membership.untagged {
            vlans.untagged.insert(entry.vid);
        }
    }
    let VlanSettings { filtering, default_pvid, .. } = bridge.vlan_settings();
    let default: BTreeSet<Vid> = default_pvid.into_iter().collect();
    let default = PortVlans { pvid: default_pvid, members: default.clone(), untagged: default };
    // Where VLANs are not told apart a file can't name any.
    (filtering && vlans != default).then_some(vlans)
}
