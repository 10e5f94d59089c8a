//! The frames of one turn of the worker, in one arena that stays in the cache.
//!
//! Frames lie one behind the other, each cache-line aligned, so 64 small frames touch 8 KiB and a turn
//! of 64 KiB segments ends after two. (A 1514-byte copy from a pool larger than the cache costs 15
//! times more.) Where many are received at once, before their lengths are known, each has a room for the longest.
//! Nothing is allocated after [`Batch::new`].
//!
//! Of a frame that is lent ([`crate::lent`]) only the beginning lies here, and there is room for the rest.
//!
//! The arena is memory of this process alone, or such as outlives it ([`crate::in_hand`]).

use std::io;
use std::os::fd::AsFd;

use frame::offload::{SHORT_HEADER, TUNNEL_HEADER};
use frame::{Frame, FrameFault, MAX_FRAME, Offload, Tag};

use crate::CACHE_LINE;
use crate::in_hand::{InHand, Note, Notes};
use crate::lent::{Lender, MAX_PIECES, Piece, Tail};
use crate::sys::pages::Pages;

/// Frames of one turn at most. 64 amortise the poll; more only add latency.
pub const MAX_BATCH: usize = 64;

/// Room that a receive call must find, behind the offload header: the longest frame.
pub const ROOM: usize = MAX_FRAME;

/// Bytes of a turn of long frames: it ends when less than [`ROOM`] is left of them.
pub(crate) const LONG_TURN: usize = 3 * 65_536;

/// From one of [`Batch::rooms`] to the next. Three cache lines more than a multiple of a page, so that the
/// beginnings of frames do not push each other out of the cache. Only memory that frames fill is ever touched.
pub(crate) const STRIDE: usize = (HEADROOM + ROOM).next_multiple_of(4096) + 3 * CACHE_LINE;

/// Bytes of all rooms; what is before and behind them is one cache line each.
pub(crate) const MEMORY: usize = MAX_BATCH * STRIDE + 2 * CACHE_LINE;

/// Where the first frame goes, its offload header before it. All frames begin a cache line, so that of a short one all
/// is in the same.
const ORIGIN: usize = CACHE_LINE;

/// Bytes before each frame that belong to it: the longest offload header.
const HEADROOM: usize = TUNNEL_HEADER;

/// What is to be finished of a frame whose header begins so: nothing.
const NOTHING: [u8; 2] = [0, 0];
/// The same, and the checksum was found right.
const CHECKED: [u8; 2] = [2, 0];

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Where the offload header starts.
    start: u32,
    end: u32,
    header: u8,
    /// All of the headroom is zeros, so that the frame stands behind an empty header of every length.
    blank: bool,
    tag: Option<Tag>,
    /// Bytes of the frame that are lent, the number of their first piece, and how many pieces they lie in.
    beyond: u32,
    piece: u16,
    pieces: u16,
}

impl Slot {
    fn frame(&self) -> usize {
        self.start as usize + usize::from(self.header)
    }

    /// What of it is lent, where all pieces are these.
    #[inline]
    fn tail<'a>(&self, lender: &'a Lender, pieces: &'a [Piece]) -> Tail<'a> {
        let first = usize::from(self.piece);
        Tail::new(lender, pieces.get(first..first + usize::from(self.pieces)).unwrap_or_default())
    }
}

/// Received frames, in order of arrival.
#[derive(Debug)]
pub struct Batch {
    pages: Pages,
    /// Where the next one goes.
    next: usize,
    /// Bytes that the frames take.
    filled: usize,
    slots: Vec<Slot>,
    truncated: u64,
    /// Whose memory the pieces lie in.
    lender: Option<Lender>,
    pieces: Vec<Piece>,
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
        Self::of(Pages::private(MEMORY))
    }

    /// One in memory that outlives the process, of which the first thing to do is [`Batch::take_up`].
    ///
    /// # Errors
    /// As `mmap(2)`.
    pub fn in_hand(memory: &InHand) -> io::Result<Self> {
        Ok(Self::of(Pages::shared(memory.as_fd(), MEMORY)?))
    }

    fn of(pages: Pages) -> Self {
        let slots = Vec::with_capacity(MAX_BATCH);
        let pieces = Vec::with_capacity(MAX_BATCH * MAX_PIECES);
        Self { pages, next: ORIGIN, filled: 0, slots, truncated: 0, lender: None, pieces }
    }

    /// Takes up the frames that an earlier process had in hand when it ended, and says by which port they came in:
    /// those of which it has not begun to hand on a copy.
    pub fn take_up(&mut self) -> u16 {
        let (ingress, left) = self.notes().left();
        self.clear();
        for note in left {
            let room = note.start as usize..note.end as usize;
            if note.start as usize >= ORIGIN - HEADROOM
                && usize::from(note.header) <= HEADROOM
                && self.pages.bytes().get(room).is_some()
            {
                self.keep(note, 0);
            }
        }
        ingress
    }

    /// The frames to come are those of this port, by a number of the caller's.
    #[inline]
    pub fn come_in_by(&mut self, ingress: u16) {
        self.notes().come_in_by(ingress);
    }

    /// Forgets all frames, which is to be done as soon as they are handed on.
    #[inline]
    pub fn clear(&mut self) {
        self.notes().clear();
        self.slots.clear();
        (self.next, self.filled) = (ORIGIN, 0);
        if self.lender.take().is_some() {
            self.pieces.clear();
        }
    }

    /// Notes that from now on nobody is to hand on a copy of frame `index` in this process's place.
    #[inline]
    pub fn strike_off(&self, index: usize) {
        self.notes().strike_off(index);
    }

    fn notes(&self) -> Notes<'_> {
        Notes(self.pages.words())
    }

    #[cfg(test)]
    pub(crate) fn words(&self) -> &[std::sync::atomic::AtomicU32] {
        self.pages.words()
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

    /// Where to receive the next frame behind an offload header of `header` bytes (at most
    /// [`TUNNEL_HEADER`]): room for that and [`ROOM`] bytes more. `None` when the batch is full.
    #[inline]
    pub fn room(&mut self, header: usize) -> Option<&mut [u8]> {
        if self.left() == 0 {
            return None;
        }
        self.pages.bytes_mut().get_mut(self.next - header.min(HEADROOM)..self.next + ROOM)
    }

    /// How many frames more it takes.
    fn left(&self) -> usize {
        if self.filled + ROOM > LONG_TURN { 0 } else { MAX_BATCH - self.slots.len() }
    }

    /// As many such rooms, at most `count` and what the batch has left. The first `n` of them are used up by
    /// as many calls of [`Batch::push_room`] and [`Batch::skip_room`], in order.
    #[inline]
    pub fn rooms(&mut self, header: usize, count: usize) -> impl Iterator<Item = &mut [u8]> {
        let left = self.left();
        let header = header.min(HEADROOM);
        let rest = self.pages.bytes_mut().get_mut(self.next - header..).unwrap_or_default();
        rest.chunks_mut(STRIDE).filter_map(move |chunk| chunk.get_mut(..header + ROOM)).take(left.min(count))
    }

    /// [`Batch::push`] for the first of [`Batch::rooms`].
    #[inline]
    pub fn push_room(&mut self, len: usize, header: usize, tag: Option<Tag>) {
        let room = self.next;
        self.push(len, header, tag);
        self.next = room + STRIDE;
    }

    /// Counts the frame in the first of [`Batch::rooms`], which was longer and is lost.
    #[cold]
    pub fn skip_room(&mut self) {
        self.count_truncated();
        self.next += STRIDE;
    }

    /// Keeps what was received into [`Batch::room`] for the same `header`: `len` bytes with the offload header
    /// in wire form, and a tag that the kernel took out.
    #[inline]
    pub fn push(&mut self, len: usize, header: usize, tag: Option<Tag>) {
        debug_assert!(header <= HEADROOM && len <= header + ROOM && self.slots.len() < MAX_BATCH);
        self.push_beginning(len, 0, header, tag);
    }

    /// [`Batch::push`] of a frame that has `beyond` bytes more, for which there must be room as well.
    #[inline]
    fn push_beginning(&mut self, len: usize, beyond: usize, header: usize, tag: Option<Tag>) {
        let start = self.next - header;
        let end = start + len;
        self.keep(Note { start: start as u32, end: end as u32, header: header as u8, tag }, beyond as u32);
        let room = (len + beyond - len.min(header) + HEADROOM).next_multiple_of(CACHE_LINE);
        self.next += room;
        self.filled += room;
    }

    /// [`Batch::push`] of a frame of which only the beginning was received here, its headers at the least: the rest stays
    /// in these pieces, at most [`MAX_PIECES`], of the lender's memory. Until [`Batch::clear`] only one lends.
    ///
    /// All of it must fit into the room.
    #[inline]
    pub fn push_lent(
        &mut self,
        len: usize,
        header: usize,
        pieces: impl Iterator<Item = Piece>,
        lender: &Lender,
    ) {
        let first = self.pieces.len();
        self.pieces.extend(pieces.take(MAX_PIECES));
        let beyond = self.pieces[first..].iter().map(|piece| piece.len as usize).sum();
        self.push_beginning(len, beyond, header, None);
        if let Some(slot) = self.slots.last_mut() {
            (slot.piece, slot.pieces) = (first as u16, (self.pieces.len() - first) as u16);
        }
        self.lender.get_or_insert_with(|| Lender::clone(lender));
    }

    /// Whether something is lent: whoever lends it waits for the batch to be handed on.
    #[inline]
    #[must_use]
    pub fn any_lent(&self) -> bool {
        self.lender.is_some()
    }

    /// Bytes of frame `index` that are lent.
    #[inline]
    #[must_use]
    pub fn beyond(&self, index: usize) -> usize {
        self.slots.get(index).map_or(0, |slot| slot.beyond as usize)
    }

    /// What of frame `index` is lent.
    #[inline]
    #[must_use]
    pub fn tail(&self, index: usize) -> Tail<'_> {
        match (&self.lender, self.slots.get(index)) {
            (Some(lender), Some(slot)) => slot.tail(lender, &self.pieces),
            _ => Tail::NONE,
        }
    }

    /// Fetches what of frame `index` is lent. A frame whose lender has cut its memory short stays as it is.
    pub fn complete(&mut self, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        let room = slot.end as usize..(slot.end + slot.beyond) as usize;
        let (Some(lender), Some(room)) = (&self.lender, self.pages.bytes_mut().get_mut(room)) else { return };
        if slot.tail(lender, &self.pieces).read(room) {
            let slot = &mut self.slots[index];
            slot.end += slot.beyond;
            (slot.beyond, slot.pieces) = (0, 0);
        }
    }

    /// Makes what lies there the next frame.
    #[inline]
    fn keep(&mut self, note: Note, beyond: u32) {
        let Note { start, end, header, tag } = note;
        let (from, frame) = (start as usize, start as usize + usize::from(header));
        let arena = self.pages.bytes_mut();
        let blank = header == 0 || arena[from..].starts_with(&NOTHING);
        let blank = blank && end as usize >= frame;
        if blank {
            arena[frame - HEADROOM..frame].fill(0);
        }
        // One that is lent its lender still has.
        self.notes().add(self.slots.len(), note, beyond > 0);
        self.slots.push(Slot { start, end, header, blank, tag, beyond, piece: 0, pieces: 0 });
    }

    /// Appends a frame of which nothing is to be finished, its tag in line. False if something is to be
    /// finished, or the batch is full.
    pub fn append(&mut self, frame: &Frame<'_>) -> bool {
        let pieces = frame.pieces();
        if !pieces.offload.is_plain() {
            return false;
        }
        let Some(room) = self.room(0) else { return false };
        let mut end = 0;
        for piece in [pieces.head, pieces.tags.as_slice(), pieces.rest] {
            let Some(place) = room.get_mut(end..end + piece.len()) else { return false };
            place.copy_from_slice(piece);
            end += piece.len();
        }
        self.push(end, 0, None);
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
        let received = (slot.end - slot.start) as usize;
        received - usize::from(slot.header).min(received)
            + slot.beyond as usize
            + if slot.tag.is_some() { frame::vlan::TAG_LEN } else { 0 }
    }

    /// Frame `index` with its offload header, where both stand in memory as they are to be sent behind a
    /// header of `header` bytes, and nothing of the frame is to be finished. `None` where that is not so
    /// or has to be looked at: then [`Batch::frame`] says more.
    #[inline]
    #[must_use]
    pub fn as_received(&self, index: usize, header: usize) -> Option<&[u8]> {
        let slot = self.slots.get(index).filter(|slot| slot.beyond == 0)?;
        self.slot_as_received(slot, header)
    }

    /// [`Batch::as_received`] where the rest of the frame may be lent: the beginning.
    #[inline]
    #[must_use]
    pub fn beginning_as_received(&self, index: usize, header: usize) -> Option<&[u8]> {
        self.slot_as_received(self.slots.get(index)?, header)
    }

    #[inline]
    fn slot_as_received(&self, slot: &Slot, header: usize) -> Option<&[u8]> {
        let from = slot.frame().checked_sub(header)?;
        let bytes = self.pages.bytes().get(from..slot.end as usize)?;
        let as_it_came = usize::from(slot.header) == header && bytes.starts_with(&CHECKED);
        (slot.tag.is_none() && (slot.blank || as_it_came)).then_some(bytes)
    }

    /// The bytes of frame `index` without its offload header, as far as they are here, and the tag that is not among
    /// them, whatever is wrong with it.
    #[must_use]
    pub fn bytes(&self, index: usize) -> (&[u8], Option<Tag>) {
        let Some(slot) = self.slots.get(index) else { return (&[], None) };
        let bytes = self.pages.bytes().get(slot.frame()..slot.end as usize);
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
        let received = &self.pages.bytes()[slot.start as usize..slot.end as usize];
        let offload = match received.first_chunk::<SHORT_HEADER>() {
            // As of most frames.
            _ if slot.blank => Offload::default(),
            None => return Err(FrameFault::Runt),
            Some(header) if usize::from(slot.header) == TUNNEL_HEADER => {
                Offload::decode_with_tunnel(header).map_err(FrameFault::Offload)?
            }
            Some(header) => Offload::decode(header).map_err(FrameFault::Offload)?,
        };
        Frame::parse_beginning(received, slot.beyond, usize::from(slot.header), slot.tag, offload)
    }
}

#[cfg(test)]
mod tests {
    use frame::offload::LONG_HEADER;

    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_memory_is_bounded() {
        let mut batch = Batch::new();
        let mut pushed = 0;
        while let Some(room) = batch.room(LONG_HEADER) {
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
        while let Some(room) = batch.room(LONG_HEADER) {
            let len = room.len();
            room.fill(0);
            batch.push(len, LONG_HEADER, None);
        }
        assert_eq!(batch.len(), 2);
    }

    const HEADERS: [usize; 4] = [0, SHORT_HEADER, LONG_HEADER, TUNNEL_HEADER];

    /// Whatever was in the memory before, a frame with nothing to finish stands behind an empty header of
    /// every length.
    #[test]
    fn a_plain_frame_can_go_out_behind_every_header() {
        let mut batch = Batch::new();
        for header in HEADERS {
            batch.clear();
            while let Some(room) = batch.room(HEADROOM) {
                room.fill(0xaa);
                batch.push(200, HEADROOM, None);
            }
            batch.clear();
            for _ in 0..3 {
                let room = batch.room(header).unwrap();
                // What a plain header says of lengths means nothing.
                room[..header].fill(0x55);
                room[..header.min(2)].fill(0);
                room[header..header + 60].fill(7);
                batch.push(header + 60, header, None);
            }
            for (index, out) in (0..3).flat_map(|index| HEADERS.map(|out| (index, out))) {
                let bytes = batch.as_received(index, out).unwrap();
                assert_eq!(bytes.len(), out + 60);
                assert!(bytes[..out].iter().all(|byte| *byte == 0) && bytes[out..] == [7; 60]);
            }
        }
    }

    #[test]
    fn what_is_to_be_finished_or_tagged_is_not_sent_as_it_came() {
        let mut batch = Batch::new();
        let tag = Tag::from_bytes([0x81, 0, 0, 5]);
        for (flags, tag) in [(1, None), (0, tag), (2, None)] {
            let room = batch.room(LONG_HEADER).unwrap();
            room[..LONG_HEADER + 60].fill(0);
            room[0] = flags;
            batch.push(LONG_HEADER + 60, LONG_HEADER, tag);
        }
        for header in HEADERS {
            assert!(batch.as_received(0, header).is_none() && batch.as_received(1, header).is_none());
        }
        // That a checksum was found right is worth telling, where the header has the same form.
        assert_eq!(batch.as_received(2, LONG_HEADER).map(|bytes| bytes[0]), Some(2));
        assert!(batch.as_received(2, TUNNEL_HEADER).is_none());
    }

    #[test]
    fn less_than_a_header_is_no_frame() {
        let mut batch = Batch::new();
        batch.room(LONG_HEADER).unwrap().fill(0);
        batch.push(5, LONG_HEADER, None);
        assert_eq!((batch.frame(0).err(), batch.wire_len(0)), (Some(FrameFault::Runt), 0));
        assert!(HEADERS.iter().all(|header| batch.as_received(0, *header).is_none()));
    }
}
