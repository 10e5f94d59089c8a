//! The checked view of one frame in flight: parsed once, infallible after.
//!
//! A [`Frame`] borrows the bytes as they were received and keeps the outer VLAN tag and the offload
//! header beside them as values. Pushing, popping or rewriting the tag changes only the values; what
//! is written is then gathered from three slices, and the payload is never moved.

use crate::offload::LONG_HEADER;
use crate::vlan::{TAG_LEN, TagBytes};
use crate::{ETHERNET_HEADER, EtherType, MacAddr, Offload, OffloadFault, Tag};

/// Bytes of the two addresses.
pub(crate) const ADDRESSES: usize = 12;

/// Why bytes are not a frame. Each is a named drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// Fewer than 14 bytes.
    Runt,
    /// The offload header can't be true.
    Offload(OffloadFault),
}

/// A frame as the bridge sees it. Cheap to copy: it borrows the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// As received: the offload header in its wire form (0, 10 or 12 bytes), then the frame.
    received: &'a [u8],
    /// Where the destination address starts in `received`.
    start: u8,
    /// Where the EtherType behind the outer tag starts, from the destination address: 12 or 16.
    rest: u8,
    /// Whether `received` as it stands is no longer what is to be sent.
    edited: bool,
    tag: Option<Tag>,
    /// A tag of another TPID that `tag` was pushed on top of.
    under: Option<Tag>,
    offload: Offload,
    /// Bytes of the frame behind `received` that lie elsewhere.
    beyond: u32,
}

/// The slices to write, in order; all but the first may be empty.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a> {
    /// Destination and source address; or the whole frame if it stands in memory as it is to be sent.
    pub head: &'a [u8],
    /// The tags that are not in line, in their wire form.
    pub tags: TagBytes,
    /// EtherType and payload.
    pub rest: &'a [u8],
    /// The offload header that is true of these pieces put together.
    pub offload: Offload,
}

impl<'a> Frame<'a> {
    /// The one gate from bytes to a frame.
    ///
    /// `received` holds `header` bytes (0, 10 or 12) of offload header in wire form and then the frame;
    /// `tag` is an outer tag that the kernel has taken out of the bytes already. An outer tag in line is
    /// lifted, and `offload` (true of the bytes) follows. A frame whose tag is cut short is untagged.
    ///
    /// # Errors
    /// A [`FrameFault`] says what is wrong with it.
    #[inline]
    pub fn parse(
        received: &'a [u8],
        header: usize,
        tag: Option<Tag>,
        offload: Offload,
    ) -> Result<Self, FrameFault> {
        Self::parse_beginning(received, 0, header, tag, offload)
    }

    /// [`Frame::parse`] of a frame of which `received` is only the beginning: all its headers, at least. So many bytes
    /// `beyond` that lie elsewhere; who sends the frame sends them behind its pieces.
    ///
    /// # Errors
    /// As [`Frame::parse`].
    #[inline]
    pub fn parse_beginning(
        received: &'a [u8],
        beyond: u32,
        header: usize,
        tag: Option<Tag>,
        offload: Offload,
    ) -> Result<Self, FrameFault> {
        let Some(bytes) = received.get(header..).filter(|bytes| bytes.len() >= ETHERNET_HEADER) else {
            return Err(FrameFault::Runt);
        };
        let mut frame = Self {
            received,
            start: header as u8,
            rest: ADDRESSES as u8,
            edited: tag.is_some(),
            tag,
            under: None,
            offload,
            beyond,
        };
        if tag.is_none() {
            frame.lift(bytes)?;
        }
        frame.offload.check(frame.untagged_len()).map_err(FrameFault::Offload)?;
        Ok(frame)
    }

    /// A part of this frame that we have made: `received` holds `offload` in its long form and then the frame,
    /// 14 bytes at least, without the tags that this one has out of line.
    #[inline]
    pub(crate) fn made<'b>(&self, received: &'b [u8], offload: Offload) -> Frame<'b> {
        debug_assert!(received.len() >= LONG_HEADER + ETHERNET_HEADER);
        Frame {
            received,
            start: LONG_HEADER as u8,
            rest: ADDRESSES as u8,
            edited: self.tag.is_some(),
            tag: self.tag,
            under: self.under,
            offload,
            beyond: 0,
        }
    }

    #[inline]
    fn lift(&mut self, bytes: &[u8]) -> Result<(), FrameFault> {
        if !EtherType::from_bytes([bytes[12], bytes[13]]).is_vlan() || bytes.len() < ETHERNET_HEADER + TAG_LEN
        {
            return Ok(());
        }
        self.tag = Tag::from_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        self.rest = (ADDRESSES + TAG_LEN) as u8;
        self.offload =
            self.offload.with_tag_lifted().ok_or(FrameFault::Offload(OffloadFault::ChecksumBeyondFrame))?;
        Ok(())
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        &self.received[usize::from(self.start)..]
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> MacAddr {
        let b = self.bytes();
        MacAddr([b[0], b[1], b[2], b[3], b[4], b[5]])
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn source(&self) -> MacAddr {
        let b = self.bytes();
        MacAddr([b[6], b[7], b[8], b[9], b[10], b[11]])
    }

    /// The EtherType behind the outer tag.
    #[inline]
    #[must_use]
    pub fn ethertype(&self) -> EtherType {
        let b = self.rest();
        EtherType::from_bytes([b[0], b[1]])
    }

    /// The outer tag, wherever it was on arrival.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// Gives the frame another outer tag, or none. The payload stays where it is.
    #[inline]
    pub fn set_tag(&mut self, tag: Option<Tag>) {
        self.edited |= tag != self.tag;
        self.tag = tag;
    }

    /// Gives the frame `tci` behind `tpid` as its outer tag, or none of that TPID. A tag of another TPID is
    /// payload to whoever does this: it stays, beneath the new one. The payload stays where it is. Only the
    /// last step before a frame is sent: once only.
    #[inline]
    pub fn retag(&mut self, tpid: EtherType, tci: Option<u16>) {
        let tag = tci.map(|tci| Tag { tpid, tci });
        match self.tag {
            Some(own) if own.tpid != tpid => {
                if tag.is_some() {
                    (self.tag, self.under, self.edited) = (tag, self.tag, true);
                }
            }
            _ => self.set_tag(tag),
        }
    }

    /// The offload header, offsets as on the wire without the tags that are out of line.
    #[inline]
    #[must_use]
    pub fn offload(&self) -> &Offload {
        &self.offload
    }

    /// Destination and source address, 12 bytes.
    #[inline]
    #[must_use]
    pub fn addresses(&self) -> &'a [u8] {
        &self.bytes()[..ADDRESSES]
    }

    /// Bytes of it that are not here, but elsewhere ([`Frame::parse_beginning`]).
    #[inline]
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.beyond as usize
    }

    /// EtherType behind the outer tag, and payload, as far as it is here.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes()[usize::from(self.rest)..]
    }

    /// Length on the wire without the tags that are out of line, in bytes.
    #[inline]
    #[must_use]
    pub fn untagged_len(&self) -> usize {
        self.bytes().len() + self.beyond() - usize::from(self.rest) + ADDRESSES
    }

    /// Length on the wire, in bytes.
    #[inline]
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let tag_len = |tag: Option<Tag>| if tag.is_some() { TAG_LEN } else { 0 };
        self.untagged_len() + tag_len(self.tag) + tag_len(self.under)
    }

    /// Header and frame in one slice, if they stand in memory as they are to be sent behind an offload
    /// header of `header` bytes, which of no bytes says nothing: the quick way out for most frames. Not one of which a
    /// part lies elsewhere.
    #[inline]
    #[must_use]
    pub fn verbatim(&self, header: usize) -> Option<&'a [u8]> {
        match header {
            _ if self.edited || self.beyond > 0 => None,
            0 => Some(self.bytes()),
            _ => (usize::from(self.start) == header).then_some(self.received),
        }
    }

    /// The frame to send, gathered from at most three slices; what lies elsewhere comes behind them.
    #[inline]
    #[must_use]
    pub fn pieces(&self) -> Pieces<'a> {
        let mut offload = self.offload;
        for _ in [self.tag, self.under].into_iter().flatten() {
            offload = offload.with_tag_in_line();
        }
        if self.edited {
            return Pieces {
                head: self.addresses(),
                tags: TagBytes::of([self.tag, self.under]),
                rest: self.rest(),
                offload,
            };
        }
        Pieces { head: self.bytes(), tags: TagBytes::default(), rest: &[], offload }
    }

    /// The frame to send as one allocation, as far as it is here. For tests and slow paths.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let pieces = self.pieces();
        let mut out = pieces.head.to_vec();
        out.extend_from_slice(pieces.tags.as_slice());
        out.extend_from_slice(pieces.rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GsoType;

    fn bytes(tail: &[u8]) -> Vec<u8> {
        let mut out = vec![0xff; 6];
        out.extend([2, 0, 0, 0, 0, 1]);
        out.extend(tail);
        out
    }

    #[test]
    fn an_untagged_frame_goes_out_as_it_came() {
        let raw = bytes(&[0x08, 0x00, 1, 2, 3]);
        let frame = Frame::parse(&raw, 0, None, Offload::default()).unwrap();
        assert!(frame.destination().is_broadcast());
        assert_eq!(frame.source().to_string(), "02:00:00:00:00:01");
        assert_eq!((frame.ethertype(), frame.tag()), (EtherType::IPV4, None));
        assert_eq!(frame.verbatim(0), Some(&raw[..]));
        assert_eq!(frame.verbatim(12), None);
        assert_eq!(frame.to_vec(), raw);
    }

    #[test]
    fn a_tag_in_line_is_lifted_and_the_frame_still_goes_out_as_it_came() {
        let raw = bytes(&[0x81, 0x00, 0xa0, 0x64, 0x08, 0x00, 9]);
        let frame = Frame::parse(&raw, 0, None, Offload::default()).unwrap();
        assert_eq!(frame.tag().map(Tag::vid), Some(100));
        assert_eq!(frame.ethertype(), EtherType::IPV4);
        assert_eq!((frame.untagged_len(), frame.wire_len()), (15, 19));
        assert_eq!(frame.verbatim(0), Some(&raw[..]));
        assert_eq!(frame.to_vec(), raw);
    }

    #[test]
    fn what_lies_elsewhere_counts_and_is_not_sent_as_if_it_were_here() {
        let raw = bytes(&[0x81, 0x00, 0xa0, 0x64, 0x08, 0x00, 9]);
        let frame = Frame::parse_beginning(&raw, 1000, 0, None, Offload::default()).unwrap();
        assert_eq!((frame.untagged_len(), frame.wire_len(), frame.beyond()), (1015, 1019, 1000));
        assert_eq!((frame.verbatim(0), frame.pieces().head), (None, &raw[..]));
        let sums = Offload { needs_csum: true, csum_start: 900, csum_offset: 6, ..Offload::default() };
        assert!(Frame::parse_beginning(&raw, 1000, 0, None, sums).is_ok());
        assert!(Frame::parse_beginning(&raw, 800, 0, None, sums).is_err());
    }

    #[test]
    fn a_tag_out_of_line_is_put_back_between_addresses_and_ethertype() {
        let raw = bytes(&[0x81, 0x00, 0x00, 0x05, 0x08, 0x00, 9]);
        let outer = Tag { tpid: EtherType::SERVICE_VLAN, tci: 0x2007 };
        let frame = Frame::parse(&raw, 0, Some(outer), Offload::default()).unwrap();
        assert_eq!(frame.ethertype(), EtherType::VLAN);
        assert_eq!(frame.verbatim(0), None);
        assert_eq!(frame.to_vec(), bytes(&[0x88, 0xa8, 0x20, 0x07, 0x81, 0x00, 0x00, 0x05, 0x08, 0x00, 9]));
    }

    #[test]
    fn the_offload_offsets_follow_the_tag_both_ways() {
        let offload = Offload { needs_csum: true, csum_start: 38, csum_offset: 16, ..Offload::default() };
        let mut raw = bytes(&[0x81, 0x00, 0x00, 0x05, 0x08, 0x00]);
        raw.resize(80, 0);
        let mut frame = Frame::parse(&raw, 0, None, offload).unwrap();
        assert_eq!(frame.offload().csum_start, 34);
        assert_eq!(frame.pieces().offload.csum_start, 38);
        frame.set_tag(None);
        assert_eq!(frame.pieces().offload.csum_start, 34);
        assert_eq!(frame.to_vec().len(), 76);
    }

    #[test]
    fn a_tag_is_pushed_changed_and_popped_and_one_of_another_tpid_is_payload() {
        let (customer, service) = ([0x81, 0x00, 0x60, 0x05], [0x88, 0xa8, 0x20, 0x07]);
        let rest = [&[0x08, 0x00][..], &[9; 60]].concat();
        let with = |tags: &[[u8; 4]]| bytes(&[&tags.concat()[..], &rest].concat());
        let needs = |csum_start| Offload {
            needs_csum: true,
            hdr_len: csum_start + 8,
            csum_start,
            csum_offset: 6,
            ..Offload::default()
        };
        for (came, tpid, tci, goes) in [
            (&[][..], EtherType::VLAN, None, &[][..]),
            (&[], EtherType::VLAN, Some(0x6005), &[customer]),
            (&[customer], EtherType::VLAN, Some(0x6005), &[customer]),
            (&[customer], EtherType::VLAN, None, &[]),
            (&[customer], EtherType::SERVICE_VLAN, Some(0x2007), &[service, customer]),
            (&[customer], EtherType::SERVICE_VLAN, None, &[customer]),
            (&[service, customer], EtherType::SERVICE_VLAN, None, &[customer]),
            (&[service, customer], EtherType::VLAN, Some(0x6005), &[customer, service, customer]),
        ] {
            let start = |tags: &[[u8; 4]]| needs(34 + 4 * tags.len() as u16);
            let raw = with(came);
            // The outer tag in line, and taken out of the bytes by the kernel.
            let mut frames = vec![Frame::parse(&raw, 0, None, start(came)).unwrap()];
            let stripped = with(came.get(1..).unwrap_or_default());
            if let Some(outer) = came.first() {
                let tag = Tag::from_bytes(*outer);
                frames.push(Frame::parse(&stripped, 0, tag, start(&came[1..])).unwrap());
            }
            for mut frame in frames {
                frame.retag(tpid, tci);
                assert_eq!(frame.to_vec(), with(goes), "{came:02x?} {tpid} {tci:?}");
                assert_eq!(frame.wire_len(), with(goes).len());
                assert_eq!(frame.pieces().offload, start(goes), "{came:02x?} {tpid} {tci:?}");
            }
        }
        // Nothing has changed: it still stands in memory as it is to be sent.
        let raw = with(&[customer]);
        let mut frame = Frame::parse(&raw, 0, None, Offload::default()).unwrap();
        frame.retag(EtherType::VLAN, Some(0x6005));
        assert_eq!(frame.verbatim(0), Some(&raw[..]));
    }

    #[test]
    fn a_tag_that_is_cut_short_is_payload() {
        let raw = bytes(&[0x81, 0x00, 0x00, 0x05, 0x08]);
        let frame = Frame::parse(&raw, 0, None, Offload::default()).unwrap();
        assert_eq!((frame.tag(), frame.ethertype()), (None, EtherType::VLAN));
        assert_eq!(frame.to_vec(), raw);
    }

    #[test]
    fn lies_in_the_offload_header_are_refused() {
        let raw = bytes(&[0u8; 60]);
        let base = Offload { needs_csum: true, csum_start: 34, csum_offset: 16, ..Offload::default() };
        let parse = |offload| Frame::parse(&raw, 0, None, offload).map(|_| ());
        assert_eq!(parse(base), Ok(()));
        for (offload, fault) in [
            (Offload { csum_start: 71, ..base }, OffloadFault::ChecksumBeyondFrame),
            (Offload { csum_start: 3, ..base }, OffloadFault::ChecksumBeyondFrame),
            (Offload { csum_offset: 65_535, csum_start: 65_535, ..base }, OffloadFault::ChecksumBeyondFrame),
            (Offload { gso: GsoType::Tcp4, ..base }, OffloadFault::ZeroGsoSize),
            (
                Offload { gso: GsoType::Tcp4, gso_size: 9, needs_csum: false, ..base },
                OffloadFault::TypeDoesNotFit,
            ),
        ] {
            assert_eq!(parse(offload), Err(FrameFault::Offload(fault)), "{offload:?}");
        }
        assert_eq!(Frame::parse(&raw[..13], 0, None, Offload::default()).map(|_| ()), Err(FrameFault::Runt));
    }
}
