//! The memory of a guest, as it shares it: some files, each mapped where the guest's own addresses say.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU16;

use ports::sys::guest_memory::Mapping;
use serde::{Deserialize, Serialize};
use vm_memory::{ByteValued, VolatileArrayRef};

/// The most parts that a guest's memory has (what `SET_MEM_TABLE` has room for).
pub(crate) const MAX_REGIONS: usize = 8;

/// One part of it, as the guest describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Where it begins in the guest's own addresses.
    pub(crate) guest: u64,
    /// Where it begins in the addresses of the program that runs the guest.
    pub(crate) user: u64,
    /// In bytes.
    pub(crate) len: u64,
    /// Where it begins in its file.
    pub(crate) offset: u64,
}

#[derive(Debug)]
struct Region {
    part: Part,
    mapping: Mapping,
}

/// All memory of a guest.
#[derive(Debug)]
pub(crate) struct Memory {
    regions: Vec<Region>,
}

/// A range that lies in one region, found once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    region: u32,
    /// In bytes.
    pub(crate) len: u32,
    pub(crate) offset: usize,
}

impl Span {
    /// At most so many bytes of it.
    #[inline]
    pub(crate) fn first(self, len: u32) -> Self {
        Self { len: self.len.min(len), ..self }
    }
}

impl Memory {
    /// Maps all parts.
    ///
    /// # Errors
    /// Two of them overlap, one ends beyond all addresses or beyond its file, or can't be mapped.
    pub(crate) fn map(parts: &[Part], files: Vec<File>) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        if parts.len() != files.len() || parts.len() > MAX_REGIONS {
            return Err(invalid("not one file for each part of its memory"));
        }
        let mut regions: Vec<Region> = Vec::with_capacity(parts.len());
        for (part, file) in parts.iter().zip(files) {
            let ends = [part.guest, part.user, part.offset].map(|start| start.checked_add(part.len));
            let overlaps = |other: &Region| {
                let disjoint = |a: u64, b: u64| a + part.len <= b || b + other.part.len <= a;
                !disjoint(part.guest, other.part.guest) || !disjoint(part.user, other.part.user)
            };
            if ends.contains(&None) || regions.iter().any(overlaps) {
                return Err(invalid("parts of its memory overlap"));
            }
            let len = usize::try_from(part.len).map_err(io::Error::other)?;
            regions.push(Region { part: *part, mapping: Mapping::new(file, part.offset, len)? });
        }
        Ok(Self { regions })
    }

    /// Its parts, and the file of each.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Part, BorrowedFd<'_>)> {
        self.regions.iter().filter_map(|region| Some((region.part, region.mapping.file()?)))
    }

    /// The guest's own address of what its program calls `user`.
    pub(crate) fn guest_address(&self, user: u64) -> Option<u64> {
        self.regions.iter().find_map(|Region { part, .. }| {
            let offset = user.checked_sub(part.user).filter(|offset| *offset < part.len)?;
            Some(part.guest + offset)
        })
    }

    /// As much of the `len` bytes at the guest's address as lies in one region; `None` if that is nothing.
    #[inline]
    pub(crate) fn find(&self, address: u64, len: u32) -> Option<Span> {
        for (index, Region { part, .. }) in self.regions.iter().enumerate() {
            let offset = address.wrapping_sub(part.guest);
            if offset < part.len {
                let len = u64::from(len).min(part.len - offset) as u32;
                return Some(Span { region: index as u32, len, offset: offset as usize });
            }
        }
        None
    }

    /// Reads from byte `at` of a range on; says whether it reaches so far.
    #[inline]
    pub(crate) fn read(&self, span: Span, at: usize, into: &mut [u8]) -> bool {
        let fits = at.checked_add(into.len()).is_some_and(|end| end <= span.len as usize);
        let region = self.regions.get(span.region as usize).filter(|_| fits);
        region.is_some_and(|region| region.mapping.read(span.offset + at, into))
    }

    /// Writes from byte `at` of a range on; says whether it reaches so far.
    #[inline]
    pub(crate) fn write(&self, span: Span, at: usize, bytes: &[u8]) -> bool {
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= span.len as usize);
        let region = self.regions.get(span.region as usize).filter(|_| fits);
        region.is_some_and(|region| region.mapping.write(span.offset + at, bytes))
    }

    /// Lets the processor fetch a range that is soon to be read.
    #[inline]
    pub(crate) fn fetch(&self, span: Span) {
        if let Some(region) = self.regions.get(span.region as usize) {
            region.mapping.fetch(span.offset, span.len as usize);
        }
    }

    /// `count` values from byte `at` of a range on.
    #[inline]
    pub(crate) fn array<T: ByteValued>(
        &self,
        span: Span,
        at: usize,
        count: usize,
    ) -> Option<VolatileArrayRef<'_, T>> {
        let end = at.checked_add(count.checked_mul(size_of::<T>())?)?;
        let mapping = &self.regions.get(span.region as usize).filter(|_| end <= span.len as usize)?.mapping;
        mapping.array(span.offset + at, count)
    }

    /// The value at byte `at` of a range; `None` where it is not aligned.
    #[inline]
    pub(crate) fn atomic(&self, span: Span, at: usize) -> Option<&AtomicU16> {
        let mapping =
            &self.regions.get(span.region as usize).filter(|_| at + 2 <= span.len as usize)?.mapping;
        mapping.atomic(span.offset + at)
    }

    /// Whether a file was cut short while it was in use.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.regions.iter().any(|region| region.mapping.is_cut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::memory_file;

    fn part(guest: u64, user: u64, len: u64) -> Part {
        Part { guest, user, len, offset: 0 }
    }

    #[test]
    fn addresses_are_found_where_they_are_and_nowhere_else() {
        let parts = [part(0, 0x7000_0000, 0x2000), part(0x10_0000, 0x5000_0000, 0x1000)];
        let memory = Memory::map(&parts, vec![memory_file(0x2000), memory_file(0x1000)]).unwrap();
        assert_eq!(memory.guest_address(0x5000_0fff), Some(0x10_0fff));
        assert_eq!(memory.guest_address(0x5000_1000), None);
        let four = memory.find(0x1ffc, 4).unwrap();
        let mut read = [0; 3];
        assert!(memory.write(four, 0, b"last") && memory.read(four, 1, &mut read));
        assert_eq!(&read, b"ast");
        assert!(!memory.read(four, 2, &mut read) && !memory.write(four, usize::MAX, &read));
        assert!(memory.find(0x2000, 1).is_none() && memory.find(u64::MAX, 2).is_none());
        let last = memory.find(0x1ffd, 4).unwrap();
        assert_eq!(last.len, 3);
        assert!(memory.atomic(last, 0).is_none(), "not aligned");
        assert!(memory.atomic(last, 1).is_some() && memory.atomic(last, 2).is_none());
        assert!(memory.array::<u8>(last, 0, 3).is_some() && memory.array::<u8>(last, 1, 3).is_none());
        assert!(memory.array::<u64>(last, usize::MAX, 3).is_none());
    }

    #[test]
    fn what_overlaps_or_has_no_end_is_refused() {
        for second in
            [part(0x1000, 0x1_0000, 0x1000), part(0x9000, 0x1000, 0x1000), part(u64::MAX, 0, 0x1000)]
        {
            let files = vec![memory_file(0x2000), memory_file(0x2000)];
            assert!(Memory::map(&[part(0, 0, 0x2000), second], files).is_err(), "{second:?}");
        }
        assert!(Memory::map(&[part(0, 0, 0x2001)], vec![memory_file(0x2000)]).is_err());
        assert!(Memory::map(&[part(0, 0, 0x1000)], vec![]).is_err());
    }
}
