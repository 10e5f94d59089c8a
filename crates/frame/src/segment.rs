//! One segment out of a frame that is to be cut: the headers of the whole, changed to be true of a part
//! of its payload, as `tcp_gso_segment`, `__udp_gso_segment`, `inet_gso_segment` and
//! `ipv6_gso_segment` of the kernel do it (`net/ipv4/tcp_offload.c` and neighbours).

use crate::checksum::{Sum, pseudo_header};
use crate::headers::{Headers, IPV4_HEADER, IPV6_HEADER, Layer, PROTOCOL_UDP, Transport};
use crate::tunnel::GreFields;

const TCP_FIN_PSH: u8 = 0x01 | 0x08;
const TCP_CWR: u8 = 0x80;

/// A segment's place among all of its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// 0 for the first.
    pub(crate) index: usize,
    /// Where its payload starts in that of the whole, in bytes.
    pub(crate) offset: usize,
    /// Whether none comes after.
    pub(crate) last: bool,
}

/// Makes the headers in `segment` true of it. `whole` is the frame that is cut, `segment` the same
/// headers with a part of the payload behind them; both start at the EtherType. Lengths must fit 16 bits.
///
/// Inner headers first: outer checksums are over them. The first `skip` layers are left alone.
pub(crate) fn write_headers(headers: &Headers, skip: usize, whole: &[u8], segment: &mut [u8], place: Place) {
    let (start, old_len) = (headers.start, whole.len() - headers.start);
    match headers.transport {
        Transport::Tcp => tcp(&whole[start..], &mut segment[start..], place),
        Transport::Udp => put16(segment, start + 4, (segment.len() - start) as u16),
    }
    transport_checksum(headers.transport, &whole[start..], old_len, &mut segment[start..]);
    for layer in headers.layers().iter().skip(skip).rev() {
        match *layer {
            Layer::Ipv4(at) => ipv4(&whole[at..], &mut segment[at..], place.index),
            Layer::Ipv6(at) => put16(segment, at + 4, (segment.len() - at - IPV6_HEADER) as u16),
            Layer::Udp { at, ip } => outer_udp(whole, segment, at, ip),
            Layer::Gre(at) => gre(&whole[at..], &mut segment[at..], place),
        }
    }
}

/// The sequence number moves on, only the first segment says CWR, only the last FIN and PSH.
fn tcp(whole: &[u8], segment: &mut [u8], place: Place) {
    put32(segment, 4, get32(whole, 4).wrapping_add(place.offset as u32));
    let mut flags = whole[13];
    if !place.last {
        flags &= !TCP_FIN_PSH;
    }
    if place.index > 0 {
        flags &= !TCP_CWR;
    }
    segment[13] = flags;
}

/// Starts from the pseudo header's sum that the frame brings, which knows of a routing header's last
/// address and of home addresses, and puts the segment's length in place of the whole's.
fn transport_checksum(transport: Transport, whole: &[u8], old_len: usize, segment: &mut [u8]) {
    let field = match transport {
        Transport::Tcp => 16,
        Transport::Udp => 6,
    };
    put16(segment, field, 0);
    let sum = Sum::of(segment)
        .plus_number(u32::from(get16(whole, field)))
        .minus_number(old_len as u32)
        .plus_number(segment.len() as u32);
    let checksum = match transport {
        Transport::Tcp => sum.checksum(),
        Transport::Udp => sum.checksum_not_zero(),
    };
    put16(segment, field, checksum);
}

/// The id goes on with each segment, of which this is number `index`.
pub(crate) fn ipv4(whole: &[u8], segment: &mut [u8], index: usize) {
    put16(segment, 2, segment.len() as u16);
    put16(segment, 4, get16(whole, 4).wrapping_add(index as u16));
    put16(segment, 10, 0);
    let header = usize::from(segment[0] & 0x0f) * 4;
    let checksum = Sum::of(&segment[..header]).checksum();
    put16(segment, 10, checksum);
}

/// A tunnel's UDP header: no checksum stays none (RFC 6935 for IPv6).
fn outer_udp(whole: &[u8], segment: &mut [u8], at: usize, ip: usize) {
    let len = segment.len() - at;
    put16(segment, at + 4, len as u16);
    if get16(whole, at + 6) == 0 {
        return;
    }
    put16(segment, at + 6, 0);
    let addresses = match segment[ip] >> 4 {
        4 => &segment[ip + 12..ip + IPV4_HEADER],
        _ => &segment[ip + 8..ip + IPV6_HEADER],
    };
    let sum = pseudo_header(addresses, PROTOCOL_UDP, len).plus(Sum::of(&segment[at..]));
    put16(segment, at + 6, sum.checksum_not_zero());
}

/// RFC 2784, 2.3: the checksum is over the GRE header and all behind it.
fn gre(whole: &[u8], segment: &mut [u8], place: Place) {
    let Some(fields) = GreFields::of(get16(whole, 0)) else { return };
    if let Some(at) = fields.sequence {
        put32(segment, at, get32(whole, at).wrapping_add(place.index as u32));
    }
    if let Some(at) = fields.checksum {
        put16(segment, at, 0);
        let checksum = Sum::of(segment).checksum();
        put16(segment, at, checksum);
    }
}

// The walk has made sure that every header lies within the frame, so these stay in range.

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
