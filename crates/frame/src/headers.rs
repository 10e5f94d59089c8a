//! The walk over the headers of a frame that is to be cut, from the outside to the transport header
//! whose payload is dealt out, and what of each header changes from segment to segment.
//!
//! Only the frame's own bytes are believed, never `hdr_len`: the walk has to arrive exactly at
//! `csum_start`, or the frame is refused. All offsets count from the EtherType behind the outer tag
//! ([`Frame::rest`]).

use crate::view::ADDRESSES;
use crate::{EtherType, FinishFault, Frame, GsoType, Tunnel, tunnel};

/// Headers within one another that change with each segment. An IPv4 tunnel in VXLAN with checksums has
/// four; more than eight have no use but to keep us busy.
const MAX_LAYERS: usize = 8;

pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
pub(crate) const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// A header outside the transport header that differs between segments, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Length, id, checksum.
    Ipv4(usize),
    /// Length.
    Ipv6(usize),
    /// Length; and checksum, with the addresses of the IP header that starts at `ip`.
    Udp { at: usize, ip: usize },
    /// Checksum and sequence number.
    Gre(usize),
}

/// The transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// The headers of a frame that is to be cut; all lie within the frame. The first layer is an IP header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    layers: [Layer; MAX_LAYERS],
    count: usize,
    /// The header at `start`.
    pub(crate) transport: Transport,
    /// Where the transport header starts.
    pub(crate) start: usize,
    /// Where its payload starts.
    pub(crate) end: usize,
}

impl Headers {
    /// Finds the headers of a frame that is to be cut.
    pub(crate) fn of(frame: &Frame<'_>) -> Result<Self, FinishFault> {
        let offload = frame.offload();
        let rest = frame.rest();
        let start = usize::from(offload.csum_start).saturating_sub(ADDRESSES);
        let (outer, inner) = rest.split_at_checked(start).ok_or(FinishFault::Truncated)?;

        let mut walk = Walk { outer, layers: [Layer::Ipv4(0); MAX_LAYERS], count: 0, routed: false };
        let protocol = walk.run()?;
        let ipv6 = walk.innermost_ip_is_v6();
        let (transport, csum_offset, len) = match (offload.gso, protocol) {
            (GsoType::Tcp4, PROTOCOL_TCP) if !ipv6 => (Transport::Tcp, 16, tcp_header_len(inner)?),
            (GsoType::Tcp6, PROTOCOL_TCP) if ipv6 => (Transport::Tcp, 16, tcp_header_len(inner)?),
            (GsoType::Udp, PROTOCOL_UDP) => (Transport::Udp, 6, UDP_HEADER),
            _ => return Err(FinishFault::WrongType),
        };
        if offload.csum_offset != csum_offset {
            return Err(FinishFault::WrongType);
        }
        if inner.len() < len {
            return Err(FinishFault::Truncated);
        }
        Ok(Self { layers: walk.layers, count: walk.count, transport, start, end: start + len })
    }

    /// The headers outside the transport header, from the outside in.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers[..self.count]
    }

    /// Where the outermost IP header starts.
    pub(crate) fn ip_start(&self) -> usize {
        match self.layers[0] {
            Layer::Ipv4(at) | Layer::Ipv6(at) | Layer::Gre(at) | Layer::Udp { at, .. } => at,
        }
    }

    /// The tunnel, if it is one over UDP with nothing but one IP header in it, of the frame that begins with
    /// `whole`.
    pub(crate) fn udp_tunnel(&self, whole: &[u8]) -> Option<Tunnel> {
        let &[outer, Layer::Udp { at: udp, .. }, Layer::Ipv4(inner) | Layer::Ipv6(inner)] = self.layers()
        else {
            return None;
        };
        let offset = |at: usize| u16::try_from(ADDRESSES + at).ok();
        Some(Tunnel {
            outer_transport: offset(udp)?,
            inner_network: offset(inner)?,
            outer_ipv6: matches!(outer, Layer::Ipv6(_)),
            outer_checksum: whole.get(udp + 6..udp + UDP_HEADER)? != [0, 0],
        })
    }

    /// Whether the transport header is not the outermost one.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.count > 1
    }
}

/// The length that a TCP header gives for itself, in bytes: at least 20.
pub(crate) fn tcp_header_len(tcp: &[u8]) -> Result<usize, FinishFault> {
    let len = usize::from(byte(tcp, 12)? >> 4) * 4;
    if len < TCP_HEADER { Err(FinishFault::Truncated) } else { Ok(len) }
}

/// What comes next in the walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// An Ethernet header.
    Ethernet,
    /// What an EtherType says.
    EtherType(EtherType),
    /// What an IP protocol number says.
    Protocol(u8),
}

struct Walk<'a> {
    /// All bytes before the transport header: nothing else is looked at.
    outer: &'a [u8],
    layers: [Layer; MAX_LAYERS],
    count: usize,
    /// The innermost IP header so far has a routing header that is not used up yet.
    routed: bool,
}

impl Walk<'_> {
    /// Walks to the end of `outer`; the protocol that starts there. Every step moves on by two bytes at
    /// least, so it ends.
    fn run(&mut self) -> Result<u8, FinishFault> {
        let mut next = Next::EtherType(ethertype(self.outer, 0)?);
        let mut at = 2;
        loop {
            (next, at) = match next {
                Next::Protocol(protocol) if at == self.outer.len() => return Ok(protocol),
                Next::Ethernet => (Next::EtherType(ethertype(self.outer, at + ADDRESSES)?), at + 14),
                Next::EtherType(vlan) if vlan.is_vlan() => {
                    (Next::EtherType(ethertype(self.outer, at + 2)?), at + 4)
                }
                Next::EtherType(EtherType::IPV4) | Next::Protocol(PROTOCOL_IPV4) => self.ipv4(at)?,
                Next::EtherType(EtherType::IPV6) | Next::Protocol(PROTOCOL_IPV6) => self.ipv6(at)?,
                Next::Protocol(PROTOCOL_UDP) => self.udp(at)?,
                Next::Protocol(PROTOCOL_GRE) => {
                    self.push(Layer::Gre(at))?;
                    tunnel::gre(self.outer, at)?
                }
                _ => return Err(FinishFault::UnknownHeader),
            };
        }
    }

    fn push(&mut self, layer: Layer) -> Result<(), FinishFault> {
        *self.layers.get_mut(self.count).ok_or(FinishFault::UnknownHeader)? = layer;
        self.count += 1;
        Ok(())
    }

    fn innermost_ip_is_v6(&self) -> bool {
        let mut inside_out = self.layers[..self.count].iter().rev();
        inside_out
            .find(|layer| matches!(layer, Layer::Ipv4(_) | Layer::Ipv6(_)))
            .is_some_and(|layer| matches!(layer, Layer::Ipv6(_)))
    }

    /// RFC 791, 3.1.
    fn ipv4(&mut self, at: usize) -> Result<(Next, usize), FinishFault> {
        let first = byte(self.outer, at)?;
        let len = usize::from(first & 0x0f) * 4;
        if first >> 4 != 4 || len < IPV4_HEADER {
            return Err(FinishFault::UnknownHeader);
        }
        if self.outer.len() < at + len {
            return Err(FinishFault::Truncated);
        }
        // "More fragments" or an offset.
        if be16(self.outer, at + 6)? & 0x3fff != 0 {
            return Err(FinishFault::Fragment);
        }
        self.routed = false;
        self.push(Layer::Ipv4(at))?;
        Ok((Next::Protocol(byte(self.outer, at + 9)?), at + len))
    }

    /// RFC 8200, 3 and 4.
    fn ipv6(&mut self, start: usize) -> Result<(Next, usize), FinishFault> {
        if byte(self.outer, start)? >> 4 != 6 {
            return Err(FinishFault::UnknownHeader);
        }
        self.routed = false;
        self.push(Layer::Ipv6(start))?;
        let mut next = byte(self.outer, start + 6)?;
        let mut at = start + IPV6_HEADER;
        while matches!(next, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) {
            self.routed |= next == ROUTING && byte(self.outer, at + 3)? != 0;
            next = byte(self.outer, at)?;
            at += 8 + 8 * usize::from(byte(self.outer, at + 1)?);
        }
        match next {
            FRAGMENT => Err(FinishFault::Fragment),
            _ if at > self.outer.len() => Err(FinishFault::Truncated),
            _ => Ok((Next::Protocol(next), at)),
        }
    }

    /// A UDP header with a tunnel in it.
    fn udp(&mut self, at: usize) -> Result<(Next, usize), FinishFault> {
        let (Layer::Ipv4(ip) | Layer::Ipv6(ip)) = self.layers[self.count.saturating_sub(1)] else {
            return Err(FinishFault::UnknownHeader);
        };
        // The checksum would be over the last address of the routing header (RFC 8200, 8.1).
        if self.routed && be16(self.outer, at + 6)? != 0 {
            return Err(FinishFault::UnknownHeader);
        }
        self.push(Layer::Udp { at, ip })?;
        tunnel::udp(self.outer, at)
    }
}

/// The byte at `at`.
pub(crate) fn byte(bytes: &[u8], at: usize) -> Result<u8, FinishFault> {
    bytes.get(at).copied().ok_or(FinishFault::Truncated)
}

/// The 16 bits at `at`.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Result<u16, FinishFault> {
    Ok(u16::from_be_bytes([byte(bytes, at)?, byte(bytes, at + 1)?]))
}

fn ethertype(bytes: &[u8], at: usize) -> Result<EtherType, FinishFault> {
    be16(bytes, at).map(EtherType)
}
