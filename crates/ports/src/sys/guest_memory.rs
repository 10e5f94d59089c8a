//! Memory that another process shares with us as a file, and may cut short at any time: who touches what is no
//! longer there gets SIGBUS, which would end the whole switch. Here it ends the use of that memory only: the handler
//! puts zeros in its place and notes that it was cut.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};
use vm_memory::mmap::MmapRegion;
use vm_memory::{ByteValued, FileOffset, VolatileArrayRef, VolatileMemory};

use crate::CACHE_LINE;

/// Mappings at once: eight of each of 1023 ports, and more.
const SLOTS: usize = 8192;

/// A mapping that the handler knows.
struct Slot {
    /// Zero while the slot is free.
    start: AtomicUsize,
    len: AtomicUsize,
    cut: AtomicBool,
}

static WATCHED: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), len: AtomicUsize::new(0), cut: AtomicBool::new(false) } };
        SLOTS];

/// A part of a file, mapped shared.
#[derive(Debug)]
pub struct Mapping {
    region: MmapRegion,
    slot: usize,
}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset` on.
    ///
    /// # Errors
    /// As `mmap(2)`; `EINVAL` where the file is shorter or `len` is zero, `ENOMEM` where too much is mapped already.
    pub fn new(file: File, offset: u64, len: usize) -> io::Result<Self> {
        handle_sigbus()?;
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let end = offset.checked_add(len as u64).ok_or_else(invalid)?;
        if len == 0 || file.metadata()?.len() < end {
            return Err(invalid());
        }
        let region = MmapRegion::from_file(FileOffset::new(file, offset), len).map_err(io::Error::other)?;
        let slot = watch(region.as_ptr() as usize, len)?;
        Ok(Self { region, slot })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.region.file_offset()?.file().as_fd())
    }

    /// Its length in bytes.
    #[inline]
    #[must_use]
    pub fn size(&self) -> usize {
        self.region.size()
    }

    /// Reads what lies at a place in it, whatever the guest makes of it meanwhile; says whether it reaches so far.
    #[inline]
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        let Some(from) = self.place(offset, into.len()) else { return false };
        // SAFETY: so many bytes from there on are mapped as long as `self` lives, which is longer than this; `into` is
        // ours alone and so no part of them. What another process writes at the same time may come half: bytes have no
        // other requirements, and whoever reads them checks them.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        true
    }

    /// Writes to a place in it; says whether it reaches so far.
    #[inline]
    #[must_use]
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        let Some(to) = self.place(offset, bytes.len()) else { return false };
        // SAFETY: as for reading; the mapping is writable, and no reference to any of its bytes is ever given out but to
        // atomic and volatile ones.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        true
    }

    /// Copies `len` bytes at `offset` of it to a place in the same or another one; says whether both reach so far.
    #[inline]
    #[must_use]
    pub fn copy(&self, offset: usize, to: &Self, at: usize, len: usize) -> bool {
        let (Some(from), Some(to)) = (self.place(offset, len), to.place(at, len)) else { return false };
        // SAFETY: as for reading and writing; both may be parts of the same, and this copy may overlap.
        unsafe { std::ptr::copy(from, to, len) };
        true
    }

    /// A place in it, for the kernel to read from while this is mapped.
    #[inline]
    pub(super) fn vector(&self, offset: usize, len: usize) -> Option<libc::iovec> {
        Some(libc::iovec { iov_base: self.place(offset, len)?.cast(), iov_len: len })
    }

    #[inline]
    fn place(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let ends = offset.checked_add(len)? <= self.region.size();
        ends.then(|| self.region.as_ptr().wrapping_add(offset))
    }

    /// Lets the processor fetch a part of it that is soon to be read; whoever has it in a cache goes on meanwhile.
    /// (What is to be written is better not fetched: another core that has it loses it twice by that.)
    #[inline]
    pub fn fetch(&self, offset: usize, len: usize) {
        let mut line = offset & !(CACHE_LINE - 1);
        while line < offset + len {
            fetch(self.region.as_ptr().wrapping_add(line));
            line += CACHE_LINE;
        }
    }

    /// `count` values at a place in it.
    #[inline]
    #[must_use]
    pub fn array<T: ByteValued>(&self, offset: usize, count: usize) -> Option<VolatileArrayRef<'_, T>> {
        self.region.get_array_ref(offset, count).ok()
    }

    /// The value at a place in it; `None` where that is not aligned.
    #[inline]
    #[must_use]
    pub fn atomic(&self, offset: usize) -> Option<&AtomicU16> {
        self.region.get_atomic_ref(offset).ok()
    }

    /// Whether the file was cut short while we used it: from then on all of it is zeros that nobody shares.
    #[inline]
    #[must_use]
    pub fn is_cut(&self) -> bool {
        WATCHED[self.slot].cut.load(Ordering::Relaxed)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        WATCHED[self.slot].start.store(0, Ordering::Release);
    }
}

#[inline]
fn fetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it reads nothing, and fails nowhere: what can't be fetched is not.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

fn watch(start: usize, len: usize) -> io::Result<usize> {
    // One that is being taken, until its length is known.
    const TAKEN: usize = usize::MAX;
    for (index, slot) in WATCHED.iter().enumerate() {
        if slot.start.compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            slot.len.store(len, Ordering::Relaxed);
            slot.cut.store(false, Ordering::Relaxed);
            slot.start.store(start, Ordering::Release);
            return Ok(index);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Installs the handler, once.
fn handle_sigbus() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let install = || {
        // SAFETY: all-zero is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_sigbus;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: `action` is a whole sigaction whose handler is async-signal-safe.
        match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)),
        }
    };
    INSTALLED.get_or_init(install).map_err(io::Error::from_raw_os_error)
}

/// Only atomics and system calls: it runs in the midst of anything.
extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel gives a valid siginfo_t, which of SIGBUS has an address.
    let at = unsafe { (*info).si_addr() } as usize;
    let slot = WATCHED.iter().find(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        start != 0 && at.checked_sub(start).is_some_and(|offset| offset < slot.len.load(Ordering::Relaxed))
    });
    if let Some(slot) = slot {
        let (start, len) = (slot.start.load(Ordering::Relaxed), slot.len.load(Ordering::Relaxed));
        slot.cut.store(true, Ordering::Relaxed);
        // SAFETY: the range is one mapping of a Mapping that lives, for somebody has just touched it through that;
        // it is replaced as a whole by memory that can be touched, at the same place.
        let mapped = unsafe {
            libc::mmap(
                start as *mut c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if mapped != libc::MAP_FAILED {
            return;
        }
    }
    // Not ours: what touched it does so again, and ends the process as without a handler.
    // SAFETY: sets the default action.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    fn file(len: u64) -> File {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, len).unwrap();
        file.into()
    }

    #[test]
    fn a_file_that_is_cut_short_in_use_becomes_zeros_and_no_other_does() {
        let (one, two) = (file(1 << 16), file(1 << 16));
        let cut = Mapping::new(one.try_clone().unwrap(), 0, 1 << 16).unwrap();
        let whole = Mapping::new(two, 0, 1 << 16).unwrap();
        for mapping in [&cut, &whole] {
            assert!(mapping.write(40_000, b"word"));
        }
        ftruncate(&one, 4096).unwrap();
        let mut read = *b"....";
        assert!(cut.read(40_000, &mut read));
        assert_eq!((read, cut.is_cut()), ([0; 4], true));
        assert!(cut.write(40_000, b"more") && whole.read(40_000, &mut read));
        assert_eq!((&read, whole.is_cut()), (b"word", false));
    }

    #[test]
    fn a_file_must_be_as_long_as_is_said() {
        for (offset, len) in [(0, 8193), (4096, 4097), (u64::MAX, 2), (0, 0)] {
            assert!(Mapping::new(file(8192), offset, len).is_err(), "{offset} {len}");
        }
        let mapping = Mapping::new(file(8192), 4096, 4096).unwrap();
        assert!(mapping.read(4094, &mut [0; 2]) && mapping.write(4094, &[0; 2]));
        for at in [4095, 4097, usize::MAX] {
            assert!(!mapping.read(at, &mut [0; 2]) && !mapping.write(at, &[0; 2]), "{at}");
        }
    }
}
