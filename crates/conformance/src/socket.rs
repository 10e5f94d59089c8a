//! A packet socket at an end of a wire: what it shows is what a station there would get, outer tag in line;
//! what it sends is on the wire when the call returns. Unlike a `raw` port's it is not promiscuous, for on
//! br0 that would be a setting of the bridge.

use std::iter;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use anyhow::{Context, Result};
use frame::{Frame, Offload};
use pnet::datalink::{self, Config};
use ports::sys::packet::{self, Receiver};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use testbed::Namespace;

/// `PACKET_QDISC_BYPASS` (`linux/if_packet.h`).
const PACKET_QDISC_BYPASS: i32 = 20;

/// Longest frame that any test sends, and more.
const LONGEST: usize = 4096;

/// The socket.
#[derive(Debug)]
pub(crate) struct EndSocket {
    fd: OwnedFd,
    device: String,
}

impl EndSocket {
    /// Opens it on a device of a namespace.
    pub(crate) fn open(namespace: &Namespace, device: &str) -> Result<Self> {
        let open = || -> Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
            for option in [libc::PACKET_AUXDATA, libc::PACKET_IGNORE_OUTGOING, PACKET_QDISC_BYPASS] {
                packet::set_option(fd.as_fd(), libc::SOL_PACKET, option, 1)?;
            }
            let all = datalink::interfaces();
            let interface =
                all.iter().find(|interface| interface.name == device).context("no such device")?;
            // pnet binds a duplicate and closes it; the binding belongs to the socket.
            let duplicate = fd.try_clone()?.into_raw_fd();
            let config = Config { socket_fd: Some(duplicate), promiscuous: false, ..Config::default() };
            datalink::channel(interface, config)?;
            Ok(fd)
        };
        let opened = namespace.enter(open)?;
        let fd = opened.with_context(|| format!("a packet socket on {device} in {}", namespace.name()))?;
        Ok(Self { fd, device: device.to_owned() })
    }

    /// Sends a frame, from its destination address on.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<()> {
        let sent = rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT);
        sent.with_context(|| format!("sending {} bytes on {}", bytes.len(), self.device)).map(drop)
    }

    /// What has arrived since the last call.
    pub(crate) fn receive(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut buffer = [0; LONGEST];
        let mut receiver = Receiver::new(1);
        loop {
            let received = match receiver.receive(self.fd.as_fd(), iter::once(&mut buffer[..])) {
                Ok(_) => receiver.received(0),
                // Said once after the device was down.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => continue,
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(frames),
                Err(error) => return Err(error).with_context(|| self.device.clone()),
            };
            let bytes = buffer.get(..received.len).context("a frame longer than any that was sent")?;
            let frame = Frame::parse(bytes, 0, received.tag, Offload::default());
            frames.push(frame.map_or_else(|_| bytes.to_vec(), |frame| frame.to_vec()));
        }
    }
}
