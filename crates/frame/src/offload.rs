//! The offload header of a frame in flight: what `struct virtio_net_hdr` says (VIRTIO 1.2, 5.1.6;
//! `include/uapi/linux/virtio_net.h`), as a value.
//!
//! A default guest or veth hands over TCP segments of up to 64 KiB with an unfinished checksum; this
//! header says how to finish them. It travels with the frame from port to port. Offsets count from
//! the destination address, as on the wire *without* the outer VLAN tag: a [`crate::Frame`] carries
//! that tag out of line, and an egress that puts it back in line adds 4 to both offsets.

use crate::vlan::TAG_LEN;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`.
const DATA_VALID: u8 = 2;
/// `VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM`: the outer UDP header is to get a checksum, too.
const TUNNEL_CSUM: u8 = 8;
/// `VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4` and `_IPV6`, bits beside the type.
const GSO_TUNNEL_IPV4: u8 = 0x20;
const GSO_TUNNEL_IPV6: u8 = 0x40;
/// `VIRTIO_NET_HDR_GSO_ECN`, a bit beside the type.
const GSO_ECN: u8 = 0x80;

/// Bytes of the header up to and without `num_buffers`.
pub const SHORT_HEADER: usize = 10;
/// Bytes of the header with `num_buffers`.
pub const LONG_HEADER: usize = 12;
/// Bytes of the header that also tells where a UDP tunnel's headers are
/// (`struct virtio_net_hdr_v1_hash_tunnel`).
pub const TUNNEL_HEADER: usize = 24;

/// Into what the receiver of a frame is asked to cut it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GsoType {
    /// It is one packet already.
    #[default]
    None,
    /// TCP over IPv4 (`VIRTIO_NET_HDR_GSO_TCPV4`, 1).
    Tcp4,
    /// TCP over IPv6 (`VIRTIO_NET_HDR_GSO_TCPV6`, 4).
    Tcp6,
    /// UDP, a datagram each (`VIRTIO_NET_HDR_GSO_UDP_L4`, 5).
    Udp,
}

/// A decoded offload header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offload {
    /// The checksum at `csum_start + csum_offset` holds only the pseudo-header's sum.
    pub needs_csum: bool,
    /// Somebody has checked the checksum already.
    pub data_valid: bool,
    /// What the frame is to be cut into.
    pub gso: GsoType,
    /// The first segment only may carry CWR (`VIRTIO_NET_HDR_GSO_ECN`).
    pub ecn: bool,
    /// Length of all headers of a frame to be cut, in bytes; a hint, not trusted.
    pub hdr_len: u16,
    /// Payload bytes of each segment.
    pub gso_size: u16,
    /// Where the checksum starts to sum, in bytes from the destination address.
    pub csum_start: u16,
    /// Where the checksum goes, in bytes from `csum_start`.
    pub csum_offset: u16,
}

/// Why an offload header can't be true of its frame. Each is a named drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffloadFault {
    /// A `gso_type` that does not exist or that we never offered (UFO, tunnel types).
    UnknownGsoType,
    /// `gso_size` is 0 although the frame is to be cut.
    ZeroGsoSize,
    /// `csum_start` or the checksum behind it lies beyond the frame.
    ChecksumBeyondFrame,
    /// The frame is to be cut, but its checksum is not said to be unfinished, or its headers are not
    /// those of the type.
    TypeDoesNotFit,
}

/// What an egress takes as it is handed; all else is finished in software first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Unfinished checksums.
    pub checksum: bool,
    /// TCP over IPv4 to be cut.
    pub tso4: bool,
    /// TCP over IPv6 to be cut.
    pub tso6: bool,
    /// TCP with ECN to be cut.
    pub tso_ecn: bool,
    /// UDP to be cut.
    pub uso: bool,
    /// What is to be cut inside a UDP tunnel (VXLAN, Geneve), described by a [`Tunnel`].
    pub udp_tunnel: bool,
}

/// Where the headers of a UDP tunnel are whose inner segments are to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The outer UDP header, in bytes from the destination address.
    pub outer_transport: u16,
    /// The inner IP header, in bytes from there.
    pub inner_network: u16,
    /// Whether the outer IP is version 6.
    pub outer_ipv6: bool,
    /// Whether the outer UDP header has a checksum.
    pub outer_checksum: bool,
}

impl Offload {
    /// Whether there is nothing to finish.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.needs_csum && self.gso == GsoType::None
    }

    /// Decodes the first ten bytes of a header in little-endian order, as all our ports use it.
    ///
    /// # Errors
    /// [`OffloadFault::UnknownGsoType`]; nothing is checked against the frame yet.
    #[inline]
    pub fn decode(bytes: &[u8; SHORT_HEADER]) -> Result<Self, OffloadFault> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let gso = match bytes[1] & !GSO_ECN {
            0 => GsoType::None,
            1 => GsoType::Tcp4,
            4 => GsoType::Tcp6,
            5 => GsoType::Udp,
            _ => return Err(OffloadFault::UnknownGsoType),
        };
        Ok(Self {
            needs_csum: bytes[0] & NEEDS_CSUM != 0,
            data_valid: bytes[0] & DATA_VALID != 0,
            gso,
            ecn: bytes[1] & GSO_ECN != 0,
            hdr_len: u16_at(2),
            gso_size: u16_at(4),
            csum_start: u16_at(6),
            csum_offset: u16_at(8),
        })
    }

    /// The header as twelve little-endian bytes (`num_buffers` 0); a port that uses the short form
    /// sends the first ten.
    #[must_use]
    pub fn encode(&self) -> [u8; LONG_HEADER] {
        let mut out = [0; LONG_HEADER];
        out[0] = if self.needs_csum { NEEDS_CSUM } else { 0 } | if self.data_valid { DATA_VALID } else { 0 };
        out[1] = match self.gso {
            GsoType::None => 0,
            GsoType::Tcp4 => 1,
            GsoType::Tcp6 => 4,
            GsoType::Udp => 5,
        } | if self.ecn { GSO_ECN } else { 0 };
        out[2..4].copy_from_slice(&self.hdr_len.to_le_bytes());
        out[4..6].copy_from_slice(&self.gso_size.to_le_bytes());
        out[6..8].copy_from_slice(&self.csum_start.to_le_bytes());
        out[8..10].copy_from_slice(&self.csum_offset.to_le_bytes());
        out
    }

    /// The header in its longest form, for a port that takes UDP tunnels to be cut. `tunnel` and the header
    /// count from the same byte.
    #[must_use]
    pub fn encode_with_tunnel(&self, tunnel: Option<Tunnel>) -> [u8; TUNNEL_HEADER] {
        let mut out = [0; TUNNEL_HEADER];
        out[..LONG_HEADER].copy_from_slice(&self.encode());
        if let Some(tunnel) = tunnel {
            out[0] |= if tunnel.outer_checksum { TUNNEL_CSUM } else { 0 };
            out[1] |= if tunnel.outer_ipv6 { GSO_TUNNEL_IPV6 } else { GSO_TUNNEL_IPV4 };
            out[20..22].copy_from_slice(&tunnel.outer_transport.to_le_bytes());
            out[22..24].copy_from_slice(&tunnel.inner_network.to_le_bytes());
        }
        out
    }

    /// Decodes the first ten bytes of a header in its longest form. Where the headers of a tunnel are it
    /// does not say: whoever cuts the frame looks for itself.
    ///
    /// # Errors
    /// As [`Offload::decode`].
    #[inline]
    pub fn decode_with_tunnel(bytes: &[u8; SHORT_HEADER]) -> Result<Self, OffloadFault> {
        let mut bytes = *bytes;
        bytes[1] &= !(GSO_TUNNEL_IPV4 | GSO_TUNNEL_IPV6);
        Self::decode(&bytes)
    }

    /// The same header for a frame whose outer tag was put in line.
    #[must_use]
    pub fn with_tag_in_line(mut self) -> Self {
        if !self.is_plain() {
            self.csum_start = self.csum_start.saturating_add(TAG_LEN as u16);
            self.hdr_len = self.hdr_len.saturating_add(TAG_LEN as u16);
        }
        self
    }

    /// The same header for a frame whose in-line outer tag was lifted out; `None` if it points into
    /// the bytes that are gone.
    #[must_use]
    pub fn with_tag_lifted(mut self) -> Option<Self> {
        if !self.is_plain() {
            self.csum_start = self.csum_start.checked_sub(TAG_LEN as u16)?;
            self.hdr_len = self.hdr_len.saturating_sub(TAG_LEN as u16);
        }
        Some(self)
    }

    /// Whether the header can be true of a frame of `len` bytes (outer tag not counted).
    ///
    /// # Errors
    /// The [`OffloadFault`]s that need no look at the frame's headers.
    #[inline]
    pub fn check(&self, len: usize) -> Result<(), OffloadFault> {
        if self.is_plain() {
            return Ok(());
        }
        if self.gso != GsoType::None {
            if self.gso_size == 0 {
                return Err(OffloadFault::ZeroGsoSize);
            }
            if !self.needs_csum {
                return Err(OffloadFault::TypeDoesNotFit);
            }
        }
        let field = usize::from(self.csum_start) + usize::from(self.csum_offset);
        if usize::from(self.csum_start) < crate::ETHERNET_HEADER || field + 2 > len {
            return Err(OffloadFault::ChecksumBeyondFrame);
        }
        Ok(())
    }
}
