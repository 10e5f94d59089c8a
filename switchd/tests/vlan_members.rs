//! VLANs at their edges: the host's own port as a member like any other, jumbo frames that leave with another tag than
//! they came with, and a trunk on which a VLAN has another number.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod lan;
mod picture;
mod tagger;

use control::types::NewVlans;
use frame::{EtherType, Tag};
use lan::{Lan, Plan, Port, RAW, SOON, TAP, mac};
use picture::{quiet, wait_for_ping};
use tagger::Tagger;
use testbed::link::add_address;
use testbed::{Capture, End, FrameSocket, Namespace, Switchd, ping, tcp_transfer, veth};

/// A host in VLAN 10, one in VLAN 20, and the host's port.
const HOST: &str = "[bridge]
vlan_filtering = true
default_pvid = 0
[ports.vnet0]
type = \"raw\"
access = 10
[ports.vnet1]
type = \"raw\"
access = 20
[ports.br0]
type = \"tap\"
host = true
access = 10
";
const TEN: &str = "198.18.0.10";
const TWENTY: &str = "198.18.0.20";
const OWN: &str = "198.18.0.1";

fn hears(from: &Namespace, to: &str) -> bool {
    ping(from, to, 2).is_ok_and(|ping| ping.lost() < 2)
}

#[test]
fn the_host_hears_and_is_heard_in_the_vlans_of_its_port_only() {
    let (host, ten, twenty) = (quiet("host"), quiet("ten"), quiet("twenty"));
    for (namespace, port, address) in [(&ten, "vnet0", TEN), (&twenty, "vnet1", TWENTY)] {
        let end = End::new(namespace, "eth0").address(&format!("{address}/24"));
        veth(end, End::new(&host, port)).unwrap();
    }
    let switchd = Switchd::start(&host, HOST).unwrap();
    add_address(&host, "br0", &format!("{OWN}/24")).unwrap();
    host.ip("link set br0 up").unwrap();
    wait_for_ping(&host, TEN);
    wait_for_ping(&ten, OWN);
    assert!(!hears(&host, TWENTY) && !hears(&twenty, OWN));
    // Moved to the other VLAN while it runs.
    let mut client = switchd.control().unwrap();
    client.delete_vlans("br0", 10, 10).unwrap();
    let access =
        NewVlans { port: "br0".to_owned(), vid: 20, last: None, pvid: true, untagged: true, wire: None };
    client.add_vlans(&access).unwrap();
    wait_for_ping(&twenty, OWN);
    wait_for_ping(&host, TWENTY);
    assert!(!hears(&host, TEN) && !hears(&ten, OWN));
    let shown: Vec<u16> = client.show_vlans(Some("br0")).unwrap().iter().map(|vlan| vlan.vid).collect();
    assert_eq!(shown, [20]);
}

/// Tags in line.
type Tags = &'static [[u8; 4]];
/// From which host with which tags, and with which each host gets it.
type Case = (usize, Tags, [Option<Tags>; 3]);

const TEN_TAG: [u8; 4] = [0x81, 0, 0, 10];
const TWENTY_TAG: [u8; 4] = [0x81, 0, 0, 20];
const HUNDRED_TAG: [u8; 4] = [0x81, 0, 0, 100];

/// A jumbo frame of host `from`, as long as an MTU of 9000 allows.
fn jumbo(from: usize, tags: &[[u8; 4]], number: u8) -> Vec<u8> {
    [&[0xff; 6][..], &mac(from), &tags.concat(), &[0x88, 0xb5], &vec![number; 9000]].concat()
}

fn jumbo_frames_cross(ports: [Port; 3]) {
    let rules = ["access = 10", "trunk = [10, 20]", "trunk = [20]\nnative = 10"];
    let bridge = "vlan_filtering = true\ndefault_pvid = 0";
    let lan = Lan::build(&Plan { mtu: 9000, bridge, rules: &rules, ..Plan::silent(&ports) });
    let cases: [Case; 4] = [
        (1, &[], [None, Some(&[TEN_TAG]), Some(&[])]),
        (2, &[TEN_TAG], [Some(&[]), None, Some(&[])]),
        (3, &[], [Some(&[]), Some(&[TEN_TAG]), None]),
        (3, &[TWENTY_TAG], [None, Some(&[TWENTY_TAG]), None]),
    ];
    let mut senders: Vec<FrameSocket> =
        (1..=3).map(|host| FrameSocket::open(lan.host(host), "eth0").unwrap()).collect();
    for (number, (from, tags, to)) in (1..).zip(cases) {
        let captures: Vec<Capture> = (1..=3).map(|host| lan::capture(lan.host(host), 9100)).collect();
        senders[from - 1].send(&jumbo(from, tags, number)).unwrap();
        for (capture, expected) in captures.iter().zip(to) {
            let Some(tags) = expected else { continue };
            let expected = jumbo(from, tags, number);
            let what = format!("case {number} between {ports:?}");
            capture.wait_for(SOON, &what, |bytes| *bytes == expected).unwrap();
        }
    }
}

/// Host 1 is in VLAN 10, host 2 on a trunk where that is 100, host 3 on one where it is 10.
const TRANSLATED: [&str; 3] =
    ["access = 10", "trunk = [10, 20]\ntranslate = { 100 = 10 }", "trunk = [10, 20, 100]"];

fn another_number_on_the_wire(ports: [Port; 3]) {
    let bridge = "vlan_filtering = true\ndefault_pvid = 0";
    let mut lan = Lan::build(&Plan { mtu: 9000, bridge, rules: &TRANSLATED, ..Plan::silent(&ports) });
    let cases: [Case; 7] = [
        (1, &[], [None, Some(&[HUNDRED_TAG]), Some(&[TEN_TAG])]),
        (2, &[HUNDRED_TAG], [Some(&[]), None, Some(&[TEN_TAG])]),
        (3, &[TEN_TAG], [Some(&[]), Some(&[HUNDRED_TAG]), None]),
        // Another VLAN as ever, and what would be two VLANs' nowhere.
        (2, &[TWENTY_TAG], [None, None, Some(&[TWENTY_TAG])]),
        (2, &[TEN_TAG], [None; 3]),
        (3, &[HUNDRED_TAG], [None; 3]),
        (1, &[], [None, Some(&[HUNDRED_TAG]), Some(&[TEN_TAG])]),
    ];
    let captures: Vec<Capture> = (1..=3).map(|host| lan::capture(lan.host(host), 9100)).collect();
    let mut senders: Vec<FrameSocket> =
        (1..=3).map(|host| FrameSocket::open(lan.host(host), "eth0").unwrap()).collect();
    for (number, (from, tags, to)) in (1..).zip(cases) {
        senders[from - 1].send(&jumbo(from, tags, number)).unwrap();
        for (capture, expected) in captures.iter().zip(to) {
            let Some(tags) = expected else { continue };
            let expected = jumbo(from, tags, number);
            let what = format!("case {number} between {ports:?}");
            capture.wait_for(SOON, &what, |bytes| *bytes == expected).unwrap();
        }
    }
    // Every frame that came is one of those, so none came where it should not.
    for (host, capture) in captures.into_iter().enumerate() {
        let expected: Vec<Vec<u8>> = (1..)
            .zip(cases)
            .filter_map(|(number, (from, _, to))| Some(jumbo(from, to[host]?, number)))
            .collect();
        let got = capture.stop().unwrap().into_iter().map(|frame| frame.bytes);
        let ours: Vec<Vec<u8>> = got.filter(|bytes| bytes.len() > 9000).collect();
        assert!(ours.iter().all(|bytes| expected.contains(bytes)), "host {}", host + 1);
        assert_eq!(ours.len(), expected.len(), "host {}", host + 1);
    }
    // TCP, whole segments and all, between an untagged host and one that says 100.
    let number = [Tag { tpid: EtherType::VLAN, tci: 100 }];
    lan.host(1).run("ip link set eth0 mtu 1500").unwrap();
    add_address(lan.host(1), "eth0", "198.18.0.1/24").unwrap();
    let _tagger = Tagger::start(lan.host(2), &number, &["198.18.0.2/24".to_owned()]);
    for (from, to) in [(1, 2), (2, 1)] {
        let transfer =
            tcp_transfer(lan.host(from), lan.host(to), &format!("198.18.0.{to}"), 20_000_000).unwrap();
        assert!(transfer.intact && transfer.bytes == 20_000_000, "{transfer:?}");
    }
    // As it is shown, and changed while it runs.
    let mut client = lan.switchd().control().unwrap();
    let wire = |client: &mut control::Client| client.show_vlans(Some("p2")).unwrap()[0].wire;
    assert_eq!(wire(&mut client), Some(100));
    let new = |vid, wire| NewVlans { port: "p2".to_owned(), vid, wire, ..NewVlans::default() };
    let refused = client.add_vlans(&new(30, Some(100))).unwrap_err().to_string();
    assert!(refused.contains("number 100 on the wire of port p2 would be that of two VLANs"), "{refused}");
    client.add_vlans(&new(10, None)).unwrap();
    assert_eq!(wire(&mut client), None);
    let capture = lan::capture(lan.host(2), 9100);
    senders[2].send(&jumbo(3, &[TEN_TAG], 9)).unwrap();
    capture.wait_for(SOON, "its own number", |bytes| *bytes == jumbo(3, &[TEN_TAG], 9)).unwrap();
}

/// Tests of the same between ports of several kinds.
macro_rules! between {
    ($($name:ident: $test:ident($ports:expr);)+) => {
        $(#[test]
        fn $name() {
            $test($ports);
        })+
    };
}

between! {
    jumbo_frames_get_and_lose_their_tags_between_taps: jumbo_frames_cross([TAP; 3]);
    jumbo_frames_get_and_lose_their_tags_between_raw_ports: jumbo_frames_cross([RAW; 3]);
    jumbo_frames_get_and_lose_their_tags_between_both: jumbo_frames_cross([TAP, RAW, TAP]);
    a_vlan_has_another_number_on_one_trunk_between_taps: another_number_on_the_wire([TAP; 3]);
    a_vlan_has_another_number_on_one_trunk_between_raw_ports: another_number_on_the_wire([RAW; 3]);
}
