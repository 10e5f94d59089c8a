//! The rules that settings make, each as a user would try it, and each beside what Linux Bridge does.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, Deliveries, DropReason, EntryKind, EntryRefused, Event, LocalKind, Moment,
    NewEntry, PortId, PortSettings, PortState, SettingsRefused, Span, VlanProtocol,
};
use frame::{Frame, MacAddr, Offload};
use stations::{BROADCAST, bytes, host_port, port, send, station};

const T: Moment = Moment(50_000);
const GROUP: MacAddr = MacAddr([0x01, 0, 0x5e, 0, 0, 1]);

fn later(ms: u64) -> Moment {
    T + Span(ms)
}

fn reserved(low: u8) -> MacAddr {
    MacAddr([1, 0x80, 0xc2, 0, 0, low])
}

fn with(settings: BridgeSettings) -> (Bridge, [PortId; 3]) {
    let mut bridge = Bridge::new(settings);
    let ports = [port(&mut bridge), port(&mut bridge), port(&mut bridge)];
    (bridge, ports)
}

fn three() -> (Bridge, [PortId; 3]) {
    with(BridgeSettings::default())
}

fn set(bridge: &mut Bridge, port: PortId, change: impl FnOnce(&mut PortSettings)) {
    let mut settings = bridge.port_settings(port).unwrap();
    change(&mut settings);
    bridge.set_port_settings(port, settings).unwrap();
}

/// What a list of ports is called in an assertion.
fn ids<const N: usize>(ports: [PortId; N]) -> Vec<u16> {
    ports.iter().map(|port| port.0).collect()
}

fn kind(bridge: &Bridge, mac: MacAddr) -> Option<(EntryKind, Option<PortId>)> {
    bridge.fdb().find(|entry| entry.mac == mac).map(|entry| (entry.kind, entry.port))
}

// Reserved addresses.

#[test]
fn of_the_reserved_addresses_only_spanning_tree_is_forwarded_and_all_but_pause_teach() {
    for low in 0..=0x10 {
        let (mut bridge, [a, b, c]) = three();
        let host = host_port(&mut bridge);
        let got = send(&mut bridge, a, reserved(low), station(1), T);
        let stays = (1..=15).contains(&low);
        assert_eq!(got, if stays { vec![] } else { ids([b, c, host]) }, "{low:#x}");
        assert_eq!(bridge.counters(a).dropped(DropReason::ReservedAddress), u64::from(stays));
        assert_eq!(bridge.lookup(station(1)).is_some(), low != 1, "{low:#x}");
    }
}

#[test]
fn masks_make_exceptions_the_ports_also_for_lacp_and_nobodys_for_pause() {
    for (low, of_bridge, of_port, passes) in [
        (0x0e, 1 << 0x0e, 0, true),
        (0x0e, 0, 1 << 0x0e, true),
        (0x0e, 1 << 0x0d, 1 << 0x0c, false),
        (0x03, 1 << 3, 0, true),
        (0x02, 0, 1 << 2, true),
    ] {
        let (mut bridge, [a, b, c]) =
            with(BridgeSettings { group_fwd_mask: of_bridge, ..BridgeSettings::default() });
        set(&mut bridge, a, |a| a.group_fwd_mask = of_port);
        let got = send(&mut bridge, a, reserved(low), station(1), T);
        assert_eq!(got, if passes { ids([b, c]) } else { vec![] }, "{low:#x}");
        assert_eq!(send(&mut bridge, b, reserved(low), station(2), T).is_empty(), of_bridge & 1 << low == 0);
    }
}

#[test]
fn masks_that_linux_refuses_are_refused() {
    for (mask, fine) in
        [(0, true), (1, false), (2, false), (4, false), (8, true), (0xfff8, true), (0xffff, false)]
    {
        let settings = BridgeSettings { group_fwd_mask: mask, ..BridgeSettings::default() };
        assert_eq!(settings.check().is_ok(), fine, "{mask:#x}");
    }
    for (mask, fine) in [(0, true), (1, true), (2, false), (4, true), (0xfffd, true), (0xffff, false)] {
        let settings = PortSettings { group_fwd_mask: mask, ..PortSettings::default() };
        assert_eq!(settings.check().is_ok(), fine, "{mask:#x}");
    }
    // Bits that nobody checked have no effect.
    let (mut bridge, [a, ..]) = with(BridgeSettings { group_fwd_mask: 7, ..BridgeSettings::default() });
    assert!(send(&mut bridge, a, reserved(2), station(1), T).is_empty());
}

#[test]
fn a_forwarded_reserved_address_is_a_multicast() {
    let (mut bridge, [a, b, c]) = three();
    set(&mut bridge, b, |b| b.mcast_flood = false);
    assert_eq!(send(&mut bridge, a, reserved(0), station(1), T), ids([c]));
}

#[test]
fn a_reserved_address_is_told_before_the_state_of_the_port_and_teaches_as_that_allows() {
    for (state, learned) in [
        (PortState::Disabled, false),
        (PortState::Blocking, false),
        (PortState::Listening, false),
        (PortState::Learning, true),
        (PortState::Forwarding, true),
    ] {
        let (mut bridge, [a, ..]) = three();
        set(&mut bridge, a, |a| a.state = state);
        send(&mut bridge, a, reserved(0x0e), station(1), T);
        assert_eq!(bridge.counters(a).dropped(DropReason::ReservedAddress), 1, "{state:?}");
        assert_eq!(bridge.lookup(station(1)).is_some(), learned, "{state:?}");
    }
}

#[test]
fn no_linklocal_learn_learns_only_from_what_is_forwarded() {
    let (mut bridge, [a, ..]) =
        with(BridgeSettings { no_linklocal_learn: true, ..BridgeSettings::default() });
    send(&mut bridge, a, reserved(0x0e), station(1), T);
    assert_eq!(bridge.lookup(station(1)), None);
    send(&mut bridge, a, reserved(0), station(1), T);
    assert_eq!(bridge.lookup(station(1)), Some(a));
}

// Learning and state.

#[test]
fn a_port_without_learning_neither_learns_nor_refreshes() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, a, BROADCAST, station(1), T);
    set(&mut bridge, a, |a| a.learning = false);
    send(&mut bridge, a, BROADCAST, station(1), later(200_000));
    send(&mut bridge, a, BROADCAST, station(2), later(200_000));
    assert_eq!(bridge.lookup(station(2)), None);
    bridge.tick(later(300_000));
    assert_eq!(send(&mut bridge, b, station(1), station(3), later(300_000)), ids([a, c]));
}

#[test]
fn a_port_forwards_and_learns_as_its_state_says() {
    for (state, learns, reason) in [
        (PortState::Disabled, false, Some(DropReason::IngressBlocked)),
        (PortState::Blocking, false, Some(DropReason::IngressBlocked)),
        (PortState::Listening, false, Some(DropReason::IngressBlocked)),
        (PortState::Learning, true, Some(DropReason::IngressLearning)),
        (PortState::Forwarding, true, None),
    ] {
        let (mut bridge, [a, b, c]) = three();
        set(&mut bridge, a, |a| a.state = state);
        let got = send(&mut bridge, a, BROADCAST, station(1), T);
        assert_eq!(got, if reason.is_none() { ids([b, c]) } else { vec![] }, "{state:?}");
        assert_eq!(bridge.lookup(station(1)).is_some(), learns, "{state:?}");
        if let Some(reason) = reason {
            assert_eq!(bridge.counters(a).dropped(reason), 1, "{state:?}");
        }
        let to_a = send(&mut bridge, b, BROADCAST, station(2), T).contains(&a.0);
        assert_eq!(to_a, state == PortState::Forwarding, "{state:?}");
    }
}

#[test]
fn a_port_that_is_not_enabled_is_as_one_without_link() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, b, BROADCAST, station(2), T);
    set(&mut bridge, b, |b| b.enabled = false);
    assert_eq!(bridge.lookup(station(2)), None, "what was learned is gone");
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([c]));
    send(&mut bridge, b, BROADCAST, station(2), T);
    assert_eq!(bridge.counters(b).dropped(DropReason::IngressDown), 1);
    bridge.set_link(b, false);
    set(&mut bridge, b, |b| b.enabled = true);
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([c]), "it has no link yet");
    bridge.set_link(b, true);
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([b, c]));
}

// Floods.

#[test]
fn each_knob_stops_its_own_kind_of_flood_and_no_known_station() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, b, BROADCAST, station(2), T);
    for (class, to) in [("bcast", BROADCAST), ("mcast", GROUP), ("unknown", station(9))] {
        let off = |port: &mut PortSettings| {
            (port.bcast_flood, port.mcast_flood, port.flood) =
                (class != "bcast", class != "mcast", class != "unknown");
        };
        set(&mut bridge, b, off);
        for other in [BROADCAST, GROUP, station(9)] {
            let got = send(&mut bridge, a, other, station(1), T);
            assert_eq!(got, if other == to { ids([c]) } else { ids([b, c]) }, "{class}");
        }
        assert_eq!(send(&mut bridge, a, station(2), station(1), T), ids([b]), "{class}");
    }
}

#[test]
fn what_the_host_sends_to_groups_ignores_the_knobs_but_not_to_unknown_stations() {
    let (mut bridge, [a, b, c]) = three();
    let host = host_port(&mut bridge);
    set(&mut bridge, b, |b| (b.flood, b.bcast_flood, b.mcast_flood) = (false, false, false));
    assert_eq!(send(&mut bridge, host, BROADCAST, station(8), T), ids([a, b, c]));
    assert_eq!(send(&mut bridge, host, GROUP, station(8), T), ids([a, b, c]));
    assert_eq!(send(&mut bridge, host, station(9), station(8), T), ids([a, c]));
    assert_eq!(send(&mut bridge, host, reserved(0x0e), station(8), T), ids([a, b, c]), "as from br0");
}

#[test]
fn an_isolated_port_reaches_only_those_that_are_not() {
    let (mut bridge, [a, b, c]) = three();
    let host = host_port(&mut bridge);
    for port in [a, b] {
        set(&mut bridge, port, |port| port.isolated = true);
    }
    for (ingress, from) in [(b, 2), (c, 3)] {
        send(&mut bridge, ingress, BROADCAST, station(from), T);
    }
    for to in [BROADCAST, GROUP] {
        assert_eq!(send(&mut bridge, a, to, station(1), T), ids([c, host]));
    }
    assert_eq!(send(&mut bridge, a, station(9), station(1), T), ids([c]));
    assert!(send(&mut bridge, a, station(2), station(1), T).is_empty());
    assert_eq!(send(&mut bridge, a, station(3), station(1), T), ids([c]));
    assert_eq!(send(&mut bridge, c, station(2), station(3), T), ids([b]));
    assert_eq!(send(&mut bridge, host, BROADCAST, station(8), T), ids([a, b, c]));
}

#[test]
fn hairpin_sends_back_and_isolation_forbids_even_that() {
    let (mut bridge, [a, b, c]) = three();
    set(&mut bridge, a, |a| a.hairpin = true);
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([a, b, c]));
    assert_eq!(send(&mut bridge, a, station(1), station(2), T), ids([a]));
    set(&mut bridge, a, |a| a.isolated = true);
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([b, c]));
    assert!(send(&mut bridge, a, station(1), station(2), T).is_empty());
    assert_eq!(bridge.counters(a).dropped(DropReason::Isolated), 1);
}

// The host.

#[test]
fn a_promiscuous_host_gets_everything_once() {
    let (mut bridge, [a, b, c]) = three();
    let host = host_port(&mut bridge);
    bridge.set_local(host, Some(station(8)), LocalKind::HostPort);
    set(&mut bridge, host, |host| host.promisc = true);
    send(&mut bridge, b, BROADCAST, station(2), T);
    for (to, got) in [
        (station(2), vec![b, host]),
        (station(8), vec![host]),
        (station(9), vec![b, c, host]),
        (BROADCAST, vec![b, c, host]),
        (station(1), vec![host]),
    ] {
        let got: Vec<u16> = got.iter().map(|port| port.0).collect();
        assert_eq!(send(&mut bridge, a, to, station(1), T), got, "{to}");
    }
    assert_eq!(send(&mut bridge, host, station(2), station(8), T), ids([b]));
}

#[test]
fn nothing_is_learned_from_the_host_unless_it_is_told_to() {
    let (mut bridge, [a, ..]) = three();
    let host = host_port(&mut bridge);
    send(&mut bridge, host, BROADCAST, station(5), T);
    assert_eq!(bridge.lookup(station(5)), None);
    set(&mut bridge, host, |host| host.learning = true);
    send(&mut bridge, host, BROADCAST, station(5), T);
    assert_eq!(send(&mut bridge, a, station(5), station(1), T), ids([host]));
    set(&mut bridge, host, |host| host.promisc = true);
    assert_eq!(send(&mut bridge, a, station(5), station(1), T), ids([host]));
    assert_eq!(bridge.counters(host).copies, 2, "once, not twice");
}

#[test]
fn a_local_entry_is_for_the_host_and_from_the_host_for_its_port() {
    let (mut bridge, [a, b, _]) = three();
    bridge.add_entry(station(7), NewEntry::Local(b), T).unwrap();
    assert!(send(&mut bridge, a, station(7), station(1), T).is_empty());
    assert_eq!(bridge.counters(a).dropped(DropReason::NoHostPort), 1);
    let host = host_port(&mut bridge);
    assert_eq!(send(&mut bridge, a, station(7), station(1), T), ids([host]));
    assert_eq!(send(&mut bridge, b, station(7), station(2), T), ids([host]));
    assert_eq!(send(&mut bridge, host, station(7), station(8), T), ids([b]));
    send(&mut bridge, b, BROADCAST, station(7), T);
    assert_eq!((bridge.counters(b).own_source, bridge.lookup(station(7))), (1, Some(b)));
    bridge.set_link(host, false);
    assert!(send(&mut bridge, a, station(7), station(1), T).is_empty());
    assert_eq!(bridge.counters(a).dropped(DropReason::EgressDown), 1);
}

// Locked ports.

#[test]
fn a_locked_port_takes_only_stations_with_an_entry_of_its_own() {
    let (mut bridge, [a, b, c]) = three();
    bridge.set_local(c, Some(station(8)), LocalKind::HostPort);
    send(&mut bridge, b, BROADCAST, station(2), T);
    set(&mut bridge, a, |a| a.locked = true);
    for source in [1, 2, 8] {
        assert!(send(&mut bridge, a, BROADCAST, station(source), T).is_empty(), "{source}");
    }
    assert_eq!(bridge.counters(a).dropped(DropReason::Locked), 3);
    assert_eq!((bridge.lookup(station(1)), bridge.lookup(station(2))), (None, Some(b)), "nobody moves here");
    bridge.add_static(station(1), a).unwrap();
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([b, c]));
    assert_eq!(send(&mut bridge, b, station(1), station(2), T), ids([a]), "it is only locked from outside");
}

#[test]
fn a_link_local_frame_opens_a_locked_port_unless_nothing_is_learned_from_it() {
    for (no_linklocal_learn, opened) in [(false, true), (true, false)] {
        let (mut bridge, [a, ..]) = with(BridgeSettings { no_linklocal_learn, ..BridgeSettings::default() });
        set(&mut bridge, a, |a| a.locked = true);
        assert!(send(&mut bridge, a, reserved(3), station(1), T).is_empty());
        assert_eq!(bridge.counters(a).dropped(DropReason::Locked), 0);
        assert_eq!(!send(&mut bridge, a, BROADCAST, station(1), T).is_empty(), opened);
    }
}

#[test]
fn mab_notes_who_knocks_and_a_replaced_entry_lets_them_in() {
    let (mut bridge, [a, b, c]) = three();
    set(&mut bridge, a, |a| (a.locked, a.mab) = (true, true));
    assert!(send(&mut bridge, a, BROADCAST, station(1), T).is_empty());
    assert_eq!(kind(&bridge, station(1)), Some((EntryKind::Locked, Some(a))));
    assert!(send(&mut bridge, a, BROADCAST, station(1), T).is_empty(), "still not");
    assert_eq!(send(&mut bridge, b, station(1), station(2), T), ids([a]), "but it is found");
    bridge.replace_entry(station(1), NewEntry::Dynamic(a), T).unwrap();
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([b, c]));
}

#[test]
fn a_locked_entry_ages_moves_to_other_ports_and_goes_with_mab() {
    let (mut bridge, [a, b, _]) = three();
    set(&mut bridge, a, |a| (a.locked, a.mab) = (true, true));
    for n in 1..=3 {
        send(&mut bridge, a, BROADCAST, station(n), later(u64::from(n) * 1000));
    }
    send(&mut bridge, b, BROADCAST, station(2), later(4000));
    assert_eq!(kind(&bridge, station(2)), Some((EntryKind::Dynamic, Some(b))));
    bridge.tick(later(301_000));
    assert_eq!(kind(&bridge, station(1)), None);
    set(&mut bridge, a, |a| a.mab = false);
    assert_eq!(kind(&bridge, station(3)), None);
    assert_eq!(bridge.lookup(station(2)), Some(b));
}

#[test]
fn an_entry_that_has_expired_opens_no_locked_port() {
    let (mut bridge, [a, ..]) = three();
    send(&mut bridge, a, BROADCAST, station(1), T);
    set(&mut bridge, a, |a| (a.locked, a.mab) = (true, true));
    assert!(send(&mut bridge, a, BROADCAST, station(1), later(300_000)).is_empty());
    assert_eq!(kind(&bridge, station(1)), Some((EntryKind::Locked, Some(a))));
}

// Entries.

#[test]
fn an_entry_that_has_expired_is_not_used_although_nobody_cleared_it_away() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, b, BROADCAST, station(2), T);
    assert_eq!(send(&mut bridge, a, station(2), station(1), later(299_999)), ids([b]));
    assert_eq!(send(&mut bridge, a, station(2), station(1), later(300_000)), ids([b, c]));
}

#[test]
fn each_kind_of_entry_moves_or_does_not() {
    for (entry, after) in [
        (NewEntry::Dynamic(PortId(0)), EntryKind::Dynamic),
        (NewEntry::Static(PortId(0)), EntryKind::Static),
        (NewEntry::External(PortId(0)), EntryKind::Dynamic),
        (NewEntry::Sticky(PortId(0)), EntryKind::Sticky),
        (NewEntry::Local(PortId(0)), EntryKind::Local),
    ] {
        let (mut bridge, [a, b, c]) = three();
        bridge.add_entry(station(7), entry, T).unwrap();
        assert_eq!(send(&mut bridge, b, BROADCAST, station(7), T), ids([a, c]), "{entry:?}");
        let stays = matches!(entry, NewEntry::Sticky(_) | NewEntry::Local(_));
        let port = if stays { a } else { b };
        assert_eq!(kind(&bridge, station(7)), Some((after, Some(port))), "{entry:?}");
        assert_eq!(bridge.counters(b).moved, u64::from(!stays), "{entry:?}");
    }
}

#[test]
fn each_kind_of_entry_ages_and_goes_with_the_link_or_does_not() {
    for (entry, stays) in [
        (NewEntry::Dynamic(PortId(0)), false),
        (NewEntry::Static(PortId(0)), true),
        (NewEntry::External(PortId(0)), true),
        (NewEntry::Sticky(PortId(0)), true),
        (NewEntry::Local(PortId(0)), true),
        (NewEntry::Blackhole, true),
    ] {
        let (mut bridge, [a, ..]) = three();
        bridge.add_entry(station(7), entry, T).unwrap();
        bridge.tick(later(300_000));
        assert_eq!(kind(&bridge, station(7)).is_some(), stays, "{entry:?} ages");
        bridge.replace_entry(station(7), entry, T).unwrap();
        bridge.set_link(a, false);
        assert_eq!(kind(&bridge, station(7)).is_some(), stays, "{entry:?} and the link");
        bridge.remove_port(a);
        assert_eq!(
            kind(&bridge, station(7)).is_some(),
            entry == NewEntry::Blackhole,
            "{entry:?} and the port"
        );
    }
}

#[test]
fn a_blackhole_silences_its_address_and_stays() {
    let (mut bridge, [a, b, _]) = three();
    bridge.add_entry(station(7), NewEntry::Blackhole, T).unwrap();
    assert!(send(&mut bridge, a, station(7), station(1), T).is_empty());
    assert!(send(&mut bridge, b, station(1), station(7), T).is_empty());
    set(&mut bridge, b, |b| b.learning = false);
    assert!(send(&mut bridge, b, BROADCAST, station(7), T).is_empty());
    assert!(send(&mut bridge, b, reserved(3), station(7), T).is_empty());
    assert_eq!(bridge.counters(b).dropped(DropReason::BlackholeSource), 2);
    assert_eq!(
        (kind(&bridge, station(7)), bridge.lookup(station(7))),
        (Some((EntryKind::Blackhole, None)), None)
    );
    bridge.remove_entry(station(7), None, T).unwrap();
    assert!(!send(&mut bridge, b, BROADCAST, station(7), T).is_empty());
}

#[test]
fn entries_are_added_replaced_and_removed_by_the_rules_of_bridge_fdb() {
    let (mut bridge, [a, b, c]) = three();
    let host = host_port(&mut bridge);
    bridge.set_local(c, Some(station(8)), LocalKind::HostPort);
    bridge.add_entry(station(1), NewEntry::Static(a), T).unwrap();
    assert_eq!(bridge.add_entry(station(1), NewEntry::Static(b), T), Err(EntryRefused::Exists(station(1))));
    bridge.replace_entry(station(1), NewEntry::Sticky(b), T).unwrap();
    assert_eq!(kind(&bridge, station(1)), Some((EntryKind::Sticky, Some(b))));
    assert_eq!(bridge.remove_entry(station(1), Some(a), T), Err(EntryRefused::NoSuchEntry(station(1))));
    assert_eq!(bridge.remove_entry(station(1), Some(b), T), Ok(()));
    assert_eq!(bridge.remove_entry(station(1), Some(b), T), Err(EntryRefused::NoSuchEntry(station(1))));
    for entry in [NewEntry::Static(a), NewEntry::Local(a), NewEntry::Blackhole] {
        assert_eq!(
            bridge.replace_entry(MacAddr::ZERO, entry, T),
            Err(EntryRefused::NotAStation(MacAddr::ZERO))
        );
        assert_eq!(bridge.replace_entry(station(8), entry, T), Err(EntryRefused::Local(station(8))));
    }
    assert_eq!(bridge.remove_entry(station(8), Some(c), T), Err(EntryRefused::Local(station(8))));
    let refused = Err(EntryRefused::HostTakesLocal(station(1)));
    assert_eq!(bridge.add_entry(station(1), NewEntry::Static(host), T), refused);
    set(&mut bridge, a, |a| a.state = PortState::Blocking);
    assert_eq!(bridge.add_entry(station(1), NewEntry::Dynamic(a), T), Err(EntryRefused::NotLearning(a)));
    assert_eq!(bridge.add_entry(station(1), NewEntry::Static(a), T), Ok(()));
}

#[test]
fn a_flush_takes_what_ages_or_the_kind_that_it_names() {
    let entries = |bridge: &mut Bridge, [a, b]: [PortId; 2]| {
        send(bridge, a, BROADCAST, station(1), T);
        send(bridge, b, BROADCAST, station(2), T);
        bridge.add_entry(station(3), NewEntry::Static(a), T).unwrap();
        bridge.add_entry(station(4), NewEntry::Sticky(b), T).unwrap();
        bridge.add_entry(station(5), NewEntry::External(a), T).unwrap();
        bridge.add_entry(station(6), NewEntry::Local(a), T).unwrap();
    };
    for (by_port, kind, left) in [
        (false, None, vec![3, 4, 6, 8]),
        (true, None, vec![2, 3, 4, 5, 6, 8]),
        (false, Some(EntryKind::Static), vec![1, 2, 4, 5, 6, 8]),
        (true, Some(EntryKind::Sticky), vec![1, 2, 3, 4, 5, 6, 8]),
        (false, Some(EntryKind::External), vec![1, 2, 3, 4, 6, 8]),
        (false, Some(EntryKind::Local), vec![1, 2, 3, 4, 5, 8]),
    ] {
        let (mut bridge, [a, b, c]) = three();
        bridge.set_local(c, Some(station(8)), LocalKind::Kernel);
        entries(&mut bridge, [a, b]);
        let removed = bridge.flush(by_port.then_some(a), kind);
        let mut macs: Vec<MacAddr> = bridge.fdb().map(|entry| entry.mac).collect();
        macs.sort_unstable();
        assert_eq!(macs, left.iter().map(|n| station(*n)).collect::<Vec<_>>(), "{by_port} {kind:?}");
        assert_eq!(removed, 7 - left.len());
    }
}

#[test]
fn a_removed_local_entry_falls_to_the_device_that_has_the_address() {
    let (mut bridge, [a, b, _]) = three();
    bridge.add_entry(station(7), NewEntry::Local(a), T).unwrap();
    bridge.set_local(b, Some(station(7)), LocalKind::Kernel);
    assert_eq!(bridge.lookup(station(7)), Some(a), "the first has it");
    bridge.remove_port(a);
    assert_eq!(bridge.lookup(station(7)), Some(b));
}

// The backup port.

#[test]
fn a_backup_port_stands_in_while_the_port_is_down() {
    let (mut bridge, [a, b, c]) = three();
    set(&mut bridge, b, |b| b.backup_port = Some(c));
    send(&mut bridge, b, BROADCAST, station(2), T);
    bridge.set_link(b, false);
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), ids([c]), "its entries stayed");
    assert!(send(&mut bridge, c, station(2), station(3), T).is_empty(), "not back to where it came from");
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), ids([c]), "no second copy");
    bridge.set_link(b, true);
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), ids([b]));
    bridge.set_link(b, false);
    bridge.remove_port(c);
    assert!(send(&mut bridge, a, station(2), station(1), T).is_empty());
    assert_eq!(bridge.counters(a).dropped(DropReason::EgressDown), 1);
}

// Beyond Linux Bridge.

#[test]
fn a_port_learns_no_more_than_max_macs_and_still_forwards() {
    let (mut bridge, [a, b, c]) = three();
    set(&mut bridge, a, |a| a.max_macs = Some(2));
    for n in 1..=3 {
        assert_eq!(send(&mut bridge, a, BROADCAST, station(n), T), ids([b, c]));
    }
    send(&mut bridge, b, BROADCAST, station(9), T);
    send(&mut bridge, a, BROADCAST, station(9), T);
    assert_eq!(bridge.lookup(station(3)), None);
    assert_eq!(bridge.lookup(station(9)), Some(b), "and none moves here");
    assert_eq!((bridge.counters(a).limited, bridge.fdb_dynamic_len()), (2, 3));
    send(&mut bridge, b, BROADCAST, station(1), T);
    send(&mut bridge, a, BROADCAST, station(3), T);
    assert_eq!(bridge.lookup(station(3)), Some(a), "one has left");
}

#[test]
fn a_damped_station_moves_only_after_its_old_port_was_silent() {
    let (mut bridge, [a, b, _]) =
        with(BridgeSettings { move_damping: Span::from_secs(3), ..BridgeSettings::default() });
    send(&mut bridge, a, BROADCAST, station(1), T);
    send(&mut bridge, a, BROADCAST, station(1), later(1_000));
    assert!(!send(&mut bridge, b, BROADCAST, station(1), later(3_500)).is_empty(), "it is forwarded");
    assert_eq!((bridge.lookup(station(1)), bridge.counters(b).damped), (Some(a), 1));
    send(&mut bridge, b, BROADCAST, station(1), later(4_000));
    assert_eq!((bridge.lookup(station(1)), bridge.counters(b).moved), (Some(b), 1));
}

#[test]
fn moves_and_own_addresses_are_told_and_beyond_a_bound_counted() {
    let (mut bridge, [a, b, _]) = three();
    bridge.set_local(a, Some(station(8)), LocalKind::Kernel);
    let mut out = Deliveries::new(64);
    let mut say = |ingress: PortId, from: MacAddr, out: &mut Deliveries| {
        let raw = bytes(BROADCAST, from, 60);
        bridge.forward(ingress, 0, 60, &Frame::parse(&raw, 0, None, Offload::default()), T, out);
    };
    for (ingress, from) in [(a, 1), (b, 1), (b, 8)] {
        say(ingress, station(from), &mut out);
    }
    let moved = Event::MacMoved { mac: station(1), from: a, to: b, vid: 0 };
    let own = Event::OwnSource { mac: station(8), port: b, vid: 0 };
    assert_eq!((out.events(), out.events_left_out()), (&[moved, own][..], 0));
    for n in 0..40 {
        say(if n % 2 == 0 { a } else { b }, station(1), &mut out);
    }
    assert_eq!(out.events().len() as u64 + out.events_left_out(), 42);
    assert!(out.events().len() < 42);
    out.clear();
    assert_eq!((out.events(), out.events_left_out()), (&[][..], 0));
}

// Settings.

#[test]
fn settings_that_cannot_be_are_refused_and_change_nothing() {
    let (mut bridge, [a, b, _]) = three();
    let host = host_port(&mut bridge);
    let plain = PortSettings::default();
    for (port, settings, refusal) in [
        (a, PortSettings { mab: true, ..plain }, SettingsRefused::MabWithoutLock),
        (
            a,
            PortSettings { mab: true, locked: true, learning: false, ..plain },
            SettingsRefused::MabWithoutLock,
        ),
        (a, PortSettings { group_fwd_mask: 2, ..plain }, SettingsRefused::PortMask(2)),
        (a, PortSettings { promisc: true, ..plain }, SettingsRefused::PromiscIsForHost),
        (a, PortSettings { backup_port: Some(a), ..plain }, SettingsRefused::Backup(a)),
        (a, PortSettings { backup_port: Some(host), ..plain }, SettingsRefused::Backup(host)),
        (a, PortSettings { backup_port: Some(PortId(9)), ..plain }, SettingsRefused::Backup(PortId(9))),
        (a, PortSettings::host(), SettingsRefused::SecondHost),
        (host, PortSettings { isolated: true, ..PortSettings::host() }, SettingsRefused::NotForHost),
        (host, PortSettings { locked: true, ..PortSettings::host() }, SettingsRefused::NotForHost),
        (PortId(9), plain, SettingsRefused::NoSuchPort(PortId(9))),
    ] {
        assert_eq!(bridge.set_port_settings(port, settings), Err(refusal), "{refusal}");
    }
    assert_eq!(bridge.port_settings(a), Some(plain));
    assert_eq!(bridge.port_settings(host), Some(PortSettings::host()));
    assert_eq!(bridge.add_port(PortSettings::host()), Err(SettingsRefused::SecondHost));
    assert_eq!(bridge.set_port_settings(a, PortSettings { backup_port: Some(b), ..plain }), Ok(()));
}

#[test]
fn the_hosts_port_has_the_settings_that_br0_has() {
    let (mut bridge, _) = three();
    let host = host_port(&mut bridge);
    for settings in [
        PortSettings { enabled: false, ..PortSettings::host() },
        PortSettings { learning: true, ..PortSettings::host() },
        PortSettings { promisc: true, ..PortSettings::host() },
        PortSettings { max_macs: Some(3), ..PortSettings::host() },
    ] {
        assert_eq!(bridge.set_port_settings(host, settings), Ok(()));
        assert_eq!(bridge.port_settings(host), Some(settings));
    }
}

#[test]
fn refused_settings_say_what_is_wrong_with_them_and_the_way_out() {
    let port = PortId(7);
    for (refusal, says) in [
        (SettingsRefused::TooManyPorts, "run a second one for the others"),
        (SettingsRefused::NoSuchPort(port), "no port number 7"),
        (SettingsRefused::SecondHost, "only one can be"),
        (SettingsRefused::MabWithoutLock, "set both, or no mab"),
        (SettingsRefused::BridgeMask(7), "0x0007 of the bridge has bits 0 to 2"),
        (SettingsRefused::PortMask(2), "0x0002 of the port has bit 1"),
        (SettingsRefused::PromiscIsForHost, "only the host's port can be promiscuous"),
        (SettingsRefused::NotForHost, "only the settings enabled, learning, promisc and max_macs"),
        (SettingsRefused::Backup(port), "number 7 can't be the backup: name another port"),
        (SettingsRefused::FdbMax, "start it anew"),
    ] {
        let message = refusal.to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn what_a_port_took_is_counted_frame_by_frame_or_together() {
    let (mut bridge, [a, ..]) = three();
    bridge.sent_whole(a, 3, 300);
    bridge.sent_whole(a, 2, 120);
    bridge.sent(a, 4000, 3);
    let counters = bridge.counters(a);
    assert_eq!((counters.tx_frames, counters.tx_bytes, counters.tx_segments), (6, 4420, 8));
}

#[test]
fn protocols_of_vlans_have_the_names_that_ip_link_shows() {
    assert_eq!([VlanProtocol::Dot1q, VlanProtocol::Dot1ad].map(VlanProtocol::name), ["802.1Q", "802.1ad"]);
}
