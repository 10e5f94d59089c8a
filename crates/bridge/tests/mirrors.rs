//! Mirrors: what is copied, in which form, and that the port that gets the copies takes no other part.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, DropReason, Membership, Mirror, MirrorCounters, MirrorRefused, Moment, PortId,
    Refusal, Seen, Verdict, VlanSettings,
};
use frame::{EtherType, Frame, MacAddr, Offload, Vid};
use proptest::prelude::*;
use stations::{BROADCAST, bytes, carry, host_port, port, send, send_bytes, station, tagged};

const T: Moment = Moment(1_000);

/// Ports 0 to 3; what `mirror` says of port 0 is copied to port 3.
fn four(mirror: impl FnOnce(Mirror) -> Mirror) -> Bridge {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let ports: Vec<PortId> = (0..4).map(|_| port(&mut bridge)).collect();
    let both = Mirror { from: vec![ports[0]], to: ports[3], ingress: true, egress: true, vlan: None };
    bridge.set_mirrors(vec![mirror(both)]).unwrap();
    bridge
}

fn counters(bridge: &Bridge) -> MirrorCounters {
    bridge.mirrors().next().unwrap().1
}

#[test]
fn what_passes_a_port_is_copied_once_whichever_way_it_goes() {
    let mut bridge = four(|both| both);
    assert_eq!(send(&mut bridge, PortId(0), station(9), station(1), T), [1, 2, 3]);
    assert_eq!(send(&mut bridge, PortId(1), station(1), station(2), T), [0, 3]);
    assert_eq!(send(&mut bridge, PortId(2), station(2), station(3), T), [1], "it does not pass port 0");
    assert_eq!(counters(&bridge), MirrorCounters { frames: 2, missed: 0 });
    assert_eq!(bridge.counters(PortId(3)).copies, 2);

    let mut bridge = four(|both| Mirror { from: vec![PortId(0), PortId(1)], ..both });
    assert_eq!(send(&mut bridge, PortId(0), BROADCAST, station(1), T), [1, 2, 3]);
    assert_eq!(counters(&bridge).frames, 1, "in and out, and yet once");
}

#[test]
fn one_way_only_and_what_is_dropped_came_in_all_the_same() {
    let mut bridge = four(|both| Mirror { egress: false, ..both });
    assert_eq!(send(&mut bridge, PortId(0), BROADCAST, station(1), T), [1, 2, 3]);
    assert_eq!(send(&mut bridge, PortId(1), BROADCAST, station(2), T), [0, 2]);
    assert_eq!(send(&mut bridge, PortId(0), station(2), BROADCAST, T), [3], "from a group: dropped");
    assert_eq!(bridge.counters(PortId(0)).dropped(DropReason::SourceGroup), 1);
    assert_eq!(send_bytes(&mut bridge, PortId(0), &[0; 9], T), [] as [u16; 0], "no frame");

    let mut bridge = four(|both| Mirror { ingress: false, ..both });
    assert_eq!(send(&mut bridge, PortId(0), BROADCAST, station(1), T), [1, 2]);
    assert_eq!(send(&mut bridge, PortId(1), BROADCAST, station(2), T), [0, 2, 3]);
}

#[test]
fn the_destination_takes_no_other_part() {
    let mut bridge = four(|both| both);
    bridge.set_mirrors(Vec::new()).unwrap();
    send(&mut bridge, PortId(3), BROADCAST, station(3), T);
    assert_eq!(bridge.lookup(station(3)), Some(PortId(3)));
    let mirror = Mirror { from: vec![PortId(0)], to: PortId(3), ingress: true, egress: true, vlan: None };
    bridge.set_mirrors(vec![mirror]).unwrap();
    assert_eq!(bridge.lookup(station(3)), None, "nobody is behind it any more");
    assert_eq!(send(&mut bridge, PortId(1), BROADCAST, station(1), T), [0, 2, 3]);
    assert_eq!(send(&mut bridge, PortId(1), station(8), station(1), T), [0, 2, 3]);
    assert_eq!(send(&mut bridge, PortId(2), station(1), station(2), T), [1]);
    assert_eq!(send(&mut bridge, PortId(3), BROADCAST, station(7), T), [] as [u16; 0]);
    assert_eq!(bridge.counters(PortId(3)).dropped(DropReason::MirrorDestination), 1);
    assert_eq!(bridge.lookup(station(7)), None);

    bridge.set_link(PortId(3), false);
    let before = counters(&bridge);
    assert_eq!(send(&mut bridge, PortId(1), BROADCAST, station(1), T), [0, 2]);
    assert_eq!(counters(&bridge), MirrorCounters { frames: before.frames + 1, missed: 1 });

    bridge.set_link(PortId(3), true);
    bridge.remove_port(PortId(0));
    assert_eq!(bridge.mirrors().next().unwrap().0.from, []);
    bridge.remove_port(PortId(3));
    assert_eq!(bridge.mirrors().count(), 0);
    let new = port(&mut bridge);
    assert_eq!(send(&mut bridge, PortId(1), BROADCAST, station(1), T), [new.0, 2]);
}

#[test]
fn a_copy_is_as_the_frame_came_in_or_as_the_port_sends_it_and_a_vlan_is_the_switchs() {
    let vlan = VlanSettings { filtering: true, default_pvid: Vid::new(10), ..VlanSettings::default() };
    let mut bridge = Bridge::new(BridgeSettings { vlan, ..BridgeSettings::default() });
    let ports: Vec<PortId> = (0..4).map(|_| port(&mut bridge)).collect();
    let (access, trunk, other, probe) = (ports[0], ports[1], ports[2], ports[3]);
    let (ten, twenty) = (Vid::new(10).unwrap(), Vid::new(20).unwrap());
    bridge.remove_vlan(trunk, ten).unwrap();
    for vid in [ten, twenty] {
        bridge.add_vlan(trunk, vid, Membership::default()).unwrap();
    }
    bridge.remove_vlan(other, ten).unwrap();
    bridge.add_vlan(other, twenty, Membership { pvid: true, untagged: true, wire: None }).unwrap();
    let plain = bytes(BROADCAST, station(1), 60);
    let with = |vid| tagged(&plain, EtherType::VLAN, vid);
    let mirror =
        |from, ingress, vlan| vec![Mirror { from: vec![from], to: probe, ingress, egress: !ingress, vlan }];

    bridge.set_mirrors(mirror(trunk, false, None)).unwrap();
    let out = carry(&mut bridge, access, &plain, T);
    assert_eq!(out, [(trunk.0, with(10)), (probe.0, with(10))], "as the trunk sends it");
    bridge.set_mirrors(mirror(trunk, true, Some(ten))).unwrap();
    let out = carry(&mut bridge, trunk, &with(10), T);
    assert_eq!(out, [(access.0, plain.clone()), (probe.0, with(10))], "as it came in");
    assert_eq!(carry(&mut bridge, trunk, &with(20), T), [(other.0, plain.clone())]);
    bridge.set_mirrors(mirror(access, true, Some(ten))).unwrap();
    let out = carry(&mut bridge, access, &plain, T);
    assert_eq!(out, [(trunk.0, with(10)), (probe.0, plain)], "untagged, and yet in VLAN 10");
}

#[test]
fn what_would_go_round_is_refused_and_changes_nothing() {
    let mut bridge = four(|both| both);
    let host = host_port(&mut bridge);
    let one = bridge.mirrors().next().unwrap().0.clone();
    for (mirrors, refused) in [
        (vec![Mirror { to: PortId(9), ..one.clone() }], MirrorRefused::NoSuchPort(PortId(9))),
        (vec![Mirror { from: vec![PortId(8)], ..one.clone() }], MirrorRefused::NoSuchPort(PortId(8))),
        (vec![Mirror { to: host, ..one.clone() }], MirrorRefused::Host(host)),
        (vec![Mirror { to: PortId(0), ..one.clone() }], MirrorRefused::Loop(PortId(0))),
        (
            vec![one.clone(), Mirror { from: vec![PortId(3)], to: PortId(2), ..one.clone() }],
            MirrorRefused::Loop(PortId(3)),
        ),
        (vec![one.clone(), Mirror { from: vec![PortId(1)], ..one.clone() }], MirrorRefused::Twice(PortId(3))),
    ] {
        assert_eq!(bridge.set_mirrors(mirrors), Err(refused), "{refused}");
        assert_eq!(bridge.mirrors().next().unwrap().0, one);
    }
}

fn address() -> impl Strategy<Value = MacAddr> {
    prop_oneof![Just(BROADCAST), Just(MacAddr([1, 0, 0x5e, 0, 0, 9])), (1..5_u32).prop_map(station)]
}

proptest! {
    /// With a mirror everybody else gets what they get without the destination of the mirror, and what is said of a
    /// frame beforehand is what then happens.
    #[test]
    fn nobody_notices_a_mirror_and_it_is_foretold(
        from in proptest::sample::subsequence(vec![PortId(0), PortId(1), PortId(2)], 1..=3),
        ways in prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
        frames in proptest::collection::vec((0..4_u16, address(), address()), 1..40),
    ) {
        let mut mirrored = four(|both| Mirror { from, ingress: ways.0, egress: ways.1, ..both });
        let mut plain = four(|both| both);
        plain.set_mirrors(Vec::new()).unwrap();
        plain.set_link(PortId(3), false);
        for (ingress, to, by) in frames {
            let ingress = PortId(ingress);
            let raw = bytes(to, by, 60);
            let said = mirrored.explain(ingress, &Frame::parse(&raw, 0, None, Offload::default()), T);
            let got = send(&mut mirrored, ingress, to, by, T);
            let copied = got.contains(&3);
            prop_assert_eq!(said.mirrors.len(), usize::from(copied));
            if let Some((_, Seen::Out(port))) = said.mirrors.first() {
                prop_assert!(got.contains(&port.0));
            }
            let others: Vec<u16> = got.into_iter().filter(|port| *port != 3).collect();
            prop_assert_eq!(&others, &send(&mut plain, ingress, to, by, T));
            let destination = said.ports.iter().find(|(port, _)| *port == PortId(3));
            let foretold = destination.is_none_or(|(_, verdict)| {
                matches!(verdict, Verdict::Refuses(Refusal::MirrorDestination | Refusal::CameFromHere))
            });
            prop_assert!(foretold);
        }
        for port in (0..4).map(PortId) {
            let counters = mirrored.counters(port);
            prop_assert_eq!(counters.rx_frames, counters.forwarded + counters.ingress_drops());
        }
    }
}
