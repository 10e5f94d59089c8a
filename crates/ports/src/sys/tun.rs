//! The ioctls of `/dev/net/tun` (`include/uapi/linux/if_tun.h`, `drivers/net/tun.c`), one small
//! function each.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Opens the clone device, non-blocking and close-on-exec.
///
/// # Errors
/// As `open(2)`: `ENOENT` or `ENODEV` where the kernel has no TUN driver, `EACCES` without permission.
pub fn open_clone_device() -> io::Result<OwnedFd> {
    let file: File =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    Ok(file.into())
}

/// The descriptor of a TAP that the tun-tap crate has opened; it gives it away as a number only.
#[must_use]
pub fn descriptor_of(iface: tun_tap::Iface) -> OwnedFd {
    // SAFETY: into_raw_fd hands over the only ownership of an open descriptor.
    unsafe { OwnedFd::from_raw_fd(iface.into_raw_fd()) }
}

/// `TUNSETIFF`: makes this descriptor the cable of TAP `name`, creating the interface if there is none.
/// `flags` are the `IFF_*` of the queue.
///
/// # Errors
/// `EBUSY` if another process holds it, `EINVAL` if the name belongs to something else or to a device
/// with other queues, `EPERM` without CAP_NET_ADMIN and without being its owner.
pub fn set_iff(fd: BorrowedFd<'_>, name: &str, flags: i32) -> io::Result<()> {
    let mut request = request_named(name)?;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is, alive for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })
}

/// `TUNSETQUEUE`: takes a descriptor of several off the frames that come in; what lies in it is lost. It stays one of
/// the interface, and can be written to.
///
/// # Errors
/// `EINVAL` where the interface takes one descriptor only, or this one is off already.
pub fn detach_queue(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut request = empty_request();
    request.ifr_ifru.ifru_flags = libc::IFF_DETACH_QUEUE as libc::c_short;
    // SAFETY: TUNSETQUEUE reads one `ifreq`, which `request` is, alive for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETQUEUE as _, &raw mut request) })
}

/// `TUNGETIFF`: the present name of this descriptor's interface, in whatever network namespace it is.
///
/// # Errors
/// `EBADFD` when the interface was deleted.
pub fn interface_name(fd: BorrowedFd<'_>) -> io::Result<String> {
    let request = attached(fd)?;
    let bytes = request.ifr_name.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EILSEQ))
}

/// `TUNGETIFF`: the `IFF_*` with which this descriptor was attached, and `IFF_DETACH_QUEUE` if it was taken off since.
///
/// # Errors
/// `EBADFD` when the interface was deleted; `ENOTTY` and others where the descriptor is something else.
pub fn flags(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: TUNGETIFF has written the flags, and every value of them is a valid one.
    attached(fd).map(|request| i32::from(unsafe { request.ifr_ifru.ifru_flags }))
}

fn attached(fd: BorrowedFd<'_>) -> io::Result<libc::ifreq> {
    let mut request = empty_request();
    // SAFETY: TUNGETIFF writes one `ifreq`, which `request` is, alive for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF as _, &raw mut request) })?;
    Ok(request)
}

/// `TUNGETDEVNETNS`: the network namespace that this descriptor's interface is in. Linux 5.9 and later.
///
/// # Errors
/// `EBADFD` when the interface was deleted, `EPERM` without CAP_NET_ADMIN there.
pub fn namespace(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: TUNGETDEVNETNS takes no argument and returns a descriptor or -1.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETDEVNETNS as _) };
    check(result)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// `TUNSETVNETHDRSZ`: bytes of offload header before each frame.
///
/// # Errors
/// `EINVAL` for a size below 10.
pub fn set_header_size(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let size = bytes as libc::c_int;
    // SAFETY: TUNSETVNETHDRSZ reads one `int` through the pointer, alive for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &raw const size) })
}

/// `TUNSETOFFLOAD`: which frames we take unfinished (`TUN_F_*`). It is a property of the device, not of
/// the descriptor, and outlives both: whoever attaches must say it.
///
/// # Errors
/// `EINVAL` for a bit that this kernel does not know.
pub fn set_offload(fd: BorrowedFd<'_>, bits: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(bits)) })
}

/// `TUNSETPERSIST`: whether the interface outlives its last descriptor.
///
/// # Errors
/// As `ioctl(2)`.
pub fn set_persist(fd: BorrowedFd<'_>, persist: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes its argument by value.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETPERSIST as _, libc::c_ulong::from(persist)) })
}

/// `TUNSETOWNER`: which user may attach without CAP_NET_ADMIN.
///
/// # Errors
/// As `ioctl(2)`.
pub fn set_owner(fd: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    // SAFETY: TUNSETOWNER takes its argument by value.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOWNER as _, libc::c_ulong::from(uid)) })
}

fn request_named(name: &str) -> io::Result<libc::ifreq> {
    let mut request = empty_request();
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn empty_request() -> libc::ifreq {
    // SAFETY: `ifreq` is plain integers and a union of plain integers: all zero is a valid value.
    unsafe { std::mem::zeroed() }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
