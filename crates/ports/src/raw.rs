//! A `raw` port: a packet socket on an interface that exists, be it a NIC, a veth, or a TAP whose
//! descriptor QEMU holds.
//!
//! The socket is ours and pnet only binds it: pnet's receiver loses VLAN tags and cuts long frames.
//! Every frame comes with an offload header, also where `offload` is off, for without it a frame's
//! checksum or segment size would be unknown; `offload = false` means that we send finished frames only.
//!
//! A packet socket sees copies, before the host's stack and before nft and tc. It stays bound while
//! the interface is down; when the interface is deleted, it must be opened again.
//!
//! Several receive queues are as many sockets in a group of the kernel's (`PACKET_FANOUT_HASH`): a frame comes in on the
//! one that its flow's symmetric hash names. By which of them frames are sent makes no difference to that.

mod sockets;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use frame::{Capabilities, Frame, MacAddr};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::batch::{LONG_TURN, MAX_BATCH, ROOM};
use crate::device::{self, Device, DeviceError};
use crate::lent::Tail;
use crate::queue::run;
use crate::sys;
use crate::sys::packet::{self, Receiver};
use crate::{Batch, Drained, Run, RxQueue, SendError, TxQueue};
use sockets::Socket;

/// How to open a raw port.
#[derive(Clone, Debug)]
pub struct RawOptions {
    /// Name of the interface.
    pub device: String,
    /// Whether unfinished frames may be sent.
    pub offload: bool,
    /// Whether what we send goes straight to the device, past its queueing discipline and what looks at frames there
    /// (tcpdump, tc, nft egress). A full device then says so at once.
    pub qdisc_bypass: bool,
    /// The mark that what we send carries (`SO_MARK`), by which rules know it.
    pub mark: Option<u32>,
    /// Use the offload header of 10 bytes also where the kernel has the one of 12. For tests.
    pub short_header: bool,
    /// How many receive queues are wanted; 0 and 1 are one.
    pub queues: usize,
}

impl RawOptions {
    /// What to make of an error of a system call that was `what`.
    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> OpenError {
        move |source| {
            let device = self.device.clone();
            match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => OpenError::Permission { device },
                Some(libc::ENODEV | libc::ENXIO) => DeviceError::Missing { device }.into(),
                _ => OpenError::System { device, what, source },
            }
        }
    }
}

/// Why a raw port was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The interface is missing or can't be a port.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// We may not.
    #[error(
        "{device}: not allowed to open a packet socket: CAP_NET_RAW is missing. \
         Run as root, or `setcap cap_net_admin,cap_net_raw+ep switchd`"
    )]
    Permission {
        /// The interface.
        device: String,
    },
    /// Anything else.
    #[error("{device}: {what}: {source}")]
    System {
        /// The interface.
        device: String,
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// An open raw port: its two halves, and what its interface was like when it was opened.
#[derive(Debug)]
pub struct RawPort {
    /// The receive halves, as many as were wanted. Each frame comes in on one of them, all of a flow on the same.
    pub rx: Vec<RawRx>,
    /// As many send halves, each of the same socket as the receive half of its number.
    pub tx: Vec<RawTx>,
    /// Index of the interface: its identity, which a later one of the same name does not have.
    pub ifindex: u32,
    /// The interface's own address.
    pub mac: MacAddr,
    /// Its MTU in bytes.
    pub mtu: u32,
}

/// Opens a packet socket on an interface, or several that share its frames, promiscuous, blind to what leaves by it.
///
/// # Errors
/// An [`OpenError`] that names the interface and what to do.
pub fn open(options: &RawOptions) -> Result<RawPort, OpenError> {
    let device = device::find(&options.device)?;
    device.usable()?;
    let sockets = sockets::open(options, &device)?;
    Ok(assemble(sockets, 0, options, &device))
}

/// Goes on with the sockets that an earlier process opened as [`open`] does, in any order; `drops` are the losses of
/// all of them that it has counted. There are as many as `options` want after that. The frames in one too many are
/// lost, and so are those that its flows bring until every process has closed it; of one that is missing, those of its
/// flows until it is there.
///
/// # Errors
/// An [`OpenError`]: one is bound to another interface, for instance an earlier one of that name. The sockets are
/// closed by that.
pub fn adopt(fds: Vec<OwnedFd>, drops: u64, options: &RawOptions) -> Result<RawPort, OpenError> {
    let device = device::find(&options.device)?;
    device.usable()?;
    let sockets = sockets::adopt(fds, options, &device)?;
    Ok(assemble(sockets, drops, options, &device))
}

/// Makes both halves of each socket; the first counts on from `drops`.
fn assemble(sockets: Vec<Socket>, drops: u64, options: &RawOptions, device: &Device) -> RawPort {
    let capabilities = capabilities(options.offload);
    let drops = std::iter::once(drops).chain(std::iter::repeat(0));
    let halves = sockets.into_iter().zip(drops).map(|(Socket { fd, header }, drops)| {
        let fd = Arc::new(fd);
        (RawRx::new(Arc::clone(&fd), header, drops), RawTx { fd, header, capabilities })
    });
    let (rx, tx) = halves.unzip();
    RawPort { rx, tx, ifindex: device.ifindex, mac: device.mac, mtu: device.mtu }
}

fn capabilities(offload: bool) -> Capabilities {
    let uso = offload && kernel_has_udp_segmentation();
    Capabilities { checksum: offload, tso4: offload, tso6: offload, tso_ecn: offload, uso, udp_tunnel: false }
}

/// Whether this is Linux 6.2 or later, whose offload header knows `VIRTIO_NET_HDR_GSO_UDP_L4`.
#[must_use]
pub fn kernel_has_udp_segmentation() -> bool {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().unwrap_or("").split(['.', '-']).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 2))
}

/// The receive half of a raw port.
#[derive(Debug)]
pub struct RawRx {
    fd: Arc<OwnedFd>,
    header: usize,
    receiver: Receiver,
    /// Frames to ask for with the next call.
    ahead: usize,
    /// Whether the last that we heard is that the interface is down.
    down: bool,
    drops: u64,
}

impl RawRx {
    fn new(fd: Arc<OwnedFd>, header: usize, drops: u64) -> Self {
        Self { fd, header, receiver: Receiver::new(MAX_BATCH), ahead: MAX_BATCH, down: false, drops }
    }

    /// Keeps the `count` frames that were received, and decides for how many the next call asks: more than
    /// came this time, but not for many more, as each costs a little, and of long ones for a turn at most.
    #[inline]
    fn take(&mut self, batch: &mut Batch, count: usize) {
        let mut bytes = 1;
        for index in 0..count {
            let received = self.receiver.received(index);
            if received.len <= self.header + ROOM {
                batch.push_room(received.len, self.header, received.tag);
            } else {
                batch.skip_room();
            }
            bytes += received.len;
        }
        self.ahead = (2 * count).clamp(4, MAX_BATCH).min(LONG_TURN * count / bytes).max(1);
    }

    /// What an errno of `recvmmsg` means; `None` where it cost one frame and nothing else.
    #[cold]
    fn ended(&mut self, error: &io::Error) -> Option<Drained> {
        match error.raw_os_error() {
            Some(libc::EINTR) => Some(Drained::More),
            // The kernel has no offload header for the frame (SCTP segments and the like) and lost it.
            Some(libc::EINVAL) => None,
            Some(libc::ENODEV | libc::ENXIO | libc::EBADFD) => Some(Drained::Gone),
            // Said once, for both; a socket on a deleted interface is bound to none.
            _ => {
                self.down = true;
                match packet::bound_to(&*self.fd) {
                    Ok(None) => Some(Drained::Gone),
                    _ => Some(Drained::Down),
                }
            }
        }
    }

    /// Nothing is left; where the interface was down before, find out whether it is gone by now.
    fn emptied(&mut self) -> Drained {
        if self.down && matches!(packet::bound_to(&*self.fd), Ok(None)) {
            Drained::Gone
        } else {
            Drained::Empty
        }
    }
}

impl AsFd for RawRx {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl RxQueue for RawRx {
    fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn receive(&mut self, batch: &mut Batch, budget: usize) -> Drained {
        let mut left = budget;
        while left > 0 {
            let rooms = batch.rooms(self.header, self.ahead.min(left));
            match self.receiver.receive(self.fd.as_fd(), rooms) {
                // The batch is full.
                Ok(0) => break,
                Ok(count) => {
                    self.take(batch, count);
                    left -= count;
                    self.down = false;
                }
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return self.emptied(),
                Err(error) => match self.ended(&error) {
                    Some(drained) => return drained,
                    None => {
                        batch.count_truncated();
                        left -= 1;
                    }
                },
            }
        }
        Drained::More
    }

    fn kernel_drops(&mut self) -> u64 {
        // Reading resets the kernel's counter. Can't fail on a packet socket; if it does, nothing is added.
        self.drops += u64::from(packet::take_drops(self.fd.as_fd()).unwrap_or(0));
        self.drops
    }
}

/// The send half of a raw port.
#[derive(Debug)]
pub struct RawTx {
    fd: Arc<OwnedFd>,
    header: usize,
    capabilities: Capabilities,
}

impl TxQueue for RawTx {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    #[inline]
    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        match frame.verbatim(self.header) {
            Some(whole) => {
                rustix::net::send(&*self.fd, whole, SendFlags::DONTWAIT).map(drop).map_err(send_error)
            }
            None => self.send_lent(frame, Tail::NONE),
        }
    }

    fn send_lent(&mut self, frame: &Frame<'_>, tail: Tail<'_>) -> Result<(), SendError> {
        let pieces = frame.pieces();
        let header = pieces.offload.encode();
        let header = header.get(..self.header).unwrap_or(&header);
        let parts = [header, pieces.head, pieces.tags.as_slice(), pieces.rest];
        sys::gather::sendmsg(self.fd.as_fd(), parts, tail).map(drop).map_err(send_error)
    }

    fn send_run(&mut self, batch: &Batch, queue: &[u16]) -> Run {
        let send = |bytes: &[u8]| rustix::net::send(&*self.fd, bytes, SendFlags::DONTWAIT);
        run(batch, queue, self.header, send, send_error)
    }
}

/// What an errno of `send` means.
#[cold]
fn send_error(errno: Errno) -> SendError {
    match errno {
        Errno::MSGSIZE => SendError::TooLong,
        Errno::AGAIN | Errno::NOBUFS => SendError::Full,
        Errno::NETDOWN => SendError::Down,
        Errno::NXIO | Errno::NODEV | Errno::BADFD => SendError::Gone,
        other => SendError::Refused(other.raw_os_error()),
    }
}
