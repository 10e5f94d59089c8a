//! The split ring (VIRTIO 1.2, 2.7): descriptors, which of them are available, and which were used, each in a part of
//! its own.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use vm_memory::VolatileArrayRef;

use super::{Descriptor, Fields, INDIRECT, NEXT, Parts, Ring, passed};
use crate::broken::Broken;
use crate::memory::Memory;

/// `VRING_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;
/// `VRING_USED_F_NO_NOTIFY`.
const NO_NOTIFY: u16 = 1;

/// Behind the two 16-bit fields that both index rings begin with.
const ENTRIES: usize = 4;

/// An entry of the used ring: which chain, and how much was written to it.
type Used = [u32; 2];

/// Bytes of its three parts, for so many descriptors.
pub(super) fn lengths(size: usize) -> [usize; 3] {
    [16 * size, ENTRIES + 2 * size + 2, ENTRIES + 8 * size + 2]
}

/// Such a ring in memory.
pub(super) struct Split<'a> {
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

impl<'a> Split<'a> {
    #[inline]
    pub(super) fn new(memory: &'a Memory, size: u16, [descriptors, available, used]: Parts) -> Option<Self> {
        let mask = size - 1;
        let size = usize::from(size);
        // What is aligned for the guest need not be so for us: the guest says where its memory begins.
        Some(Self {
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

    /// How many chains the guest has got back, of all that there ever were.
    pub(super) fn done(&self) -> u16 {
        self.used_index.load(Ordering::Relaxed)
    }

    /// Whether the chain `ahead` of the next one is known to be there.
    #[inline(always)]
    pub(super) fn is_known(ring: &Ring, ahead: u16) -> bool {
        ring.seen.wrapping_sub(ring.next) > ahead
    }

    /// Looks in the guest's memory what is there.
    #[inline(always)]
    pub(super) fn look(&self, ring: &mut Ring) -> Result<(), Broken> {
        let index = self.available_index.load(Ordering::Acquire);
        let ready = index.wrapping_sub(ring.next);
        if ready > ring.size {
            return Err(Broken::Available(ready));
        }
        ring.seen = index;
        Ok(())
    }

    /// The number of the chain at a place, and its first descriptor, if there is one of that number.
    #[inline(always)]
    pub(super) fn first(&self, place: u16) -> Option<(u16, Fields)> {
        let head = self.heads.load(usize::from(place & self.mask));
        (head <= self.mask).then(|| (head, Fields::split(self.descriptors.load(usize::from(head)))))
    }

    /// Calls `add` for each descriptor of the chain at a place, until that has enough; says its first one's number.
    #[inline(always)]
    pub(super) fn walk(
        &self,
        place: u16,
        mut add: impl FnMut(&Fields) -> Result<bool, Broken>,
    ) -> Result<u16, Broken> {
        let head = self.heads.load(usize::from(place & self.mask));
        let mut index = head;
        for _ in 0..=self.mask {
            if index > self.mask {
                return Err(Broken::NoSuchDescriptor(index));
            }
            let descriptor = Fields::split(self.descriptors.load(usize::from(index)));
            if !add(&descriptor)? || descriptor.flags & (NEXT | INDIRECT) != NEXT {
                return Ok(head);
            }
            index = descriptor.next;
        }
        Err(Broken::EndlessChain)
    }

    /// Gives a chain back. Where the same stands there from the round before, as it often does, nothing is written, and
    /// both cores keep the cache line.
    #[inline(always)]
    pub(super) fn give_back(&self, ring: &Ring, head: u16, written: u32) {
        let (at, used) = (usize::from(ring.done & self.mask), [u32::from(head), written]);
        if self.entries.load(at) != used {
            self.entries.store(at, used);
        }
    }

    #[inline]
    pub(super) fn publish(&self, ring: &Ring) {
        self.used_index.store(ring.done, Ordering::Release);
    }

    /// Whether the guest wants to be interrupted for what was published, the first of which was the `old`th.
    #[inline]
    pub(super) fn interrupts(&self, ring: &Ring, old: u16) -> bool {
        if ring.event_idx {
            return passed(self.used_event.load(Ordering::Relaxed), ring.done, old);
        }
        self.available_flags.load(Ordering::Relaxed) & NO_INTERRUPT == 0
    }

    #[inline]
    pub(super) fn ignore_new(&self, ring: &Ring) {
        if ring.event_idx {
            // An index that it has just passed it will not pass again for long.
            self.available_event.store(ring.next.wrapping_sub(1), Ordering::Relaxed);
        } else {
            self.used_flags.store(NO_NOTIFY, Ordering::Relaxed);
        }
    }

    pub(super) fn await_new(&self, ring: &Ring) {
        if ring.event_idx {
            self.available_event.store(ring.next, Ordering::Relaxed);
        } else {
            self.used_flags.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }
}
