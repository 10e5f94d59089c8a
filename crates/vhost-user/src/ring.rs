//! The device's side of a ring, [`split`] or [`packed`] (VIRTIO 1.2, 2.6), of which the guest writes one half and may
//! write anything.
//!
//! What is used of the guest's memory is read once, and checked as it was read. What was taken and given
//! back becomes visible to the guest all at once ([`View::publish`]): the buffers of one frame must appear together.

mod chain;
mod packed;
mod split;

use std::sync::atomic::{Ordering, fence};

use chain::Fields;
pub(crate) use chain::{Chain, MAX_PIECES, Pieces, Plain, Use};
use packed::Packed;
use ports::sys::guest_memory::Mapping;
use split::Split;

use crate::broken::Broken;
use crate::memory::{Memory, Span};
use crate::position::Position;

// Rings are little-endian, and so is every processor that this runs on.
const _: () = assert!(cfg!(target_endian = "little"));

/// `VRING_DESC_F_*`.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
/// The largest ring that there is.
pub(crate) const MAX_SIZE: u16 = 32768;

/// Of these bytes of a piece the processor is told in advance.
const FETCHED: u32 = 128;

/// A descriptor as it lies in memory: the address; length and the rest.
type Descriptor = [u64; 2];

/// Where its three parts are.
type Parts = [Span; 3];

/// In which way a ring is laid out, and told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `VIRTIO_F_RING_PACKED` was agreed on.
    pub(crate) packed: bool,
    /// `VIRTIO_RING_F_EVENT_IDX` was agreed on.
    pub(crate) event_idx: bool,
}

/// Where a ring is and how far it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// How many descriptors: a power of two.
    pub(crate) size: u16,
    /// The guest's addresses of its three parts.
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    packed: bool,
    event_idx: bool,
    /// The next chain to take: counted in chains, or in descriptors of a packed ring.
    next: u16,
    /// Up to where the guest has made chains available, as far as we know; of a split ring.
    seen: u16,
    /// The next place to give one back at.
    done: u16,
    /// Up to where the guest knows.
    published: u16,
    /// What is to stand there, of a packed ring.
    first: u64,
    /// By which address it is noted that the ring is written to, if it is.
    pub(crate) noted: Option<u64>,
}

impl Ring {
    /// A ring that is to be gone on with where `base` says (as of `VHOST_USER_SET_VRING_BASE`, its lower half).
    ///
    /// # Errors
    /// It is not as it must be, or not in the memory.
    pub(crate) fn new(
        memory: &Memory,
        size: u16,
        [descriptors, available, used]: [u64; 3],
        Shape { packed, event_idx }: Shape,
        base: u16,
    ) -> Result<Self, Broken> {
        if !size.is_power_of_two() || size > MAX_SIZE {
            return Err(Broken::Ring);
        }
        let next = if packed { packed::place(size, base) } else { base };
        let mut ring = Self {
            size,
            descriptors,
            available,
            used,
            packed,
            event_idx,
            next,
            seen: next,
            done: next,
            published: next,
            first: 0,
            noted: None,
        };
        // What the guest of a split ring knows of is what it has got back: the index lies in its memory.
        if let Kind::Split(split) = ring.view(memory)?.kind {
            (ring.done, ring.published) = (split.done(), split.done());
        }
        Ok(ring)
    }

    /// Notes where it stands.
    pub(crate) fn note_position(&self, position: Option<&Position>) {
        if let Some(position) = position {
            position.note(self.done, self.done);
        }
    }

    /// Where to go on, as the protocol has it.
    pub(crate) fn base(&self) -> u16 {
        if self.packed { packed::base(self.size, self.next) } else { self.next }
    }

    /// Goes on where another process left it in use: all that it took it gave back in the same order, so the guest's
    /// memory says where that is, or of a packed ring what was noted beside it.
    ///
    /// # Errors
    /// Nothing was.
    pub(crate) fn go_on(mut self, memory: &Memory, position: Option<&Position>) -> Result<Self, Broken> {
        let at = match (self.view(memory)?.kind, position) {
            (Kind::Split(split), _) => split.done(),
            (Kind::Packed(packed), Some(position)) => {
                let (from, to) = position.noted();
                packed.after(from, to)
            }
            (Kind::Packed(_), None) => return Err(Broken::Ring),
        };
        (self.next, self.seen, self.done, self.published) = (at, at, at, at);
        Ok(self)
    }

    /// The ring in memory, found once for all of a burst.
    #[inline]
    pub(crate) fn view<'a>(&'a mut self, memory: &'a Memory) -> Result<View<'a>, Broken> {
        let size = usize::from(self.size);
        let lengths = if self.packed { packed::lengths(size) } else { split::lengths(size) };
        let aligned = self.descriptors.is_multiple_of(16)
            && self.available.is_multiple_of(if self.packed { 4 } else { 2 })
            && self.used.is_multiple_of(4);
        let part = |at, len: usize| {
            memory.find(at, len as u32).filter(|part| aligned && part.len as usize == len).ok_or(Broken::Ring)
        };
        let parts = [
            part(self.descriptors, lengths[0])?,
            part(self.available, lengths[1])?,
            part(self.used, lengths[2])?,
        ];
        let kind = if self.packed {
            Packed::new(memory, self.size, parts).map(Kind::Packed)
        } else {
            Split::new(memory, self.size, parts).map(Kind::Split)
        };
        Ok(View { memory, kind: kind.ok_or(Broken::Ring)?, ring: self })
    }
}

/// A ring in use.
pub(crate) struct View<'a> {
    ring: &'a mut Ring,
    memory: &'a Memory,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Split(Split<'a>),
    Packed(Packed<'a>),
}

impl View<'_> {
    /// Whether the chain that comes `ahead` after the next one (the steps of those between) can be taken.
    ///
    /// # Errors
    /// More is said to be there than the ring has room for.
    #[inline(always)]
    pub(crate) fn is_ready(&mut self, ahead: u16) -> Result<bool, Broken> {
        if let Kind::Split(split) = &self.kind
            && !Split::is_known(self.ring, ahead)
        {
            split.look(self.ring)?;
        }
        Ok(self.is_known(ahead))
    }

    /// The same, as far as that was known before: to look at each what is new, while the guest writes it, costs both sides
    /// more than to come again.
    #[inline(always)]
    pub(crate) fn is_known(&self, ahead: u16) -> bool {
        match &self.kind {
            Kind::Split(_) => Split::is_known(self.ring, ahead),
            Kind::Packed(packed) => packed.is_ready(self.ring, ahead),
        }
    }

    /// Gives the next chain back, with so many bytes written to it. The guest does not know yet.
    #[inline(always)]
    pub(crate) fn give_back(&mut self, chain: &Chain, written: u32) {
        match &self.kind {
            Kind::Split(split) => split.give_back(self.ring, chain.head, written),
            Kind::Packed(packed) => packed.give_back(self.ring, chain.head, written),
        }
        self.ring.done = self.ring.done.wrapping_add(chain.step);
        self.ring.next = self.ring.next.wrapping_add(chain.step);
    }

    /// Lets the guest know of all that was given back, and notes `position` for whoever goes on; says whether it wants
    /// to be interrupted for it.
    #[inline]
    pub(crate) fn publish(&mut self, position: Option<&Position>) -> bool {
        let (old, new) = (self.ring.published, self.ring.done);
        if old == new {
            return false;
        }
        match &self.kind {
            Kind::Split(split) => split.publish(self.ring),
            Kind::Packed(packed) => {
                // Whenever this process is killed, one can tell where it was.
                let note = |from| position.into_iter().for_each(|position| position.note(from, new));
                note(old);
                packed.publish(self.ring);
                note(new);
            }
        }
        self.ring.published = new;
        self.note();
        // The guest writes what it wants and then looks at what is new: neither may overtake the other here.
        fence(Ordering::SeqCst);
        match &self.kind {
            Kind::Split(split) => split.interrupts(self.ring, old),
            Kind::Packed(packed) => packed.interrupts(self.ring, old),
        }
    }

    /// Notes that the ring was written to.
    #[inline]
    fn note(&self) {
        let Some(address) = self.ring.noted else { return };
        let size = usize::from(self.ring.size);
        if self.ring.packed {
            let [descriptors, _, device] = packed::lengths(size);
            self.memory.note(self.ring.descriptors, descriptors);
            self.memory.note(self.ring.used, device);
        } else {
            self.memory.note(address, split::lengths(size)[2]);
        }
    }

    /// From now on the guest need not tell us of new chains.
    #[inline]
    pub(crate) fn ignore_new(&mut self) {
        match &self.kind {
            Kind::Split(split) => split.ignore_new(self.ring),
            Kind::Packed(packed) => packed.ignore_new(),
        }
        self.note();
    }

    /// From now on the guest is to tell us of new chains; says whether there is one already.
    ///
    /// # Errors
    /// As [`View::is_ready`].
    pub(crate) fn await_new(&mut self) -> Result<bool, Broken> {
        match &self.kind {
            Kind::Split(split) => split.await_new(self.ring),
            Kind::Packed(packed) => packed.await_new(),
        }
        self.note();
        self.is_ready(0)
    }

    /// Lets the processor fetch the beginning of a piece that is soon to be read; what is behind it sees for itself.
    #[inline]
    pub(crate) fn fetch(&self, piece: Span) {
        self.memory.fetch(piece.first(FETCHED));
    }

    /// Reads from byte `at` of a piece on; says whether it reaches so far.
    #[inline]
    pub(crate) fn read(&self, piece: &Span, at: usize, into: &mut [u8]) -> bool {
        self.memory.read(*piece, at, into)
    }

    /// Copies `len` bytes from a place in another guest's memory to byte `at` of a piece; says whether both reach so far.
    #[inline]
    pub(crate) fn copy(&self, piece: &Span, at: usize, from: &Mapping, offset: usize, len: usize) -> bool {
        self.memory.copy(*piece, at, from, offset, len)
    }

    /// Whether these bytes stand at byte `at` of a piece already.
    #[inline]
    pub(crate) fn holds<const N: usize>(&self, piece: &Span, at: usize, bytes: [u8; N]) -> bool {
        let mut found = [0; N];
        self.memory.read(*piece, at, &mut found) && found == bytes
    }

    /// Writes from byte `at` of a piece on; says whether it reaches so far.
    #[inline]
    pub(crate) fn write(&self, piece: &Span, at: usize, bytes: &[u8]) -> bool {
        self.memory.write(*piece, at, bytes)
    }
}

/// `vring_need_event` of `include/uapi/linux/virtio_ring.h`: whether an index went past `event` from `old` to `new`.
#[inline]
fn passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests;
