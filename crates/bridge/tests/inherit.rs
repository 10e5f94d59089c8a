//! A bridge that takes over from another one decides as that would have gone on to decide.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bridge::{
    Bridge, BridgeSettings, EntryKind, FdbCounters, FdbEntry, Moment, NewEntry, PortCounters, PortId,
    PortSettings, Span,
};
use frame::MacAddr;
use proptest::prelude::*;

const AGEING: Span = Span(300_000);

fn bridge() -> Bridge {
    let mut bridge = Bridge::new(BridgeSettings { ageing_time: AGEING, fdb_max: 64, ..Default::default() });
    for _ in 0..3 {
        let port = bridge.add_port(PortSettings::default()).unwrap();
        bridge.set_link(port, true);
    }
    bridge
}

fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

fn sorted(bridge: &Bridge) -> Vec<FdbEntry> {
    let mut entries: Vec<_> = bridge.fdb().collect();
    entries.sort_unstable();
    entries
}

proptest! {
    /// Whatever was learned when, the heir knows the same and forgets it at the same moments.
    #[test]
    fn an_heir_knows_and_forgets_the_same(heard in prop::collection::vec((0..40_u8, 0..3_u16, 0..90_000_u64), 0..80)) {
        let mut first = bridge();
        let mut now = Moment(5_000);
        for (number, port, later) in heard {
            now = now + Span(later);
            first.tick(now);
            first.replace_entry(mac(number), NewEntry::Dynamic(PortId(port)), now).unwrap();
        }
        let mut heir = bridge();
        heir.inherit_entries(first.fdb().collect(), now);
        prop_assert_eq!(sorted(&heir), sorted(&first));
        for step in 0..400 {
            let later = now + Span(step * 1_000);
            first.tick(later);
            heir.tick(later);
            for number in 0..40 {
                prop_assert_eq!(heir.lookup(mac(number)), first.lookup(mac(number)), "{} s later", step);
            }
        }
    }
}

#[test]
fn every_kind_of_entry_is_inherited_and_of_two_for_one_station_the_later() {
    let mut first = bridge();
    for (number, entry) in [
        (1, NewEntry::Dynamic(PortId(0))),
        (2, NewEntry::Static(PortId(1))),
        (3, NewEntry::Sticky(PortId(1))),
        (4, NewEntry::External(PortId(2))),
        (5, NewEntry::Blackhole),
        (6, NewEntry::Local(PortId(0))),
    ] {
        first.add_entry(mac(number), entry, Moment(9)).unwrap();
    }
    let mut entries = sorted(&first);
    let locked = FdbEntry {
        mac: mac(7),
        fid: 0,
        port: Some(PortId(2)),
        kind: EntryKind::Locked,
        updated: Some(Moment(7)),
    };
    entries.push(locked);
    // On no port of this bridge, and from the future.
    let strange = FdbEntry { port: Some(PortId(9)), mac: mac(8), ..locked };
    let later = FdbEntry { updated: Some(Moment(99)), mac: mac(9), ..locked };
    let mut heir = bridge();
    let earlier = FdbEntry { updated: Some(Moment(6)), port: Some(PortId(1)), ..locked };
    heir.inherit_entries([entries.clone(), vec![strange, later, earlier]].concat(), Moment(10));
    assert_eq!(sorted(&heir), entries);
}

#[test]
fn counting_goes_on() {
    let mut heir = bridge();
    let mut counters = PortCounters::default();
    for (place, (_, counter)) in counters.fields().enumerate() {
        *counter = place as u64 + 1;
    }
    let mut names: Vec<_> = counters.fields().map(|(name, _)| name).collect();
    let fields = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), fields, "two counters of one name");
    heir.inherit_counters(PortId(1), counters.clone());
    heir.sent(PortId(1), 100, 1);
    assert_eq!(heir.counters(PortId(1)).tx_frames, counters.tx_frames + 1);
    assert_eq!(heir.counters(PortId(1)).drops, counters.drops);
    let totals = FdbCounters { learned: 5, ..Default::default() };
    heir.inherit_fdb_counters(totals);
    assert_eq!(heir.fdb_counters(), totals);
}
