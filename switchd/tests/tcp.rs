//! TCP through the switch: both ways, over IPv4 and IPv6, between every mixture of ports, tagged and not.
//! Everything arrives as it was sent, with right checksums, and in good time beside Linux Bridge.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod lan;
mod tagger;
mod yardstick;

use frame::Tag;
use lan::{Kind, Lan, PAIRS, Plan, Port, RAW};
use tagger::Tagger;
use testbed::checksum::{self, Verdict};
use testbed::tcp_transfer;
use yardstick::Yardstick;

/// For what is captured frame by frame: few enough that tcpdump has room for all, whatever their length.
const FEW_BYTES: u64 = 600_000;

/// What `eth0` of the receiver gets is right; and finished, where its port takes nothing else.
fn check_frames(lan: &Lan, ports: &[Port], nets: [&str; 2]) {
    for (net, (from, to)) in nets.iter().flat_map(|net| [(net, (1, 2)), (net, (2, 1))]) {
        let receiver = ports[to - 1];
        let capture = lan::capture(lan.host(to), if receiver.offload { 70_000 } else { 1600 });
        let transfer = tcp_transfer(lan.host(from), lan.host(to), &format!("{net}{to}"), FEW_BYTES);
        assert!(transfer.unwrap().intact);
        let frames = capture.stop().unwrap();
        let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
        assert!(bytes as u64 > FEW_BYTES, "{bytes} bytes in {} frames", frames.len());
        for frame in &frames {
            let verdict = checksum::check(&frame.bytes);
            let tags = frame.bytes[12..].chunks(4).take_while(|tag| is_tag(tag)).count();
            let finished = verdict != Verdict::Unfinished && frame.bytes.len() <= 1514 + 4 * tags;
            let right = !matches!(verdict, Verdict::Wrong(_)) && (finished || receiver.offload);
            let len = frame.bytes.len();
            assert!(right, "{} to {receiver}: {len} bytes, {verdict:?}", ports[from - 1]);
        }
    }
}

fn is_tag(bytes: &[u8]) -> bool {
    matches!(bytes, [0x81, 0x00, ..] | [0x88, 0xa8, ..])
}

const UNTAGGED: [&str; 2] = ["198.18.0.", "2001:db8::"];

/// As both ways are tried, (true, false) is (false, true) again where both kinds are the same.
fn untagged(kinds: [Kind; 2], offloads: &[(bool, bool)], short_header: bool) {
    let yardstick = Yardstick::new(&Plan::of(&[RAW; 2]), |_| ());
    for (near, far) in offloads {
        let ports = [Port { kind: kinds[0], offload: *near }, Port { kind: kinds[1], offload: *far }];
        let lan = Lan::build(&Plan { short_header, ..Plan::of(&ports) });
        check_frames(&lan, &ports, UNTAGGED);
        yardstick.check("untagged", &lan, &ports, UNTAGGED, *near && *far);
    }
}

#[test]
fn untagged_between_taps() {
    untagged([Kind::Tap, Kind::Tap], &[(true, true), (true, false), (false, false)], false);
}

#[test]
fn untagged_between_a_tap_and_a_raw_port() {
    let offloads = [(true, true), (true, false), (false, true), (false, false)];
    untagged([Kind::Tap, Kind::Raw], &offloads, false);
}

#[test]
fn untagged_between_raw_ports() {
    untagged([Kind::Raw, Kind::Raw], &[(true, true), (true, false), (false, false)], false);
}

#[test]
fn untagged_between_a_tap_and_a_raw_port_with_the_header_of_10_bytes() {
    untagged([Kind::Tap, Kind::Raw], &[(true, true), (false, false)], true);
}

#[test]
fn untagged_between_raw_ports_with_the_header_of_10_bytes() {
    untagged([Kind::Raw, Kind::Raw], &[(true, true), (true, false)], true);
}

/// A packet socket sends full-size 802.1ad and QinQ frames only on a device whose MTU has room for them.
const ROOM_FOR_TAGS: u32 = 1508;

const TAGGED: [&str; 2] = ["198.19.0.", "2001:db8:1::"];

fn taggers(lan: &Lan, tags: &[Tag]) -> [Tagger; 2] {
    [1, 2].map(|number| {
        let addresses = TAGGED.map(|net| {
            let prefix = if net.contains(':') { 64 } else { 24 };
            format!("{net}{number}/{prefix}")
        });
        Tagger::start(lan.host(number), tags, &addresses)
    })
}

fn tagged(which: usize) {
    let (name, tags) = tagger::stacks().into_iter().nth(which).unwrap();
    let plan = |ports| Plan { mtu: ROOM_FOR_TAGS, ..Plan::silent(ports) };
    let yardstick = Yardstick::new(&plan(&[RAW; 2]), |lan| taggers(lan, &tags));
    for ports in &PAIRS {
        let lan = Lan::build(&plan(ports));
        let _taggers = taggers(&lan, &tags);
        check_frames(&lan, ports, TAGGED);
        yardstick.check(name, &lan, ports, TAGGED, ports.iter().all(|port| port.offload));
    }
}

#[test]
fn tagged_802_1q() {
    tagged(0);
}

#[test]
fn tagged_802_1ad() {
    tagged(1);
}

#[test]
fn tagged_twice() {
    tagged(2);
}
