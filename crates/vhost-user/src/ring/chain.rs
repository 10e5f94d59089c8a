//! The chains of a ring: which pieces of memory they describe, by descriptors in the ring or in a table of its own.

use super::{Descriptor, INDIRECT, Kind, NEXT, View, WRITE};
use crate::broken::Broken;
use crate::memory::Span;

/// Pieces of one frame at most, as QEMU has it of a chain (`VIRTQUEUE_MAX_SIZE`).
pub(crate) const MAX_PIECES: usize = 1024;

/// A chain of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its number: that of its first one, or one that the guest gave it.
    pub(crate) head: u16,
    /// How far the next one is from it.
    pub(crate) step: u16,
    /// Bytes of all its pieces.
    pub(crate) len: usize,
}

/// A frame as most are: in a chain of one descriptor, which describes one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub(crate) chain: Chain,
    pub(crate) piece: Span,
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

impl View<'_> {
    /// The chain that comes `ahead` after the next one (the steps of those between), which must be ready, if it is as most
    /// are. Otherwise nothing of it is used: [`View::chain`] reads it anew, and says what is wrong with it.
    #[inline(always)]
    pub(crate) fn plain(&self, ahead: u16, purpose: Use) -> Option<Plain> {
        let place = self.ring.next.wrapping_add(ahead);
        let (head, descriptor) = match &self.kind {
            Kind::Split(split) => split.first(place)?,
            Kind::Packed(packed) => packed.first(place),
        };
        let wanted = if purpose == Use::Write { WRITE } else { 0 };
        if descriptor.flags & (NEXT | INDIRECT | WRITE) != wanted {
            return None;
        }
        let piece = self.memory.find(descriptor.address, descriptor.len)?;
        let chain = Chain { head, step: 1, len: piece.len as usize };
        (piece.len == descriptor.len).then_some(Plain { chain, piece })
    }

    /// Looks at that chain, which must be ready, and adds its pieces.
    ///
    /// # Errors
    /// It is none.
    #[inline(always)]
    pub(crate) fn chain(&self, ahead: u16, purpose: Use, pieces: &mut Pieces) -> Result<Chain, Broken> {
        let place = self.ring.next.wrapping_add(ahead);
        let mut len = 0;
        let add = |descriptor: &Fields| {
            if descriptor.flags & INDIRECT != 0 {
                len += self.indirect(descriptor, purpose, pieces)?;
                return Ok(false);
            }
            let added = self.add(descriptor, purpose, pieces)?;
            len += added.unwrap_or(0);
            Ok(added.is_some())
        };
        let (head, step) = match &self.kind {
            Kind::Split(split) => (split.walk(place, add)?, 1),
            Kind::Packed(packed) => packed.walk(place, add)?,
        };
        Ok(Chain { head, step, len })
    }

    #[inline(never)]
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
        // Descriptors of no bytes are no pieces: they have an end, too, however long a table is.
        for step in 1..=count.min(MAX_PIECES) {
            if index >= count {
                return Err(Broken::NoSuchDescriptor(index as u16));
            }
            let entry = entries.load(index);
            // In a packed ring all of the table is the chain.
            let (descriptor, last, next) = if self.ring.packed {
                (Fields::packed(entry), step == count, step)
            } else {
                let descriptor = Fields::split(entry);
                let (last, next) = (descriptor.flags & NEXT == 0, usize::from(descriptor.next));
                (descriptor, last, next)
            };
            if descriptor.flags & INDIRECT != 0 {
                return Err(Broken::Indirect);
            }
            let added = self.add(&descriptor, purpose, pieces)?;
            bytes += added.unwrap_or(0);
            if added.is_none() || last {
                return Ok(bytes);
            }
            index = next;
        }
        Err(Broken::EndlessChain)
    }

    /// Adds what one descriptor describes, and says how many bytes; `None` where what is of use ends before it.
    #[inline(always)]
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
}

/// A descriptor, taken apart.
pub(super) struct Fields {
    pub(super) address: u64,
    pub(super) len: u32,
    pub(super) flags: u16,
    /// The next one, or of a packed ring the chain's number.
    pub(super) next: u16,
}

impl Fields {
    #[inline]
    pub(super) fn split([address, rest]: Descriptor) -> Self {
        Self { address, len: rest as u32, flags: (rest >> 32) as u16, next: (rest >> 48) as u16 }
    }

    #[inline]
    pub(super) fn packed([address, rest]: Descriptor) -> Self {
        Self { address, len: rest as u32, flags: (rest >> 48) as u16, next: (rest >> 32) as u16 }
    }
}
