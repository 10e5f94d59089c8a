//! Segments of a tunnel over UDP (VXLAN, Geneve) for an egress that can cut UDP: one frame whose payload
//! is the datagrams one behind the other, each finished but for the outermost headers.
//!
//! No offload header can describe a TCP segment to be cut inside a tunnel. But to the outermost UDP header
//! the cut segments are datagrams of one size, and those an egress with `uso` takes as one: it costs one
//! system call instead of forty.

use crate::checksum::pseudo_header;
use crate::headers::{Headers, IPV4_HEADER, IPV6_HEADER, Layer, PROTOCOL_UDP, UDP_HEADER};
use crate::segment::{ipv4, put16};
use crate::view::ADDRESSES;
use crate::{Capabilities, GsoType, Offload};

/// Datagrams of one train at most: what every kernel with UDP segmentation takes (`UDP_MAX_SEGMENTS`,
/// `include/linux/udp.h`, 64 before it was 128).
pub(crate) const MAX_DATAGRAMS: usize = 64;

/// The outermost headers of a tunnel over UDP. Offsets count from the EtherType behind the outer tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Train {
    ip: Layer,
    udp: usize,
}

impl Train {
    /// If the segments of a frame with these headers can go out as trains. A tunnel without a UDP checksum
    /// can't: an egress that cuts UDP always makes one.
    pub(crate) fn of(headers: &Headers, whole: &[u8], capabilities: Capabilities) -> Option<Self> {
        let &[ip, Layer::Udp { at: udp, .. }, _, ..] = headers.layers() else { return None };
        let sums = whole[udp + 6..udp + UDP_HEADER] != [0, 0];
        (capabilities.uso && capabilities.checksum && sums).then_some(Self { ip, udp })
    }

    /// Where the datagrams start.
    pub(crate) fn payload(&self) -> usize {
        self.udp + UDP_HEADER
    }

    /// Layers that the train as a whole has; the others are of each datagram.
    pub(crate) const LAYERS: usize = 2;

    /// Makes the outermost headers of `train` true of it, and says how it is to be cut. `first` is the
    /// number of its first datagram among those of the frame, `size` the length of each in bytes.
    pub(crate) fn close(&self, whole: &[u8], train: &mut [u8], first: usize, size: usize) -> Offload {
        let addresses = match self.ip {
            Layer::Ipv4(at) => {
                ipv4(&whole[at..], &mut train[at..], first);
                &train[at + 12..at + IPV4_HEADER]
            }
            Layer::Ipv6(at) | Layer::Gre(at) | Layer::Udp { at, .. } => {
                let len = train.len() - at - IPV6_HEADER;
                put16(train, at + 4, len as u16);
                &train[at + 8..at + IPV6_HEADER]
            }
        };
        let len = train.len() - self.udp;
        let sum = !pseudo_header(addresses, PROTOCOL_UDP, len).checksum();
        put16(train, self.udp + 4, len as u16);
        put16(train, self.udp + 6, sum);
        let gso = if len > UDP_HEADER + size { GsoType::Udp } else { GsoType::None };
        Offload {
            needs_csum: true,
            gso,
            gso_size: if gso == GsoType::Udp { size as u16 } else { 0 },
            hdr_len: (ADDRESSES + self.payload()) as u16,
            csum_start: (ADDRESSES + self.udp) as u16,
            csum_offset: 6,
            ..Offload::default()
        }
    }
}
