//! UDP from one namespace to another: how many datagrams arrived, and whether any was changed.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Namespace, pattern};

/// Silence after which no further datagram is expected.
const QUIET: Duration = Duration::from_millis(500);

/// Payload bytes that the smallest socket buffer holds, with what the kernel adds.
const ROOM: usize = 32_768;

/// What became of a series of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// Sent.
    pub sent: u32,
    /// Received, changed or not.
    pub received: u32,
    /// Received with other bytes than those sent.
    pub damaged: u32,
}

/// Sends `count` datagrams of `size` payload bytes to `address`, which `to` has. Longer than the MTU, they
/// are fragmented. They are paced by the receiver: no more are on their way than its socket has room for,
/// until one is lost.
///
/// # Errors
/// A socket can't be opened or used. Losses are a result, not an error.
pub fn udp_exchange(
    from: &Namespace,
    to: &Namespace,
    address: &str,
    count: u32,
    size: usize,
) -> Result<Datagrams> {
    let ip: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    let any: IpAddr = if ip.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let receiver = to.enter(|| UdpSocket::bind(SocketAddr::new(ip, 0)))??;
    let sender = from.enter(|| UdpSocket::bind(SocketAddr::new(any, 0)))??;
    receiver.set_read_timeout(Some(QUIET))?;
    sender.connect(receiver.local_addr()?)?;
    let window = u32::try_from(ROOM / size.max(1)).unwrap_or(u32::MAX).clamp(1, 16);
    let block = pattern::block();
    let mut buffer = vec![0; 65_536];
    let mut result = Datagrams { sent: 0, received: 0, damaged: 0 };
    let mut open = true;
    while open {
        while result.sent < count && result.sent < result.received + window {
            sender
                .send(payload(&block, result.sent, size))
                .with_context(|| format!("sending to {address}"))?;
            result.sent += 1;
        }
        if let Ok(length) = receiver.recv(&mut buffer) {
            let got = buffer.get(..length).unwrap_or_default();
            let right = (0..result.sent).any(|number| got == payload(&block, number, size));
            result.received += 1;
            result.damaged += u32::from(!right);
            open = result.received < count;
        } else if result.sent == count {
            open = false;
        } else {
            // A loss closed the window: go on without it.
            sender.send(payload(&block, result.sent, size))?;
            result.sent += 1;
        }
    }
    Ok(result)
}

/// Each datagram begins at a place of its own in the pattern.
fn payload(block: &[u8], number: u32, size: usize) -> &[u8] {
    pattern::at(block, u64::from(number) * 7, size)
}
