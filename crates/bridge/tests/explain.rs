//! What the bridge says of a frame is what it then does with it.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, DropReason, EntryKind, Explanation, Kind, Lesson, Moment, PortId, PortSettings,
    Refusal, Side, TagEdit, Verdict,
};
use frame::{Frame, FrameFault, MacAddr, Offload};
use stations::{BROADCAST, bytes, host_port, port, send, station};

const T: Moment = Moment(50_000);

fn explain(bridge: &Bridge, ingress: PortId, to: MacAddr, from: MacAddr) -> Explanation {
    let raw = bytes(to, from, 60);
    bridge.explain(ingress, &Frame::parse(&raw, 0, None, Offload::default()), T)
}

fn words(explanation: &Explanation) -> Vec<String> {
    let steps = explanation.steps(|port| format!("p{}", port.0));
    steps.into_iter().map(|step| format!("{}: {}", step.stage, step.words)).collect()
}

#[test]
fn a_flood_says_of_each_port_whether_it_gets_the_frame_and_why_not() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let ports: Vec<PortId> = (0..6).map(|_| port(&mut bridge)).collect();
    let host = host_port(&mut bridge);
    let isolated = PortSettings { isolated: true, ..PortSettings::default() };
    bridge.set_port_settings(ports[0], isolated).unwrap();
    bridge.set_port_settings(ports[2], isolated).unwrap();
    bridge.set_port_settings(ports[3], PortSettings { flood: false, ..PortSettings::default() }).unwrap();
    bridge.set_link(ports[4], false);
    bridge.set_mtu(ports[5], Some(40));
    let said = explain(&bridge, ports[0], station(9), station(1));
    let refuses = |refusal| Verdict::Refuses(refusal);
    assert_eq!(
        said.ports,
        [
            (ports[0], refuses(Refusal::CameFromHere)),
            (ports[1], Verdict::Gets(TagEdit::KEEP)),
            (ports[2], refuses(Refusal::Isolated)),
            (ports[3], refuses(Refusal::Off("flood"))),
            (ports[4], refuses(Refusal::Down)),
            (ports[5], refuses(Refusal::Mtu)),
            (host, refuses(Refusal::NotForHost)),
        ]
    );
    assert_eq!((said.kind, said.lesson, said.outcome), (Kind::Unicast, Lesson::New, Ok(())));
    assert_eq!(bridge.fdb_len(), 0, "nothing has happened");
    assert_eq!(
        words(&said)[..6],
        [
            "parse: came in on p0: for one station",
            "learn: the source is new here",
            "look up: no entry knows the destination: it is flooded",
            "decide: forwarded",
            "emit: p0 does not get it: it came from there, and hairpin is off",
            "emit: p1 gets it",
        ]
    );
}

#[test]
fn a_known_station_and_a_drop_are_explained_by_the_entry() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let (a, b) = (port(&mut bridge), port(&mut bridge));
    send(&mut bridge, b, BROADCAST, station(2), T);
    let said = explain(&bridge, a, station(2), station(1));
    assert_eq!(said.ports, [(b, Verdict::Gets(TagEdit::KEEP))]);
    assert_eq!(said.entry.map(|entry| (entry.kind, entry.port)), Some((EntryKind::Dynamic, Some(b))));
    let said = explain(&bridge, b, station(2), station(3));
    assert_eq!((said.outcome, said.ports.len()), (Err(DropReason::SamePort), 0));
    assert_eq!(
        words(&said),
        [
            "parse: came in on p1: for one station",
            "learn: the source is new here",
            "look up: 02:00:00:00:00:02 has a dynamic entry on p1",
            "decide: dropped, same_port: the destination is on the port the frame came from",
        ]
    );
    let said = bridge.explain(a, &Err(FrameFault::Runt), T);
    assert_eq!((said.kind, said.outcome), (Kind::Unreadable, Err(DropReason::Runt)));
}

#[test]
fn a_thousand_frames_go_the_way_that_was_explained() {
    let mut bridge = Bridge::new(BridgeSettings { fdb_max: 16, ..BridgeSettings::default() });
    let ports: Vec<PortId> = (0..5).map(|_| port(&mut bridge)).collect();
    let plain = PortSettings::default();
    for (port, settings) in [
        (1, PortSettings { isolated: true, hairpin: true, ..plain }),
        (2, PortSettings { isolated: true, flood: false, ..plain }),
        (3, PortSettings { locked: true, mab: true, ..plain }),
        (4, PortSettings { max_macs: Some(2), mcast_flood: false, ..plain }),
    ] {
        bridge.set_port_settings(ports[port], settings).unwrap();
    }
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    let mut roll = |bound: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 33) % bound
    };
    for _ in 0..1000 {
        let to = match roll(10) {
            0 => BROADCAST,
            1 => MacAddr([1, 0x80, 0xc2, 0, 0, roll(16) as u8]),
            _ => station(roll(24) as u32),
        };
        let (ingress, from) = (ports[roll(5) as usize], station(roll(24) as u32));
        let said = explain(&bridge, ingress, to, from);
        let before = bridge.counters(ingress).clone();
        let got = send(&mut bridge, ingress, to, from, T);
        let mut gets: Vec<u16> = said.gets().map(|port| port.0).collect();
        gets.sort_unstable();
        assert_eq!(got, gets, "{said:?}");
        let after = bridge.counters(ingress);
        let happened = DropReason::ALL.iter().find(|reason| {
            reason.side() == Side::Ingress && after.dropped(**reason) > before.dropped(**reason)
        });
        assert_eq!(said.outcome.err().as_ref(), happened, "{said:?}");
    }
    assert!(
        DropReason::ALL.iter().filter(|reason| bridge.counters(ports[3]).dropped(**reason) > 0).count() > 1
    );
}

#[test]
fn a_port_that_does_not_exist_is_as_one_that_is_down() {
    let bridge = Bridge::new(BridgeSettings::default());
    let said = explain(&bridge, PortId(7), BROADCAST, station(1));
    assert_eq!((said.outcome, said.ports.len()), (Err(DropReason::IngressDown), 0));
}

#[test]
fn nothing_is_looked_up_for_a_frame_that_goes_no_further_than_to_teach() {
    let mut bridge = Bridge::new(BridgeSettings::default());
    let (a, b) = (port(&mut bridge), port(&mut bridge));
    send(&mut bridge, b, BROADCAST, station(2), T);
    assert!(explain(&bridge, a, station(2), station(1)).entry.is_some());
    let learning = PortSettings { state: bridge::PortState::Learning, ..PortSettings::default() };
    bridge.set_port_settings(a, learning).unwrap();
    let said = explain(&bridge, a, station(2), station(1));
    assert_eq!((said.lesson, said.entry), (Lesson::New, None));
    assert_eq!(said.outcome, Err(DropReason::IngressLearning));
}
