//! Every drop reason, produced by what a user would call its cause.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, Deliveries, DropReason, LocalKind, Membership, Mirror, Moment, NewEntry, PortId,
    PortSettings, PortState, PrivateVlan, Side, VlanSettings,
};
use frame::{EtherType, Frame, FrameFault, GsoType, MacAddr, Offload, OffloadFault, Vid};
use stations::{BROADCAST, bytes, port, send, send_bytes, station, tagged};

const T: Moment = Moment(1_000);
const PAUSE: MacAddr = MacAddr([1, 0x80, 0xc2, 0, 0, 1]);

/// A bridge with two ports, up.
fn two() -> (Bridge, PortId, PortId) {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let (a, b) = (port(&mut bridge), port(&mut bridge));
    (bridge, a, b)
}

fn set(bridge: &mut Bridge, port: PortId, settings: PortSettings) {
    bridge.set_port_settings(port, settings).unwrap();
}

/// The same with VLANs told apart; both ports are in VLAN 1, untagged.
fn two_with_vlans() -> (Bridge, PortId, PortId) {
    let vlan = VlanSettings { filtering: true, ..VlanSettings::default() };
    let mut bridge = Bridge::new(BridgeSettings { vlan, ..BridgeSettings::default() });
    let (a, b) = (port(&mut bridge), port(&mut bridge));
    (bridge, a, b)
}

/// The reasons that VLANs make.
fn produce_with_vlans(reason: DropReason) -> (Bridge, PortId) {
    let (mut bridge, a, b) = two_with_vlans();
    let one = Vid::MIN;
    let tagged = |vid| tagged(&bytes(BROADCAST, station(1), 60), EtherType::VLAN, vid);
    match reason {
        DropReason::VlanNoPvid => {
            bridge.add_vlan(a, one, Membership::default()).unwrap();
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::VlanNotMember => drop(send_bytes(&mut bridge, a, &tagged(2), T)),
        DropReason::VlanReserved => drop(send_bytes(&mut bridge, a, &tagged(4095), T)),
        DropReason::VlanBlocked => {
            bridge.set_vlan_state(a, one, PortState::Blocking).unwrap();
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::VlanLearning => {
            bridge.set_vlan_state(a, one, PortState::Learning).unwrap();
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::EgressVlan => {
            bridge.add_static((station(2), Some(one)), b).unwrap();
            bridge.remove_vlan(b, one).unwrap();
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::PrivateVlan => {
            let private = PrivateVlan { primary: Vid::MAX, isolated: Some(one), communities: vec![] };
            bridge.set_private_vlans(vec![private]).unwrap();
            bridge.add_static((station(2), Some(one)), b).unwrap();
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::EgressVlanBlocked => {
            bridge.add_static((station(2), Some(one)), b).unwrap();
            bridge.set_vlan_state(b, one, PortState::Learning).unwrap();
            send(&mut bridge, a, station(2), station(1), T);
        }
        other => panic!("{other} needs no VLAN"),
    }
    (bridge, a)
}

/// What a port sees of a frame with this offload header.
fn with_offload(bridge: &mut Bridge, ingress: PortId, bytes: &[u8], offload: Result<Offload, OffloadFault>) {
    let frame = offload.map_err(FrameFault::Offload).and_then(|o| Frame::parse(bytes, 0, None, o));
    bridge.forward(ingress, 0, bytes.len(), &frame, T, &mut Deliveries::new(1));
}

/// An egress that answers one copy with `reason`.
fn refused(reason: DropReason) -> (Bridge, PortId) {
    let (mut bridge, a, b) = two();
    assert_eq!(send(&mut bridge, a, BROADCAST, station(1), T), [b.0]);
    bridge.refused(b, reason);
    (bridge, b)
}

/// Makes `reason` happen once; says where it should be counted.
fn produce(reason: DropReason) -> (Bridge, PortId) {
    let (mut bridge, a, b) = two();
    let plain = PortSettings::default();
    let broadcast = bytes(BROADCAST, station(1), 60);
    let tcp = Offload { needs_csum: true, csum_start: 34, csum_offset: 16, ..Offload::default() };
    match reason {
        DropReason::Runt => drop(send_bytes(&mut bridge, a, &broadcast[..13], T)),
        DropReason::TooLong => bridge.drop_ingress(a, reason, 1),
        DropReason::OffloadUnknownType => {
            let unknown = Offload::decode(&[1, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
            with_offload(&mut bridge, a, &broadcast, unknown);
        }
        DropReason::OffloadZeroGsoSize => {
            with_offload(&mut bridge, a, &broadcast, Ok(Offload { gso: GsoType::Tcp4, ..tcp }));
        }
        DropReason::OffloadChecksumBeyondFrame => {
            with_offload(&mut bridge, a, &broadcast, Ok(Offload { csum_start: 59, ..tcp }));
        }
        DropReason::OffloadTypeDoesNotFit => {
            let fault = Offload { gso: GsoType::Udp, gso_size: 8, needs_csum: false, ..tcp };
            with_offload(&mut bridge, a, &broadcast, Ok(fault));
        }
        DropReason::SourceGroup => drop(send(&mut bridge, a, station(2), BROADCAST, T)),
        DropReason::SourceZero => drop(send(&mut bridge, a, station(2), MacAddr::ZERO, T)),
        DropReason::ReservedAddress => drop(send(&mut bridge, a, PAUSE, station(1), T)),
        DropReason::IngressDown => {
            bridge.set_link(a, false);
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::IngressBlocked => {
            set(&mut bridge, a, PortSettings { state: PortState::Blocking, ..plain });
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::MirrorDestination => {
            let mirror = Mirror { from: vec![b], to: a, ingress: true, egress: true, vlan: None };
            bridge.set_mirrors(vec![mirror]).unwrap();
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::IngressLearning => {
            set(&mut bridge, a, PortSettings { state: PortState::Learning, ..plain });
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::Locked => {
            set(&mut bridge, a, PortSettings { locked: true, ..plain });
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::BlackholeSource => {
            bridge.add_entry(station(1), NewEntry::Blackhole, T).unwrap();
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::BlackholeDestination => {
            bridge.add_entry(station(2), NewEntry::Blackhole, T).unwrap();
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::NoHostPort => {
            bridge.add_entry(station(2), NewEntry::Local(b), T).unwrap();
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::EgressBlocked => {
            bridge.add_static(station(2), b).unwrap();
            set(&mut bridge, b, PortSettings { state: PortState::Learning, ..plain });
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::Isolated => {
            bridge.add_static(station(2), b).unwrap();
            set(&mut bridge, a, PortSettings { isolated: true, ..plain });
            set(&mut bridge, b, PortSettings { isolated: true, ..plain });
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::VlanNoPvid
        | DropReason::VlanNotMember
        | DropReason::VlanReserved
        | DropReason::VlanBlocked
        | DropReason::VlanLearning
        | DropReason::EgressVlan
        | DropReason::PrivateVlan
        | DropReason::EgressVlanBlocked => return produce_with_vlans(reason),
        DropReason::SamePort => drop(send(&mut bridge, a, station(1), station(1), T)),
        DropReason::ToHost => {
            bridge.set_local(a, Some(station(9)), LocalKind::Kernel);
            send(&mut bridge, a, station(9), station(1), T);
        }
        DropReason::EgressDown => {
            bridge.add_static(station(2), b).unwrap();
            bridge.set_link(b, false);
            send(&mut bridge, a, station(2), station(1), T);
        }
        DropReason::NoEgress => {
            bridge.set_link(b, false);
            send(&mut bridge, a, BROADCAST, station(1), T);
        }
        DropReason::Mtu => {
            bridge.set_mtu(b, Some(1500));
            send_bytes(&mut bridge, a, &bytes(BROADCAST, station(1), 1519), T);
            return (bridge, b);
        }
        DropReason::Unfinishable
        | DropReason::TxFull
        | DropReason::TxTooLong
        | DropReason::TxDown
        | DropReason::TxGone
        | DropReason::TxRefused => return refused(reason),
    }
    (bridge, a)
}

#[test]
fn every_reason_can_happen_and_is_counted_once_at_its_port() {
    for &reason in DropReason::ALL {
        let (bridge, place) = produce(reason);
        for id in [PortId(0), PortId(1)] {
            let counters = bridge.counters(id);
            let expected = u64::from(id == place);
            assert_eq!(counters.dropped(reason), expected, "{reason} at port {}", id.0);
            assert_eq!(counters.drops.iter().sum::<u64>(), expected, "no other reason than {reason}");
            assert_eq!(counters.rx_frames, counters.forwarded + counters.ingress_drops(), "{reason}");
            assert_eq!(counters.copies, counters.tx_frames + counters.egress_drops(), "{reason}");
        }
        let counters = bridge.counters(place);
        let sides = (counters.ingress_drops(), counters.egress_drops());
        assert_eq!(sides, if reason.side() == Side::Ingress { (1, 0) } else { (0, 1) }, "{reason}");
    }
}

#[test]
fn more_frames_than_the_queues_hold_are_lost_by_name() {
    let (mut bridge, a, b) = two();
    let raw = bytes(BROADCAST, station(1), 60);
    let frame = Frame::parse(&raw, 0, None, Offload::default());
    let mut out = Deliveries::new(2);
    for index in 0..3 {
        bridge.forward(a, index, 60, &frame, T, &mut out);
    }
    assert_eq!(out.queue(b), [0, 1]);
    assert_eq!(bridge.counters(b).dropped(DropReason::TxFull), 1);
}

#[test]
fn the_mtu_judges_without_the_outer_tag_and_with_four_bytes_of_slack() {
    let (mut bridge, a, b) = two();
    bridge.set_mtu(b, Some(1500));
    let tagged = |len: usize| {
        let mut raw = bytes(BROADCAST, station(1), len);
        raw[12..14].copy_from_slice(&[0x81, 0]);
        raw
    };
    for (raw, passes) in [
        (bytes(BROADCAST, station(1), 1518), true),
        (bytes(BROADCAST, station(1), 1519), false),
        (tagged(1522), true),
        (tagged(1523), false),
    ] {
        let got = send_bytes(&mut bridge, a, &raw, T);
        assert_eq!(got, if passes { vec![b.0] } else { vec![] }, "{} bytes", raw.len());
    }
    bridge.set_mtu(b, None);
    assert_eq!(send_bytes(&mut bridge, a, &bytes(BROADCAST, station(1), 65_000), T), [b.0]);
}

#[test]
fn a_small_mtu_costs_only_its_own_port_the_copy() {
    let (mut bridge, a, b) = two();
    let c = port(&mut bridge);
    bridge.set_mtu(b, Some(1500));
    bridge.set_mtu(c, Some(9000));
    assert_eq!(send_bytes(&mut bridge, a, &bytes(BROADCAST, station(1), 9000), T), [c.0]);
    assert_eq!((bridge.counters(a).forwarded, bridge.counters(b).dropped(DropReason::Mtu)), (1, 1));
}

#[test]
fn a_frame_to_be_cut_is_judged_by_its_segments() {
    let (mut bridge, a, b) = two();
    bridge.set_mtu(b, Some(1500));
    // Ethernet, 20 bytes of IPv4, 32 of TCP: 1448 bytes of payload make 1514.
    let mut raw = bytes(BROADCAST, station(1), 40_000);
    raw[12..14].copy_from_slice(&[8, 0]);
    raw[14] = 0x45;
    raw[14 + 9] = 6;
    raw[14 + 20 + 12] = 0x80;
    for (gso_size, passes) in [(1448, true), (1452, true), (1453, false)] {
        let offload = Offload {
            needs_csum: true,
            gso: GsoType::Tcp4,
            gso_size,
            csum_start: 34,
            csum_offset: 16,
            ..Offload::default()
        };
        let before = bridge.counters(b).dropped(DropReason::Mtu);
        with_offload(&mut bridge, a, &raw, Ok(offload));
        assert_eq!(bridge.counters(b).dropped(DropReason::Mtu) - before, u64::from(!passes), "{gso_size}");
    }
}

/// As many as there can be: each of a turn's frames lost at each port.
#[test]
fn every_drop_of_a_turn_is_told() {
    const FRAMES: u16 = 64;
    let mut bridge = Bridge::new(BridgeSettings::default());
    let ports: Vec<PortId> = (0..20).map(|_| port(&mut bridge)).collect();
    ports.iter().for_each(|port| bridge.set_mtu(*port, Some(100)));
    let long = bytes(BROADCAST, station(1), 200);
    let frame = Frame::parse(&long, 0, None, Offload::default());
    let mut out = Deliveries::new(usize::from(FRAMES));
    for index in 0..FRAMES {
        bridge.forward(ports[0], index, long.len(), &frame, T, &mut out);
    }
    assert_eq!(out.lost().len(), usize::from(FRAMES) * (ports.len() - 1));
    let counted: u64 = ports.iter().map(|port| bridge.counters(*port).dropped(DropReason::Mtu)).sum();
    assert_eq!(counted, out.lost().len() as u64);
    out.clear();
    assert!(out.lost().is_empty());
}
