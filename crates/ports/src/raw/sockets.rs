//! The sockets of a raw port: one, or one for each receive queue, which share the frames as a group.
//!
//! A socket that is bound and not in the group would get copies of what the group gets. So each is deaf until it is
//! in, and those of a new group until all are, or flows would move while they come. What comes for one that is added
//! to a group that is in use is lost until it hears, some hundredths of a second.

use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use frame::offload::{LONG_HEADER, SHORT_HEADER};
use pnet::datalink::{self, NetworkInterface};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{OpenError, RawOptions};
use crate::device::Device;
use crate::sys::fanout;
use crate::sys::packet;

/// Receive buffer in bytes; the kernel doubles it for its own bookkeeping. Holds 5 ms at 10 Gb/s.
const RECEIVE_BUFFER: i32 = 8 << 20;

/// Send buffer in bytes, doubled by the kernel. Small enough that 64 KiB frames fill it (`EAGAIN`)
/// before they make a queue of many milliseconds in the device, large enough that a queue of 1000
/// ordinary frames overflows first (`ENOBUFS`).
const SEND_BUFFER: i32 = 2 << 20;

const BIND: &str = "binding a packet socket";
const CREATE: &str = "sharing its frames among several queues (PACKET_FANOUT; before Linux 6.13 \
                      the interface must be up for that)";
const JOIN: &str = "adding a queue to those that share its frames (PACKET_FANOUT)";

/// A socket that is ready to receive and send.
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    /// Bytes of offload header before each frame.
    pub(super) header: usize,
}

impl Socket {
    fn configured(fd: OwnedFd, options: &RawOptions) -> Result<Self, OpenError> {
        let header = configure(&fd, options).map_err(|(what, source)| options.failed(what)(source))?;
        Ok(Self { fd, header })
    }

    /// One that is bound and receives nothing before [`Socket::hear`].
    fn deaf(options: &RawOptions, device: &Device) -> Result<Self, OpenError> {
        let socket = Self::configured(unbound(options)?, options)?;
        fanout::deafen(socket.fd.as_fd())
            .map_err(options.failed("keeping frames off a socket for now (SO_ATTACH_FILTER)"))?;
        bind(&socket.fd, device).map_err(options.failed(BIND))?;
        Ok(socket)
    }

    fn hear(&self, options: &RawOptions) -> Result<(), OpenError> {
        fanout::hear(self.fd.as_fd()).map_err(options.failed("letting frames in again (SO_DETACH_FILTER)"))
    }

    fn create_group(&self, options: &RawOptions) -> Result<u16, OpenError> {
        fanout::create(self.fd.as_fd()).map_err(options.failed(CREATE))
    }

    fn join(&self, group: u16, options: &RawOptions) -> Result<(), OpenError> {
        fanout::join(self.fd.as_fd(), group).map_err(options.failed(JOIN))
    }

    fn group(&self) -> Option<u16> {
        fanout::group_of(self.fd.as_fd()).ok().flatten()
    }
}

/// Opens as many as are wanted.
pub(super) fn open(options: &RawOptions, device: &Device) -> Result<Vec<Socket>, OpenError> {
    if options.queues <= 1 {
        let socket = Socket::configured(unbound(options)?, options)?;
        bind(&socket.fd, device).map_err(options.failed(BIND))?;
        return Ok(vec![socket]);
    }
    let sockets = deaf(options.queues, options, device)?;
    share(&sockets, None, options)?;
    Ok(sockets)
}

fn deaf(count: usize, options: &RawOptions, device: &Device) -> Result<Vec<Socket>, OpenError> {
    (0..count).map(|_| Socket::deaf(options, device)).collect()
}

/// Adds deaf sockets to a group, or makes one of them, and lets frames in.
fn share(sockets: &[Socket], mut group: Option<u16>, options: &RawOptions) -> Result<(), OpenError> {
    for socket in sockets {
        match group {
            None => group = Some(socket.create_group(options)?),
            Some(group) => socket.join(group, options)?,
        }
    }
    // A frame may still be on its way to a socket from before that was in the group, and to the group too. The kernel
    // waits for those when it closes a packet socket, whichever (`synchronize_net`).
    drop(unbound(options)?);
    sockets.iter().try_for_each(|socket| socket.hear(options))
}

/// A socket that receives nothing yet.
fn unbound(options: &RawOptions) -> Result<OwnedFd, OpenError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
        .map_err(|errno| options.failed("opening a packet socket")(errno.into()))
}

/// Goes on with those of an earlier process, less what is too many and with what is missing.
pub(super) fn adopt(
    fds: Vec<OwnedFd>,
    options: &RawOptions,
    device: &Device,
) -> Result<Vec<Socket>, OpenError> {
    let mut sockets = Vec::new();
    for fd in fds {
        let bound = packet::bound_to(&fd).map_err(options.failed("looking at the socket from before"))?;
        if bound != Some(device.ifindex) {
            return Err(refused(options, "using the socket from before, which is on another interface"));
        }
        sockets.push(Socket::configured(fd, options)?);
    }
    let Some(first) = sockets.first() else {
        return Err(refused(options, "using the sockets from before, of which there is none"));
    };
    if options.queues <= 1 {
        sockets.truncate(1);
        return Ok(sockets);
    }
    let group = match first.group() {
        Some(group) => group,
        None => first.create_group(options)?,
    };
    // Another one that is in no group, or in another, gets frames that the first gets too.
    sockets.retain(|socket| socket.group() == Some(group));
    sockets.truncate(options.queues);
    let missing = deaf(options.queues - sockets.len(), options, device)?;
    if !missing.is_empty() {
        share(&missing, Some(group), options)?;
    }
    sockets.extend(missing);
    Ok(sockets)
}

/// Not as [`RawOptions::failed`]: that the interface is another one does not mean that there is none.
fn refused(options: &RawOptions, what: &'static str) -> OpenError {
    let source = io::Error::from_raw_os_error(libc::ENXIO);
    OpenError::System { device: options.device.clone(), what, source }
}

/// Sets everything that must be in place before the first frame, and says how long the offload header is.
fn configure(fd: &OwnedFd, options: &RawOptions) -> Result<usize, (&'static str, io::Error)> {
    let set = |level, option, value| packet::set_option(fd.as_fd(), level, option, value);
    let of_packet = |option, value, what| set(libc::SOL_PACKET, option, value).map_err(|error| (what, error));
    of_packet(libc::PACKET_AUXDATA, 1, "asking for VLAN tags (PACKET_AUXDATA)")?;
    of_packet(libc::PACKET_IGNORE_OUTGOING, 1, "ignoring outgoing frames (PACKET_IGNORE_OUTGOING)")?;
    let bypass = i32::from(options.qdisc_bypass);
    of_packet(libc::PACKET_QDISC_BYPASS, bypass, "passing by the qdisc (PACKET_QDISC_BYPASS)")?;
    let long = LONG_HEADER as i32;
    // Linux 6.1 does not know PACKET_VNET_HDR_SZ.
    let header = if !options.short_header && set(libc::SOL_PACKET, libc::PACKET_VNET_HDR_SZ, long).is_ok() {
        LONG_HEADER
    } else {
        of_packet(libc::PACKET_VNET_HDR, 1, "asking for offload headers (PACKET_VNET_HDR)")?;
        SHORT_HEADER
    };
    for (force, plain, size) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER),
    ] {
        // Without CAP_NET_ADMIN the buffers are as large as net.core.[rw]mem_max allows.
        if set(libc::SOL_SOCKET, force, size).is_err() {
            set(libc::SOL_SOCKET, plain, size).map_err(|error| ("setting the buffer sizes", error))?;
        }
    }
    if let Some(mark) = options.mark {
        set(libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
            .map_err(|error| ("marking what is sent (SO_MARK)", error))?;
    }
    Ok(header)
}

/// Lets pnet bind a duplicate of the socket and make it promiscuous. Both belong to the socket, which
/// our descriptor keeps open when pnet's halves are dropped.
fn bind(fd: &OwnedFd, device: &Device) -> io::Result<()> {
    let interface = NetworkInterface {
        name: device.name.clone(),
        description: String::new(),
        index: device.ifindex,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let duplicate = fd.try_clone()?.into_raw_fd(); // pnet closes it, also when it fails.
    let config = datalink::Config {
        socket_fd: Some(duplicate),
        promiscuous: true,
        read_buffer_size: 0,
        write_buffer_size: 0,
        ..datalink::Config::default()
    };
    datalink::channel(&interface, config).map(drop)
}
