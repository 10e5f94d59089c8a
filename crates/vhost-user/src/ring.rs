//! The device's side of a split ring (VIRTIO 1.2, 2.7), of which the guest writes one half and may write anything.
//!
//! Nothing that is read from the guest's memory is read twice, and all of it is checked. What was taken and given
//! back becomes visible to the guest all at once ([`View::publish`]): the buffers of one frame must appear together.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use ports::sys::guest_memory::Mapping;
use vm_memory::VolatileArrayRef;

use crate::broken::Broken;
use crate::memory::{Memory, Span};

// Rings are little-endian, and so is every processor that this runs on.
const _: () = assert!(cfg!(target_endian = "little"));

/// `VRING_DESC_F_*`.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
/// `VRING_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;
/// `VRING_USED_F_NO_NOTIFY`.
const NO_NOTIFY: u16 = 1;

/// The largest ring that there is.
pub(crate) const MAX_SIZE: u16 = 32768;

/// Pieces of one frame at most, as QEMU has it of a chain (`VIRTQUEUE_MAX_SIZE`).
pub(crate) const MAX_PIECES: usize = 1024;

/// Behind the two 16-bit fields that both index rings begin with.
const ENTRIES: usize = 4;

/// A descriptor as it lies in memory: the address; length, flags and next.
type Descriptor = [u64; 2];

/// An entry of the used ring: which chain, and how much was written to it.
type Used = [u32; 2];

/// Where a ring is and how far it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// How many descriptors: a power of two.
    pub(crate) size: u16,
    /// The guest's addresses of its three parts.
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    /// `VIRTIO_RING_F_EVENT_IDX` was agreed on.
    pub(crate) event_idx: bool,
    /// The next chain to take.
    pub(crate) next: u16,
    /// Up to where the guest has made chains available, as far as we know.
    seen: u16,
    /// The next place in the used ring.
    done: u16,
    /// Up to where the guest knows.
    published: u16,
    /// By which address it is noted that the used ring is written to, if it is.
    pub(crate) noted: Option<u64>,
}

/// A chain of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The number of its first one.
    pub(crate) head: u16,
    /// Bytes of all its pieces.
    pub(crate) len: usize,
}

/// Where the bytes of frames are, in memory that is allocated once.
#[derive(Debug)]
pub(crate) struct Pieces {
    all: Vec<Span>,
    /// Those of the last frame begin here.
    begin: usize,
}

impl Pieces {
    /// Room for as many frames as have [`MAX_PIECES`] together, and one more.
    pub(crate) fn new() -> Self {
        Self { all: Vec::with_capacity(2 * MAX_PIECES), begin: 0 }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.begin = 0;
    }

    /// What comes now belongs to another frame.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.begin = self.all.len();
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.all.truncate(len);
    }

    #[inline]
    pub(crate) fn all(&self) -> &[Span] {
        &self.all
    }
}

/// What a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The guest has written it: what may be written to is no part of it.
    Read,
    /// We write to all of it.
    Write,
}

impl Ring {
    /// A ring of which the first `next` chains were used, by whomever.
    ///
    /// # Errors
    /// It is not as it must be, or not in the memory.
    pub(crate) fn new(
        memory: &Memory,
        size: u16,
        [descriptors, available, used]: [u64; 3],
        event_idx: bool,
        next: u16,
    ) -> Result<Self, Broken> {
        if !size.is_power_of_two() || size > MAX_SIZE {
            return Err(Broken::Ring);
        }
        let mut ring = Self {
            size,
            descriptors,
            available,
            used,
            event_idx,
            next,
            seen: next,
            done: 0,
            published: 0,
            noted: None,
        };
        // What the guest knows of is what it has got back: the index lies in its memory.
        let done = ring.view(memory)?.used_index.load(Ordering::Relaxed);
        (ring.done, ring.published) = (done, done);
        Ok(ring)
    }

    /// Goes on where another process left it in use: all that it took it gave back in the same order, so the guest's
    /// memory says where that is.
    pub(crate) fn go_on(mut self) -> Self {
        (self.next, self.seen) = (self.done, self.done);
        self
    }

    /// The ring in memory, found once for all of a burst.
    #[inline]
    pub(crate) fn view<'a>(&'a mut self, memory: &'a Memory) -> Result<View<'a>, Broken> {
        let size = usize::from(self.size);
        let aligned = self.descriptors.is_multiple_of(16)
            && self.available.is_multiple_of(2)
            && self.used.is_multiple_of(4);
        let part = |at, len: usize| {
            memory.find(at, len as u32).filter(|part| aligned && part.len as usize == len).ok_or(Broken::Ring)
        };
        let descriptors = part(self.descriptors, 16 * size)?;
        let available = part(self.available, ENTRIES + 2 * size + 2)?;
        let used = part(self.used, ENTRIES + 8 * size + 2)?;
        View::new(self, memory, descriptors, available, used).ok_or(Broken::Ring)
    }
}

/// A ring in use.
pub(crate) struct View<'a> {
    ring: &'a mut Ring,
    memory: &'a Memory,
    descriptors: VolatileArrayRef<'a, Descriptor>,
    heads: VolatileArrayRef<'a, u16>,
    available_flags: &'a AtomicU16,
    available_index: &'a AtomicU16,
    /// After which used entry the guest wants to be told.
    used_event: &'a AtomicU16,
    entries: VolatileArrayRef<'a, Used>,
    used_flags: &'a AtomicU16,
    used_index: &'a AtomicU16,
    /// After which available entry we want to be told.
    available_event: &'a AtomicU16,
    mask: u16,
}

impl<'a> View<'a> {
    #[inline]
    fn new(
        ring: &'a mut Ring,
        memory: &'a Memory,
        descriptors: Span,
        available: Span,
        used: Span,
    ) -> Option<Self> {
        let size = usize::from(ring.size);
        let mask = ring.size - 1;
        // What is aligned for the guest need not be so for us: the guest says where its memory begins.
        Some(Self {
            ring,
            memory,
            descriptors: memory.array(descriptors, 0, size)?,
            heads: memory.array(available, ENTRIES, size)?,
            available_flags: memory.atomic(available, 0)?,
            available_index: memory.atomic(available, 2)?,
            used_event: memory.atomic(available, ENTRIES + 2 * size)?,
            entries: memory.array(used, ENTRIES, size)?,
            used_flags: memory.atomic(used, 0)?,
            used_index: memory.atomic(used, 2)?,
            available_event: memory.atomic(used, ENTRIES + 8 * size)?,
            mask,
        })
    }

    /// How many chains can be taken; looks in the guest's memory only where it knows of fewer than `wanted`.
    ///
    /// # Errors
    /// More than the ring has room for.
    #[inline]
    pub(crate) fn ready(&mut self, wanted: u16) -> Result<u16, Broken> {
        let known = self.ring.seen.wrapping_sub(self.ring.next);
        if known >= wanted {
            return Ok(known);
        }
        let index = self.available_index.load(Ordering::Acquire);
        let ready = index.wrapping_sub(self.ring.next);
        if ready > self.ring.size {
            return Err(Broken::Available(ready));
        }
        self.ring.seen = index;
        Ok(ready)
    }

    /// Looks at the chain that comes `ahead` chains after the next one, which must be ready, and adds its pieces.
    ///
    /// # Errors
    /// It is none.
    #[inline]
    pub(crate) fn chain(&self, ahead: u16, purpose: Use, pieces: &mut Pieces) -> Result<Chain, Broken> {
        let place = self.ring.next.wrapping_add(ahead) & self.mask;
        let head = self.heads.load(usize::from(place));
        let mut chain = Chain { head, len: 0 };
        let mut index = head;
        for _ in 0..=self.mask {
            if index > self.mask {
                return Err(Broken::NoSuchDescriptor(index));
            }
            let descriptor = Fields::of(self.descriptors.load(usize::from(index)));
            if descriptor.flags & INDIRECT != 0 {
                chain.len += self.indirect(&descriptor, purpose, pieces)?;
                return Ok(chain);
            }
            let added = self.add(&descriptor, purpose, pieces)?;
            chain.len += added.unwrap_or(0);
            if added.is_none() || descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(Broken::EndlessChain)
    }

    fn indirect(&self, table: &Fields, purpose: Use, pieces: &mut Pieces) -> Result<usize, Broken> {
        let (mut bytes, len) = (0, table.len as usize);
        if table.flags & NEXT != 0 || len == 0 || !len.is_multiple_of(size_of::<Descriptor>()) {
            return Err(Broken::Indirect);
        }
        let count = len / size_of::<Descriptor>();
        let found = self.memory.find(table.address, table.len).filter(|found| found.len == table.len);
        let entries = found.and_then(|found| self.memory.array::<Descriptor>(found, 0, count));
        let entries = entries.ok_or(Broken::Outside(table.address, table.len))?;
        let mut index = 0;
        for _ in 0..count {
            if index >= count {
                return Err(Broken::NoSuchDescriptor(index as u16));
            }
            let descriptor = Fields::of(entries.load(index));
            if descriptor.flags & INDIRECT != 0 {
                return Err(Broken::Indirect);
            }
            let added = self.add(&descriptor, purpose, pieces)?;
            bytes += added.unwrap_or(0);
            if added.is_none() || descriptor.flags & NEXT == 0 {
                return Ok(bytes);
            }
            index = usize::from(descriptor.next);
        }
        Err(Broken::EndlessChain)
    }

    /// Adds what one descriptor describes, and says how many bytes; `None` where what is of use ends before it.
    #[inline]
    fn add(&self, descriptor: &Fields, purpose: Use, pieces: &mut Pieces) -> Result<Option<usize>, Broken> {
        match (purpose, descriptor.flags & WRITE != 0) {
            (Use::Read, true) => return Ok(None),
            (Use::Write, false) => return Err(Broken::NotWritable),
            _ => {}
        }
        let (mut address, mut left) = (descriptor.address, descriptor.len);
        while left > 0 {
            let outside = Broken::Outside(descriptor.address, descriptor.len);
            let span = self.memory.find(address, left).ok_or(outside)?;
            if pieces.len() - pieces.begin >= MAX_PIECES {
                return Err(Broken::EndlessChain);
            }
            pieces.all.push(span);
            left -= span.len;
            if left > 0 {
                address = address.checked_add(u64::from(span.len)).ok_or(outside)?;
            }
        }
        Ok(Some(descriptor.len as usize))
    }

    /// Gives the next chain back, with so many bytes written to it. The guest does not know yet.
    #[inline]
    pub(crate) fn give_back(&mut self, head: u16, written: u32) {
        let place = usize::from(self.ring.done & self.mask);
        self.entries.store(place, [u32::from(head), written]);
        self.ring.done = self.ring.done.wrapping_add(1);
        self.ring.next = self.ring.next.wrapping_add(1);
    }

    /// Lets the guest know of all that was given back; says whether it wants to be interrupted for it.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        let (old, new) = (self.ring.published, self.ring.done);
        if old == new {
            return false;
        }
        self.used_index.store(new, Ordering::Release);
        self.ring.published = new;
        self.note();
        // The guest writes what it wants and then looks at the index: neither may overtake the other here.
        fence(Ordering::SeqCst);
        if self.ring.event_idx {
            let event = self.used_event.load(Ordering::Relaxed);
            return passed(event, new, old);
        }
        self.available_flags.load(Ordering::Relaxed) & NO_INTERRUPT == 0
    }

    /// Notes that the used ring was written to.
    #[inline]
    fn note(&self) {
        if let Some(address) = self.ring.noted {
            self.memory.note(address, ENTRIES + 8 * usize::from(self.ring.size) + 2);
        }
    }

    /// From now on the guest need not tell us of new chains.
    #[inline]
    pub(crate) fn ignore_new(&mut self) {
        if self.ring.event_idx {
            // An index that it has just passed it will not pass again for long.
            self.available_event.store(self.ring.next.wrapping_sub(1), Ordering::Relaxed);
        } else {
            self.used_flags.store(NO_NOTIFY, Ordering::Relaxed);
        }
        self.note();
    }

    /// From now on the guest is to tell us of new chains; says whether there is one already.
    ///
    /// # Errors
    /// As [`View::ready`].
    pub(crate) fn await_new(&mut self) -> Result<bool, Broken> {
        if self.ring.event_idx {
            self.available_event.store(self.ring.next, Ordering::Relaxed);
        } else {
            self.used_flags.store(0, Ordering::Relaxed);
        }
        self.note();
        fence(Ordering::SeqCst);
        Ok(self.ready(1)? > 0)
    }

    /// Lets the processor fetch a piece that is soon to be read.
    #[inline]
    pub(crate) fn fetch(&self, piece: Span) {
        self.memory.fetch(piece);
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

struct Fields {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Fields {
    #[inline]
    fn of([address, rest]: Descriptor) -> Self {
        Self { address, len: rest as u32, flags: (rest >> 32) as u16, next: (rest >> 48) as u16 }
    }
}

#[cfg(test)]
mod tests;
