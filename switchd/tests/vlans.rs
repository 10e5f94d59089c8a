//! VLANs end to end: what goes in at one port comes out where its VLAN is, in the form that each port is to
//! send it in, and nowhere else; and TCP over every tagged path, intact and in good time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod lan;
mod tagger;

use control::types::{FdbFilter, NewVlans, PortState, VlanChange};
use frame::{EtherType, Tag};
use lan::{Kind, Lan, Plan, Port, RAW, SOON, TAP, mac};
use tagger::Tagger;
use testbed::{Capture, FrameSocket, tcp_transfer, wait_until};

const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
const EVERYBODY: [u8; 6] = [0xff; 6];

/// Two access ports in VLAN 10, one in 20, a trunk of both, and one with 10 as its native VLAN.
const OFFICE: [&str; 5] = [
    "access = 10",
    "access = 10",
    "access = 20",
    "trunk = [\"10\", \"20\"]",
    "trunk = [\"10\", \"20\"]\nnative = 10",
];

fn q(tci: u16) -> Tag {
    Tag { tpid: EtherType::VLAN, tci }
}

fn ad(tci: u16) -> Tag {
    Tag { tpid: EtherType::SERVICE_VLAN, tci }
}

fn frame(from: usize, tags: &[Tag], number: u8) -> Vec<u8> {
    let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.to_bytes()).collect();
    [&EVERYBODY[..], &mac(from), &tags, &EXPERIMENT, &[number; 50]].concat()
}

/// What a host sends with which tags, and with which tags each host, from 1, is to get it.
struct Case {
    from: usize,
    tags: &'static [Tag],
    to: [Option<&'static [Tag]>; 5],
}

const NONE: &[Tag] = &[];
const Q10: &[Tag] = &[Tag { tpid: EtherType::VLAN, tci: 10 }];
const Q20: &[Tag] = &[Tag { tpid: EtherType::VLAN, tci: 20 }];
const Q30: &[Tag] = &[Tag { tpid: EtherType::VLAN, tci: 30 }];
const PRIORITY: &[Tag] = &[Tag { tpid: EtherType::VLAN, tci: 0xb000 }];
const PRIORITY_10: &[Tag] = &[Tag { tpid: EtherType::VLAN, tci: 0xb00a }];
const AD7: &[Tag] = &[Tag { tpid: EtherType::SERVICE_VLAN, tci: 7 }];
const Q10_AD7: &[Tag] =
    &[Tag { tpid: EtherType::VLAN, tci: 10 }, Tag { tpid: EtherType::SERVICE_VLAN, tci: 7 }];
const Q20_Q10: &[Tag] = &[Tag { tpid: EtherType::VLAN, tci: 20 }, Tag { tpid: EtherType::VLAN, tci: 10 }];

const CASES: [Case; 12] = [
    Case { from: 1, tags: NONE, to: [None, Some(NONE), None, Some(Q10), Some(NONE)] },
    Case { from: 1, tags: PRIORITY, to: [None, Some(NONE), None, Some(PRIORITY_10), Some(NONE)] },
    Case { from: 1, tags: Q10, to: [None, Some(NONE), None, Some(Q10), Some(NONE)] },
    Case { from: 1, tags: Q20, to: [None; 5] },
    // A tag of the other protocol is payload.
    Case { from: 1, tags: AD7, to: [None, Some(AD7), None, Some(Q10_AD7), Some(AD7)] },
    Case { from: 3, tags: NONE, to: [None, None, None, Some(Q20), Some(Q20)] },
    Case { from: 4, tags: PRIORITY_10, to: [Some(NONE), Some(NONE), None, None, Some(NONE)] },
    Case { from: 4, tags: Q20_Q10, to: [None, None, Some(Q10), None, Some(Q20_Q10)] },
    Case { from: 4, tags: Q30, to: [None; 5] },
    Case { from: 4, tags: NONE, to: [None; 5] },
    Case { from: 5, tags: NONE, to: [Some(NONE), Some(NONE), None, Some(Q10), None] },
    Case { from: 5, tags: Q20, to: [None, None, Some(NONE), Some(Q20), None] },
];

/// After a case, in each VLAN: what was sent before has arrived by then, wherever it went.
const MARKER: u8 = 0xee;

fn mark(from: usize, sender: &mut FrameSocket) {
    for tags in [NONE, Q10, Q20] {
        sender.send(&frame(from, tags, MARKER)).unwrap();
    }
}

fn keeps_apart(ports: [Port; 5]) {
    let bridge = "vlan_filtering = true\ndefault_pvid = 0";
    let lan = Lan::build(&Plan { mtu: 1508, bridge, rules: &OFFICE, ..Plan::silent(&ports) });
    for (number, case) in CASES.iter().enumerate() {
        let captures: Vec<Capture> = (1..=5).map(|host| lan::capture(lan.host(host), 2000)).collect();
        let sent = frame(case.from, case.tags, number as u8);
        let mut sender = FrameSocket::open(lan.host(case.from), "eth0").unwrap();
        sender.send(&sent).unwrap();
        mark(case.from, &mut sender);
        // Each host is in VLAN 10 or 20 and hears a marker of that from another one in the same.
        let other = if case.from == 4 { 5 } else { 4 };
        let mut other_sender = FrameSocket::open(lan.host(other), "eth0").unwrap();
        mark(other, &mut other_sender);
        for (host, (capture, to)) in (1..).zip(captures.into_iter().zip(case.to)) {
            let what = format!("case {number} from {} ({ports:?}), host {host}", case.from);
            let by_other = |bytes: &[u8]| bytes.ends_with(&[MARKER; 50]) && bytes[6..12] == mac(other);
            if host != other {
                capture.wait_for(SOON, &format!("{what}: the marker"), by_other).unwrap();
            }
            if let Some(tags) = to {
                let expected = frame(case.from, tags, number as u8);
                capture.wait_for(SOON, &format!("{what}: the frame"), |bytes| bytes == expected).unwrap();
            }
            let got: Vec<Vec<u8>> = capture.stop().unwrap().into_iter().map(|frame| frame.bytes).collect();
            let ours: Vec<&Vec<u8>> =
                got.iter().filter(|bytes| bytes.ends_with(&[number as u8; 50])).collect();
            let expected = to.map(|tags| frame(case.from, tags, number as u8));
            assert_eq!(ours, expected.iter().collect::<Vec<_>>(), "{what}");
        }
    }
}

#[test]
fn frames_go_where_their_vlan_is_with_the_tags_of_each_port_between_taps() {
    keeps_apart([TAP; 5]);
}

#[test]
fn frames_go_where_their_vlan_is_with_the_tags_of_each_port_between_raw_ports() {
    keeps_apart([RAW; 5]);
}

#[test]
fn frames_go_where_their_vlan_is_with_the_tags_of_each_port_between_both() {
    keeps_apart([TAP, RAW, RAW, TAP, RAW]);
}

#[test]
fn vlans_change_at_run_time_and_no_frame_of_another_vlan_is_lost() {
    let bridge = "vlan_filtering = true\ndefault_pvid = 0\nvlan_stats = true\nvlan_stats_per_port = true";
    let mut lan = Lan::build(&Plan { bridge, rules: &OFFICE, ..Plan::silent(&[RAW; 5]) });
    let mut client = lan.switchd().control().unwrap();
    let vlans = |client: &mut control::Client| -> Vec<(String, u16, bool, bool)> {
        let all = client.show_vlans(None).unwrap();
        all.into_iter().map(|vlan| (vlan.port, vlan.vid, vlan.pvid, vlan.untagged)).collect()
    };
    let entry = |port: &str, vid, pvid, untagged| (port.to_owned(), vid, pvid, untagged);
    let before = [
        entry("p1", 10, true, true),
        entry("p2", 10, true, true),
        entry("p3", 20, true, true),
        entry("p4", 10, false, false),
        entry("p4", 20, false, false),
        entry("p5", 10, true, true),
        entry("p5", 20, false, false),
    ];
    assert_eq!(vlans(&mut client), before);
    let capture = lan::capture(lan.host(2), 2000);
    let mut sender = FrameSocket::open(lan.host(1), "eth0").unwrap();
    let of_20 = |port: &str| NewVlans { port: port.to_owned(), vid: 20, ..NewVlans::default() };
    for number in 0..200 {
        sender.send(&frame(1, &[], number)).unwrap();
        match number % 2 {
            0 => client.delete_vlans("p4", 20, 20).unwrap(),
            _ => client.add_vlans(&of_20("p4")).unwrap(),
        }
    }
    capture.wait_for(SOON, "the last frame", |bytes| bytes.ends_with(&[199; 50])).unwrap();
    let arrived =
        capture.stop().unwrap().into_iter().map(|frame| frame.bytes).filter(|bytes| bytes[6..12] == mac(1));
    assert_eq!(arrived.count(), 200);
    let counted = client.show_vlans(Some("p2")).unwrap()[0].counters.unwrap();
    assert_eq!((counted.tx_frames, counted.tx_bytes), (200, 200 * 50));
    // Out of its VLAN, host 3 hears nothing of it; back in it does.
    client.delete_vlans("p3", 1, 4094).unwrap();
    assert!(client.delete_vlans("p3", 20, 20).unwrap_err().to_string().contains("not a member of VLAN 20"));
    let mut trunk = FrameSocket::open(lan.host(4), "eth0").unwrap();
    let capture = lan::capture(lan.host(3), 2000);
    let handled = |client: &mut control::Client| client.show_port("p4").unwrap().counters.rx_frames;
    let before = handled(&mut client);
    trunk.send(&frame(4, Q20, 1)).unwrap();
    wait_until(SOON, "the switch has had the frame", || handled(&mut client) > before).unwrap();
    client.add_vlans(&NewVlans { pvid: true, untagged: true, ..of_20("p3") }).unwrap();
    trunk.send(&frame(4, Q20, 2)).unwrap();
    capture.wait_for(SOON, "the second frame", |bytes| *bytes == frame(4, &[], 2)).unwrap();
    let got = capture.stop().unwrap();
    assert!(got.iter().all(|got| got.bytes != frame(4, &[], 1)));
    // Known in its VLAN, and shown so.
    let known = client.show_fdb(&FdbFilter { vlan: Some(20), ..FdbFilter::default() }).unwrap();
    assert!(
        known.iter().any(|entry| entry.port.as_deref() == Some("p4") && entry.vlan == Some(20)),
        "{known:?}"
    );
    let explained = client.explain("p3", &frame(3, &[], 0)).unwrap();
    let step = explained.steps.iter().find(|step| step.stage == "vlan").unwrap();
    assert_eq!(step.words, "VLAN 20, the port's PVID, for it has no tag; priority 0");
    assert_eq!(explained.ports, ["p4", "p5"]);
    assert!(client.add_vlans(&NewVlans { vid: 4095, ..of_20("p3") }).is_err());
    // The state of one VLAN on one port: blocked there, not elsewhere, and not another one.
    let state = |state| VlanChange { port: "p4".to_owned(), vid: 20, last: None, state };
    client.set_vlans(&state(PortState::Blocking)).unwrap();
    assert_eq!(client.show_vlans(Some("p4")).unwrap()[1].state, PortState::Blocking);
    let outcome = |client: &mut control::Client, vlan| client.explain("p4", &frame(4, vlan, 0)).unwrap();
    assert_eq!(outcome(&mut client, Q20).reason.as_deref(), Some("vlan_blocked"));
    assert_eq!(outcome(&mut client, Q10).reason, None);
    let refused = client.set_vlans(&VlanChange { last: Some(21), ..state(PortState::Forwarding) });
    assert!(refused.unwrap_err().to_string().contains("not a member of VLAN 21"));
    assert_eq!(client.show_vlans(Some("p4")).unwrap()[1].state, PortState::Blocking, "all or nothing");
    client.set_vlans(&state(PortState::Forwarding)).unwrap();
    assert_eq!(outcome(&mut client, Q20).reason, None);
    // One VLAN is flushed alone.
    let in_vlan = |client: &mut control::Client, vlan| {
        client.show_fdb(&FdbFilter { vlan: Some(vlan), ..FdbFilter::default() }).unwrap().len()
    };
    let before = (in_vlan(&mut client, 10), in_vlan(&mut client, 20));
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    assert_eq!(client.flush_fdb(None, None, Some(20)).unwrap(), before.1 as u64);
    assert_eq!((in_vlan(&mut client, 10), in_vlan(&mut client, 20)), (before.0, 0));
}

/// What a transfer sends.
const BYTES: u64 = 60_000_000;

/// A path through VLANs may be so much slower than the same hosts on a switch that does not tell them apart.
const RATIO: f64 = 0.7;

/// Machines are busy now and then.
const ATTEMPTS: usize = 4;

/// How a host is attached: with which tags its frames go out, and with which they come in.
type Tags<'t> = (&'t [Tag], &'t [Tag]);

const NETS: [&str; 2] = ["198.19.0.", "2001:db8:1::"];

fn attach(lan: &Lan, number: usize, (out, into): Tags<'_>) -> Option<Tagger> {
    let addresses = NETS.map(|net| {
        let prefix = if net.contains(':') { 64 } else { 24 };
        format!("{net}{number}/{prefix}")
    });
    if out.is_empty() && into.is_empty() {
        lan.host(number).run("sysctl -q -w net.ipv6.conf.eth0.disable_ipv6=0").unwrap();
        for address in &addresses {
            testbed::link::add_address(lan.host(number), "eth0", address).unwrap();
        }
        return None;
    }
    Some(Tagger::start_with(lan.host(number), out, into, &addresses))
}

/// Bits a second both ways, of the slower one.
fn rate(lan: &Lan) -> f64 {
    let way = |from, to, net: &str| {
        let transfer = tcp_transfer(lan.host(from), lan.host(to), &format!("{net}{to}"), BYTES).unwrap();
        assert!(transfer.intact && transfer.bytes == BYTES, "{transfer:?}");
        transfer.bytes_per_second() * 8.0
    };
    way(1, 2, NETS[0]).min(way(2, 1, NETS[1]))
}

/// TCP between hosts that are attached so, on ports of these VLANs; and, to compare with, between hosts whose
/// frames carry the tags of host 2 both ways, through a switch to which tags are payload.
fn tcp(what: &str, bridge: &str, rules: &[&str; 2], tags: [Tags<'_>; 2]) {
    for kinds in [[Kind::Tap, Kind::Tap], [Kind::Tap, Kind::Raw], [Kind::Raw, Kind::Raw]] {
        let ports = kinds.map(|kind| Port { kind, offload: true });
        let plan = Plan { mtu: 1508, ..Plan::silent(&ports) };
        let opaque = Lan::build(&plan);
        let far = (tags[1].0, tags[1].0);
        let _opaque = [1, 2].map(|number| attach(&opaque, number, far));
        let lan = Lan::build(&Plan { bridge, rules, ..plan });
        let _tags = [1, 2].map(|number| attach(&lan, number, tags[number - 1]));
        let mut measured = Vec::new();
        while !measured.last().is_some_and(|(vlans, opaque)| *vlans >= opaque * RATIO) {
            assert!(measured.len() < ATTEMPTS, "{what}, {kinds:?}: {measured:.0?} b/s");
            measured.push((rate(&lan), rate(&opaque)));
        }
        let (vlans, opaque) = measured[measured.len() - 1];
        println!("{what}, {kinds:?}: {:.2} Gb/s, without VLANs {:.2}", vlans * 1e-9, opaque * 1e-9);
    }
}

const FILTERING: &str = "vlan_filtering = true\ndefault_pvid = 0";
const PROVIDER: &str = "vlan_filtering = true\ndefault_pvid = 0\nvlan_protocol = \"802.1ad\"";
const UNTAGGED: Tags<'_> = (&[], &[]);

#[test]
fn tcp_between_access_ports() {
    tcp("access to access", FILTERING, &["access = 42"; 2], [UNTAGGED, UNTAGGED]);
}

#[test]
fn tcp_from_access_to_trunk() {
    let tags = [q(42)];
    let rules = ["access = 42", "trunk = [42]"];
    tcp("access to trunk", FILTERING, &rules, [UNTAGGED, (&tags, &tags)]);
}

#[test]
fn tcp_from_trunk_to_trunk() {
    let tags = [q(0xb000 | 42)];
    let rules = ["trunk = [\"40-49\"]"; 2];
    tcp("trunk to trunk", FILTERING, &rules, [(&tags, &tags), (&tags, &tags)]);
}

#[test]
fn tcp_with_priority_tags() {
    let (priority, tagged) = ([q(0xb000)], [q(0xb000 | 42)]);
    let rules = ["access = 42", "trunk = [42]"];
    tcp("priority-tagged", FILTERING, &rules, [(&priority, &[]), (&tagged, &tagged)]);
}

#[test]
fn tcp_through_a_provider_bridge() {
    let tags = [ad(100)];
    let rules = ["access = 100", "trunk = [100]"];
    tcp("802.1ad", PROVIDER, &rules, [UNTAGGED, (&tags, &tags)]);
}

#[test]
fn tcp_of_a_customers_vlan_through_a_provider_bridge() {
    let (customer, both) = ([q(0xb000 | 42)], [ad(100), q(0xb000 | 42)]);
    let rules = ["access = 100", "trunk = [100]"];
    tcp("QinQ", PROVIDER, &rules, [(&customer, &customer), (&both, &both)]);
}
