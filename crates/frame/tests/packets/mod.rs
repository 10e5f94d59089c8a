//! Frames for the tests of segmentation, written by etherparse: what a kernel hands over to be cut, and
//! what each segment of it has to look like on the wire.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use frame::{GsoType, Offload};

pub(crate) const V4: [[u8; 4]; 2] = [[198, 18, 0, 1], [198, 19, 255, 2]];
pub(crate) const V6: [[u8; 16]; 2] = [
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd],
];
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// A header outside the transport header.
#[derive(Clone, Debug)]
pub(crate) enum Outer {
    Vlan(u16),
    /// `options` counts words of 4 bytes.
    Ipv4 {
        id: u16,
        options: usize,
    },
    /// The number of each extension header, and how many times 8 bytes it has beyond the first 8.
    Ipv6 {
        extensions: Vec<(u8, usize)>,
    },
    /// UDP, VXLAN and an Ethernet header.
    Vxlan {
        port: u16,
        checksum: bool,
    },
    /// UDP, Geneve and perhaps an Ethernet header; `options` counts words of 4 bytes.
    Geneve {
        options: usize,
        checksum: bool,
        ethernet: bool,
    },
    Gre {
        checksum: bool,
        key: bool,
        sequence: Option<u32>,
        ethernet: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// `options` counts words of 4 bytes, `flags` is byte 13 of the header.
    Tcp {
        sequence: u32,
        flags: u8,
        options: usize,
    },
    Udp,
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) outers: Vec<Outer>,
    pub(crate) transport: Transport,
}

/// What a frame holds where a segment's own value belongs.
#[derive(Clone, Copy)]
enum Form {
    /// The values of the segment at this place.
    Segment { index: usize, offset: usize, last: bool },
    /// Anything at all.
    Whole { junk: u16 },
}

impl Form {
    fn index(self) -> usize {
        match self {
            Self::Segment { index, .. } => index,
            Self::Whole { .. } => 0,
        }
    }
    fn or_junk(self, value: u16) -> u16 {
        match self {
            Self::Segment { .. } => value,
            Self::Whole { junk } => junk,
        }
    }
}

/// Bytes, and the EtherType and the IP protocol number that lead to them (0: none does).
struct Built {
    bytes: Vec<u8>,
    ethertype: u16,
    protocol: u8,
}

impl Packet {
    /// The frame to be cut into segments of `size` and its offload header, with `junk` in every field
    /// that a segment has of its own.
    pub(crate) fn whole(&self, payload: &[u8], size: u16, junk: u16) -> (Vec<u8>, Offload) {
        let bytes = self.frame(Form::Whole { junk }, payload);
        let (gso, header, csum_offset) = match (&self.transport, self.innermost_is_v6()) {
            (Transport::Tcp { options, .. }, v6) => {
                (if v6 { GsoType::Tcp6 } else { GsoType::Tcp4 }, 20 + 4 * options, 16)
            }
            (Transport::Udp, _) => (GsoType::Udp, 8, 6),
        };
        let csum_start = (bytes.len() - payload.len() - header) as u16;
        let needs_csum = true;
        let offload = Offload {
            needs_csum,
            gso,
            gso_size: size,
            csum_start,
            csum_offset,
            hdr_len: junk,
            ..Offload::default()
        };
        (bytes, offload)
    }

    /// The segments as they belong on the wire.
    pub(crate) fn segments(&self, payload: &[u8], size: u16) -> Vec<Vec<u8>> {
        if payload.is_empty() {
            return vec![self.frame(Form::Segment { index: 0, offset: 0, last: true }, &[])];
        }
        let size = usize::from(size);
        let count = payload.len().div_ceil(size);
        let part = |(index, part): (usize, &[u8])| {
            self.frame(Form::Segment { index, offset: index * size, last: index + 1 == count }, part)
        };
        payload.chunks(size).enumerate().map(part).collect()
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.outers.iter().filter(|outer| matches!(outer, Outer::Ipv4 { .. } | Outer::Ipv6 { .. })).count()
            > 1
    }

    fn innermost_is_v6(&self) -> bool {
        let ip = |outer: &&Outer| matches!(outer, Outer::Ipv4 { .. } | Outer::Ipv6 { .. });
        matches!(self.outers.iter().rev().find(ip), Some(Outer::Ipv6 { .. }))
    }

    fn frame(&self, form: Form, payload: &[u8]) -> Vec<u8> {
        ethernet(self.build(&self.outers, false, form, payload))
    }

    fn build(&self, outers: &[Outer], v6: bool, form: Form, payload: &[u8]) -> Built {
        let Some((outer, rest)) = outers.split_first() else {
            return self.transport(v6, form, payload);
        };
        let v6 = match outer {
            Outer::Ipv4 { .. } => false,
            Outer::Ipv6 { .. } => true,
            _ => v6,
        };
        let inner = self.build(rest, v6, form, payload);
        match *outer {
            Outer::Vlan(tci) => {
                let head = [tci.to_be_bytes(), inner.ethertype.to_be_bytes()].concat();
                Built { bytes: [head, inner.bytes].concat(), ethertype: 0x8100, protocol: 0 }
            }
            Outer::Ipv4 { id, options } => ipv4(id, options, form, &inner),
            Outer::Ipv6 { ref extensions } => ipv6(extensions, form, inner),
            Outer::Vxlan { port, checksum } => {
                let inside = [vec![0x08, 0, 0, 0, 0, 0, 42, 0], ethernet(inner)].concat();
                udp(v6, port, checksum, form, &inside)
            }
            Outer::Geneve { options, checksum, ethernet } => {
                let (ethertype, inner) = carried(ethernet, inner);
                let mut inside = vec![options as u8, 0];
                inside.extend(ethertype.to_be_bytes());
                inside.extend([0, 0, 42, 0]);
                inside.extend(vec![0x5a; 4 * options]);
                inside.extend(inner);
                udp(v6, 6081, checksum, form, &inside)
            }
            Outer::Gre { checksum, key, sequence, ethernet } => {
                gre(checksum, key, sequence, form, carried(ethernet, inner))
            }
        }
    }

    fn transport(&self, v6: bool, form: Form, payload: &[u8]) -> Built {
        let Transport::Tcp { sequence, flags, options } = self.transport else {
            return udp_with_partial(v6, form, payload);
        };
        let mut header = TcpHeader::new(40_000, 5001, sequence, 77);
        header.set_options_raw(&vec![1; 4 * options]).unwrap();
        let mut kept = flags;
        if let Form::Segment { index, offset, last } = form {
            header.sequence_number = sequence.wrapping_add(offset as u32);
            if index > 0 {
                kept &= !0x80;
            }
            if !last {
                kept &= !0x09;
            }
        }
        let bit = |bit: u8| kept & bit != 0;
        (header.cwr, header.ece, header.urg, header.ack) = (bit(0x80), bit(0x40), bit(0x20), bit(0x10));
        (header.psh, header.rst, header.syn, header.fin) = (bit(8), bit(4), bit(2), bit(1));
        header.checksum = match form {
            Form::Whole { .. } => partial(v6, 6, header.header_len() + payload.len()),
            _ if v6 => header.calc_checksum_ipv6_raw(V6[0], V6[1], payload).unwrap(),
            _ => header.calc_checksum_ipv4_raw(V4[0], V4[1], payload).unwrap(),
        };
        Built { bytes: [&header.to_bytes(), payload].concat(), ethertype: 0, protocol: 6 }
    }
}

fn ethernet(inner: Built) -> Vec<u8> {
    [&ADDRESSES[..], &inner.ethertype.to_be_bytes(), &inner.bytes].concat()
}

fn carried(with_ethernet: bool, inner: Built) -> (u16, Vec<u8>) {
    if with_ethernet { (0x6558, ethernet(inner)) } else { (inner.ethertype, inner.bytes) }
}

/// The sum of the pseudo header alone, as it stands in an unfinished checksum.
pub(crate) fn partial(v6: bool, protocol: u8, len: usize) -> u16 {
    let mut sum = Sum16BitWords::new();
    let sum = match v6 {
        true => sum.add_16bytes(V6[0]).add_16bytes(V6[1]),
        false => sum.add_4bytes(V4[0]).add_4bytes(V4[1]),
    };
    let sum = sum.add_2bytes([0, protocol]).add_4bytes((len as u32).to_be_bytes());
    !sum.ones_complement().to_be()
}

fn ipv4(id: u16, options: usize, form: Form, inner: &Built) -> Built {
    let len = inner.bytes.len().min(65_400) as u16;
    let mut header = Ipv4Header::new(len, 64, IpNumber(inner.protocol), V4[0], V4[1]).unwrap();
    header.options = vec![1; 4 * options].as_slice().try_into().unwrap();
    header.identification = id.wrapping_add(form.index() as u16);
    header.total_len = form.or_junk((header.header_len() + inner.bytes.len()) as u16);
    header.header_checksum = form.or_junk(header.calc_header_checksum());
    Built { bytes: [&header.to_bytes(), &inner.bytes[..]].concat(), ethertype: 0x0800, protocol: 4 }
}

fn ipv6(extensions: &[(u8, usize)], form: Form, inner: Built) -> Built {
    let (mut next, mut bytes) = (inner.protocol, inner.bytes);
    for &(number, more) in extensions.iter().rev() {
        // A routing header without segments left, or one PadN option.
        let mut header = vec![next, more as u8, 1, (4 + 8 * more) as u8];
        if number == 43 {
            header[3] = 0;
        }
        header.resize(8 + 8 * more, 0);
        header.extend(bytes);
        (next, bytes) = (number, header);
    }
    let header = Ipv6Header {
        payload_length: form.or_junk(bytes.len() as u16),
        next_header: IpNumber(next),
        hop_limit: 64,
        source: V6[0],
        destination: V6[1],
        ..Ipv6Header::default()
    };
    Built { bytes: [&header.to_bytes()[..], &bytes].concat(), ethertype: 0x86dd, protocol: 41 }
}

fn udp(v6: bool, port: u16, checksum: bool, form: Form, inside: &[u8]) -> Built {
    let length = form.or_junk((8 + inside.len()) as u16);
    let mut header = UdpHeader { source_port: 50_000, destination_port: port, length, checksum: 0 };
    header.checksum = match form {
        _ if !checksum => 0,
        Form::Whole { junk } => junk | 1,
        _ if v6 => header.calc_checksum_ipv6_raw(V6[0], V6[1], inside).unwrap(),
        _ => header.calc_checksum_ipv4_raw(V4[0], V4[1], inside).unwrap(),
    };
    Built { bytes: [&header.to_bytes()[..], inside].concat(), ethertype: 0, protocol: 17 }
}

fn udp_with_partial(v6: bool, form: Form, payload: &[u8]) -> Built {
    let mut built = udp(v6, 443, true, form, payload);
    if let Form::Whole { .. } = form {
        let sum = partial(v6, 17, 8 + payload.len());
        built.bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    built
}

fn gre(
    checksum: bool,
    key: bool,
    sequence: Option<u32>,
    form: Form,
    (ethertype, inner): (u16, Vec<u8>),
) -> Built {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let mut bytes = vec![flag(checksum, 0x80) | flag(key, 0x20) | flag(sequence.is_some(), 0x10), 0];
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(vec![0; if checksum { 4 } else { 0 }]);
    bytes.extend(vec![7; if key { 4 } else { 0 }]);
    if let Some(first) = sequence {
        bytes.extend(first.wrapping_add(form.index() as u32).to_be_bytes());
    }
    bytes.extend(inner);
    if checksum {
        let sum = form.or_junk(Sum16BitWords::new().add_slice(&bytes).ones_complement().to_be());
        bytes[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    Built { bytes, ethertype: 0, protocol: 47 }
}
