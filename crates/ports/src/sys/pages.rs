//! Memory by whole pages, of this process alone or shared with the one that comes after it (`mmap(2)`): some words
//! for notes, then bytes.

use std::alloc::{Layout, handle_alloc_error};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU32;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Words for notes; they take the first 4096 bytes.
pub const WORDS: usize = 1024;

const NOTES: usize = WORDS * size_of::<AtomicU32>();

/// A mapping. All zeros at first, or what is in the file.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and stays where it is when the value moves.
unsafe impl Send for Pages {}
// SAFETY: through a shared reference only the bytes are read and the words, which are atomic, are written.
unsafe impl Sync for Pages {}

impl Pages {
    /// Bytes of a mapping with room for `bytes` behind the notes.
    #[must_use]
    pub const fn size(bytes: usize) -> usize {
        // Whole pages of whatever size the kernel has them.
        (NOTES + bytes).next_multiple_of(65_536)
    }

    /// Memory of this process alone. Without memory the process ends, as with every allocation.
    #[must_use]
    pub fn private(bytes: usize) -> Self {
        let len = Self::size(bytes);
        // SAFETY: a mapping at an address that the kernel chooses touches no memory that is in use.
        let start =
            unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        match start.ok().and_then(|start| NonNull::new(start.cast::<u8>())) {
            Some(start) => Self { start, len },
            None => handle_alloc_error(Layout::new::<[u8; NOTES]>()),
        }
    }

    /// The memory of a file that can't be made shorter than [`Pages::size`] (`F_SEAL_SHRINK`). Of the processes that
    /// map it one at a time writes, and the others do not look at the bytes meanwhile.
    ///
    /// # Errors
    /// As `mmap(2)`.
    pub fn shared(file: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let len = Self::size(bytes);
        // SAFETY: as in `private`. The file is sealed, so that no page of it goes away.
        let start =
            unsafe { mmap(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, len })
    }

    /// The notes.
    #[inline]
    #[must_use]
    pub fn words(&self) -> &[AtomicU32; WORDS] {
        // SAFETY: the mapping is longer than that, begins a page, and lives as long as `self`; every value is a word,
        // and these bytes are reached in no other way.
        unsafe { self.start.cast::<[AtomicU32; WORDS]>().as_ref() }
    }

    /// What lies behind the notes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: all within the mapping, which lives as long as `self`; who writes there has `self` exclusively.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(NOTES), self.len - NOTES) }
    }

    /// The same, to be written.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(NOTES), self.len - NOTES) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing borrows from it any more. It can't fail for a mapping
        // that is there.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
