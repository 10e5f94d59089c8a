//! What an open descriptor refers to, changed while somebody else owns it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes the descriptor of `owner` refer to what `to` refers to; what it referred to before is closed by that.
///
/// # Errors
/// As `dup3(2)`.
pub fn redirect(owner: &impl AsRawFd, to: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain numbers. `owner` is borrowed, so its descriptor is open and stays its own: after this it is open
    // still, under the same number, as whoever closes it expects.
    match unsafe { libc::dup3(to.as_raw_fd(), owner.as_raw_fd(), libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_written_goes_to_the_other_one_from_then_on() {
        let (mut ours, mut first) = UnixStream::pair().unwrap();
        let (other, mut second) = UnixStream::pair().unwrap();
        redirect(&ours, other.as_fd()).unwrap();
        ours.write_all(b"x").unwrap();
        let mut byte = [0];
        second.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
        assert_eq!(first.read(&mut byte).unwrap(), 0, "closed");
        assert!(redirect(&ours, ours.as_fd()).is_err());
    }
}
