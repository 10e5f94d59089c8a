//! A hostile guest: whatever it writes, frames go on between the others, and every frame is accounted for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod accounts;
mod cable;
mod lan;
#[path = "../../crates/frame/tests/packets/mod.rs"]
mod packets;

use std::collections::BTreeMap;

use cable::Cable;
use frame::Offload;
use frame::offload::LONG_HEADER;
use lan::{Lan, PLAIN_RAW, PLAIN_TAP, Plan, SOON, TAP, mac};
use packets::{Outer, Packet, Transport};
use testbed::ping;

const FRAMES: usize = 10_000;

/// Marsaglia's xorshift64: the same series in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// Headers of all kinds within one another, most of which nobody nests so.
fn outers(random: &mut Random) -> Vec<Outer> {
    let extensions = |random: &mut Random| {
        (0..random.below(12)).map(|_| (random.of(&[0, 43, 44, 51, 60, 135]), random.below(4))).collect()
    };
    let ip = |random: &mut Random| match random.below(2) {
        0 => Outer::Ipv4 { id: 1, options: random.below(11) },
        _ => Outer::Ipv6 { extensions: extensions(random) },
    };
    let mut outers = Vec::new();
    if random.one_in(4) {
        outers.extend((0..random.below(30)).map(|vid| Outer::Vlan(vid as u16)));
    }
    outers.push(ip(random));
    for _ in 0..random.of(&[0, 0, 1, 1, 2, 12]) {
        let (checksum, ethernet) = (random.one_in(2), random.one_in(2));
        outers.push(match random.below(4) {
            0 => Outer::Vxlan { port: random.of(&[4789, 8472, 53]), checksum },
            1 => Outer::Geneve { options: random.below(64), checksum, ethernet },
            2 => Outer::Gre { checksum, key: random.one_in(2), sequence: Some(1), ethernet },
            _ => ip(random),
        });
        outers.push(ip(random));
    }
    outers
}

/// A frame that could be right, then damaged: offload header first, as a guest's driver hands it over.
fn frame(random: &mut Random) -> Vec<u8> {
    let tcp = Transport::Tcp { sequence: 1, flags: random.next() as u8, options: random.below(11) };
    let transport = random.of(&[tcp, Transport::Udp]);
    let length = random.of(&[0, 1, 100, 1500, 9000, 40_000]);
    let payload = random.bytes(length);
    let packet = Packet { outers: outers(random), transport };
    let junk = random.next() as u16;
    let size = random.of(&[1, 7, 536, 1400, 1400, 65_535]);
    let (mut bytes, offload) = packet.whole(&payload, size, junk);
    // To a host, so that it is not flooded and learned twice; to nobody; to everybody.
    bytes[..6].copy_from_slice(&random.of(&[mac(1), mac(2), mac(2), [0xff; 6]]));
    bytes[6..12].copy_from_slice(&random.of(&[[2, 0xbb, 0, 0, 0, 1], mac(9), mac(9), mac(9)]));
    if random.one_in(40) {
        bytes[6..12].copy_from_slice(&random.of(&[[0; 6], [0xff; 6], [1, 2, 3, 4, 5, 6]]));
    }
    // The kernel refuses a header that is longer than the frame; any other length it takes.
    let hdr_len = if random.one_in(10) { junk } else { offload.csum_start + 20 };
    let mut header = Offload { hdr_len, ..offload }.encode();
    if random.one_in(2) {
        damage_header(&mut header, random);
    }
    if random.one_in(2) {
        damage(&mut bytes, random);
    }
    [&header[..], &bytes].concat()
}

fn damage_header(header: &mut [u8; LONG_HEADER], random: &mut Random) {
    let mut set = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_le_bytes());
    match random.below(7) {
        0 => set(4, 0),
        1 => set(6, random.next() as u16),
        2 => set(8, random.next() as u16),
        3 => header[0] = 0,
        4 => header[1] = random.next() as u8,
        5 => header[1] = random.of(&[0, 1, 4, 5, 0x81, 0x84]),
        _ => *header = std::array::from_fn(|_| random.next() as u8),
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    match random.below(3) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            for _ in 0..random.below(10) {
                let at = 12 + random.below(bytes.len().min(150) - 12);
                bytes[at] = random.next() as u8;
            }
        }
        _ => {
            let at = 12 + random.below(bytes.len().min(100) - 12);
            let value = random.of(&[0, 0xff]);
            bytes[at..].iter_mut().take(4).for_each(|byte| *byte = value);
        }
    }
}

#[test]
fn ten_thousand_malformed_frames_neither_crash_nor_stop_forwarding() {
    let ports = [TAP, PLAIN_TAP, PLAIN_RAW];
    let mut lan = Lan::build(&Plan { further: &["guest"], ..Plan::of(&ports) });
    let guest = Cable::tap(&lan.switch, "guest", true);
    lan.switchd().wait_for_log("\"guest\"", SOON).unwrap();
    for to in 2..=3 {
        assert_eq!(ping(lan.host(1), &format!("198.18.0.{to}"), 2).unwrap().lost(), 0);
    }

    let mut random = Random(0x5eed_0000_0000_0009);
    let mut refused = BTreeMap::new();
    let mut taken = 0;
    while taken < FRAMES {
        match guest.write_bytes(&frame(&mut random)) {
            Ok(()) => taken += 1,
            Err(errno) => *refused.entry(errno).or_insert(0) += 1,
        }
        // Now and then time to forward, so that few are lost in queues.
        if taken % 50 == 0 {
            lan.switchd().summary().unwrap();
        }
        assert!(refused.values().sum::<usize>() < 20 * FRAMES, "the kernel takes only {taken}");
    }
    for from in [1, 2, 3] {
        for to in (1..=3).filter(|to| *to != from) {
            assert_eq!(ping(lan.host(from), &format!("198.18.0.{to}"), 2).unwrap().lost(), 0);
        }
    }
    assert!(lan.switchd().process().is_running());
    let summary = lan.switchd().summary().unwrap();
    accounts::check(&summary);
    let drops: BTreeMap<_, _> = summary.ports.iter().flat_map(|port| port.drops()).collect();
    println!("the kernel took {taken} and refused {refused:?} (by errno); dropped {drops:?}");
    let received = summary.port("guest").unwrap().number("rx_frames").unwrap();
    assert!(received > FRAMES as u64 / 2, "only {received} of them reached switchd");
    for reason in ["source_zero", "source_group", "unfinishable", "offload_type_does_not_fit"] {
        assert!(drops.get(reason).is_some_and(|count| *count > 0), "no {reason} in {drops:?}");
    }
    assert!(lan.switchd().terminate().unwrap().success());
}
