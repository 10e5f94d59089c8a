//! What must hold whatever happens.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{Bridge, BridgeSettings, Deliveries, DropReason, Moment, PortId, PortSettings, Span};
use frame::{Frame, MacAddr, Offload, Tag};
use proptest::prelude::*;
use stations::{BROADCAST, port, send, station};

/// A bridge with so many ports, up.
fn with_ports(ports: usize, settings: BridgeSettings) -> (Bridge, Vec<PortId>) {
    let mut bridge = Bridge::new(settings);
    let ports = (0..ports).map(|_| port(&mut bridge)).collect();
    (bridge, ports)
}

fn address() -> impl Strategy<Value = MacAddr> {
    prop_oneof![8 => (0u32..6).prop_map(station), 1 => Just(BROADCAST), 1 => any::<[u8; 6]>().prop_map(MacAddr)]
}

proptest! {
    #[test]
    fn nothing_comes_back_nothing_comes_twice_and_the_sums_hold(
        ports in 0usize..5,
        frames in prop::collection::vec((0usize..5, address(), address()), 1..64),
        refuse in any::<u64>(),
    ) {
        let (mut bridge, _) = with_ports(ports, BridgeSettings { fdb_max: 4, ..BridgeSettings::default() });
        let mut out = Deliveries::new(64);
        for (index, (ingress, to, from)) in frames.iter().enumerate() {
            let raw = stations::bytes(*to, *from, 60);
            let frame = Frame::parse(&raw, 0, None, Offload::default());
            bridge.forward(PortId(*ingress as u16), index as u16, 60, &frame, Moment(0), &mut out);
        }
        for (egress, queue) in out.iter() {
            prop_assert!(queue.is_sorted_by(|a, b| a < b), "in order and once: {queue:?}");
            for index in queue {
                prop_assert_ne!(frames[usize::from(*index)].0, usize::from(egress.0));
                if refuse >> (index % 64) & 1 == 1 {
                    bridge.refused(egress, DropReason::TxDown);
                } else {
                    bridge.sent(egress, 60, 1);
                }
            }
        }
        let (mut rx, mut copies) = (0, 0);
        for id in 0..ports {
            let counters = bridge.counters(PortId(id as u16));
            prop_assert_eq!(counters.rx_frames, counters.forwarded + counters.ingress_drops());
            prop_assert_eq!(counters.copies, counters.tx_frames + counters.egress_drops());
            rx += counters.rx_frames;
            copies += counters.copies;
        }
        prop_assert_eq!(rx, frames.iter().filter(|frame| frame.0 < ports).count() as u64);
        prop_assert_eq!(copies, out.iter().map(|(_, queue)| queue.len() as u64).sum::<u64>());
    }

    #[test]
    fn a_talking_station_never_ages_out(
        ageing_ms in 64u64..400_000,
        pauses in prop::collection::vec(0.0f64..1.0, 1..200),
    ) {
        let settings = BridgeSettings { ageing_time: Span(ageing_ms), fdb_max: 8, ..BridgeSettings::default() };
        let (mut bridge, ports) = with_ports(2, settings);
        let mut now = Moment(1);
        send(&mut bridge, ports[0], BROADCAST, station(1), now);
        for pause in pauses {
            // Refreshes are noted as coarsely as a 64th of the ageing time.
            let silence = (ageing_ms - ageing_ms / 64) as f64 * pause;
            now = now + Span(silence as u64);
            if bridge.next_deadline().is_some_and(|deadline| deadline <= now) {
                bridge.tick(now);
            }
            prop_assert_eq!(bridge.lookup(station(1)), Some(ports[0]));
            send(&mut bridge, ports[0], BROADCAST, station(1), now);
        }
    }

    #[test]
    fn one_port_that_makes_up_addresses_never_evicts_a_port_that_holds_fewer(
        max in 4usize..64,
        others in prop::collection::vec(1usize..20, 1..4),
        extra in 1usize..300,
    ) {
        // Each of the others holds at most its share.
        let share = max / (others.len() + 1);
        let settings = BridgeSettings { fdb_max: max, ..BridgeSettings::default() };
        let (mut bridge, ports) = with_ports(others.len() + 1, settings);
        let mut honest = vec![];
        for (held, ingress) in others.iter().zip(&ports[1..]) {
            for _ in 0..(*held).min(share) {
                let mac = station(honest.len() as u32);
                send(&mut bridge, *ingress, BROADCAST, mac, Moment(0));
                honest.push((mac, *ingress));
            }
        }
        for n in 0..(max + extra) as u32 {
            send(&mut bridge, ports[0], BROADCAST, station(1_000 + n), Moment(u64::from(n) * 100));
        }
        for (mac, ingress) in honest {
            prop_assert_eq!(bridge.lookup(mac), Some(ingress));
        }
        prop_assert_eq!(bridge.fdb_dynamic_len(), max);
    }

    #[test]
    fn no_bytes_make_it_panic(
        raw in prop::collection::vec(any::<u8>(), 0..200),
        header in prop::array::uniform10(any::<u8>()),
        tag in prop::option::of(any::<[u8; 4]>()),
        mtu in any::<u32>(),
    ) {
        let (mut bridge, ports) = with_ports(3, BridgeSettings::default());
        bridge.set_mtu(ports[1], Some(mtu));
        let frame = Offload::decode(&header)
            .map_err(frame::FrameFault::Offload)
            .and_then(|offload| Frame::parse(&raw, 0, tag.and_then(Tag::from_bytes), offload));
        bridge.forward(ports[0], 0, raw.len(), &frame, Moment(u64::MAX), &mut Deliveries::new(1));
        bridge.tick(Moment(u64::MAX));
        let counters = bridge.counters(ports[0]);
        prop_assert_eq!(counters.forwarded + counters.ingress_drops(), 1);
    }
}

#[test]
fn a_bridge_of_one_port_learns_and_drops() {
    let (mut bridge, ports) = with_ports(1, BridgeSettings::default());
    assert!(send(&mut bridge, ports[0], BROADCAST, station(1), Moment(0)).is_empty());
    assert!(send(&mut bridge, ports[0], station(2), station(1), Moment(0)).is_empty());
    assert_eq!(bridge.counters(ports[0]).dropped(DropReason::NoEgress), 2);
    assert_eq!(bridge.fdb_len(), 1);
}

#[test]
fn a_lone_guest_and_the_host_port_know_each_other_but_nobody_else() {
    let (mut bridge, ports) = with_ports(1, BridgeSettings::default());
    let host = bridge.add_port(PortSettings::host()).unwrap();
    bridge.set_link(host, true);
    assert_eq!(send(&mut bridge, ports[0], BROADCAST, station(1), Moment(0)), [host.0]);
    assert!(send(&mut bridge, ports[0], station(2), station(1), Moment(0)).is_empty());
    assert_eq!(bridge.counters(ports[0]).dropped(DropReason::NoEgress), 1);
}
