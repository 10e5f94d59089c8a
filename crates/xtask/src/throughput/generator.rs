//! Sends frames as fast as one core can, for a time. A process of its own, so that it can be pinned.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use pnet::datalink;
use pnet::util::MacAddr;
use rustix::io::{Errno, IoSlice};
use rustix::net::{AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType};

/// IEEE 802 local experimental EtherType 1: no stack answers it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// Frames handed to the kernel by one system call.
const BURST: usize = 32;

/// Sends frames for a time and prints how long it took in nanoseconds.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The interface to send from
    #[arg(long)]
    device: String,
    /// The destination address
    #[arg(long)]
    to: String,
    /// Bytes of a frame, without the check sum
    #[arg(long, default_value_t = 60)]
    size: usize,
    /// How long to send
    #[arg(long)]
    seconds: u32,
}

/// Sends.
pub(crate) fn run(options: &Generate) -> Result<()> {
    let interface = datalink::interfaces().into_iter().find(|interface| interface.name == options.device);
    let interface = interface.with_context(|| format!("there is no interface {}", options.device))?;
    let frame = frame(options, interface.mac.context("the interface has no address")?)?;
    let socket = open(&interface)?;
    let slice = [IoSlice::new(&frame)];
    let start = Instant::now();
    let end = start + Duration::from_secs(options.seconds.into());
    while Instant::now() < end {
        send_burst(&socket, &slice)?;
    }
    println!("{}", start.elapsed().as_nanos());
    Ok(())
}

fn frame(options: &Generate, from: MacAddr) -> Result<Vec<u8>> {
    let to: MacAddr = options.to.parse().map_err(|_| anyhow::anyhow!("{} is no MAC address", options.to))?;
    let mut frame = to.octets().to_vec();
    frame.extend(from.octets());
    frame.extend(ETHERTYPE);
    frame.resize(options.size, 0);
    Ok(frame)
}

/// A packet socket that only sends: protocol 0 receives nothing, binding to the interface is pnet's.
fn open(interface: &datalink::NetworkInterface) -> Result<OwnedFd> {
    let socket =
        rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let config = datalink::Config {
        socket_fd: Some(std::os::fd::IntoRawFd::into_raw_fd(socket.try_clone()?)),
        promiscuous: false,
        ..datalink::Config::default()
    };
    datalink::channel(interface, config).context("can't bind the packet socket")?;
    Ok(socket)
}

fn send_burst(socket: &OwnedFd, frame: &[IoSlice<'_>]) -> Result<()> {
    let mut control: [SendAncillaryBuffer<'_, '_, '_>; BURST] =
        std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut messages: Vec<MMsgHdr<'_>> =
        control.iter_mut().map(|control| MMsgHdr::new(frame, control)).collect();
    match rustix::net::sendmmsg(socket.as_fd(), &mut messages, SendFlags::empty()) {
        Ok(_) | Err(Errno::NOBUFS | Errno::AGAIN) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("sending on descriptor {}", socket.as_raw_fd())),
    }
}
