//! A `tap` port: we hold the descriptor, the cable; the interface end belongs to the host, or to a
//! namespace that it may be moved into while we run. The descriptor is the truth, not the link's
//! presence here.
//!
//! With offloads (the default) the device is opened through [`crate::sys::tun`], which can ask for the
//! offload header; without, through the tun-tap crate, which opens the plain device.
//!
//! Several receive queues are as many descriptors; a frame comes in on the one that its flow's symmetric hash names.
//! The kernel would move a flow to the queue by which frames of its other direction are written (`tun_flow_update`),
//! and so reorder it. It does not for a descriptor that was attached and then detached (`TUNSETQUEUE`), which can still
//! be written to: all writes go through one of those.

mod descriptors;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use frame::offload::{LONG_HEADER, TUNNEL_HEADER};
use frame::{Capabilities, Frame, udp_tunnel};
use rustix::io::Errno;

use crate::lent::Tail;
use crate::queue::run;
use crate::sys::{self, tun};
use crate::{Batch, Drained, Run, RxQueue, SendError, TxQueue};
use descriptors::Descriptors;

/// `TUN_F_CSUM | TSO4 | TSO6 | TSO_ECN`.
const OFFLOADS: u32 = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// `TUN_F_USO4 | TUN_F_USO6`, known to Linux 6.2 and later.
const USO: u32 = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// `TUN_F_UDP_TUNNEL_GSO | TUN_F_UDP_TUNNEL_GSO_CSUM`, known to Linux 6.17 and later.
const UDP_TUNNEL: u32 = 0x080 | 0x100;

/// How to open a TAP.
#[derive(Clone, Debug)]
pub struct TapOptions {
    /// Name of the interface, at most 15 bytes.
    pub device: String,
    /// Whether frames carry an offload header.
    pub offload: bool,
    /// Whether the interface is to outlive us.
    pub persist: bool,
    /// The user who may attach to a persistent interface.
    pub owner: Option<u32>,
    /// How many receive queues are wanted; 0 and 1 are one. A persistent interface that was made with one has no more.
    pub queues: usize,
}

impl TapOptions {
    /// What to make of an error of a system call that was `what`.
    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> TapError {
        move |source| TapError::Io { device: self.device.clone(), what, source }
    }
}

/// Why a TAP was not opened.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// Its descriptor is held by another process.
    #[error(
        "TAP {device} is busy: another process, such as QEMU, holds its descriptor. \
         For an interface that a VM opens itself use a port with type = \"raw\""
    )]
    Busy {
        /// The interface.
        device: String,
    },
    /// The name belongs to an interface of another kind.
    #[error(
        "{device} exists and is not a TAP that can be attached to. \
         For an interface that exists use a port with type = \"raw\", or choose another name"
    )]
    NotATap {
        /// The interface.
        device: String,
    },
    /// We may not.
    #[error(
        "not permitted to open TAP {device}: the capability CAP_NET_ADMIN is missing. Run as root, \
         grant it (`setcap cap_net_admin,cap_net_raw+ep` on the program, or AmbientCapabilities= in the unit), \
         or attach to a persistent TAP that belongs to this user"
    )]
    NotPermitted {
        /// The interface.
        device: String,
    },
    /// There is no TUN driver.
    #[error(
        "can't open /dev/net/tun: {source}. Load the driver (`modprobe tun`) or make the device visible here"
    )]
    NoDriver {
        /// What `open(2)` said.
        source: io::Error,
    },
    /// Anything else.
    #[error("TAP {device}: {what}: {source}")]
    Io {
        /// The interface.
        device: String,
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// In what form frames cross the descriptor.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Bytes of offload header before each.
    header: usize,
    capabilities: Capabilities,
}

impl Form {
    /// No header, and everything finished.
    const PLAIN: Self = Self {
        header: 0,
        capabilities: Capabilities {
            checksum: false,
            tso4: false,
            tso6: false,
            tso_ecn: false,
            uso: false,
            udp_tunnel: false,
        },
    };
}

/// An open TAP: its receive queues, and what sends.
#[derive(Debug)]
pub struct TapPort {
    /// The receive halves, one or as many as were wanted. Each frame comes in on one of them, all of a flow on the same.
    pub rx: Vec<TapRx>,
    /// The send half; a clone of it for each who sends.
    pub tx: TapTx,
    /// A further handle on the descriptors, for questions to the kernel.
    pub handle: TapHandle,
}

/// What can be asked of a TAP beside receiving and sending.
#[derive(Clone, Debug)]
pub struct TapHandle {
    /// A receive queue's, for what is asked of the interface.
    first: Arc<OwnedFd>,
    others: Arc<[Arc<OwnedFd>]>,
}

impl TapHandle {
    /// All descriptors, for [`adopt`]: those of the receive queues, then the one that only writes, if there is one.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(&self.first).chain(self.others.iter()).map(|fd| fd.as_fd())
    }

    /// Whether the interface was deleted. `false` also if it was only moved to another namespace.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        tun::interface_name(self.first.as_fd()).is_err()
    }

    /// The present name of the interface, if it is in the calling thread's network namespace.
    #[must_use]
    pub fn name_here(&self) -> Option<String> {
        descriptors::name_here(self.first.as_fd())
    }

    /// Leaves the device as a plain TAP for whoever attaches next.
    pub fn clear_offload(&self) {
        // Fails only where the device is gone, and then there is nothing to clear.
        let _ = tun::set_offload(self.first.as_fd(), 0);
    }

    /// Whether the interface is to outlive us.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn set_persist(&self, persist: bool) -> io::Result<()> {
        tun::set_persist(self.first.as_fd(), persist)
    }
}

impl AsFd for TapHandle {
    /// The first receive queue.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.first.as_fd()
    }
}

/// Creates the TAP, or attaches to it where it exists and is free.
///
/// # Errors
/// A [`TapError`] that names the device and the way out.
pub fn open(options: &TapOptions) -> Result<TapPort, TapError> {
    let opened = descriptors::open(options)?;
    let form = if options.offload {
        turn_on(&opened.first, options)?
    } else {
        // Offloads outlive the descriptor that turned them on: without this a process that left them on
        // would make us read 64 KiB frames that nothing describes.
        tun::set_offload(opened.first.as_fd(), 0).map_err(options.failed("turning offloads off"))?;
        Form::PLAIN
    };
    assemble(opened, form, options)
}

/// Goes on with the descriptors that an earlier process opened as [`open`] does, in any order and wherever their
/// interface is by now. There are as many receive queues after that as `options` want, or as can be had: more only
/// while the interface is in the calling thread's network namespace. What lies in one too many is lost.
///
/// # Errors
/// The interface was deleted, or is not attached as `options` want it, or they are of several interfaces; the
/// descriptors are closed by that.
pub fn adopt(fds: Vec<OwnedFd>, options: &TapOptions) -> Result<TapPort, TapError> {
    let adopted = descriptors::adopt(fds, options)?;
    let form = if options.offload { turn_on(&adopted.first, options)? } else { Form::PLAIN };
    assemble(adopted, form, options)
}

fn assemble(opened: Descriptors, form: Form, options: &TapOptions) -> Result<TapPort, TapError> {
    let Descriptors { first, more, writer } = opened;
    if let Some(uid) = options.owner {
        tun::set_owner(first.as_fd(), uid).map_err(options.failed("setting its owner"))?;
    }
    if options.persist {
        tun::set_persist(first.as_fd(), true).map_err(options.failed("making it persistent"))?;
    }
    let Form { header, capabilities } = form;
    let first = Arc::new(first);
    let more: Vec<_> = more.into_iter().map(Arc::new).collect();
    let writer = writer.map(Arc::new);
    let queues = std::iter::once(&first).chain(&more);
    Ok(TapPort {
        rx: queues.map(|fd| TapRx { fd: Arc::clone(fd), header }).collect(),
        tx: TapTx { fd: Arc::clone(writer.as_ref().unwrap_or(&first)), header, capabilities },
        handle: TapHandle { first, others: more.into_iter().chain(writer).collect() },
    })
}

/// Asks for all offloads that we know, and for headers long enough to describe what this kernel has of them.
fn turn_on(fd: &OwnedFd, options: &TapOptions) -> Result<Form, TapError> {
    let capabilities =
        Capabilities { checksum: true, tso4: true, tso6: true, tso_ecn: true, ..Capabilities::default() };
    // The kernel takes no UDP tunnel bits while the header is too short to describe one.
    tun::set_header_size(fd.as_fd(), TUNNEL_HEADER)
        .map_err(options.failed("setting the offload header's size"))?;
    if tun::set_offload(fd.as_fd(), OFFLOADS | USO | UDP_TUNNEL).is_ok() {
        let capabilities = Capabilities { uso: true, udp_tunnel: true, ..capabilities };
        return Ok(Form { header: TUNNEL_HEADER, capabilities });
    }
    tun::set_header_size(fd.as_fd(), LONG_HEADER)
        .map_err(options.failed("setting the offload header's size"))?;
    let uso = tun::set_offload(fd.as_fd(), OFFLOADS | USO).is_ok();
    if !uso {
        tun::set_offload(fd.as_fd(), OFFLOADS).map_err(options.failed("turning offloads on"))?;
    }
    Ok(Form { header: LONG_HEADER, capabilities: Capabilities { uso, ..capabilities } })
}

/// The receive half of a TAP.
#[derive(Debug)]
pub struct TapRx {
    fd: Arc<OwnedFd>,
    header: usize,
}

impl RxQueue for TapRx {
    fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    #[inline]
    fn receive(&mut self, batch: &mut Batch, budget: usize) -> Drained {
        for _ in 0..budget {
            let Some(room) = batch.room(self.header) else { return Drained::More };
            match rustix::io::read(&*self.fd, room) {
                Ok(len) => batch.push(len, self.header, None),
                Err(Errno::AGAIN) => return Drained::Empty,
                Err(Errno::INTR) => {}
                Err(Errno::IO | Errno::NETDOWN) => return Drained::Down,
                Err(_) => return Drained::Gone,
            }
        }
        Drained::More
    }
}

/// The send half of a TAP. Clones write to the same descriptor, from any thread.
#[derive(Clone, Debug)]
pub struct TapTx {
    fd: Arc<OwnedFd>,
    header: usize,
    capabilities: Capabilities,
}

impl TxQueue for TapTx {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    #[inline]
    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        match frame.verbatim(self.header) {
            Some(whole) => rustix::io::write(&*self.fd, whole).map(drop).map_err(send_error),
            None => self.send_lent(frame, Tail::NONE),
        }
    }

    fn send_lent(&mut self, frame: &Frame<'_>, tail: Tail<'_>) -> Result<(), SendError> {
        gather(self.fd.as_fd(), self.header, frame, tail).map(drop).map_err(send_error)
    }

    fn send_run(&mut self, batch: &Batch, queue: &[u16]) -> Run {
        run(batch, queue, self.header, |bytes| rustix::io::write(&*self.fd, bytes), send_error)
    }
}

fn gather(fd: BorrowedFd<'_>, header: usize, frame: &Frame<'_>, tail: Tail<'_>) -> Result<usize, Errno> {
    let pieces = frame.pieces();
    let tunnel = (header == TUNNEL_HEADER).then(|| udp_tunnel(frame)).flatten();
    let offload = pieces.offload.encode_with_tunnel(tunnel);
    let parts = [&offload[..header], pieces.head, pieces.tags.as_slice(), pieces.rest];
    sys::gather::writev(fd, parts, tail)
}

fn send_error(errno: Errno) -> SendError {
    match errno {
        Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => SendError::Full,
        Errno::IO | Errno::NETDOWN => SendError::Down,
        Errno::BADFD | Errno::NODEV | Errno::NXIO => SendError::Gone,
        other => SendError::Refused(other.raw_os_error()),
    }
}
