//! Packet sockets (`packet(7)`): their options, a receive call that also tells the tag that the kernel
//! took out of the frame, the socket's losses, and the interface that it is bound to.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use frame::{EtherType, Tag};
use libc::{c_int, c_void, socklen_t};

/// Room for the control message of one frame: `CMSG_SPACE(sizeof(struct tpacket_auxdata))` is 40.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 64]);

/// One frame as [`receive`] got it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Bytes of offload header and frame; more than the buffer holds if the frame was cut off.
    pub len: usize,
    /// The outer tag, which is no longer in the bytes.
    pub tag: Option<Tag>,
}

/// Sets an option of type `int`.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn set_option(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            (&raw const value).cast::<c_void>(),
            mem::size_of::<c_int>() as socklen_t,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one frame into `buffer`, never blocking. A frame longer than `buffer` is cut off.
///
/// # Errors
/// As `recvmsg(2)`; `EINVAL` if the kernel can't express the frame as an offload header, in which case
/// the frame is lost.
#[inline]
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([MaybeUninit::uninit(); 64]);
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast::<c_void>(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast::<c_void>();
    message.msg_controllen = mem::size_of::<Control>() as _;
    // SAFETY: `message` points to `iov`, which describes `buffer`, and to `control`; all outlive the
    // call and the kernel writes no more than the lengths given.
    let len =
        unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    if len == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Received { len: len as usize, tag: tag_of(&message) })
}

/// The tag in the PACKET_AUXDATA message of a finished `recvmsg`.
#[inline]
fn tag_of(message: &libc::msghdr) -> Option<Tag> {
    // SAFETY: `message` is as recvmsg left it and its control buffer still lives in the caller.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    if header.is_null() {
        return None;
    }
    // SAFETY: not null, so it points to a whole cmsghdr within the buffer, aligned as `Control` is.
    let found = unsafe { &*header };
    // SAFETY: CMSG_LEN only computes.
    let expected = unsafe { libc::CMSG_LEN(mem::size_of::<libc::tpacket_auxdata>() as _) } as usize;
    if found.cmsg_level != libc::SOL_PACKET
        || found.cmsg_type != libc::PACKET_AUXDATA
        || (found.cmsg_len as usize) < expected
    {
        return None;
    }
    // SAFETY: the kernel says that the data is a tpacket_auxdata of at least its size; read unaligned.
    let aux = unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() };
    if aux.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
        EtherType::VLAN
    } else {
        EtherType(aux.tp_vlan_tpid)
    };
    Some(Tag { tpid, tci: aux.tp_vlan_tci })
}

/// Frames that this socket lost as its receive buffer was full, since the last call.
///
/// # Errors
/// As `getsockopt(2)`.
pub fn take_drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    #[repr(C)]
    #[derive(Default)]
    struct Statistics {
        packets: u32,
        drops: u32,
    }
    let mut statistics = Statistics::default();
    let mut len = mem::size_of::<Statistics>() as socklen_t;
    // SAFETY: the pointer and the length describe `statistics` (struct tpacket_stats), which outlives
    // the call.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast::<c_void>(),
            &raw mut len,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(statistics.drops) }
}

/// The ifindex that a packet socket is bound to; `None` once that interface was deleted.
///
/// # Errors
/// As `getsockname(2)`.
pub fn bound_to(fd: impl AsFd) -> io::Result<Option<u32>> {
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut len = mem::size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the pointer and the length describe `address`, which outlives the call.
    let result = unsafe {
        libc::getsockname(fd.as_fd().as_raw_fd(), (&raw mut address).cast::<libc::sockaddr>(), &raw mut len)
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(u32::try_from(address.sll_ifindex).ok().filter(|&index| index != 0))
}
