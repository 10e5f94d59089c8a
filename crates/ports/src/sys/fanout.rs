//! Packet sockets that share the frames of an interface (`PACKET_FANOUT` of `packet(7)`), and a socket that hears
//! nothing until it is one of them (`SO_ATTACH_FILTER` of `socket(7)`).

use std::io;
use std::os::fd::BorrowedFd;

use libc::{c_int, sock_filter, sock_fprog};

use super::packet::{option_words, set_option, set_value};

/// A frame goes to the socket that its flow's symmetric hash names; none goes to another one as that is full, for then
/// a flow's frames would lie in two. What leaves by the interface goes to none: the group does not go by
/// `PACKET_IGNORE_OUTGOING` of its sockets.
const KIND: u32 = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;

/// Makes a group of this bound socket, with a number that no other group of the network namespace has.
///
/// # Errors
/// As `setsockopt(2)`; `EINVAL` before Linux 6.13 while the interface is down.
pub fn create(fd: BorrowedFd<'_>) -> io::Result<u16> {
    set(fd, 0, KIND | libc::PACKET_FANOUT_FLAG_UNIQUEID)?;
    group_of(fd)?.ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))
}

/// Adds a socket to the `group` of others that are bound as it is.
///
/// # Errors
/// As [`create`]; `ENOSPC` where the group is full.
pub fn join(fd: BorrowedFd<'_>, group: u16) -> io::Result<()> {
    set(fd, group, KIND)
}

fn set(fd: BorrowedFd<'_>, group: u16, kind: u32) -> io::Result<()> {
    let both = u32::from(group) | kind << 16;
    set_option(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, both.cast_signed())
}

/// The group that a socket is in.
///
/// # Errors
/// As `getsockopt(2)`.
pub fn group_of(fd: BorrowedFd<'_>) -> io::Result<Option<u16>> {
    let [both] = option_words(fd, libc::PACKET_FANOUT)?;
    // A group may have number 0, and then still has its flags.
    Ok((both != 0).then_some(both as u16))
}

/// From now on the socket takes no frame, and counts none as lost.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn deafen(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut nothing = sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = sock_fprog { len: 1, filter: &raw mut nothing };
    set_value(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Takes back [`deafen`].
///
/// # Errors
/// As `setsockopt(2)`; `ENOENT` where it was not deaf.
pub fn hear(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, c_int::default())
}
