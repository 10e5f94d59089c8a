//! The frames of one turn of the worker, in one arena that stays in the cache.
//!
//! Frames lie one behind the other, each cache-line aligned, so 64 small frames touch 8 KiB and a turn
//! of 64 KiB segments ends after two. (A 1514-byte copy from a pool larger than the cache costs 15
//! times more.) Nothing is allocated after [`Batch::new`].

use frame::offload::{LONG_HEADER, SHORT_HEADER};
use frame::{Frame, FrameFault, MAX_FRAME, Offload, Tag};

/// Frames of one turn at most. 64 amortise the poll; more only add latency.
pub const MAX_BATCH: usize = 64;

/// Room that a receive call must find: the longest frame and its offload header.
pub const ROOM: usize = LONG_HEADER + MAX_FRAME;

/// Bytes of the arena for frames: a turn ends when less than [`ROOM`] is left.
const ARENA: usize = 3 * 65_536;

const CACHE_LINE: usize = 64;

/// An offload header that asks for nothing.
const NO_OFFLOAD: [u8; LONG_HEADER] = [0; LONG_HEADER];

/// How an offload header begins that asks for nothing: its flags and its GSO type.
const NOTHING_TO_FINISH: [u8; 2] = [0, 0];

#[derive(Clone, Copy, Debug)]
struct Slot {
    start: u32,
    end: u32,
    header: u8,
    tag: Option<Tag>,
}

/// Received frames, in order of arrival.
#[derive(Debug)]
pub struct Batch {
    arena: Box<[u8]>,
    /// Where the first frame is received to: so that behind an offload header of 12 bytes the frame itself
    /// begins a cache line, and a short one has all of it.
    origin: usize,
    used: usize,
    slots: Vec<Slot>,
    truncated: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch with all the memory that it will ever use.
    #[must_use]
    pub fn new() -> Self {
        let arena = vec![0_u8; ARENA + 2 * CACHE_LINE].into_boxed_slice();
        let origin = arena.as_ptr().align_offset(CACHE_LINE).min(CACHE_LINE) + CACHE_LINE - LONG_HEADER;
        Self { arena, origin, used: origin, slots: Vec::with_capacity(MAX_BATCH), truncated: 0 }
    }

    /// Forgets all frames.
    #[inline]
    pub fn clear(&mut self) {
        self.slots.clear();
        self.used = self.origin;
    }

    /// Number of frames.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// [`ROOM`] bytes to receive the next frame into, offload header first; `None` when the batch is full.
    #[inline]
    pub fn room(&mut self) -> Option<&mut [u8]> {
        if self.slots.len() == MAX_BATCH {
            return None;
        }
        self.arena.get_mut(self.used..self.used + ROOM)
    }

    /// Keeps what was received into [`Batch::room`]: `len` bytes, of which the first `header` (0, 10 or
    /// 12) are the offload header in wire form, and a tag that the kernel took out.
    #[inline]
    pub fn push(&mut self, len: usize, header: usize, tag: Option<Tag>) {
        debug_assert!(len <= ROOM && self.slots.len() < MAX_BATCH);
        let end = self.used + len;
        self.slots.push(Slot { start: self.used as u32, end: end as u32, header: header as u8, tag });
        self.used += len.next_multiple_of(CACHE_LINE);
    }

    /// Appends a frame of which nothing is to be finished, as it is to be sent behind a long offload
    /// header: its tag in line. False if something is to be finished, or the batch is full.
    pub fn append(&mut self, frame: &Frame<'_>) -> bool {
        let pieces = frame.pieces();
        if !pieces.offload.is_plain() {
            return false;
        }
        let Some(room) = self.room() else { return false };
        let tag = pieces.tag.unwrap_or_default();
        let tag = if pieces.tag.is_some() { &tag[..] } else { &[] };
        let mut end = 0;
        for piece in [&NO_OFFLOAD[..], pieces.head, tag, pieces.rest] {
            let Some(place) = room.get_mut(end..end + piece.len()) else { return false };
            place.copy_from_slice(piece);
            end += piece.len();
        }
        self.push(end, LONG_HEADER, None);
        true
    }

    /// Counts a frame that was longer than [`ROOM`] and is lost.
    pub fn count_truncated(&mut self) {
        self.truncated += 1;
    }

    /// Frames lost as longer than [`ROOM`] since the last call.
    pub fn take_truncated(&mut self) -> u64 {
        std::mem::take(&mut self.truncated)
    }

    /// Bytes of frame `index` on the wire as received, offload header not counted.
    #[inline]
    #[must_use]
    pub fn wire_len(&self, index: usize) -> usize {
        let slot = self.slots[index];
        (slot.end - slot.start) as usize - usize::from(slot.header).min((slot.end - slot.start) as usize)
            + if slot.tag.is_some() { frame::vlan::TAG_LEN } else { 0 }
    }

    /// Frame `index` with its offload header, where both stand in memory as they are to be sent behind a
    /// header of `header` bytes, and nothing of the frame is to be finished. `None` where that is not so
    /// or has to be looked at: then [`Batch::frame`] says more.
    #[inline]
    #[must_use]
    pub fn as_received(&self, index: usize, header: usize) -> Option<&[u8]> {
        let slot = self.slots.get(index)?;
        let received = self.arena.get(slot.start as usize..slot.end as usize)?;
        let plain = slot.header == 0 || received.starts_with(&NOTHING_TO_FINISH);
        match header {
            _ if slot.tag.is_some() || !plain => None,
            0 => received.get(usize::from(slot.header)..),
            _ => (usize::from(slot.header) == header).then_some(received),
        }
    }

    /// The bytes of frame `index` without its offload header, and the tag that is not among them, whatever
    /// is wrong with it.
    #[must_use]
    pub fn bytes(&self, index: usize) -> (&[u8], Option<Tag>) {
        let Some(slot) = self.slots.get(index) else { return (&[], None) };
        let bytes = self.arena.get(slot.start as usize + usize::from(slot.header)..slot.end as usize);
        (bytes.unwrap_or_default(), slot.tag)
    }

    /// Frame `index`, through the one gate.
    ///
    /// # Errors
    /// What [`Frame::parse`] says of it.
    ///
    /// # Panics
    /// If `index` is not below [`Batch::len`].
    #[inline]
    pub fn frame(&self, index: usize) -> Result<Frame<'_>, FrameFault> {
        let slot = self.slots[index];
        let received = &self.arena[slot.start as usize..slot.end as usize];
        let offload = match received.first_chunk::<SHORT_HEADER>() {
            _ if slot.header == 0 => Offload::default(),
            None => return Err(FrameFault::Runt),
            // As of most frames: the rest of the header means nothing.
            Some(header) if header.starts_with(&NOTHING_TO_FINISH) => Offload::default(),
            Some(header) => Offload::decode(header).map_err(FrameFault::Offload)?,
        };
        Frame::parse(received, usize::from(slot.header), slot.tag, offload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_memory_is_bounded() {
        let mut batch = Batch::new();
        let mut pushed = 0;
        while let Some(room) = batch.room() {
            room[..LONG_HEADER].fill(0);
            room[LONG_HEADER..LONG_HEADER + 60].fill(pushed);
            batch.push(LONG_HEADER + 60, LONG_HEADER, None);
            pushed += 2;
        }
        assert_eq!(batch.len(), MAX_BATCH);
        for index in 0..MAX_BATCH {
            let frame = batch.frame(index).unwrap();
            assert_eq!((frame.source().0[0], frame.wire_len()), (2 * index as u8, 60));
            assert_eq!(batch.bytes(index), (&[2 * index as u8; 60][..], None));
        }
        batch.clear();
        while let Some(room) = batch.room() {
            let len = room.len();
            batch.push(len, LONG_HEADER, None);
        }
        assert_eq!(batch.len(), 2);
    }
}
