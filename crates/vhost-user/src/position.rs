//! Where a packed ring stands, for a process that goes on with it after this one was killed: the guest's memory does not
//! say it, as that of a split ring does. Two words for each ring, in memory that outlives the process: from where to where
//! the last step went.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ports::sys::guest_memory::Mapping;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// Bytes of the memory: room for more rings than there are.
const LEN: usize = 4096;

/// Those of all rings of a port.
#[derive(Clone, Debug)]
pub(crate) struct Positions(Arc<Mapping>);

/// That of one ring.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    all: Positions,
    queue: usize,
}

impl Positions {
    /// New ones.
    ///
    /// # Errors
    /// As `memfd_create(2)` and `mmap(2)`.
    pub(crate) fn new() -> io::Result<Self> {
        let file = memfd_create("switchd-rings", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, LEN as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::adopt(file.into())
    }

    /// Those of an earlier process.
    ///
    /// # Errors
    /// They are none.
    pub(crate) fn adopt(file: File) -> io::Result<Self> {
        Ok(Self(Arc::new(Mapping::new(file, 0, LEN)?)))
    }

    /// The file that they lie in.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.0.file()
    }

    /// That of a queue's ring.
    pub(crate) fn of(&self, queue: usize) -> Position {
        Position { all: self.clone(), queue }
    }
}

impl Position {
    /// It goes on from `from` to `to`.
    #[inline]
    pub(crate) fn note(&self, from: u16, to: u16) {
        for (nth, place) in [from, to].into_iter().enumerate() {
            if let Some(word) = self.all.0.atomic(4 * self.queue + 2 * nth) {
                word.store(place, Ordering::Release);
            }
        }
    }

    /// What was noted last.
    pub(crate) fn noted(&self) -> (u16, u16) {
        let word = |nth: usize| {
            self.all.0.atomic(4 * self.queue + 2 * nth).map_or(0, |word| word.load(Ordering::Acquire))
        };
        (word(0), word(1))
    }
}
