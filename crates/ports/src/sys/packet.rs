//! Packet sockets (`packet(7)`): their options, a receive call that also tells the tag that the kernel
//! took out of the frame, the socket's losses, and the interface that it is bound to.

use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use frame::{EtherType, Tag};
use libc::{c_int, c_void, socklen_t};

/// Room for the control message of one frame: `CMSG_SPACE(sizeof(struct tpacket_auxdata))` is 40.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 64]);

/// One frame as a [`Receiver`] got it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Bytes of offload header and frame; more than the buffer holds if the frame was cut off.
    pub len: usize,
    /// The outer tag, which is no longer in the bytes.
    pub tag: Option<Tag>,
}

/// Receives many frames with one system call. Its memory is what the kernel is told of each of them.
pub struct Receiver {
    messages: Box<[libc::mmsghdr]>,
    buffers: Box<[libc::iovec]>,
    controls: Box<[Control]>,
    /// Frames that the last call received.
    count: usize,
}

// SAFETY: the pointers in `messages` and `buffers` are used only in `receive`, which sets those that it lets
// the kernel use: to the boxes, which belong to this Receiver alone wherever it is, and to its argument.
unsafe impl Send for Receiver {}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("frames", &self.messages.len()).finish()
    }
}

impl Receiver {
    /// For at most so many `frames` a call.
    pub fn new(frames: usize) -> Self {
        // SAFETY: all-zero is a valid mmsghdr and a valid iovec: null pointers and zero lengths.
        let (message, buffer) = unsafe { (mem::zeroed::<libc::mmsghdr>(), mem::zeroed::<libc::iovec>()) };
        Self {
            messages: (0..frames).map(|_| message).collect(),
            buffers: (0..frames).map(|_| buffer).collect(),
            controls: (0..frames).map(|_| Control([MaybeUninit::uninit(); 64])).collect(),
            count: 0,
        }
    }

    /// Receives one frame into each of `rooms`, as far as there are frames, never blocking, and says how
    /// many. A frame longer than its room is cut off. [`Receiver::received`] tells of each.
    ///
    /// # Errors
    /// As `recvmmsg(2)`; one that comes after the first frame is told by the next call. `EINVAL` if the kernel
    /// can't express a frame as an offload header, in which case it is lost.
    #[inline]
    pub fn receive<'b>(
        &mut self,
        fd: BorrowedFd<'_>,
        rooms: impl Iterator<Item = &'b mut [u8]>,
    ) -> io::Result<usize> {
        let places = self.messages.iter_mut().zip(&mut *self.buffers).zip(&mut *self.controls);
        let mut count = 0;
        for (((message, buffer), control), room) in places.zip(rooms) {
            *buffer = libc::iovec { iov_base: room.as_mut_ptr().cast::<c_void>(), iov_len: room.len() };
            message.msg_hdr.msg_iov = buffer;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = (&raw mut *control).cast::<c_void>();
            message.msg_hdr.msg_controllen = mem::size_of::<Control>() as _;
            count += 1;
        }
        // SAFETY: the first `count` messages point to buffers that describe distinct rooms, borrowed for
        // longer than the call, and to controls of this Receiver; the kernel writes no more than the lengths
        // given. There is no timeout.
        let received = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(received).unwrap_or(0);
        if received == -1 { Err(io::Error::last_os_error()) } else { Ok(self.count) }
    }

    /// Frame `index` of those that the last call received.
    ///
    /// # Panics
    /// If they are not so many.
    #[inline]
    #[must_use]
    pub fn received(&self, index: usize) -> Received {
        let message = &self.messages[..self.count][index];
        Received { len: message.msg_len as usize, tag: tag_of(&message.msg_hdr) }
    }
}

/// Sets an option of type `int`.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn set_option(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    set_value(fd, level, option, &value)
}

/// Sets an option of another type.
///
/// # Errors
/// As `setsockopt(2)`; `EFAULT` where the value has an address that is none.
pub(super) fn set_value<T>(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call. The kernel only reads it, and what
    // it points to.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            (&raw const *value).cast::<c_void>(),
            mem::size_of::<T>() as socklen_t,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What an option of packet sockets says, in so many words.
///
/// # Errors
/// As `getsockopt(2)`.
pub(super) fn option_words<const N: usize>(fd: BorrowedFd<'_>, option: c_int) -> io::Result<[u32; N]> {
    let mut words = [0; N];
    let mut len = mem::size_of_val(&words) as socklen_t;
    // SAFETY: the pointer and the length describe `words`, which outlives the call; every value is a word.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw mut words).cast::<c_void>(),
            &raw mut len,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(words) }
}

/// The tag in the PACKET_AUXDATA message of what was received.
#[inline]
fn tag_of(message: &libc::msghdr) -> Option<Tag> {
    // SAFETY: `message` is as recvmmsg left it, and its control buffer lives in the same Receiver.
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
    // struct tpacket_stats.
    let [_packets, drops] = option_words(fd, libc::PACKET_STATISTICS)?;
    Ok(drops)
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
