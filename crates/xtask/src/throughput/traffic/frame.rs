//! The frames of a measurement: UDP in IPv4 between stations that are no interface's own address, so that the
//! far host counts them and lets them go at once; and probes, by which latency is taken.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

/// IEEE 802 local experimental EtherType 1: that of probes, which no stack answers.
pub(crate) const PROBE: u16 = 0x88b5;

/// Bytes of the frame check sequence, which the sizes of RFC 2544 count and Linux does not.
const FCS: usize = 4;

/// Where the number of a frame stands in it, behind the headers of Ethernet, IPv4 and UDP.
const NUMBER: usize = 14 + 20 + 8;

/// Where its time stands.
const STAMP: usize = NUMBER + 8;

/// Between the networks that RFC 2544 sets aside for this.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 1, 1), Ipv4Addr::new(198, 19, 1, 1)];

/// Frame sizes in the order in which they are sent, with the check sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// What people call it.
    pub(crate) name: &'static str,
    sizes: &'static [usize],
}

/// 7 : 4 : 1 of 64, 594 and 1518 bytes.
pub(crate) const IMIX: Mix =
    Mix { name: "IMIX", sizes: &[64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64] };

/// The sizes of RFC 2544 for Ethernet, and IMIX.
pub(crate) const SIZES: [Mix; 8] = [
    Mix { name: "64 B", sizes: &[64] },
    Mix { name: "128 B", sizes: &[128] },
    Mix { name: "256 B", sizes: &[256] },
    Mix { name: "512 B", sizes: &[512] },
    Mix { name: "1024 B", sizes: &[1024] },
    Mix { name: "1280 B", sizes: &[1280] },
    Mix { name: "1518 B", sizes: &[1518] },
    IMIX,
];

/// The shortest, where most is to do for a byte.
pub(crate) const SHORTEST: Mix = SIZES[0];

/// The longest of an ordinary Ethernet.
pub(crate) const LONGEST: Mix = SIZES[6];

impl Mix {
    /// Bytes of frame `number` as Linux counts them.
    pub(crate) fn length(&self, number: usize) -> usize {
        self.sizes[number % self.sizes.len()] - FCS
    }
}

/// Address of a station behind a port.
pub(crate) fn station(port: usize, index: u32) -> [u8; 6] {
    let [_, high, middle, low] = index.to_be_bytes();
    [0x02, 0x50, port as u8, high, middle, low]
}

/// A station of `count`, another one for each frame, in no order that a cache would like.
fn scattered(number: u64, count: u32) -> u32 {
    let mixed = (number.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    (mixed % u64::from(count)) as u32
}

/// To whom frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Stations behind a port.
    Port(usize),
    /// All.
    Everyone,
}

/// Which stations of a flow speak with which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Any with any, in no order that a cache would like.
    Scattered,
    /// One after the other to the first of the other side: for learning, where each has to speak.
    EachToOne,
    /// The first to one after the other: to ask where they are, without teaching anything.
    OneToEach,
}

/// Who speaks with whom: stations behind one port with as many behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) from: usize,
    pub(crate) to: To,
    /// Stations on each side, and the number of the first.
    pub(crate) stations: u32,
    pub(crate) first: u32,
    pub(crate) order: Order,
}

impl Flow {
    /// Between one station and one.
    pub(crate) fn between(from: usize, to: usize) -> Self {
        Self { from, to: To::Port(to), stations: 1, first: 0, order: Order::Scattered }
    }

    fn addresses(&self, number: u64) -> ([u8; 6], [u8; 6]) {
        let count = self.stations;
        let next = (number % u64::from(count)) as u32;
        let (speaker, listener) = match self.order {
            Order::Scattered => (scattered(number, count), scattered(number ^ 0x5555, count)),
            Order::EachToOne => (next, 0),
            Order::OneToEach => (0, next),
        };
        let to = match self.to {
            To::Port(port) => station(port, self.first + listener),
            To::Everyone => [0xff; 6],
        };
        (to, station(self.from, self.first + speaker))
    }
}

/// Frames that wait to be sent; a multiple of the length of every mix.
const FRAMES: usize = 96;

/// The frames of a flow, made once; of each only the number, the time and, among many stations, the addresses are
/// written anew.
#[derive(Debug)]
pub(crate) struct Frames {
    flow: Flow,
    frames: Vec<Vec<u8>>,
    /// Frames given out.
    next: u64,
}

impl Frames {
    pub(crate) fn new(flow: Flow, mix: Mix) -> Self {
        let frames = (0..FRAMES).map(|number| datagram(&flow, mix.length(number))).collect();
        Self { flow, frames, next: 0 }
    }

    /// At most `most` frames to be sent next, sent at `now` nanoseconds.
    pub(crate) fn next(&mut self, most: usize, now: u64) -> &[Vec<u8>] {
        let first = (self.next % FRAMES as u64) as usize;
        let frames = &mut self.frames[first..(first + most).min(FRAMES)];
        for frame in &mut *frames {
            if self.flow.stations > 1 {
                let (to, from) = self.flow.addresses(self.next);
                frame[..6].copy_from_slice(&to);
                frame[6..12].copy_from_slice(&from);
            }
            frame[NUMBER..NUMBER + 8].copy_from_slice(&self.next.to_be_bytes());
            frame[STAMP..STAMP + 8].copy_from_slice(&now.to_be_bytes());
            self.next += 1;
        }
        frames
    }
}

/// A frame of so many bytes, the number and the time still 0.
fn datagram(flow: &Flow, length: usize) -> Vec<u8> {
    let (to, from) = flow.addresses(0);
    let [near, far] = ADDRESSES.map(|address| address.octets());
    let packet = PacketBuilder::ethernet2(from, to).ipv4(near, far, 64).udp(4000, 4001);
    let mut frame = Vec::with_capacity(length);
    let written = packet.write(&mut frame, &vec![0; length - NUMBER]);
    // Writing to memory fails only for what is too long for IPv4, which no frame here is.
    debug_assert!(written.is_ok(), "{written:?}");
    // No checksum: the number and the time change.
    frame[NUMBER - 2..NUMBER].fill(0);
    frame
}

/// A probe of the same length and way as the frames beside it.
pub(crate) fn probe(flow: &Flow, length: usize, number: u64, now: u64) -> Vec<u8> {
    let mut frame = head(flow, PROBE, length);
    frame[NUMBER..NUMBER + 8].copy_from_slice(&number.to_be_bytes());
    frame[STAMP..STAMP + 8].copy_from_slice(&now.to_be_bytes());
    frame
}

fn head(flow: &Flow, ethertype: u16, length: usize) -> Vec<u8> {
    let (to, from) = flow.addresses(0);
    let mut frame = [&to[..], &from, &ethertype.to_be_bytes()].concat();
    frame.resize(length, 0);
    frame
}

/// What a frame of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// One of the load.
    Load,
    /// A probe that was sent at that time.
    Probe {
        /// Nanoseconds since 1970.
        sent: u64,
    },
}

/// Knows our frames from others.
pub(crate) fn read(frame: &[u8]) -> Option<Seen> {
    let stamp = frame.get(STAMP..STAMP + 8)?;
    let sent = u64::from_be_bytes(stamp.try_into().ok()?);
    match u16::from_be_bytes([frame[12], frame[13]]) {
        PROBE => Some(Seen::Probe { sent }),
        0x0800 if frame[26..30] == ADDRESSES[0].octets() => Some(Seen::Load),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn imix_is_seven_to_four_to_one() {
        let count = |size| (0..1200).filter(|number| IMIX.length(*number) == size - FCS).count();
        assert_eq!([count(64), count(594), count(1518)], [700, 400, 100]);
        assert_eq!(FRAMES % IMIX.sizes.len(), 0);
    }

    #[test]
    fn frames_are_numbered_without_a_gap_in_the_sizes_of_their_mix() {
        let mut frames = Frames::new(Flow::between(0, 1), IMIX);
        let mut number = 0_u64;
        for most in [5, 32, 32, 32, 7, 64].into_iter().cycle().take(60) {
            for frame in frames.next(most, 77) {
                assert_eq!(frame.len(), IMIX.length(number as usize));
                assert_eq!(frame[NUMBER..NUMBER + 8], number.to_be_bytes());
                assert_eq!(read(frame), Some(Seen::Load));
                assert_eq!((&frame[..6], &frame[6..12]), (&station(1, 0)[..], &station(0, 0)[..]));
                number += 1;
            }
        }
    }

    #[test]
    fn the_headers_are_valid() {
        for mix in SIZES {
            for frame in Frames::new(Flow::between(0, 1), mix).next(12, 99) {
                assert_eq!(testbed::checksum::check(frame), testbed::checksum::Verdict::Right);
            }
        }
    }

    #[test]
    fn in_turn_every_station_speaks_or_is_spoken_to_and_scattered_most_are() {
        let heard = |order| {
            let flow = Flow { stations: 1000, order, ..Flow::between(0, 1) };
            let (to, from): (BTreeSet<_>, BTreeSet<_>) = (0..1000).map(|n| flow.addresses(n)).unzip();
            (from.len(), to.len())
        };
        assert_eq!((heard(Order::EachToOne), heard(Order::OneToEach)), ((1000, 1), (1, 1000)));
        let (speakers, listeners) = heard(Order::Scattered);
        assert!(speakers > 550 && listeners > 550, "{speakers} {listeners}");
    }

    #[test]
    fn a_probe_tells_when_it_was_sent_and_other_frames_tell_nothing() {
        let frame = probe(&Flow::between(0, 1), 60, 3, 123_456_789);
        assert_eq!(read(&frame), Some(Seen::Probe { sent: 123_456_789 }));
        assert_eq!(read(&frame[..50]), None);
        assert_eq!(read(&[0; 60]), None);
    }
}
