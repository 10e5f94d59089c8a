//! A `tap` port: we hold the descriptor, the cable; the interface end belongs to the host, or to a
//! namespace that it may be moved into while we run. The descriptor is the truth, not the link's
//! presence here.
//!
//! With offloads (the default) the device is opened through [`crate::sys::tun`], which can ask for the
//! offload header; without, through the tun-tap crate, which opens the plain device.

use std::fs::File;
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

/// Both halves of an open TAP.
#[derive(Debug)]
pub struct TapPort {
    /// The receive half.
    pub rx: TapRx,
    /// The send half.
    pub tx: TapTx,
    /// A third handle on the descriptor, for questions to the kernel.
    pub handle: TapHandle,
}

/// What can be asked of a TAP beside receiving and sending.
#[derive(Clone, Debug)]
pub struct TapHandle(Arc<OwnedFd>);

impl TapHandle {
    /// Whether the interface was deleted. `false` also if it was only moved to another namespace.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        tun::interface_name(self.0.as_fd()).is_err()
    }

    /// The present name of the interface, if it is in the calling thread's network namespace.
    #[must_use]
    pub fn name_here(&self) -> Option<String> {
        let here = File::open("/proc/thread-self/ns/net").and_then(|file| Ok(rustix::fs::fstat(file)?));
        let there = tun::namespace(self.0.as_fd()).and_then(|file| Ok(rustix::fs::fstat(file)?));
        let (here, there) = (here.ok()?, there.ok()?);
        let same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino);
        tun::interface_name(self.0.as_fd()).ok().filter(|_| same)
    }

    /// Leaves the device as a plain TAP for whoever attaches next.
    pub fn clear_offload(&self) {
        // Fails only where the device is gone, and then there is nothing to clear.
        let _ = tun::set_offload(self.0.as_fd(), 0);
    }

    /// Whether the interface is to outlive us.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn set_persist(&self, persist: bool) -> io::Result<()> {
        tun::set_persist(self.0.as_fd(), persist)
    }
}

impl AsFd for TapHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Creates the TAP, or attaches to it where it exists and is free.
///
/// # Errors
/// A [`TapError`] that names the device and the way out.
pub fn open(options: &TapOptions) -> Result<TapPort, TapError> {
    let (fd, form) =
        if options.offload { open_with_header(options)? } else { (open_plain(options)?, Form::PLAIN) };
    assemble(fd, form, options)
}

/// Goes on with a descriptor that an earlier process opened as [`open`] does, wherever its interface is by now.
///
/// # Errors
/// The interface was deleted, or is not attached as `options` want it; the descriptor is closed by that.
pub fn adopt(fd: OwnedFd, options: &TapOptions) -> Result<TapPort, TapError> {
    let io_error = |what| move |source| TapError::Io { device: options.device.clone(), what, source };
    let flags = tun::flags(fd.as_fd()).map_err(io_error("looking at the descriptor from before"))?;
    if (flags & libc::IFF_VNET_HDR != 0) != options.offload {
        let source = io::Error::from_raw_os_error(libc::EINVAL);
        return Err(io_error("using the descriptor from before, which has other offloads")(source));
    }
    let form = if options.offload { turn_on(&fd, options)? } else { Form::PLAIN };
    assemble(fd, form, options)
}

fn assemble(fd: OwnedFd, form: Form, options: &TapOptions) -> Result<TapPort, TapError> {
    let io_error = |what| move |source| TapError::Io { device: options.device.clone(), what, source };
    if let Some(uid) = options.owner {
        tun::set_owner(fd.as_fd(), uid).map_err(io_error("setting its owner"))?;
    }
    if options.persist {
        tun::set_persist(fd.as_fd(), true).map_err(io_error("making it persistent"))?;
    }
    let Form { header, capabilities } = form;
    let fd = Arc::new(fd);
    Ok(TapPort {
        rx: TapRx { fd: Arc::clone(&fd), header },
        tx: TapTx { fd: Arc::clone(&fd), header, capabilities },
        handle: TapHandle(fd),
    })
}

fn open_with_header(options: &TapOptions) -> Result<(OwnedFd, Form), TapError> {
    let fd = tun::open_clone_device().map_err(|source| TapError::NoDriver { source })?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    match tun::set_iff(fd.as_fd(), &options.device, flags) {
        // A persistent TAP that was made with multi_queue takes only such descriptors.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            tun::set_iff(fd.as_fd(), &options.device, flags | libc::IFF_MULTI_QUEUE)
        }
        other => other,
    }
    .map_err(|source| attach_error(&options.device, source))?;
    let form = turn_on(&fd, options)?;
    Ok((fd, form))
}

/// Asks for all offloads that we know, and for headers long enough to describe what this kernel has of them.
fn turn_on(fd: &OwnedFd, options: &TapOptions) -> Result<Form, TapError> {
    let io_error = |what| move |source| TapError::Io { device: options.device.clone(), what, source };
    let capabilities =
        Capabilities { checksum: true, tso4: true, tso6: true, tso_ecn: true, ..Capabilities::default() };
    // The kernel takes no UDP tunnel bits while the header is too short to describe one.
    tun::set_header_size(fd.as_fd(), TUNNEL_HEADER).map_err(io_error("setting the offload header's size"))?;
    if tun::set_offload(fd.as_fd(), OFFLOADS | USO | UDP_TUNNEL).is_ok() {
        let capabilities = Capabilities { uso: true, udp_tunnel: true, ..capabilities };
        return Ok(Form { header: TUNNEL_HEADER, capabilities });
    }
    tun::set_header_size(fd.as_fd(), LONG_HEADER).map_err(io_error("setting the offload header's size"))?;
    let uso = tun::set_offload(fd.as_fd(), OFFLOADS | USO).is_ok();
    if !uso {
        tun::set_offload(fd.as_fd(), OFFLOADS).map_err(io_error("turning offloads on"))?;
    }
    Ok(Form { header: LONG_HEADER, capabilities: Capabilities { uso, ..capabilities } })
}

fn open_plain(options: &TapOptions) -> Result<OwnedFd, TapError> {
    let io_error = |what| move |source| TapError::Io { device: options.device.clone(), what, source };
    let fd = match tun_tap::Iface::without_packet_info(&options.device, tun_tap::Mode::Tap) {
        Ok(iface) => {
            iface.set_non_blocking().map_err(io_error("making it non-blocking"))?;
            tun::descriptor_of(iface)
        }
        // One of several queues, for which tun-tap does not ask.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let fd = tun::open_clone_device().map_err(|source| TapError::NoDriver { source })?;
            let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
            tun::set_iff(fd.as_fd(), &options.device, flags)
                .map_err(|source| attach_error(&options.device, source))?;
            fd
        }
        Err(source) => return Err(attach_error(&options.device, source)),
    };
    // Offloads outlive the descriptor that turned them on: without this a process that left them on
    // would make us read 64 KiB frames that nothing describes.
    tun::set_offload(fd.as_fd(), 0).map_err(io_error("turning offloads off"))?;
    Ok(fd)
}

fn attach_error(device: &str, source: io::Error) -> TapError {
    let device = device.to_owned();
    match source.raw_os_error() {
        Some(libc::EBUSY) => TapError::Busy { device },
        Some(libc::EINVAL) => TapError::NotATap { device },
        Some(libc::EPERM | libc::EACCES) => TapError::NotPermitted { device },
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TapError::NoDriver { source },
        _ => TapError::Io { device, what: "attaching", source },
    }
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

/// The send half of a TAP.
#[derive(Debug)]
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
