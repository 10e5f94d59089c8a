//! Frames cost no memory: not while they are forwarded, nor while a guest floods the FDB with made-up
//! addresses, nor while entries age. VLANs cost little.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, Deliveries, Membership, Moment, PortId, PortSettings, PortState, Span,
    VlanSettings,
};
use frame::{Frame, Offload, Vid};
use stations::{BROADCAST, bytes, port, station};

const ROUNDS: u32 = 300_000;

#[test]
fn forwarding_learning_evicting_and_ageing_allocate_nothing() {
    let mut bridge = Bridge::new(BridgeSettings {
        ageing_time: Span::from_secs(1),
        fdb_max: 4096,
        ..BridgeSettings::default()
    });
    let ports: Vec<PortId> = (0..4).map(|_| port(&mut bridge)).collect();
    bridge.add_static(station(u32::MAX), ports[3]).unwrap();
    let mut out = Deliveries::new(64);
    let mut raw = bytes(BROADCAST, station(0), 60);
    let used = allocation_counter::measure(|| {
        for n in 0..ROUNDS {
            // A new station each time, to one that may be known; a quarter of them to everybody.
            let to = if n % 4 == 0 { BROADCAST } else { station(n.saturating_sub(n % 1000)) };
            raw[..6].copy_from_slice(&to.0);
            raw[6..12].copy_from_slice(&station(n).0);
            let frame = Frame::parse(&raw, 0, None, Offload::default());
            let ingress = ports[(n % 3) as usize];
            let now = Moment(u64::from(n) / 8);
            bridge.forward(ingress, (n % 64) as u16, 60, &frame, now, &mut out);
            if n % 64 == 63 {
                out.clear();
                bridge.tick(now);
            }
        }
    });
    assert_eq!(used.count_total, 0, "{used:?}");
    let counters = bridge.fdb_counters();
    assert_eq!(counters.learned, u64::from(ROUNDS));
    assert!(counters.evicted > 0 && bridge.fdb_dynamic_len() <= 4096);
}

/// What a bridge allocates beyond what it would without VLANs, in bytes.
fn memory_of(vlan: VlanSettings, set: impl Fn(&mut Bridge, PortId)) -> i64 {
    let mut bridge = None;
    let used = allocation_counter::measure(|| {
        let made =
            bridge.insert(Bridge::new(BridgeSettings { fdb_max: 16, vlan, ..BridgeSettings::default() }));
        for _ in 0..64 {
            let port = made.add_port(PortSettings::default()).unwrap();
            set(made, port);
        }
    });
    drop(bridge);
    used.bytes_current
}

#[test]
fn all_vlans_on_64_ports_with_all_their_counters_and_states_use_less_than_8_mib() {
    let off = VlanSettings { default_pvid: None, ..VlanSettings::default() };
    let without = memory_of(off, |_, _| ());
    let on = VlanSettings { filtering: true, stats: true, stats_per_port: true, ..off };
    let all = memory_of(on, |bridge, port| {
        for vid in Vid::MIN.to(Vid::MAX) {
            let membership = Membership { pvid: vid == Vid::MAX, untagged: vid.get() % 2 == 0, wire: None };
            bridge.add_vlan(port, vid, membership).unwrap();
            bridge.set_vlan_state(port, vid, PortState::Learning).unwrap();
        }
    });
    assert!(all - without < 8 << 20, "{all} bytes, and {without} without VLANs");
    assert!(all - without > 64 * 4094 * 16, "the counters are in there: {all}");
}
