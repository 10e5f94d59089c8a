//! What comes out is what went in, byte for byte, for every length, tagged or not, between every kind of
//! port; and a frame goes where a switch sends it and nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod lan;

use lan::{Lan, PAIRS, PLAIN_RAW, Plan, Port, RAW, SOON, TAP, mac};
use testbed::{Capture, FrameSocket};

/// An EtherType for experiments (IEEE 802), which no stack answers.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// What may stand before the EtherType.
const TAGS: [&[u8]; 5] = [
    &[],
    &[0x81, 0x00, 0xa0, 0x07],
    &[0x88, 0xa8, 0x30, 0x2a],
    &[0x88, 0xa8, 0x00, 0x2a, 0x81, 0x00, 0xef, 0xfe],
    &[0x81, 0x00, 0xe0, 0x00],
];

/// As many as any queue on the way holds: a TAP 500.
const BURST: usize = 400;

/// A frame of `len` bytes without its tags, at least 14, every byte of which depends on the place and on
/// `number`.
fn frame(to: [u8; 6], from: [u8; 6], tags: &[u8], len: usize, number: usize) -> Vec<u8> {
    let payload = (0..len - 14).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ number.wrapping_mul(7)) as u8);
    [&to[..], &from, tags, &EXPERIMENT].concat().into_iter().chain(payload).collect()
}

fn is_ours(frame: &[u8]) -> bool {
    frame[12..].windows(2).step_by(4).take(3).any(|ethertype| ethertype == EXPERIMENT)
}

/// Sends `frames` from host 1 to host 2 and compares what arrives.
fn carry(lan: &Lan, what: &str, frames: &[Vec<u8>]) {
    let mut sender = FrameSocket::open(lan.host(1), "eth0").unwrap();
    for frames in frames.chunks(BURST) {
        let capture = lan::capture(lan.host(2), 9100);
        frames.iter().for_each(|frame| sender.send(frame).unwrap());
        let last = frames.last().unwrap();
        capture.wait_for(SOON, &format!("{what}: the last frame"), |frame| frame == last).unwrap();
        let mut arrived = capture.stop().unwrap();
        arrived.retain(|frame| is_ours(&frame.bytes));
        for (sent, arrived) in frames.iter().zip(&arrived) {
            let at = sent.iter().zip(&arrived.bytes).position(|(a, b)| a != b);
            let len = arrived.bytes.len();
            assert!(*sent == arrived.bytes, "{what}: {} bytes became {len}, differing at {at:?}", sent.len());
        }
        assert_eq!(arrived.len(), frames.len(), "{what}");
    }
}

/// Both directions of every pair of kinds.
fn directions() -> impl Iterator<Item = [Port; 2]> {
    PAIRS.into_iter().flat_map(|[a, b]| if a == b { vec![[a, b]] } else { vec![[a, b], [b, a]] })
}

fn identical(mtu: u32, lengths: impl Iterator<Item = usize> + Clone) {
    let sent = TAGS.iter().flat_map(|tags| lengths.clone().map(move |len| (tags, len)));
    // The kernel drops what it receives with a tag and nothing behind the EtherType (skb_vlan_untag).
    let sent = sent.filter(|(tags, len)| tags.is_empty() || *len >= 16);
    let sent = sent.enumerate().map(|(number, (tags, len))| frame(mac(2), mac(1), tags, len, number));
    let sent: Vec<_> = sent.collect();
    for ports in directions() {
        let lan = Lan::build(&Plan { mtu, ..Plan::silent(&ports) });
        carry(&lan, &format!("{} to {}", ports[0], ports[1]), &sent);
    }
}

#[test]
fn every_length_up_to_the_mtu_arrives_byte_for_byte() {
    // 8 bytes of MTU more for what packet sockets may not send else, ours and the sender's.
    identical(1508, 60..=1514);
}

#[test]
fn short_frames_arrive_as_they_are() {
    identical(1500, 14..60);
}

#[test]
fn jumbo_frames_arrive_byte_for_byte() {
    identical(9008, [9014, 9013, 8192, 4096, 1515].into_iter());
}

#[test]
fn full_size_frames_with_and_without_802_1q_pass_at_an_mtu_of_1500() {
    let tags = [TAGS[0], TAGS[1], TAGS[4]];
    let sent: Vec<_> = tags.iter().map(|tags| frame(mac(2), mac(1), tags, 1514, 3)).collect();
    for ports in directions() {
        let lan = Lan::build(&Plan::silent(&ports));
        carry(&lan, &format!("{} to {}", ports[0], ports[1]), &sent);
    }
}

#[test]
fn a_frame_too_long_for_a_packet_socket_is_a_named_drop_that_says_which_mtu_to_set() {
    for egress in [RAW, PLAIN_RAW] {
        let mut lan = Lan::build(&Plan::silent(&[TAP, egress]));
        // The sender has room for it; the switch's own device has not.
        lan.host(1).ip("link set eth0 mtu 1508").unwrap();
        carry(&lan, "both links are up", &[frame(mac(2), mac(1), TAGS[2], 1500, 0)]);
        let mut sender = FrameSocket::open(lan.host(1), "eth0").unwrap();
        sender.send(&frame(mac(2), mac(1), TAGS[2], 1514, 1)).unwrap();
        sender.send(&frame(mac(2), mac(1), TAGS[3], 1514, 2)).unwrap();
        carry(&lan, "what is not too long", &[frame(mac(2), mac(1), TAGS[2], 1500, 3)]);
        let switchd = lan.switchd();
        let before = switchd.log().len();
        let summary = switchd.summary().unwrap();
        assert_eq!(summary.port("p2").unwrap().drops().get("tx_too_long"), Some(&2), "{summary:?}");
        let hint = switchd.wait_for_log_after(before, "reason=\"tx_too_long\"", SOON).unwrap();
        assert!(hint.contains("MTU") && hint.contains("802.1ad") && hint.contains("by 8 for QinQ"), "{hint}");
    }
    // The hint helps.
    let lan = Lan::build(&Plan { mtu: 1508, ..Plan::silent(&[TAP, RAW]) });
    carry(&lan, "with the MTU of the hint", &[frame(mac(2), mac(1), TAGS[3], 1514, 1)]);
}

/// Three hosts, each of which has been heard.
fn three_hosts() -> (Lan, Vec<FrameSocket>, Vec<Capture>) {
    let lan = Lan::build(&Plan::silent(&[TAP, RAW, TAP]));
    let mut sockets: Vec<_> = lan.hosts.iter().map(|host| FrameSocket::open(host, "eth0").unwrap()).collect();
    for number in [1, 2, 3] {
        sockets[number - 1].send(&frame([0xff; 6], mac(number), &[], 60, number)).unwrap();
        for other in [1, 2, 3].into_iter().filter(|other| *other != number) {
            let from = mac(number);
            sockets[other - 1].receive_where(SOON, |frame| is_ours(frame) && frame[6..12] == from).unwrap();
        }
    }
    let captures = lan.hosts.iter().map(|host| lan::capture(host, 2000)).collect();
    (lan, sockets, captures)
}

/// Waits until a broadcast, sent last, has reached both other hosts; what each one got before it.
fn arrived(sender: &mut FrameSocket, captures: Vec<Capture>) -> Vec<Vec<Vec<u8>>> {
    let last = frame([0xff; 6], mac(1), &[], 100, 0xff);
    sender.send(&last).unwrap();
    let frames = captures.into_iter().enumerate().map(|(index, capture)| {
        if index > 0 {
            capture.wait_for(SOON, "the last frame", |frame| frame == last).unwrap();
        }
        let frames = capture.stop().unwrap().into_iter().map(|frame| frame.bytes);
        frames.filter(|frame| is_ours(frame) && *frame != last).collect()
    });
    frames.collect()
}

#[test]
fn unicast_is_seen_by_its_destination_and_by_nobody_else() {
    let (_lan, mut sockets, captures) = three_hosts();
    let sent: Vec<_> = (0..100).map(|number| frame(mac(2), mac(1), &[], 200, number)).collect();
    sent.iter().for_each(|frame| sockets[0].send(frame).unwrap());
    let arrived = arrived(&mut sockets[0], captures);
    assert_eq!(arrived, [vec![], sent, vec![]]);
}

#[test]
fn multicast_broadcast_and_unknown_unicast_reach_everybody_else() {
    let (_lan, mut sockets, captures) = three_hosts();
    let groups = [[0x01, 0, 0x5e, 0, 0, 0xfb], [0x33, 0x33, 0, 0, 0, 1], [0xff; 6], [2, 9, 9, 9, 9, 9]];
    let sent: Vec<_> = groups.iter().map(|to| frame(*to, mac(1), &[], 90, 1)).collect();
    sent.iter().for_each(|frame| sockets[0].send(frame).unwrap());
    let arrived = arrived(&mut sockets[0], captures);
    assert_eq!(arrived, [vec![], sent.clone(), sent]);
}

#[test]
fn of_the_reserved_addresses_only_that_of_bridge_groups_is_flooded() {
    let (mut lan, mut sockets, captures) = three_hosts();
    let reserved = |last| frame([0x01, 0x80, 0xc2, 0, 0, last], mac(1), &[], 60, 5);
    (0x00..=0x10).for_each(|last| sockets[0].send(&reserved(last)).unwrap());
    let arrived = arrived(&mut sockets[0], captures);
    // As Linux Bridge with STP off: 00 passes, and 10 is an ordinary group.
    let passed = vec![reserved(0x00), reserved(0x10)];
    assert_eq!(arrived, [vec![], passed.clone(), passed]);
    let summary = lan.switchd().summary().unwrap();
    assert_eq!(summary.port("p1").unwrap().drops().get("reserved_address"), Some(&15));
}
