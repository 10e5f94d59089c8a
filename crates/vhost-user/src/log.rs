//! Which pages of a guest's memory were written to, for its program to know while it moves the guest elsewhere or
//! writes it to a file (`VHOST_USER_SET_LOG_BASE`): a bit for each page, in memory that the program shares.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use ports::sys::guest_memory::Mapping;
use serde::{Deserialize, Serialize};

/// `VHOST_LOG_PAGE` of the protocol, in bytes.
const PAGE: u64 = 4096;
/// Bits of what is set at once.
const WORD: u64 = u16::BITS as u64;

/// Where the bits are in the file that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) len: u64,
}

/// The bits.
#[derive(Debug)]
pub(crate) struct Log {
    place: Place,
    mapping: Mapping,
}

impl Log {
    /// Maps them.
    ///
    /// # Errors
    /// As [`Mapping::new`].
    pub(crate) fn map(place: Place, file: File) -> io::Result<Self> {
        let len = usize::try_from(place.len).map_err(io::Error::other)?;
        Ok(Self { place, mapping: Mapping::new(file, place.offset, len)? })
    }

    /// Where they are, and in which file.
    pub(crate) fn place(&self) -> Option<(Place, BorrowedFd<'_>)> {
        Some((self.place, self.mapping.file()?))
    }

    /// Notes that `len` bytes at the guest's `address` were written. What the program has no bits for it has no use for.
    pub(crate) fn mark(&self, address: u64, len: u64) {
        let Some(last) = len.checked_sub(1).and_then(|more| address.checked_add(more)) else { return };
        for page in address / PAGE..=last / PAGE {
            let Some(word) = self.mapping.atomic((page / WORD * 2) as usize) else { return };
            word.fetch_or(1 << (page % WORD), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::memory_file;

    #[test]
    fn each_page_that_is_touched_has_its_bit_and_no_other() {
        let file = memory_file(4096);
        let log = Log::map(Place { offset: 0, len: 4096 }, file.try_clone().unwrap()).unwrap();
        log.mark(5 * PAGE - 1, 2);
        log.mark(17 * PAGE, PAGE);
        log.mark(40 * PAGE, 0);
        log.mark(u64::MAX - 1, 1);
        log.mark(u64::MAX, 9);
        let mut bits = [0; 4096];
        assert!(log.mapping.read(0, &mut bits));
        let set: Vec<usize> = (0..8 * 4096).filter(|bit| bits[bit / 8] & 1 << (bit % 8) != 0).collect();
        assert_eq!(set, [4, 5, 17]);
        assert!(Log::map(Place { offset: 0, len: 4097 }, file).is_err());
    }
}
