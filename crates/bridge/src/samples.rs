//! The heads of the last frames that were dropped, for whoever asks what they were: a few for each reason,
//! so that a storm of one does not push out the others, and only so many a second, so that a storm costs
//! no more than a look at a number.

use frame::Tag;

use crate::moment::{Moment, Span};
use crate::port::PortId;
use crate::reason::DropReason;

/// Bytes that are kept of a frame.
pub const SAMPLE_HEAD: usize = 128;

/// Frames that are kept for each reason.
const KEPT: usize = 16;

/// So many are taken in one period, for each reason.
const TAKEN: u8 = 16;
const PERIOD: Span = Span::from_secs(1);

/// Bytes of the two addresses, behind which a tag has its place.
const ADDRESSES: usize = 12;

/// A frame that was dropped, or one port's copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedFrame {
    /// When.
    pub at: Moment,
    /// Why.
    pub reason: DropReason,
    /// Where it came in.
    pub ingress: PortId,
    /// Where its copy was to go out, if only that was lost.
    pub egress: Option<PortId>,
    /// Its length in bytes, tag and all.
    pub wire_len: u32,
    len: u8,
    head: [u8; SAMPLE_HEAD],
}

impl DroppedFrame {
    /// Its first bytes, with its tag in their line.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.head.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Where and why a frame is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number in the batch.
    pub index: u16,
    /// Where its copy was to go out, if only that is lost.
    pub egress: Option<PortId>,
    /// Why.
    pub reason: DropReason,
}

/// What is there of a lost frame.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// Its first bytes, or all.
    pub bytes: &'a [u8],
    /// The tag that is not among them.
    pub tag: Option<Tag>,
    /// Its length in bytes, tag and all.
    pub wire_len: usize,
}

/// The last frames of one reason.
#[derive(Clone, Debug, Default)]
struct Ring {
    frames: Vec<DroppedFrame>,
    /// The oldest, once all places are used.
    next: usize,
    since: Moment,
    taken: u8,
}

/// The last frames of every reason. All memory is taken when it is made.
#[derive(Clone, Debug)]
pub struct DropSamples {
    rings: Box<[Ring]>,
}

impl Default for DropSamples {
    fn default() -> Self {
        Self::new()
    }
}

impl DropSamples {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        let ring = || Ring { frames: Vec::with_capacity(KEPT), ..Ring::default() };
        Self { rings: (0..DropReason::COUNT).map(|_| ring()).collect() }
    }

    /// Keeps the head of a lost frame if it is this reason's turn.
    #[inline]
    pub fn keep(&mut self, lost: Lost, ingress: PortId, beginning: Beginning<'_>, now: Moment) {
        let ring = &mut self.rings[lost.reason as usize];
        if ring.taken < TAKEN || now.since(ring.since) >= PERIOD {
            ring.take(lost, ingress, beginning, now);
        }
    }

    /// Forgets the frames of a port that is no more: another one will have its number.
    pub fn forget(&mut self, port: PortId) {
        for ring in &mut self.rings {
            ring.frames.retain(|frame| frame.ingress != port && frame.egress != Some(port));
            ring.next = 0;
        }
    }

    /// All that are kept, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &DroppedFrame> {
        self.rings.iter().flat_map(|ring| &ring.frames)
    }
}

impl Ring {
    #[cold]
    fn take(&mut self, lost: Lost, ingress: PortId, beginning: Beginning<'_>, now: Moment) {
        if now.since(self.since) >= PERIOD {
            (self.since, self.taken) = (now, 0);
        }
        self.taken += 1;
        let (len, head) = head(beginning.bytes, beginning.tag);
        let wire_len = u32::try_from(beginning.wire_len).unwrap_or(u32::MAX);
        let Lost { egress, reason, .. } = lost;
        let frame = DroppedFrame { at: now, reason, ingress, egress, wire_len, len, head };
        if self.frames.len() < KEPT {
            self.frames.push(frame);
        } else {
            self.frames[self.next] = frame;
            self.next = (self.next + 1) % KEPT;
        }
    }
}

/// The first bytes of a frame with its tag in its place, and how many they are.
fn head(bytes: &[u8], tag: Option<Tag>) -> (u8, [u8; SAMPLE_HEAD]) {
    let (addresses, rest) = bytes.split_at(ADDRESSES.min(bytes.len()));
    let tag = tag.map(Tag::to_bytes);
    let mut head = [0; SAMPLE_HEAD];
    let mut len = 0;
    for piece in [addresses, tag.as_ref().map_or(&[][..], |tag| tag), rest] {
        let taken = piece.len().min(SAMPLE_HEAD - len);
        head[len..len + taken].copy_from_slice(&piece[..taken]);
        len += taken;
    }
    (len as u8, head)
}

#[cfg(test)]
mod tests {
    use frame::EtherType;

    use super::*;

    const PORT: PortId = PortId(3);

    fn whole(bytes: &[u8]) -> Beginning<'_> {
        Beginning { bytes, tag: None, wire_len: bytes.len() }
    }

    fn lost(reason: DropReason) -> Lost {
        Lost { index: 0, egress: None, reason }
    }

    #[test]
    fn the_last_frames_of_each_reason_are_kept_whatever_storm_there_is_of_another() {
        let mut samples = DropSamples::new();
        samples.keep(lost(DropReason::Runt), PORT, whole(&[7; 5]), Moment(1));
        for second in 1..=9 {
            for _ in 0..1000 {
                samples.keep(
                    lost(DropReason::Locked),
                    PORT,
                    whole(&[second; 300]),
                    Moment(u64::from(second) * 1000),
                );
            }
        }
        let runt = samples.iter().find(|frame| frame.reason == DropReason::Runt).unwrap();
        assert_eq!((runt.head(), runt.wire_len, runt.at), (&[7; 5][..], 5, Moment(1)));
        let locked: Vec<_> = samples.iter().filter(|frame| frame.reason == DropReason::Locked).collect();
        assert_eq!(locked.len(), KEPT);
        assert!(locked.iter().all(|frame| frame.head() == [9; SAMPLE_HEAD] && frame.wire_len == 300));
    }

    #[test]
    fn few_a_second_are_taken_and_the_oldest_make_room() {
        let mut samples = DropSamples::new();
        for n in 0..20_u64 {
            samples.keep(lost(DropReason::Mtu), PORT, whole(&[n as u8; 60]), Moment(5_000 + n));
        }
        let firsts = |samples: &DropSamples| {
            let mut firsts: Vec<u8> = samples.iter().map(|frame| frame.head()[0]).collect();
            firsts.sort_unstable();
            firsts
        };
        assert_eq!(firsts(&samples), (0..16).collect::<Vec<_>>(), "the others came in the same second");
        samples.keep(lost(DropReason::Mtu), PORT, whole(&[100; 60]), Moment(6_500));
        assert_eq!(firsts(&samples), (1..16).chain([100]).collect::<Vec<_>>());
    }

    #[test]
    fn a_port_that_is_no_more_leaves_no_frames() {
        let mut samples = DropSamples::new();
        for n in 0..20 {
            let ingress = PortId(n % 2);
            samples.keep(lost(DropReason::Locked), ingress, whole(&[1; 60]), Moment(u64::from(n) * 1000));
        }
        samples.keep(
            Lost { egress: Some(PortId(1)), ..lost(DropReason::Mtu) },
            PortId(0),
            whole(&[1; 60]),
            Moment(0),
        );
        samples.forget(PortId(1));
        assert!(samples.iter().count() == 8 && samples.iter().all(|frame| frame.ingress == PortId(0)));
        samples.keep(lost(DropReason::Locked), PortId(0), whole(&[2; 60]), Moment(30_000));
        assert_eq!(samples.iter().count(), 9);
    }

    #[test]
    fn a_tag_stands_behind_the_addresses() {
        let mut samples = DropSamples::new();
        let tag = Tag { tpid: EtherType::VLAN, tci: 5 };
        // The rest of it is elsewhere.
        let tagged = |bytes| Beginning { bytes, tag: Some(tag), wire_len: 1000 };
        let bytes = [[1; 12].as_slice(), &[8, 6], &[2; 200]].concat();
        samples.keep(lost(DropReason::Isolated), PORT, tagged(&bytes), Moment(0));
        samples.keep(lost(DropReason::Isolated), PORT, tagged(&bytes[..10]), Moment(0));
        let frames: Vec<_> = samples.iter().collect();
        assert_eq!(frames[0].head()[..18], [[1; 12].as_slice(), &[0x81, 0, 0, 5], &[8, 6]].concat());
        assert_eq!((frames[0].head().len(), frames[0].wire_len), (SAMPLE_HEAD, 1000));
        assert_eq!(frames[1].head(), [[1; 10].as_slice(), &[0x81, 0, 0, 5]].concat());
    }
}
