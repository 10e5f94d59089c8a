//! Whoever saves what [`Bridge::take_unsaved`] tells has, once all is taken, the whole FDB; and no call costs more
//! because the FDB is large.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stations;

use std::collections::BTreeMap;

use bridge::{
    Bridge, BridgeSettings, Deliveries, EntryKind, FdbEntry, FdbPlace, LocalKind, Moment, NewEntry, PortId,
    Span,
};
use frame::{Frame, Offload};
use proptest::prelude::*;
use stations::{BROADCAST, bytes, port, station};

/// What happens to a bridge.
#[derive(Clone, Debug)]
enum Step {
    Speak(u32, u16),
    Make(u32, u16, usize),
    Remove(u32),
    Device(u16, u32),
    Link(u16, bool),
    Forget(u16),
    Save(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (station, port) = (0..30_u32, 0..3_u16);
    prop_oneof![
        8 => (station.clone(), port.clone()).prop_map(|(n, port)| Step::Speak(n, port)),
        3 => (station.clone(), port.clone(), 0..6_usize).prop_map(|(n, port, kind)| Step::Make(n, port, kind)),
        2 => station.clone().prop_map(Step::Remove),
        1 => (port.clone(), station).prop_map(|(port, n)| Step::Device(port, n)),
        1 => (port.clone(), any::<bool>()).prop_map(|(port, up)| Step::Link(port, up)),
        1 => port.prop_map(Step::Forget),
        4 => (0..6_usize).prop_map(Step::Save),
    ]
}

fn speak(bridge: &mut Bridge, out: &mut Deliveries, n: u32, port: u16, now: Moment) {
    let raw = bytes(BROADCAST, station(n), 60);
    let frame = Frame::parse(&raw, 0, None, Offload::default());
    bridge.forward(PortId(port), 0, 60, &frame, now, out);
    out.clear();
}

fn save(bridge: &mut Bridge, at_most: usize, saved: &mut BTreeMap<u32, FdbEntry>) {
    let places = bridge.take_unsaved(at_most);
    assert!(places.len() <= at_most);
    for FdbPlace { place, entry } in places {
        match entry {
            Some(entry) => drop(saved.insert(place, entry)),
            None => drop(saved.remove(&place)),
        }
    }
}

fn bridge(fdb_max: usize) -> Bridge {
    let settings = BridgeSettings { fdb_max, ageing_time: Span(3_000), ..BridgeSettings::default() };
    let mut bridge = Bridge::new(settings);
    for _ in 0..3 {
        port(&mut bridge);
    }
    bridge
}

proptest! {
    /// Learned, refreshed, moved, evicted, aged, made, replaced, removed, gone with a link or a port's device; saved
    /// in between, in pieces of any size.
    #[test]
    fn what_was_saved_is_what_there_is(steps in prop::collection::vec((step(), 0..400_u64), 1..150)) {
        let mut bridge = bridge(16);
        let mut out = Deliveries::new(1);
        speak(&mut bridge, &mut out, 29, 0, Moment(1));
        bridge.save_fdb_changes();
        let (mut now, mut saved, mut devices) = (Moment(1), BTreeMap::new(), BTreeMap::new());
        for (step, later) in steps {
            now = now + Span(later);
            bridge.tick(now);
            match step {
                Step::Speak(n, port) => speak(&mut bridge, &mut out, n, port, now),
                Step::Make(n, port, kind) => {
                    let port = PortId(port);
                    let entry = [
                        NewEntry::Dynamic(port), NewEntry::Static(port), NewEntry::Sticky(port),
                        NewEntry::External(port), NewEntry::Local(port), NewEntry::Blackhole,
                    ][kind];
                    let _ = bridge.replace_entry(station(n), entry, now);
                }
                Step::Remove(n) => {
                    let port = bridge.entry(station(n)).and_then(|entry| entry.port);
                    let _ = bridge.remove_entry(station(n), port, now);
                }
                Step::Device(port, n) => {
                    devices.insert(port, station(n));
                    bridge.set_local(PortId(port), Some(station(n)), LocalKind::HostPort);
                }
                Step::Link(port, up) => bridge.set_link(PortId(port), up),
                Step::Forget(port) => {
                    bridge.flush(Some(PortId(port)), Some(EntryKind::Static));
                }
                Step::Save(at_most) => save(&mut bridge, at_most, &mut saved),
            }
        }
        while bridge.unsaved_len() > 0 {
            save(&mut bridge, 7, &mut saved);
        }
        let mut saved: Vec<_> = saved.into_values().collect();
        let own = |entry: &FdbEntry| {
            entry.kind == EntryKind::Local && devices.get(&entry.port.unwrap().0) == Some(&entry.mac)
        };
        let mut there: Vec<_> = bridge.fdb().filter(|entry| !own(entry)).collect();
        saved.sort_unstable();
        there.sort_unstable();
        prop_assert_eq!(saved, there);
    }
}

/// A large FDB in which little happens costs what little happens.
#[test]
fn only_what_has_changed_is_told_however_large_the_fdb_is() {
    let mut bridge = bridge(200_000);
    let mut out = Deliveries::new(1);
    bridge.save_fdb_changes();
    (0..200_000).for_each(|n| speak(&mut bridge, &mut out, n, (n % 3) as u16, Moment(1)));
    let mut saved = BTreeMap::new();
    let mut calls = 0;
    while bridge.unsaved_len() > 0 {
        save(&mut bridge, 1_000, &mut saved);
        calls += 1;
    }
    assert_eq!((saved.len(), calls), (200_000, 200));
    // Known stations speak again within the same tick: nothing to tell.
    (0..1_000).for_each(|n| speak(&mut bridge, &mut out, n, (n % 3) as u16, Moment(1)));
    assert_eq!(bridge.unsaved_len(), 0);
    // Ten move, ten are refreshed, and ten are new, each in place of the oldest.
    for n in 0..10 {
        speak(&mut bridge, &mut out, n, ((n + 1) % 3) as u16, Moment(1_500));
        speak(&mut bridge, &mut out, n + 300, (n % 3) as u16, Moment(1_500));
        speak(&mut bridge, &mut out, n + 300_000, 0, Moment(1_500));
    }
    assert_eq!(bridge.unsaved_len(), 30);
    assert_eq!(bridge.take_unsaved(100_000).len(), 30);
}
