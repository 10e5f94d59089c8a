//! Where frames of a measurement go in and come out: the interface of a host, or a TAP that is held as a virtual
//! machine holds it.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use pnet::datalink::{self, ChannelType};
use ports::tap::TapHandle;
use rustix::io::Errno;
use rustix::net::{AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType};
use testbed::Namespace;

use super::counters::Counters;
use super::frame::{self, PROBE, Seen};

/// Frames handed to the kernel by one system call.
pub(crate) const BURST: usize = 32;

/// Room for any frame here.
const ROOM: usize = 2048;

/// Receive buffer of the socket that probes come to, for some ten thousand of them.
const PROBES: usize = 16 << 20;

/// An end of a wire that is ours.
#[derive(Debug)]
pub(crate) struct Plug {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// An interface in a namespace. Its own counter tells what arrived: that costs nothing.
    Interface { device: String, counters: Arc<Counters>, sockets: Option<Sockets> },
    /// A TAP whose descriptor we hold.
    Held { tap: TapHandle, received: u64, latencies: Vec<f64> },
}

#[derive(Debug)]
struct Sockets {
    send: OwnedFd,
    /// Gets the probes, each with the time at which the kernel had it.
    probes: OwnedFd,
}

impl Plug {
    /// An interface that frames are sent from too.
    pub(crate) fn interface(namespace: &Namespace, device: &str, counters: &Arc<Counters>) -> Result<Self> {
        let (send, probes) = namespace.enter(|| -> Result<_> {
            let probes = packet_socket(device, PROBE)?;
            setsockopt(&probes, sockopt::ReceiveTimestampns, &true)?;
            setsockopt(&probes, sockopt::RcvBufForce, &PROBES)?;
            Ok((packet_socket(device, 0)?, probes))
        })??;
        let sockets = Some(Sockets { send, probes });
        Ok(Self { kind: Kind::Interface { device: device.into(), counters: Arc::clone(counters), sockets } })
    }

    /// An interface at which frames are only counted.
    pub(crate) fn silent(device: &str, counters: &Arc<Counters>) -> Self {
        let counters = Arc::clone(counters);
        Self { kind: Kind::Interface { device: device.into(), counters, sockets: None } }
    }

    /// A TAP.
    pub(crate) fn held(tap: TapHandle) -> Self {
        Self { kind: Kind::Held { tap, received: 0, latencies: Vec::new() } }
    }

    /// Sends; what is not taken is lost, as on a wire.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        match &self.kind {
            Kind::Interface { sockets: Some(sockets), .. } => send_many(sockets.send.as_fd(), frames),
            Kind::Interface { device, .. } => anyhow::bail!("nothing can be sent from {device}"),
            Kind::Held { tap, .. } => frames.iter().try_for_each(|frame| {
                let sent = rustix::io::write(tap, frame);
                taken(sent).context("writing a TAP")
            }),
        }
    }

    /// Reads what has come to a TAP that we hold, at most a batch.
    pub(crate) fn pump(&mut self) -> Result<()> {
        let Kind::Held { tap, received, latencies } = &mut self.kind else { return Ok(()) };
        let mut room = [0; ROOM];
        for _ in 0..2 * BURST {
            let len = match rustix::io::read(&*tap, &mut room) {
                Ok(len) => len,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("reading a TAP"),
            };
            match frame::read(&room[..len]) {
                Some(Seen::Load) => *received += 1,
                Some(Seen::Probe { sent }) => {
                    *received += 1;
                    latencies.push(microseconds(sent, now()));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Frames that have arrived here until now.
    pub(crate) fn received(&self) -> Result<u64> {
        match &self.kind {
            Kind::Interface { device, counters, .. } => counters.received(device),
            Kind::Held { received, .. } => Ok(*received),
        }
    }

    /// How long each probe was on its way that came since the last call, in microseconds.
    pub(crate) fn latencies(&mut self) -> Result<Vec<f64>> {
        match &mut self.kind {
            Kind::Interface { sockets: Some(sockets), .. } => stamped(&sockets.probes),
            Kind::Interface { .. } => Ok(Vec::new()),
            Kind::Held { latencies, .. } => Ok(std::mem::take(latencies)),
        }
    }
}

/// Nanoseconds since 1970, by the clock with which the kernel stamps frames.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

fn microseconds(sent: u64, arrived: u64) -> f64 {
    arrived.saturating_sub(sent) as f64 / 1e3
}

/// A packet socket on a device of this namespace that receives frames of one EtherType, or none.
fn packet_socket(device: &str, ethertype: u16) -> Result<OwnedFd> {
    let interface = datalink::interfaces().into_iter().find(|interface| interface.name == device);
    let interface = interface.with_context(|| format!("there is no interface {device}"))?;
    let socket =
        rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let config = datalink::Config {
        socket_fd: Some(socket.try_clone()?.into_raw_fd()),
        channel_type: ChannelType::Layer3(ethertype),
        promiscuous: false,
        ..datalink::Config::default()
    };
    datalink::channel(&interface, config).context("can't bind the packet socket")?;
    Ok(socket)
}

fn send_many(socket: BorrowedFd<'_>, frames: &[Vec<u8>]) -> Result<()> {
    for frames in frames.chunks(BURST) {
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let mut controls: Vec<_> = frames.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let messages = slices.iter().zip(&mut controls);
        let mut messages: Vec<_> = messages.map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
        taken(rustix::net::sendmmsg(socket, &mut messages, SendFlags::DONTWAIT)).context("sending frames")?;
    }
    Ok(())
}

fn taken(sent: Result<usize, Errno>) -> Result<(), Errno> {
    match sent {
        Ok(_) | Err(Errno::NOBUFS | Errno::AGAIN) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The latencies of the probes that wait in a socket.
fn stamped(probes: &OwnedFd) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    let mut room = [0; ROOM];
    let mut control = nix::cmsg_space!(TimeSpec);
    loop {
        let mut slices = [IoSliceMut::new(&mut room)];
        let message = match recvmsg::<()>(
            probes.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN) => return Ok(latencies),
            Err(error) => return Err(error).context("receiving probes"),
        };
        let arrived = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => {
                Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
            }
            _ => None,
        });
        let bytes = message.bytes;
        if let (Some(arrived), Some(Seen::Probe { sent })) = (arrived, frame::read(&room[..bytes])) {
            latencies.push(microseconds(sent, arrived));
        }
    }
}
