//! Random histories of a bridge: domains are small, so that stations collide, move and evict.
#![allow(dead_code, reason = "each test binary uses its own part")]

use bridge::{
    BridgeSettings, EntryKind, LocalKind, NewEntry, PortId, PortSettings, PortState, Span, VlanSettings,
};
use frame::MacAddr;
use proptest::prelude::*;

use crate::stations;

/// One thing that happens to a bridge.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Frame { ingress: u16, to: MacAddr, from: MacAddr, len: usize, refused: bool },
    Advance { ms: u64 },
    Tick,
    AddPort { settings: PortSettings },
    RemovePort { port: u16 },
    Settings { port: u16, settings: PortSettings },
    Bridge { settings: BridgeSettings, keep_max: bool },
    Link { port: u16, up: bool },
    Mtu { port: u16, mtu: Option<u32> },
    Local { port: u16, mac: Option<MacAddr>, kind: LocalKind },
    Entry { mac: MacAddr, entry: NewEntry, replace: bool },
    RemoveEntry { mac: MacAddr, port: Option<PortId> },
    Flush { port: Option<PortId>, kind: Option<EntryKind> },
    Overlong { port: u16 },
}

/// Ports in use at most. Steps also name one that never exists.
pub(crate) const PORTS: u16 = 5;

fn ports() -> impl Strategy<Value = u16> {
    0..=PORTS
}

fn any_station() -> impl Strategy<Value = MacAddr> {
    (0u32..10).prop_map(stations::station)
}

pub(crate) fn addresses() -> impl Strategy<Value = MacAddr> {
    prop_oneof![
        16 => any_station(),
        1 => Just(MacAddr::ZERO),
        1 => Just(MacAddr::BROADCAST),
        1 => Just(MacAddr([0x01, 0, 0x5e, 0, 0, 1])),
        2 => (0u8..=0x10).prop_map(|low| MacAddr([1, 0x80, 0xc2, 0, 0, low])),
    ]
}

fn local_kinds() -> impl Strategy<Value = LocalKind> {
    prop_oneof![Just(LocalKind::HostPort), Just(LocalKind::Kernel)]
}

fn kinds() -> impl Strategy<Value = EntryKind> {
    prop::sample::select(vec![
        EntryKind::Dynamic,
        EntryKind::Locked,
        EntryKind::Static,
        EntryKind::Sticky,
        EntryKind::External,
        EntryKind::Local,
        EntryKind::Blackhole,
    ])
}

fn states() -> impl Strategy<Value = PortState> {
    prop_oneof![
        1 => Just(PortState::Disabled),
        1 => Just(PortState::Blocking),
        1 => Just(PortState::Listening),
        2 => Just(PortState::Learning),
        10 => Just(PortState::Forwarding),
    ]
}

/// Settings of a port; now and then some that are refused.
pub(crate) fn port_settings() -> impl Strategy<Value = PortSettings> {
    let seldom = || prop::bool::weighted(0.15);
    let mostly = || prop::bool::weighted(0.85);
    let knobs = (mostly(), mostly(), mostly(), mostly(), seldom(), prop::bool::weighted(0.3));
    let rest = (
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.5),
        prop_oneof![2 => Just(0u16), 1 => any::<u16>().prop_map(|mask| mask & !2), 1 => Just(2)],
        prop::option::weighted(0.2, ports().prop_map(PortId)),
        prop::option::weighted(0.2, 0u32..4),
    );
    let normal = (states(), mostly(), knobs, rest).prop_map(|(state, enabled, knobs, rest)| {
        let (learning, flood, mcast_flood, bcast_flood, hairpin, isolated) = knobs;
        let (locked, mab, group_fwd_mask, backup_port, max_macs) = rest;
        PortSettings {
            host: false,
            promisc: false,
            enabled,
            state,
            learning,
            flood,
            mcast_flood,
            bcast_flood,
            hairpin,
            isolated,
            locked,
            mab: mab && locked,
            group_fwd_mask,
            backup_port,
            max_macs,
        }
    });
    let host =
        (any::<bool>(), mostly(), prop::bool::weighted(0.3)).prop_map(|(promisc, enabled, learning)| {
            PortSettings { promisc, enabled, learning, ..PortSettings::host() }
        });
    prop_oneof![3 => Just(PortSettings::default()), 6 => normal, 1 => host]
}

fn new_entries() -> impl Strategy<Value = NewEntry> {
    (ports(), 0..6).prop_map(|(port, kind)| {
        let port = PortId(port);
        match kind {
            0 => NewEntry::Dynamic(port),
            1 => NewEntry::Static(port),
            2 => NewEntry::Sticky(port),
            3 => NewEntry::External(port),
            4 => NewEntry::Local(port),
            _ => NewEntry::Blackhole,
        }
    })
}

pub(crate) fn steps() -> impl Strategy<Value = Step> {
    let frame = (ports(), addresses(), addresses(), 60usize..=80, prop::bool::weighted(0.1))
        .prop_map(|(ingress, to, from, len, refused)| Step::Frame { ingress, to, from, len, refused });
    let id = || ports().prop_map(PortId);
    prop_oneof![
        40 => frame,
        6 => prop_oneof![Just(1u64), Just(7), Just(15), Just(100), Just(500), Just(985), Just(1000), 0..2000u64]
            .prop_map(|ms| Step::Advance { ms }),
        3 => Just(Step::Tick),
        2 => port_settings().prop_map(|settings| Step::AddPort { settings }),
        1 => ports().prop_map(|port| Step::RemovePort { port }),
        4 => (ports(), port_settings()).prop_map(|(port, settings)| Step::Settings { port, settings }),
        2 => (bridge_settings(), prop::bool::weighted(0.9))
            .prop_map(|(settings, keep_max)| Step::Bridge { settings, keep_max }),
        3 => (ports(), prop::bool::weighted(0.8)).prop_map(|(port, up)| Step::Link { port, up }),
        1 => (ports(), prop::option::of(50u32..60)).prop_map(|(port, mtu)| Step::Mtu { port, mtu }),
        2 => (ports(), prop::option::weighted(0.7, addresses()), local_kinds())
            .prop_map(|(port, mac, kind)| Step::Local { port, mac, kind }),
        3 => (addresses(), new_entries(), any::<bool>())
            .prop_map(|(mac, entry, replace)| Step::Entry { mac, entry, replace }),
        1 => (addresses(), prop::option::weighted(0.8, id()))
            .prop_map(|(mac, port)| Step::RemoveEntry { mac, port }),
        1 => (prop::option::of(id()), prop::option::of(kinds()))
            .prop_map(|(port, kind)| Step::Flush { port, kind }),
        1 => ports().prop_map(|port| Step::Overlong { port }),
    ]
}

pub(crate) fn bridge_settings() -> impl Strategy<Value = BridgeSettings> {
    (
        0usize..=8,
        prop_oneof![1 => Just(0u64), 2 => Just(40), 8 => Just(1000), 2 => Just(3000)],
        prop_oneof![Just(0u16), any::<u16>().prop_map(|mask| mask & !7)],
        any::<bool>(),
        prop_oneof![3 => Just(0u64), 1 => Just(100), 1 => Just(900)],
        prop_oneof![2 => Just(0u32), 1 => 1u32..6],
    )
        .prop_map(|(fdb_max, ageing, group_fwd_mask, no_linklocal_learn, damping, learned)| {
            BridgeSettings {
                ageing_time: Span(ageing),
                fdb_max,
                fdb_max_learned: learned,
                group_fwd_mask,
                no_linklocal_learn,
                move_damping: Span(damping),
                vlan: VlanSettings::default(),
            }
        })
}
