//! Where stations are: learning, moving, ageing, eviction, static and local entries.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, DropReason, EntryKind, EntryRefused, Happened, LocalKind, MAX_PORTS, Moment,
    NewEntry, PortId, PortSettings, SettingsRefused, Span,
};
use frame::{Frame, FrameFault, MacAddr, Offload, Vid};
use stations::{BROADCAST, host_port, port, send, station};

fn bridge(fdb_max: usize, ageing: Span) -> Bridge {
    Bridge::new(BridgeSettings { ageing_time: ageing, fdb_max, ..BridgeSettings::default() })
}

fn three() -> (Bridge, [PortId; 3]) {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let ports = [port(&mut bridge), port(&mut bridge), port(&mut bridge)];
    (bridge, ports)
}

const T: Moment = Moment(77_777);

fn later(seconds: u64) -> Moment {
    T + Span::from_secs(seconds)
}

#[test]
fn an_unknown_station_is_flooded_and_a_known_one_is_not() {
    let (mut bridge, [a, b, c]) = three();
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), [b.0, c.0]);
    assert_eq!(send(&mut bridge, b, station(1), station(2), T), [a.0]);
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), [b.0]);
}

#[test]
fn a_station_that_speaks_elsewhere_has_moved_at_once() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, a, BROADCAST, station(1), T);
    send(&mut bridge, b, BROADCAST, station(1), T);
    assert_eq!(send(&mut bridge, c, station(1), station(3), T), [b.0]);
    assert_eq!((bridge.counters(b).moved, bridge.fdb_counters().moved), (1, 1));
}

#[test]
fn a_silent_station_is_forgotten_after_the_ageing_time_to_the_millisecond() {
    let (mut bridge, [a, ..]) = three();
    send(&mut bridge, a, BROADCAST, station(1), T);
    bridge.tick(Moment(later(300).0 - 1));
    assert_eq!(bridge.lookup(station(1)), Some(a));
    bridge.tick(later(300));
    assert_eq!(bridge.lookup(station(1)), None);
    assert_eq!((bridge.fdb_counters().aged, bridge.next_deadline()), (1, None));
}

#[test]
fn the_deadline_is_the_ageing_time_of_the_first_entry_and_moves_with_it() {
    let (mut bridge, [a, ..]) = three();
    assert_eq!(bridge.next_deadline(), None);
    send(&mut bridge, a, BROADCAST, station(1), T);
    assert_eq!(bridge.next_deadline(), Some(later(300)));
    send(&mut bridge, a, BROADCAST, station(1), later(200));
    bridge.tick(later(300));
    assert_eq!(bridge.next_deadline(), Some(later(500)));
}

#[test]
fn many_entries_share_wake_ups_of_a_second() {
    let (mut bridge, [a, ..]) = three();
    for n in 0..1000 {
        send(&mut bridge, a, BROADCAST, station(n), T + Span(u64::from(n) * 10));
    }
    let mut wake_ups = 0;
    while let Some(deadline) = bridge.next_deadline() {
        bridge.tick(deadline);
        wake_ups += 1;
    }
    assert_eq!(bridge.fdb_counters().aged, 1000);
    assert!((10..=12).contains(&wake_ups), "{wake_ups} wake-ups for 10 s of entries");
}

#[test]
fn entries_that_expire_together_go_in_several_turns_without_a_pause_between() {
    let (mut bridge, [a, ..]) = three();
    for n in 0..10_000 {
        send(&mut bridge, a, BROADCAST, station(n), T);
    }
    let mut turns = 0;
    while let Some(deadline) = bridge.next_deadline() {
        assert!(deadline <= later(300), "the rest does not wait");
        bridge.tick(later(300));
        turns += 1;
    }
    assert_eq!((bridge.fdb_len(), bridge.fdb_counters().aged), (0, 10_000));
    assert!(turns > 5, "frames get a chance in between");
}

#[test]
fn a_long_ageing_time_does_not_confuse_the_coarse_stamp() {
    // 65,536 s after its first frame a station speaks again: sixteen bits of seconds came round.
    let mut bridge = bridge(8, Span::from_secs(100_000));
    let a = port(&mut bridge);
    send(&mut bridge, a, BROADCAST, station(1), Moment(0));
    send(&mut bridge, a, BROADCAST, station(1), Moment(65_536_000));
    bridge.tick(Moment(100_000_000));
    assert_eq!(bridge.lookup(station(1)), Some(a));
}

#[test]
fn an_ageing_time_of_zero_learns_nothing_and_floods() {
    let mut bridge = bridge(8, Span::ZERO);
    let [a, b, c] = [port(&mut bridge), port(&mut bridge), port(&mut bridge)];
    send(&mut bridge, b, BROADCAST, station(2), T);
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), [b.0, c.0]);
    assert_eq!((bridge.fdb_len(), bridge.next_deadline()), (0, None));
    bridge.add_static(station(2), b).unwrap();
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), [b.0]);
}

#[test]
fn a_full_database_forgets_the_oldest_of_the_port_that_holds_most() {
    let mut bridge = bridge(4, Span::from_secs(300));
    let [a, b] = [port(&mut bridge), port(&mut bridge)];
    for (n, ingress) in [(1, a), (2, a), (3, a), (4, b)] {
        send(&mut bridge, ingress, BROADCAST, station(n), T);
    }
    // Station 1 spoke again a while later: now 2 is the oldest of port a.
    send(&mut bridge, a, BROADCAST, station(1), later(5));
    assert_eq!(send(&mut bridge, b, BROADCAST, station(5), later(6)), [a.0], "frames still flow");
    assert_eq!(bridge.lookup(station(2)), None);
    for (n, ingress) in [(1, a), (3, a), (4, b), (5, b)] {
        assert_eq!(bridge.lookup(station(n)), Some(ingress), "station {n}");
    }
    assert_eq!((bridge.fdb_counters().evicted, bridge.fdb_counters().learned), (1, 5));
}

#[test]
fn a_database_of_a_million_stays_within_its_bounds() {
    let max = 1_048_576;
    let mut bridge = bridge(max, Span::from_secs(300));
    let [a, b] = [port(&mut bridge), port(&mut bridge)];
    send(&mut bridge, b, BROADCAST, station(u32::MAX), T);
    for n in 0..max as u32 + 1000 {
        send(&mut bridge, a, BROADCAST, station(n), T);
    }
    assert_eq!((bridge.fdb_dynamic_len(), bridge.fdb_counters().evicted), (max, 1001));
    assert_eq!(send(&mut bridge, a, station(u32::MAX), station(0), T), [b.0]);
}

#[test]
fn looking_ahead_changes_nothing() {
    let (mut bridge, [a, b, _]) = three();
    for n in 0..20_000 {
        send(&mut bridge, a, BROADCAST, station(n), T);
    }
    let counters = (bridge.counters(a).clone(), bridge.fdb_counters());
    let mut before: Vec<_> = bridge.fdb().collect();
    let frames = [(station(1), station(40_000)), (station(30_000), station(2)), (BROADCAST, BROADCAST)]
        .map(|(to, from)| stations::bytes(to, from, 60));
    bridge.look_ahead(a, frames.iter().map(|raw| Frame::parse(raw, 0, None, Offload::default())));
    bridge.look_ahead(a, std::iter::once(Err(FrameFault::Runt)));
    let mut after: Vec<_> = bridge.fdb().collect();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!((before, counters), (after, (bridge.counters(a).clone(), bridge.fdb_counters())));
    assert_eq!(send(&mut bridge, b, station(1), station(40_000), T), [a.0]);
}

#[test]
fn a_link_that_goes_down_takes_the_learned_stations_along() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, b, BROADCAST, station(2), T);
    send(&mut bridge, c, BROADCAST, station(3), T);
    bridge.add_static(station(9), b).unwrap();
    bridge.set_link(b, false);
    assert_eq!(bridge.lookup(station(2)), None);
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), [c.0]);
    assert!(send(&mut bridge, a, station(9), station(1), T).is_empty());
    bridge.set_link(b, true);
    assert_eq!(send(&mut bridge, a, station(9), station(1), T), [b.0]);
    assert_eq!(bridge.lookup(station(3)), Some(c));
}

#[test]
fn a_removed_port_takes_everything_along_and_its_number_comes_back_clean() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, b, BROADCAST, station(2), T);
    bridge.add_static(station(9), b).unwrap();
    bridge.set_local(b, Some(station(8)), LocalKind::Kernel);
    bridge.remove_port(b);
    assert_eq!(bridge.fdb_len(), 0);
    assert_eq!(send(&mut bridge, a, station(9), station(1), T), [c.0]);
    assert!(send(&mut bridge, b, BROADCAST, station(2), T).is_empty(), "no such port");
    assert_eq!(bridge.add_port(PortSettings::default()), Ok(b));
    assert_eq!(*bridge.counters(b), Default::default());
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), [c.0], "its link is down");
}

#[test]
fn a_static_entry_neither_ages_nor_counts_and_moves_as_in_linux() {
    let mut bridge = bridge(1, Span::from_secs(300));
    let [a, b] = [port(&mut bridge), port(&mut bridge)];
    bridge.add_static(station(9), a).unwrap();
    send(&mut bridge, b, BROADCAST, station(1), T);
    assert_eq!((bridge.fdb_len(), bridge.fdb_dynamic_len()), (2, 1));
    send(&mut bridge, b, BROADCAST, station(9), T);
    bridge.tick(later(1_000));
    let left: Vec<_> = bridge.fdb().map(|entry| (entry.mac, entry.port, entry.kind)).collect();
    assert_eq!(left, [(station(9), Some(b), EntryKind::Static)]);
    assert_eq!(bridge.counters(b).moved, 1);
}

#[test]
fn static_entries_that_make_no_sense_are_refused() {
    let (mut bridge, [a, ..]) = three();
    bridge.set_local(a, Some(station(8)), LocalKind::HostPort);
    for (mac, port, refusal) in [
        (BROADCAST, a, EntryRefused::NotAStation(BROADCAST)),
        (MacAddr::ZERO, a, EntryRefused::NotAStation(MacAddr::ZERO)),
        (station(8), a, EntryRefused::Local(station(8))),
        (station(1), PortId(500), EntryRefused::NoSuchPort(PortId(500))),
    ] {
        assert_eq!(bridge.add_static(mac, port), Err(refusal));
    }
    assert_eq!(bridge.fdb_len(), 1);
}

#[test]
fn without_room_for_dynamic_entries_an_external_one_stays_where_it_is() {
    let mut bridge = bridge(0, Span::from_secs(300));
    let [a, b] = [port(&mut bridge), port(&mut bridge)];
    bridge.add_entry(station(9), NewEntry::External(a), T).unwrap();
    send(&mut bridge, b, BROADCAST, station(9), T);
    assert_eq!((bridge.lookup(station(9)), bridge.counters(b).moved), (Some(a), 0));
}

#[test]
fn a_refused_entry_says_what_is_wrong_with_it_and_the_way_out() {
    let (port, vlan) = (PortId(7), Vid::new(20).unwrap());
    for (refusal, says) in [
        (
            EntryRefused::NotAStation(BROADCAST),
            "ff:ff:ff:ff:ff:ff is not the address of a station: name a unicast",
        ),
        (EntryRefused::Local(station(8)), "its entry comes and goes with the device"),
        (EntryRefused::NoSuchPort(port), "no port number 7"),
        (EntryRefused::Exists(station(1)), "already: replace it"),
        (EntryRefused::NoSuchEntry(station(1)), "no entry for 02:00:00:00:00:01 on that port"),
        (EntryRefused::NotLearning(port), "only other entries than dynamic ones"),
        (EntryRefused::HostTakesLocal(station(1)), "only be a local entry: make it one"),
        (EntryRefused::NotInVlan(port, vlan), "not a member of VLAN 20: add the VLAN to the port"),
        (EntryRefused::NoRoom, "raise fdb_max"),
    ] {
        let message = refusal.to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn the_host_port_gets_its_own_address_and_groups_but_no_unknown_station() {
    let (mut bridge, [a, b, _]) = three();
    bridge.set_link(b, false);
    let host = host_port(&mut bridge);
    bridge.set_local(host, Some(station(8)), LocalKind::HostPort);
    assert_eq!(send(&mut bridge, a, station(8), station(1), T), [host.0]);
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), [2, host.0]);
    assert_eq!(send(&mut bridge, a, station(7), station(1), T), [2]);
    assert_eq!(send(&mut bridge, host, station(1), station(8), T), [a.0]);
    assert_eq!(send(&mut bridge, host, station(7), station(8), T), [a.0, 2]);
    assert_eq!(bridge.counters(host).own_source, 0, "its own address from its own port is no loop");
    send(&mut bridge, a, BROADCAST, station(8), T);
    assert_eq!(bridge.counters(a).own_source, 1);
    assert_eq!(bridge.lookup(station(8)), Some(host), "a local address never moves");
}

#[test]
fn the_address_of_a_shared_device_is_the_kernels_business() {
    let (mut bridge, [a, b, c]) = three();
    send(&mut bridge, a, BROADCAST, station(8), T);
    bridge.set_local(b, Some(station(8)), LocalKind::Kernel);
    assert!(send(&mut bridge, a, station(8), station(1), T).is_empty());
    assert!(send(&mut bridge, b, station(8), station(1), T).is_empty());
    assert_eq!(bridge.counters(a).dropped(DropReason::ToHost), 1);
    assert_eq!(bridge.counters(b).dropped(DropReason::ToHost), 1);
    assert_eq!(send(&mut bridge, b, BROADCAST, station(8), T), [a.0, c.0], "still forwarded");
    assert_eq!(bridge.counters(b).own_source, 1);
    bridge.set_local(b, None, LocalKind::Kernel);
    assert_eq!(send(&mut bridge, a, station(8), station(1), T), [b.0, c.0]);
}

#[test]
fn a_frame_with_an_address_of_the_bridge_is_counted_at_any_time() {
    let (mut bridge, [a, ..]) = three();
    bridge.set_local(a, Some(station(8)), LocalKind::Kernel);
    for (frames, ms) in [(1, 0), (2, 999), (3, 65_536_000)] {
        send(&mut bridge, a, BROADCAST, station(8), Moment(ms));
        assert_eq!(bridge.counters(a).own_source, frames, "after {ms} ms");
    }
}

#[test]
fn an_address_that_several_devices_share_belongs_to_the_first_until_it_leaves() {
    let (mut bridge, [a, b, c]) = three();
    bridge.set_local(b, Some(station(8)), LocalKind::HostPort);
    bridge.set_local(a, Some(station(8)), LocalKind::HostPort);
    bridge.set_local(c, Some(station(8)), LocalKind::Kernel);
    assert_eq!(bridge.lookup(station(8)), Some(b));
    bridge.set_local(b, Some(station(7)), LocalKind::HostPort);
    assert_eq!(bridge.lookup(station(8)), Some(a));
    bridge.remove_port(a);
    assert_eq!(bridge.lookup(station(8)), Some(c));
    assert!(send(&mut bridge, b, station(8), station(1), T).is_empty());
    assert_eq!(bridge.counters(b).dropped(DropReason::ToHost), 1);
    bridge.set_local(c, None, LocalKind::Kernel);
    assert_eq!(bridge.lookup(station(8)), None);
}

#[test]
fn a_bridge_has_as_many_ports_as_linux_and_no_more() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let mut last = port(&mut bridge);
    for _ in 1..MAX_PORTS {
        last = port(&mut bridge);
    }
    assert_eq!(bridge.add_port(PortSettings::default()), Err(SettingsRefused::TooManyPorts));
    assert_eq!(send(&mut bridge, last, BROADCAST, station(1), T).len(), MAX_PORTS - 1);
    bridge.remove_port(PortId(5));
    assert_eq!(bridge.add_port(PortSettings::default()), Ok(PortId(5)));
}

/// As the kernel's fdb_max_learned: entries of the user's do not count, static or not; what was learned
/// counts until the user replaces it.
#[test]
fn beyond_fdb_max_learned_stations_are_not_learned_and_their_frames_still_flow() {
    let mut bridge = Bridge::new(BridgeSettings { fdb_max_learned: 2, ..BridgeSettings::default() });
    let (a, b) = (port(&mut bridge), port(&mut bridge));
    bridge.add_entry(station(8), NewEntry::Dynamic(a), Moment(0)).unwrap();
    bridge.add_entry(station(9), NewEntry::Static(a), Moment(0)).unwrap();
    for n in 1..=3 {
        assert_eq!(send(&mut bridge, a, BROADCAST, station(n), Moment(0)), [b.0]);
    }
    let known =
        |bridge: &Bridge| (1..=3).filter(|n| bridge.lookup(station(*n)).is_some()).collect::<Vec<_>>();
    assert_eq!((known(&bridge), bridge.fdb_counters().refused), (vec![1, 2], 1));
    // Those that are known are refreshed and move all the same.
    send(&mut bridge, b, BROADCAST, station(1), Moment(0));
    assert_eq!(bridge.lookup(station(1)), Some(b));
    send(&mut bridge, a, BROADCAST, station(3), Moment(0));
    assert_eq!(known(&bridge), [1, 2]);
    // The user's now, so there is room for another.
    bridge.replace_entry(station(1), NewEntry::Dynamic(b), Moment(0)).unwrap();
    send(&mut bridge, a, BROADCAST, station(3), Moment(0));
    assert_eq!(known(&bridge), [1, 2, 3]);
    bridge.remove_entry(station(2), Some(a), Moment(0)).unwrap();
    send(&mut bridge, a, BROADCAST, station(4), Moment(0));
    assert_eq!(bridge.lookup(station(4)), Some(a));
}

#[test]
fn a_new_ageing_time_holds_for_entries_that_are_there() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let a = port(&mut bridge);
    let set = |bridge: &mut Bridge, seconds, now| {
        let settings = BridgeSettings { ageing_time: Span::from_secs(seconds), ..*bridge.settings() };
        bridge.set_settings(settings, now).unwrap();
    };
    send(&mut bridge, a, BROADCAST, station(1), Moment(0));
    send(&mut bridge, a, BROADCAST, station(2), Moment(9_000));
    bridge.add_static(station(3), a).unwrap();
    set(&mut bridge, 5, Moment(10_000));
    assert_eq!((bridge.fdb_len(), bridge.lookup(station(1))), (2, None));
    // Refreshed in the new, finer measure: nothing is lost by the change.
    send(&mut bridge, a, BROADCAST, station(2), Moment(13_000));
    bridge.tick(Moment(17_000));
    assert_eq!(bridge.lookup(station(2)), Some(a));
    set(&mut bridge, 300, Moment(17_500));
    bridge.tick(Moment(200_000));
    assert_eq!(bridge.lookup(station(2)), Some(a));
    set(&mut bridge, 0, Moment(200_000));
    assert_eq!((bridge.fdb_len(), bridge.lookup(station(3))), (1, Some(a)));
    send(&mut bridge, a, BROADCAST, station(1), Moment(200_000));
    assert_eq!(bridge.fdb_len(), 1);
}

#[test]
fn settings_that_can_t_be_change_nothing() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let more = BridgeSettings { fdb_max: 7, ..BridgeSettings::default() };
    assert_eq!(bridge.set_settings(more, Moment(0)), Err(SettingsRefused::FdbMax));
    let mask = BridgeSettings { group_fwd_mask: 4, ..BridgeSettings::default() };
    assert_eq!(bridge.set_settings(mask, Moment(0)), Err(SettingsRefused::BridgeMask(4)));
    assert_eq!(*bridge.settings(), BridgeSettings::default());
}

#[test]
fn the_parts_of_an_fdb_are_the_whole() {
    let (mut bridge, [a, ..]) = three();
    for n in 0..3_000 {
        send(&mut bridge, a, BROADCAST, station(n), T);
    }
    let mut parts = Vec::new();
    let mut from = Some(0);
    while let Some(place) = from {
        let (part, next) = bridge.fdb_part(place, 500);
        assert!(part.len() <= 500 && next.is_none_or(|next| next > place));
        parts.extend(part);
        from = next;
    }
    let mut whole: Vec<_> = bridge.fdb().collect();
    whole.sort_unstable();
    parts.sort_unstable();
    assert_eq!(parts, whole);
    assert_eq!(bridge.fdb_part(usize::MAX, usize::MAX), (Vec::new(), None));
    assert_eq!((bridge.entry(station(7)).unwrap().port, bridge.entry(station(9_999))), (Some(a), None));
}

#[test]
fn after_a_topology_change_a_stale_entry_is_not_used() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let [a, b, c] = [port(&mut bridge), port(&mut bridge), port(&mut bridge)];
    send(&mut bridge, a, BROADCAST, station(1), Moment(0));
    send(&mut bridge, a, BROADCAST, station(2), Moment(6_000));
    bridge.set_topology_change(Some(Span::from_secs(2)), Moment(7_000));
    // Station 1 was silent for too long; station 2 becomes stale without any tick.
    assert_eq!(send(&mut bridge, b, station(1), station(3), Moment(7_000)), [a.0, c.0]);
    assert_eq!(send(&mut bridge, b, station(2), station(3), Moment(7_500)), [a.0]);
    assert_eq!(send(&mut bridge, b, station(2), station(3), Moment(8_000)), [a.0, c.0]);
    // A change of other settings does not end it; its own end does.
    let settings = BridgeSettings { no_linklocal_learn: true, ..*bridge.settings() };
    bridge.set_settings(settings, Moment(8_000)).unwrap();
    assert_eq!(send(&mut bridge, b, station(3), station(4), Moment(10_500)), [a.0, c.0]);
    bridge.set_topology_change(None, Moment(10_500));
    assert_eq!(send(&mut bridge, a, station(4), station(2), Moment(100_000)), [b.0]);
}

#[test]
fn whoever_watches_is_told_of_every_change_of_the_fdb_or_how_many_were_too_many() {
    let (mut bridge, [a, b, _]) = three();
    send(&mut bridge, a, BROADCAST, station(9), T);
    assert_eq!(bridge.take_fdb_changes(), (Vec::new(), 0), "nobody watches");
    bridge.watch_fdb(true);
    send(&mut bridge, a, BROADCAST, station(1), T);
    send(&mut bridge, a, BROADCAST, station(1), later(1));
    send(&mut bridge, b, BROADCAST, station(1), later(2));
    bridge.add_static(station(2), b).unwrap();
    bridge.tick(later(302));
    bridge.remove_port(b);
    let (changes, lost) = bridge.take_fdb_changes();
    let told: Vec<_> = changes.iter().map(|c| (c.happened, c.mac, c.port, c.kind)).collect();
    let expected = [
        (Happened::Added, station(1), Some(a), EntryKind::Dynamic),
        (Happened::Moved, station(1), Some(b), EntryKind::Dynamic),
        (Happened::Added, station(2), Some(b), EntryKind::Static),
        (Happened::Removed, station(9), Some(a), EntryKind::Dynamic),
        (Happened::Removed, station(1), Some(b), EntryKind::Dynamic),
        (Happened::Removed, station(2), Some(b), EntryKind::Static),
    ];
    assert_eq!((told, lost), (expected.to_vec(), 0));
    for n in 0..5_000 {
        send(&mut bridge, a, BROADCAST, station(100 + n), later(400));
    }
    let (changes, lost) = bridge.take_fdb_changes();
    assert_eq!(changes.len() as u64 + lost, 5_000);
    assert!(lost > 0);
    bridge.watch_fdb(false);
    assert_eq!(bridge.take_fdb_changes(), (Vec::new(), 0));
}
