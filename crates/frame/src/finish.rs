//! The one place where a frame that an egress can't take is finished in software: cut into segments,
//! and its checksums summed.
//!
//! An egress says by its [`Capabilities`] what it takes; [`Finisher::finish`] does the rest. A tunnel's
//! frame (VXLAN, Geneve, GRE, IP in IP) is reported by the kernel as the *inner* TCP or UDP, its
//! `csum_start` beyond the outer headers. An offload header can't say what is to become of those, so
//! nobody takes such a frame to be cut, and it is cut here.

use crate::checksum::Sum;
use crate::headers::{Headers, UDP_HEADER, tcp_header_len};
use crate::offload::LONG_HEADER;
use crate::segment::{Place, write_headers};
use crate::train::{MAX_DATAGRAMS, Train};
use crate::view::ADDRESSES;
use crate::{Capabilities, Frame, GsoType, MAX_FRAME, Offload, Tunnel};

/// Where a frame's EtherType stands in the scratch memory: behind an offload header, all zero, and the
/// two addresses.
const REST: usize = LONG_HEADER + ADDRESSES;

/// Segments of one frame at most. A 64 KiB frame of 32-byte segments stays below, far under any real
/// MSS; without a bound one frame with `gso_size` 1 would cost 65,000 system calls and delay every other
/// port.
pub const MAX_SEGMENTS: usize = 2048;

/// Why a frame can't be finished. Each is a named drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishFault {
    /// A header is cut short, or reaches beyond `csum_start`.
    Truncated,
    /// On the way to `csum_start` stands a header that we can't read: not IPv4, IPv6, a VLAN tag, VXLAN,
    /// Geneve, GRE or IP in IP; or more of them than anybody nests.
    UnknownHeader,
    /// A fragment of an IP packet, which no one may cut again.
    Fragment,
    /// The header at `csum_start`, or the checksum's place in it, is not of the GSO type.
    WrongType,
    /// Longer than [`MAX_FRAME`], or a segment longer than an IP header can say.
    TooLong,
    /// More than [`MAX_SEGMENTS`] segments.
    TooMany,
}

/// Why [`Finisher::finish`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishError<E> {
    /// The frame can't be finished; nothing was handed on.
    Malformed(FinishFault),
    /// The egress refused a finished frame; those before it were handed on.
    Egress(E),
}

impl<E> From<FinishFault> for FinishError<E> {
    fn from(fault: FinishFault) -> Self {
        Self::Malformed(fault)
    }
}

impl Capabilities {
    /// Whether `frame` may be handed over as it is; otherwise [`Finisher::finish`] it first.
    #[inline]
    #[must_use]
    pub fn takes(&self, frame: &Frame<'_>) -> bool {
        frame.offload().is_plain() || self.takes_unfinished(frame)
    }

    fn takes_unfinished(&self, frame: &Frame<'_>) -> bool {
        let offload = frame.offload();
        let ecn = self.tso_ecn || !offload.ecn;
        let wanted = match offload.gso {
            GsoType::None => return self.checksum,
            GsoType::Tcp4 => self.tso4 && ecn,
            GsoType::Tcp6 => self.tso6 && ecn,
            GsoType::Udp => self.uso,
        };
        wanted
            && Headers::of(frame).is_ok_and(|headers| {
                !headers.is_tunnel() || self.udp_tunnel && headers.udp_tunnel(frame.rest()).is_some()
            })
    }
}

/// Where the headers of the UDP tunnel are whose inner segments `frame` is to be cut into, in the frame as
/// [`Frame::pieces`] has it; `None` if that is not what it is.
#[must_use]
pub fn udp_tunnel(frame: &Frame<'_>) -> Option<Tunnel> {
    if frame.offload().gso == GsoType::None {
        return None;
    }
    let tunnel = Headers::of(frame).ok()?.udp_tunnel(frame.rest())?;
    // Those that are out of line and will stand before both.
    let tag = (frame.wire_len() - frame.untagged_len()) as u16;
    Some(Tunnel {
        outer_transport: tunnel.outer_transport.checked_add(tag)?,
        inner_network: tunnel.inner_network.checked_add(tag)?,
        ..tunnel
    })
}

/// The length of the longest segment that `frame` will be cut into, in bytes with the Ethernet header and
/// without the outer tag: what an egress' MTU judges. Of a frame that is not to be cut, its own length.
///
/// Never more than the frame's own length, whatever its offload header says.
#[inline]
#[must_use]
pub fn segment_len(frame: &Frame<'_>) -> usize {
    let offload = frame.offload();
    let start = usize::from(offload.csum_start);
    let header = match offload.gso {
        GsoType::None => return frame.untagged_len(),
        GsoType::Udp => UDP_HEADER,
        GsoType::Tcp4 | GsoType::Tcp6 => {
            let tcp = frame.rest().get(start.saturating_sub(ADDRESSES)..).unwrap_or_default();
            match tcp_header_len(tcp) {
                Ok(len) => len,
                Err(_) => return frame.untagged_len(),
            }
        }
    };
    (start + header + usize::from(offload.gso_size)).min(frame.untagged_len())
}

/// Finishes frames, one at a time, in memory that is allocated once.
#[derive(Debug)]
pub struct Finisher {
    /// An offload header of zeros ("nothing to finish"), then one frame.
    scratch: Box<[u8]>,
}

impl Default for Finisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Finisher {
    /// A finisher with all the memory that it will ever use.
    #[must_use]
    pub fn new() -> Self {
        Self { scratch: vec![0; LONG_HEADER + MAX_FRAME].into_boxed_slice() }
    }

    /// Cuts and sums `frame` until nothing is left to finish, and calls `each` for every frame that comes
    /// of it, in order: offload plain, the outer tag out of line as before. The number of them; at most
    /// one for each byte of payload.
    ///
    /// # Errors
    /// [`FinishError::Malformed`] before the first call of `each`; or what `each` said, at once.
    pub fn finish<E>(
        &mut self,
        frame: &Frame<'_>,
        mut each: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<usize, FinishError<E>> {
        if frame.offload().is_plain() {
            each(frame).map_err(FinishError::Egress)?;
            return Ok(1);
        }
        if frame.untagged_len() > MAX_FRAME {
            return Err(FinishFault::TooLong.into());
        }
        self.scratch[LONG_HEADER..REST].copy_from_slice(frame.addresses());
        match frame.offload().gso {
            GsoType::None => self.sum(frame, &mut each),
            _ => self.cut(frame, &mut each),
        }
    }

    /// As [`Finisher::finish`] for an egress of these capabilities: a tunnel's segments go out in trains
    /// that the egress can cut itself, where it can (`train.rs`).
    ///
    /// # Errors
    /// As [`Finisher::finish`].
    pub fn finish_for<E>(
        &mut self,
        capabilities: Capabilities,
        frame: &Frame<'_>,
        mut each: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<usize, FinishError<E>> {
        if frame.offload().gso != GsoType::None
            && frame.untagged_len() <= MAX_FRAME
            && let Ok(headers) = Headers::of(frame)
            && let Some(train) = Train::of(&headers, frame.rest(), capabilities)
        {
            self.scratch[LONG_HEADER..REST].copy_from_slice(frame.addresses());
            let result = self.cut_into_trains(frame, &headers, train, &mut each);
            self.scratch[..LONG_HEADER].fill(0);
            return result;
        }
        self.finish(frame, each)
    }

    /// Finishes the checksum of any protocol, as `skb_checksum_help` of the kernel does: the sum of all
    /// bytes from `csum_start` to the end, padding and all, of which the field holds the beginning.
    fn sum<E>(
        &mut self,
        frame: &Frame<'_>,
        each: &mut impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<usize, FinishError<E>> {
        let Offload { csum_start, csum_offset, .. } = *frame.offload();
        let end = REST + frame.rest().len();
        self.scratch[REST..end].copy_from_slice(frame.rest());

        let start = LONG_HEADER + usize::from(csum_start);
        let field = start + usize::from(csum_offset);
        let covered = self.scratch[..end].get(start..).ok_or(FinishFault::Truncated)?;
        let checksum = Sum::of(covered).checksum_not_zero();
        let place = self.scratch[..end].get_mut(field..field + 2).ok_or(FinishFault::Truncated)?;
        place.copy_from_slice(&checksum.to_be_bytes());
        self.hand_on(end, frame, Offload::default(), each)?;
        Ok(1)
    }

    fn cut<E>(
        &mut self,
        frame: &Frame<'_>,
        each: &mut impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<usize, FinishError<E>> {
        let headers = Headers::of(frame)?;
        let whole = frame.rest();
        let (head, payload) = whole.split_at(headers.end);
        let (size, count) = parts(&headers, frame, payload)?;
        self.scratch[REST..REST + head.len()].copy_from_slice(head);
        for index in 0..count {
            let offset = index * size;
            let part = &payload[offset..payload.len().min(offset + size)];
            let end = REST + head.len() + part.len();
            let segment = &mut self.scratch[REST..end];
            segment[head.len()..].copy_from_slice(part);
            write_headers(&headers, 0, whole, segment, Place { index, offset, last: index + 1 == count });
            self.hand_on(end, frame, Offload::default(), each)?;
        }
        Ok(count)
    }

    fn cut_into_trains<E>(
        &mut self,
        frame: &Frame<'_>,
        headers: &Headers,
        train: Train,
        each: &mut impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<usize, FinishError<E>> {
        let whole = frame.rest();
        let (head, payload) = whole.split_at(headers.end);
        let (size, count) = parts(headers, frame, payload)?;
        let (outer, inner) = head.split_at(train.payload());
        let datagram = inner.len() + size.min(payload.len());
        let room = usize::from(u16::MAX) - (outer.len() - headers.ip_start());
        let per_train = (room / datagram).clamp(1, MAX_DATAGRAMS);

        self.scratch[REST..REST + outer.len()].copy_from_slice(outer);
        for first in (0..count).step_by(per_train) {
            let mut end = REST + outer.len();
            for index in first..count.min(first + per_train) {
                let offset = index * size;
                let part = &payload[offset..payload.len().min(offset + size)];
                // As seen from here the headers stand where they stood in the whole.
                let segment = &mut self.scratch[end - outer.len()..end + inner.len() + part.len()];
                segment[outer.len()..head.len()].copy_from_slice(inner);
                segment[head.len()..].copy_from_slice(part);
                let place = Place { index, offset, last: index + 1 == count };
                write_headers(headers, Train::LAYERS, whole, segment, place);
                end += inner.len() + part.len();
            }
            let offload = train.close(whole, &mut self.scratch[REST..end], first, datagram);
            self.scratch[..LONG_HEADER].copy_from_slice(&offload.encode());
            self.hand_on(end, frame, offload, each)?;
        }
        Ok(count)
    }

    fn hand_on<E>(
        &self,
        end: usize,
        frame: &Frame<'_>,
        offload: Offload,
        each: &mut impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<(), FinishError<E>> {
        each(&frame.made(&self.scratch[..end], offload)).map_err(FinishError::Egress)
    }
}

/// Payload bytes of each segment, and the number of segments.
fn parts(headers: &Headers, frame: &Frame<'_>, payload: &[u8]) -> Result<(usize, usize), FinishFault> {
    let size = usize::from(frame.offload().gso_size).clamp(1, payload.len().max(1));
    if headers.end + size.min(payload.len()) - headers.ip_start() > usize::from(u16::MAX) {
        return Err(FinishFault::TooLong);
    }
    let count = payload.len().div_ceil(size).max(1);
    if count > MAX_SEGMENTS { Err(FinishFault::TooMany) } else { Ok((size, count)) }
}
