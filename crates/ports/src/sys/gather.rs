//! Sends frames of which a part lies in a guest's memory: the kernel takes it from there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::iovec;
use rustix::io::Errno;

use crate::lent::{MAX_PIECES, Tail};

/// What comes before the tail.
const PARTS: usize = 4;

/// `writev(2)` of `parts`, and the tail behind them.
///
/// # Errors
/// As `writev(2)`; `EFAULT` where a guest has cut its memory short.
pub fn writev(fd: BorrowedFd<'_>, parts: [&[u8]; PARTS], tail: Tail<'_>) -> Result<usize, Errno> {
    let (vectors, count) = gather(parts, tail);
    // SAFETY: the first `count` vectors are mapped as long as `parts` and `tail` are borrowed, and are only read.
    let written = unsafe { libc::writev(fd.as_raw_fd(), vectors.as_ptr(), count as libc::c_int) };
    count_of(written)
}

/// `sendmsg(2)` of `parts`, and the tail behind them, that does not wait.
///
/// # Errors
/// As `sendmsg(2)`; `EFAULT` where a guest has cut its memory short.
pub fn sendmsg(fd: BorrowedFd<'_>, parts: [&[u8]; PARTS], tail: Tail<'_>) -> Result<usize, Errno> {
    let (mut vectors, count) = gather(parts, tail);
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = count as _;
    // SAFETY: as for `writev`; the message names nothing else.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    count_of(sent)
}

/// What a system call says: so many bytes, or why not.
fn count_of(returned: isize) -> Result<usize, Errno> {
    let errno = || Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
    usize::try_from(returned).map_err(|_| errno())
}

fn gather(parts: [&[u8]; PARTS], tail: Tail<'_>) -> ([iovec; PARTS + MAX_PIECES], usize) {
    let mut vectors = [iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PARTS + MAX_PIECES];
    let ours =
        parts.iter().map(|part| iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    let lent = tail.pieces().filter_map(|(mapping, offset, len)| mapping.vector(offset, len));
    let mut count = 0;
    for (place, vector) in vectors.iter_mut().zip(ours.chain(lent)) {
        *place = vector;
        count += 1;
    }
    (vectors, count)
}
