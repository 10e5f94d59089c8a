//! VLANs of the configuration in the words of the core, and back.

use std::collections::{BTreeMap, BTreeSet};

use bridge::{Bridge, FdbEntry, Membership, PortId, PrivateVlan, VlanEntry, VlanSettings};
use config::{PortConfig, PortVlans, PrivateVlanConfig, VlanConfig, VlanProtocol};
use control::types::{PrivateKind, PrivateRole, Vlan, VlanCounters};
use frame::Vid;

use crate::answer::{core_state, shown_state};

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

/// The same as a file would say it.
pub(crate) fn config(settings: &VlanSettings) -> VlanConfig {
    VlanConfig {
        filtering: settings.filtering,
        protocol: match settings.protocol {
            bridge::VlanProtocol::Dot1q => VlanProtocol::Dot1q,
            bridge::VlanProtocol::Dot1ad => VlanProtocol::Dot1ad,
        },
        default_pvid: settings.default_pvid,
        stats: settings.stats,
        stats_per_port: settings.stats_per_port,
    }
}

/// The private VLANs.
pub(crate) fn private(configs: &[PrivateVlanConfig]) -> Vec<PrivateVlan> {
    let one = |config: &PrivateVlanConfig| {
        let PrivateVlanConfig { primary, isolated, communities } = config.clone();
        PrivateVlan { primary, isolated, communities }
    };
    configs.iter().map(one).collect()
}

/// The VLANs of a port: those that it names, else the default one.
pub(crate) fn table(config: &VlanConfig, port: &PortConfig) -> Vec<(Vid, Membership)> {
    let Some(PortVlans { pvid, members, untagged, wires }) = &port.rules.vlans else {
        let default = Membership::ACCESS;
        return config.default_pvid.map(|vid| (vid, default)).into_iter().collect();
    };
    let membership = |vid: &Vid| Membership {
        pvid: *pvid == Some(*vid),
        untagged: untagged.contains(vid),
        wire: wires.get(vid).copied(),
    };
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
        vlans.wires.extend(entry.membership.wire.map(|wire| (entry.vid, wire)));
    }
    let VlanSettings { filtering, default_pvid, .. } = bridge.vlan_settings();
    let default: BTreeSet<Vid> = default_pvid.into_iter().collect();
    let default =
        PortVlans { pvid: default_pvid, members: default.clone(), untagged: default, ..PortVlans::default() };
    // Where VLANs are not told apart a file can't name any.
    (filtering && vlans != default).then_some(vlans)
}

/// What is known of VLANs: of ports, and of the bridge where they are counted for all ports together.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownVlans {
    pub(crate) ports: BTreeMap<PortId, Vec<Vlan>>,
    pub(crate) bridge: BTreeMap<u16, VlanCounters>,
}

/// A VLAN of a port as it is shown, and as the next process is to know it.
pub(crate) fn shown(
    port: &str,
    entry: VlanEntry,
    private: Option<bridge::PrivateRole>,
    counters: Option<bridge::VlanCounters>,
) -> Vlan {
    Vlan {
        port: port.to_owned(),
        vid: entry.vid.get(),
        pvid: entry.membership.pvid,
        untagged: entry.membership.untagged,
        wire: entry.membership.wire.map(Vid::get),
        private: private.map(shown_role),
        state: shown_state(entry.state),
        counters: counters.map(shown_counters),
    }
}

fn shown_role(role: bridge::PrivateRole) -> PrivateRole {
    let kind = match role.kind {
        bridge::PrivateKind::Primary => PrivateKind::Primary,
        bridge::PrivateKind::Isolated => PrivateKind::Isolated,
        bridge::PrivateKind::Community => PrivateKind::Community,
    };
    PrivateRole { kind, primary: role.primary.get() }
}

/// The VLAN that a file would name for an entry: one that its port is in, where several share what is known.
pub(crate) fn of_entry(bridge: &Bridge, entry: &FdbEntry) -> Option<Vid> {
    let is_its = |vlan: &VlanEntry| bridge.fid(vlan.vid) == entry.fid;
    let own = entry.port.and_then(|port| bridge.vlans(port).find(is_its));
    own.map(|vlan| vlan.vid).or_else(|| Vid::new(entry.fid))
}

fn shown_counters(counted: bridge::VlanCounters) -> VlanCounters {
    let bridge::VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes } = counted;
    VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes }
}

/// All VLANs of a port, without its name.
pub(crate) fn known_of_port(bridge: &Bridge, port: PortId) -> Vec<Vlan> {
    let counters = |vid| {
        let each = bridge.vlan_settings().stats_per_port;
        bridge.vlan_counters(port, vid).filter(|_| each)
    };
    bridge.vlans(port).map(|entry| shown("", entry, None, counters(entry.vid))).collect()
}

/// What each VLAN has seen at all ports together, where anything.
pub(crate) fn known_of_bridge(bridge: &Bridge) -> BTreeMap<u16, VlanCounters> {
    let counted =
        Vid::MIN.to(Vid::MAX).filter_map(|vid| Some((vid.get(), bridge.vlan_counters(PortId(0), vid)?)));
    let counted = counted.filter(|(_, counters)| *counters != bridge::VlanCounters::default());
    counted.map(|(vid, counters)| (vid, shown_counters(counters))).collect()
}

/// Adds what another worker has counted of a VLAN of a port.
pub(crate) fn join_known(all: &mut Vlan, more: Vlan) {
    if let (Some(all), Some(more)) = (&mut all.counters, more.counters) {
        join(all, more);
    }
}

/// Adds what another worker has counted of all VLANs.
pub(crate) fn join_counters(all: &mut BTreeMap<u16, VlanCounters>, more: BTreeMap<u16, VlanCounters>) {
    for (vid, counters) in more {
        join(all.entry(vid).or_default(), counters);
    }
}

fn join(all: &mut VlanCounters, more: VlanCounters) {
    let VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes } = more;
    all.rx_frames += rx_frames;
    all.rx_bytes += rx_bytes;
    all.tx_frames += tx_frames;
    all.tx_bytes += tx_bytes;
}

/// Makes these the VLANs of a port again, and no others.
pub(crate) fn restore(bridge: &mut Bridge, port: PortId, vlans: &[Vlan]) {
    let known = || vlans.iter().filter_map(|vlan| Some((Vid::new(vlan.vid)?, vlan)));
    let members = known().map(|(vid, vlan)| {
        let wire = vlan.wire.and_then(Vid::new);
        (vid, Membership { pvid: vlan.pvid, untagged: vlan.untagged, wire })
    });
    // There is such a port, and it is a member of each of them then.
    let _ = bridge.set_vlans(port, &members.collect::<Vec<_>>());
    for (vid, vlan) in known() {
        let _ = bridge.set_vlan_state(port, vid, core_state(vlan.state));
    }
}

/// Goes on counting a VLAN from there: at this port, or at all together.
pub(crate) fn restore_counters(bridge: &mut Bridge, port: Option<PortId>, vid: u16, counters: VlanCounters) {
    let VlanSettings { stats_per_port, .. } = bridge.vlan_settings();
    let VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes } = counters;
    // What was counted in the other way goes on nowhere.
    if let (Some(vid), true) = (Vid::new(vid), port.is_some() == stats_per_port) {
        let counters = bridge::VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes };
        bridge.inherit_vlan_counters(port.unwrap_or(PortId(0)), vid, counters);
    }
}
