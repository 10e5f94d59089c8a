//! The memory of a guest, as it shares it: some files, each mapped where the guest's own addresses say.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use ports::lent::{Lender, Piece};
use ports::sys::guest_memory::Mapping;
use serde::{Deserialize, Serialize};
use vm_memory::{ByteValued, VolatileArrayRef};

use crate::log::Log;

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

/// All memory of a guest.
#[derive(Debug)]
pub(crate) struct Memory {
    parts: Vec<Part>,
    /// One for each part.
    mappings: Lender,
    /// Where what is written is noted, while somebody wants to know.
    log: Option<Arc<Log>>,
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

    /// What is left behind so many bytes of it; nothing where that is nothing.
    #[inline]
    pub(crate) fn behind(self, len: u32) -> Option<Self> {
        let left = self.len.checked_sub(len).filter(|left| *left > 0)?;
        Some(Self { len: left, offset: self.offset + len as usize, ..self })
    }

    /// As it is lent.
    #[inline]
    pub(crate) fn piece(self) -> Piece {
        Piece { mapping: self.region, len: self.len, offset: self.offset }
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
        for (index, part) in parts.iter().enumerate() {
            let ends = [part.guest, part.user, part.offset].map(|start| start.checked_add(part.len));
            let overlaps = |other: &Part| {
                let disjoint = |a: u64, b: u64| a + part.len <= b || b + other.len <= a;
                !disjoint(part.guest, other.guest) || !disjoint(part.user, other.user)
            };
            if ends.contains(&None) || parts[..index].iter().any(overlaps) {
                return Err(invalid("parts of its memory overlap"));
            }
        }
        let map = |(part, file): (&Part, File)| {
            let len = usize::try_from(part.len).map_err(io::Error::other)?;
            Mapping::new(file, part.offset, len)
        };
        let mappings: io::Result<Lender> = parts.iter().zip(files).map(map).collect();
        Ok(Self { parts: parts.to_vec(), mappings: mappings?, log: None })
    }

    /// The same memory; what is written to it from now on is noted there, or nowhere.
    pub(crate) fn noted(&self, log: Option<Arc<Log>>) -> Self {
        Self { parts: self.parts.clone(), mappings: Lender::clone(&self.mappings), log }
    }

    /// Notes that `len` bytes at the guest's address were written, by whatever way.
    #[inline]
    pub(crate) fn note(&self, address: u64, len: usize) {
        if let Some(log) = &self.log {
            log.mark(address, len as u64);
        }
    }

    #[inline]
    fn note_in(&self, span: Span, at: usize, len: usize) {
        if let (Some(log), Some(part)) = (&self.log, self.parts.get(span.region as usize)) {
            log.mark(part.guest + (span.offset + at) as u64, len as u64);
        }
    }

    /// Its parts, and the file of each.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Part, BorrowedFd<'_>)> {
        let files = self.mappings.iter().map(Mapping::file);
        self.parts.iter().copied().zip(files).filter_map(|(part, file)| Some((part, file?)))
    }

    /// What frames are lent from.
    #[inline]
    pub(crate) fn lender(&self) -> &Lender {
        &self.mappings
    }

    /// The guest's own address of what its program calls `user`.
    pub(crate) fn guest_address(&self, user: u64) -> Option<u64> {
        self.parts.iter().find_map(|part| {
            let offset = user.checked_sub(part.user).filter(|offset| *offset < part.len)?;
            Some(part.guest + offset)
        })
    }

    /// As much of the `len` bytes at the guest's address as lies in one region; `None` if that is nothing.
    #[inline]
    pub(crate) fn find(&self, address: u64, len: u32) -> Option<Span> {
        for (index, part) in self.parts.iter().enumerate() {
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
        let mapping = self.mappings.get(span.region as usize).filter(|_| fits);
        mapping.is_some_and(|mapping| mapping.read(span.offset + at, into))
    }

    /// Writes from byte `at` of a range on; says whether it reaches so far.
    #[inline]
    pub(crate) fn write(&self, span: Span, at: usize, bytes: &[u8]) -> bool {
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= span.len as usize);
        let mapping = self.mappings.get(span.region as usize).filter(|_| fits);
        let written = mapping.is_some_and(|mapping| mapping.write(span.offset + at, bytes));
        self.note_in(span, at, bytes.len());
        written
    }

    /// Copies `len` bytes from a place in another guest's memory to byte `at` of a range; says whether both reach so
    /// far.
    #[inline]
    pub(crate) fn copy(&self, span: Span, at: usize, from: &Mapping, offset: usize, len: usize) -> bool {
        let fits = at.checked_add(len).is_some_and(|end| end <= span.len as usize);
        let mapping = self.mappings.get(span.region as usize).filter(|_| fits);
        let written = mapping.is_some_and(|mapping| from.copy(offset, mapping, span.offset + at, len));
        self.note_in(span, at, len);
        written
    }

    /// Lets the processor fetch a range that is soon to be read.
    #[inline]
    pub(crate) fn fetch(&self, span: Span) {
        if let Some(mapping) = self.mappings.get(span.region as usize) {
            mapping.fetch(span.offset, span.len as usize);
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
        let mapping = self.mappings.get(span.region as usize).filter(|_| end <= span.len as usize)?;
        mapping.array(span.offset + at, count)
    }

    /// The value at byte `at` of a range; `None` where it is not aligned.
    #[inline]
    pub(crate) fn atomic(&self, span: Span, at: usize) -> Option<&AtomicU16> {
        let mapping = self.mappings.get(span.region as usize).filter(|_| at + 2 <= span.len as usize)?;
        mapping.atomic(span.offset + at)
    }

    /// Whether a file was cut short while it was in use.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.mappings.iter().any(Mapping::is_cut)
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
