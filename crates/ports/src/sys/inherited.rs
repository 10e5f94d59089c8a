//! Descriptors that this process was started with: those that systemd kept for it (`sd_listen_fds(3)`).

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use netlink_sys::Socket;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes them, each with its name; close-on-exec from now on. None the second time, and where there are none.
///
/// # Errors
/// What the environment says of them can't be.
pub fn take() -> io::Result<Vec<(String, OwnedFd)>> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let named = sd_notify::listen_fds_with_names()?;
    // SAFETY: the service manager opened these numbers for this process and nobody else in it knows of them;
    // `TAKEN` lets only one caller come this far. A number that is not open is refused above.
    Ok(named.map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) })).collect())
}

/// A netlink socket that another process opened.
pub(crate) fn netlink(fd: OwnedFd) -> Socket {
    // SAFETY: into_raw_fd hands over the only ownership of an open descriptor.
    unsafe { Socket::from_raw_fd(fd.into_raw_fd()) }
}
