//! TCP through the switch: both ways, over IPv4 and IPv6, between every mixture of ports, tagged and not.
//! Everything arrives as it was sent, with right checksums, and not slower than a tenth of Linux Bridge.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod lan;
mod tagger;

use frame::Tag;
use lan::{Kind, Lan, PAIRS, Plan, Port, RAW};
use tagger::Tagger;
use testbed::checksum::{self, Verdict};
use testbed::{Capture, Namespace, tcp_transfer};

const BYTES: u64 = 100_000_000;

/// For what is captured frame by frame.
const FEW_BYTES: u64 = 2_000_000;

/// On a busy machine a transfer may be slow once; a port that is slow is slow again.
const ATTEMPTS: usize = 3;

/// Two hosts, and the addresses by which they are reached.
struct Pair<'a> {
    lan: &'a Lan,
    v4: &'a str,
    v6: &'a str,
}

impl Pair<'_> {
    /// From whom to whom, and to which address.
    fn ways(&self) -> impl Iterator<Item = (&Namespace, &Namespace, String)> {
        [(1, 2), (2, 1)].into_iter().flat_map(move |(from, to)| {
            [self.v4, self.v6].map(|net| (self.lan.host(from), self.lan.host(to), format!("{net}{to}")))
        })
    }

    fn rate(&self, from: &Namespace, to: &Namespace, address: &str) -> f64 {
        let transfer = tcp_transfer(from, to, address, BYTES).unwrap();
        assert!(transfer.intact && transfer.bytes == BYTES, "{transfer:?}");
        transfer.bytes_per_second()
    }

    /// Transfers all ways. `yardstick` has the same hosts on Linux Bridge.
    fn check(&self, what: &str, yardstick: &Pair<'_>) {
        for ((from, to, address), (its_from, its_to, _)) in self.ways().zip(yardstick.ways()) {
            let mut measured = Vec::new();
            while !measured.last().is_some_and(|(rate, linux)| rate * 10.0 >= *linux) {
                assert!(measured.len() < ATTEMPTS, "{what} to {address}, and Linux Bridge: {measured:.0?}");
                let rate = self.rate(from, to, &address);
                measured.push((rate, yardstick.rate(its_from, its_to, &address)));
            }
            let (rate, linux) = measured[measured.len() - 1];
            println!("{what} to {address}: {:.2} Gb/s, Linux Bridge {:.2}", rate * 8e-9, linux * 8e-9);
        }
    }
}

const UNTAGGED: [&str; 2] = ["198.18.0.", "2001:db8::"];

/// What `eth0` of the receiver gets is right; and finished, where its port takes nothing else.
fn check_frames(pair: &Pair<'_>, ports: &[Port]) {
    for (from, to, address) in pair.ways() {
        let receiver = if address.ends_with('1') { 0 } else { 1 };
        let capture = Capture::start(to, "eth0", &["-Q", "in"]).unwrap();
        assert!(tcp_transfer(from, to, &address, FEW_BYTES).unwrap().intact);
        let frames = capture.stop().unwrap();
        let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
        assert!(bytes as u64 > FEW_BYTES, "{bytes} bytes in {} frames", frames.len());
        for frame in &frames {
            let verdict = checksum::check(&frame.bytes);
            let longest = 1514 + 4 * frame.bytes[12..].chunks(4).take_while(|tag| is_tag(tag)).count();
            let finished = verdict != Verdict::Unfinished && frame.bytes.len() <= longest;
            let wrong = matches!(verdict, Verdict::Wrong(_));
            assert!(
                !wrong && (finished || ports[receiver].offload),
                "{} to {}: {} bytes, {verdict:?}",
                ports[1 - receiver],
                ports[receiver],
                frame.bytes.len(),
            );
        }
    }
}

fn is_tag(bytes: &[u8]) -> bool {
    matches!(bytes, [0x81, 0x00, ..] | [0x88, 0xa8, ..])
}

fn untagged(kinds: [Kind; 2], short_header: bool) {
    let yardstick = Lan::build_kernel_bridge(&Plan::of(&[RAW, RAW]));
    let [v4, v6] = UNTAGGED;
    for (near, far) in [(true, true), (true, false), (false, true), (false, false)] {
        if kinds[0] == kinds[1] && near && !far {
            continue; // The same as the next one, as both ways are tried.
        }
        let ports = [Port { kind: kinds[0], offload: near }, Port { kind: kinds[1], offload: far }];
        let lan = Lan::build(&Plan { short_header, ..Plan::of(&ports) });
        let pair = Pair { lan: &lan, v4, v6 };
        check_frames(&pair, &ports);
        pair.check(&format!("{} and {}", ports[0], ports[1]), &Pair { lan: &yardstick, v4, v6 });
    }
}

#[test]
fn untagged_between_taps() {
    untagged([Kind::Tap, Kind::Tap], false);
}

#[test]
fn untagged_between_a_tap_and_a_raw_port() {
    untagged([Kind::Tap, Kind::Raw], false);
}

#[test]
fn untagged_between_raw_ports() {
    untagged([Kind::Raw, Kind::Raw], false);
}

#[test]
fn untagged_between_a_tap_and_a_raw_port_with_the_header_of_10_bytes() {
    untagged([Kind::Tap, Kind::Raw], true);
}

#[test]
fn untagged_between_raw_ports_with_the_header_of_10_bytes() {
    untagged([Kind::Raw, Kind::Raw], true);
}

/// A packet socket sends full-size 802.1ad and QinQ frames only on a device whose MTU has room for them.
const ROOM_FOR_TAGS: u32 = 1508;

fn taggers(lan: &Lan, tags: &[Tag]) -> [Tagger; 2] {
    [1, 2].map(|number| {
        let addresses = [format!("198.19.0.{number}/24"), format!("2001:db8:1::{number}/64")];
        Tagger::start(lan.host(number), tags, &addresses)
    })
}

fn tagged(which: usize) {
    let (name, tags) = tagger::stacks().into_iter().nth(which).unwrap();
    let [v4, v6] = ["198.19.0.", "2001:db8:1::"];
    let plan = |ports| Plan { mtu: ROOM_FOR_TAGS, ..Plan::silent(ports) };
    let yardstick = Lan::build_kernel_bridge(&plan(&[RAW, RAW]));
    let _taggers = taggers(&yardstick, &tags);
    for ports in &PAIRS {
        let lan = Lan::build(&plan(ports));
        let _taggers = taggers(&lan, &tags);
        let pair = Pair { lan: &lan, v4, v6 };
        check_frames(&pair, ports);
        pair.check(&format!("{name} {} and {}", ports[0], ports[1]), &Pair { lan: &yardstick, v4, v6 });
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
