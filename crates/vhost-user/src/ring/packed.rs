//! The packed ring (VIRTIO 1.2, 2.8): one row of descriptors, of which the guest makes some available, and the device
//! writes over those that it has used. Two bits of each say whose it is; what they mean turns round with each round.
//!
//! Places are counted on and on; `place & size` says in what kind of round one is.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use vm_memory::VolatileArrayRef;

use super::{Descriptor, Fields, INDIRECT, NEXT, Parts, Ring, WRITE, passed};
use crate::broken::Broken;
use crate::memory::{Memory, Span};

/// `VRING_PACKED_DESC_F_AVAIL` and `VRING_PACKED_DESC_F_USED`.
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// What either side wants to be told of (`VRING_PACKED_EVENT_FLAG_*`).
const ALL: u16 = 0;
const NOTHING: u16 = 1;
const ONE: u16 = 2;
/// In which kind of round that one is (`VRING_PACKED_EVENT_F_WRAP_CTR`), and in a ring's base.
const ROUND: u16 = 1 << 15;

/// Bytes of its three parts, for so many descriptors: those, and what the guest and the device want to be told of.
pub(super) fn lengths(size: usize) -> [usize; 3] {
    [16 * size, 4, 4]
}

/// A place, as the protocol has it: its number, and the kind of round (`VHOST_USER_SET_VRING_BASE`).
pub(super) fn base(size: u16, place: u16) -> u16 {
    place & (size - 1) | if place & size == 0 { ROUND } else { 0 }
}

/// The same the other way round.
pub(super) fn place(size: u16, base: u16) -> u16 {
    base & (size - 1) | if base & ROUND == 0 { size } else { 0 }
}

/// Such a ring in memory.
pub(super) struct Packed<'a> {
    descriptors: VolatileArrayRef<'a, Descriptor>,
    /// Where length, number and flags of each descriptor are: its second half.
    halves: VolatileArrayRef<'a, u64>,
    memory: &'a Memory,
    row: Span,
    guest_event: &'a AtomicU16,
    guest_wants: &'a AtomicU16,
    device_wants: &'a AtomicU16,
    size: u16,
}

impl<'a> Packed<'a> {
    #[inline]
    pub(super) fn new(memory: &'a Memory, size: u16, [descriptors, guest, device]: Parts) -> Option<Self> {
        let count = usize::from(size);
        Some(Self {
            descriptors: memory.array(descriptors, 0, count)?,
            halves: memory.array(descriptors, 0, 2 * count)?,
            memory,
            row: descriptors,
            guest_event: memory.atomic(guest, 0)?,
            guest_wants: memory.atomic(guest, 2)?,
            device_wants: memory.atomic(device, 2)?,
            size,
        })
    }

    #[inline]
    fn index(&self, place: u16) -> usize {
        usize::from(place & (self.size - 1))
    }

    #[inline]
    fn flags(&self, place: u16) -> Option<&AtomicU16> {
        self.memory.atomic(self.row, 16 * self.index(place) + 14)
    }

    /// Whose a descriptor is at this place: the guest has made it available and we have not used it.
    #[inline]
    fn is_available(&self, place: u16) -> bool {
        let wanted = if place & self.size == 0 { AVAILABLE } else { USED };
        self.flags(place).is_some_and(|flags| flags.load(Ordering::Acquire) & (AVAILABLE | USED) == wanted)
    }

    #[inline]
    pub(super) fn is_ready(&self, ring: &Ring, ahead: u16) -> bool {
        ahead < self.size && self.is_available(ring.next.wrapping_add(ahead))
    }

    /// The number of the chain at a place if that is all of it, and its first descriptor.
    #[inline(always)]
    pub(super) fn first(&self, place: u16) -> (u16, Fields) {
        let descriptor = Fields::packed(self.descriptors.load(self.index(place)));
        (descriptor.next, descriptor)
    }

    /// Calls `add` for each descriptor of the chain at a place, until that has enough; says the chain's number, and how
    /// many descriptors it takes.
    #[inline]
    pub(super) fn walk(
        &self,
        place: u16,
        mut add: impl FnMut(&Fields) -> Result<bool, Broken>,
    ) -> Result<(u16, u16), Broken> {
        let mut wanted = true;
        for step in 0..self.size {
            let descriptor = Fields::packed(self.descriptors.load(self.index(place.wrapping_add(step))));
            wanted = wanted && add(&descriptor)?;
            // The last one has the number.
            if descriptor.flags & (NEXT | INDIRECT) != NEXT {
                return Ok((descriptor.next, step + 1));
            }
        }
        Err(Broken::EndlessChain)
    }

    /// Gives a chain back. The guest looks at one place after the other: what comes behind the first one of a burst it
    /// does not see before that.
    #[inline]
    pub(super) fn give_back(&self, ring: &mut Ring, number: u16, written: u32) {
        let round = if ring.done & self.size == 0 { AVAILABLE | USED } else { 0 };
        let flags = round | if written > 0 { WRITE } else { 0 };
        let half = u64::from(written) | u64::from(number) << 32;
        if ring.done == ring.published {
            ring.first = half | u64::from(flags) << 48;
        } else {
            self.halves.store(2 * self.index(ring.done) + 1, half | u64::from(flags) << 48);
        }
    }

    #[inline]
    pub(super) fn publish(&self, ring: &Ring) {
        let (at, first) = (ring.published, ring.first);
        if let Some(flags) = self.flags(at) {
            let untouched = u64::from(flags.load(Ordering::Relaxed)) << 48;
            self.halves.store(2 * self.index(at) + 1, first & (u64::MAX >> 16) | untouched);
            flags.store((first >> 48) as u16, Ordering::Release);
        }
    }

    /// Whether the guest wants to be interrupted for what was published, the first of which was at the `old` place.
    #[inline]
    pub(super) fn interrupts(&self, ring: &Ring, old: u16) -> bool {
        match self.guest_wants.load(Ordering::Relaxed) {
            ONE if ring.event_idx => {
                let event = place(self.size, self.guest_event.load(Ordering::Relaxed));
                // Which of all places of that kind is meant: the last one that is not behind us.
                let behind = ring.done.wrapping_sub(event) & (self.size << 1).wrapping_sub(1);
                passed(ring.done.wrapping_sub(behind), ring.done, old)
            }
            wanted => wanted != NOTHING,
        }
    }

    #[inline]
    pub(super) fn ignore_new(&self) {
        self.device_wants.store(NOTHING, Ordering::Relaxed);
    }

    pub(super) fn await_new(&self) {
        self.device_wants.store(ALL, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Where another process was that meant to come from `from` to `to` by its last [`Packed::publish`], and was perhaps
    /// killed before.
    pub(super) fn after(&self, from: u16, to: u16) -> u16 {
        if self.is_available(from) { from } else { to }
    }
}
