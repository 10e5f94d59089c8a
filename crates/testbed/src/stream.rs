//! A stream of datagrams at a steady rate that goes on while something else happens: how many were lost, and for
//! how long none came.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::Namespace;

/// Silence after which no further datagram is expected.
const QUIET: Duration = Duration::from_millis(500);

/// Between two bursts.
const STEP: Duration = Duration::from_millis(1);

/// Bytes of payload: a frame of 60 bytes.
const SIZE: usize = 18;

/// Receive buffer of the far end, for half a second of 100,000 datagrams a second.
const BUFFER: usize = 64 << 20;

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// Datagrams sent.
    pub sent: u64,
    /// From the first to the last that was sent.
    pub elapsed: Duration,
    /// Different ones of them that arrived.
    pub received: u64,
    /// The longest time between two that arrived.
    pub longest_gap: Duration,
}

impl Streamed {
    /// Datagrams that did not arrive.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }
}

/// A stream that goes on until [`Stream::stop`].
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<(u64, Duration)>>,
    receiver: JoinHandle<(u64, Duration)>,
}

impl Stream {
    /// Begins to send `rate` datagrams a second from one namespace to `address`, which `to` has.
    ///
    /// # Errors
    /// A socket can't be opened.
    pub fn start(from: &Namespace, to: &Namespace, address: &str, rate: u32) -> Result<Self> {
        let ip: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
        let any: IpAddr = if ip.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let receiver = to.enter(|| UdpSocket::bind(SocketAddr::new(ip, 0)))??;
        let sender = from.enter(|| UdpSocket::bind(SocketAddr::new(any, 0)))??;
        set_socket_recv_buffer_size_force(&receiver, BUFFER).context("SO_RCVBUFFORCE")?;
        receiver.set_read_timeout(Some(QUIET))?;
        sender.connect(receiver.local_addr()?)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (until, until_too) = (Arc::clone(&stop), Arc::clone(&stop));
        Ok(Self {
            stop,
            sender: std::thread::spawn(move || send(&sender, rate, &until)),
            receiver: std::thread::spawn(move || receive(&receiver, &until_too)),
        })
    }

    /// Ends it, and waits for what is on its way.
    ///
    /// # Errors
    /// A datagram could not be sent.
    pub fn stop(self) -> Result<Streamed> {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, elapsed) = self.sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (received, longest_gap) =
            self.receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Streamed { sent, elapsed, received, longest_gap })
    }
}

fn send(socket: &UdpSocket, rate: u32, stop: &AtomicBool) -> Result<(u64, Duration)> {
    let (start, mut sent) = (Instant::now(), 0_u64);
    let mut payload = [0; SIZE];
    while !stop.load(Ordering::Relaxed) {
        // What a pause of this thread left out is not made up for in one burst, which no host would send.
        let due = (start.elapsed().as_micros() as u64 * u64::from(rate) / 1_000_000)
            .min(sent + u64::from(rate) / 100);
        while sent < due {
            payload[..8].copy_from_slice(&sent.to_le_bytes());
            socket.send(&payload).context("sending a datagram of a stream")?;
            sent += 1;
        }
        std::thread::sleep(STEP);
    }
    Ok((sent, start.elapsed()))
}

fn receive(socket: &UdpSocket, stop: &AtomicBool) -> (u64, Duration) {
    let mut seen: Vec<bool> = Vec::new();
    let (mut received, mut longest, mut last) = (0, Duration::ZERO, None::<Instant>);
    let mut payload = [0; SIZE];
    loop {
        match socket.recv(&mut payload) {
            Ok(SIZE) => {
                let number = u64::from_le_bytes(std::array::from_fn(|at| payload[at])) as usize;
                if seen.len() <= number {
                    seen.resize(number + 1024, false);
                }
                received += u64::from(!std::mem::replace(&mut seen[number], true));
                let now = Instant::now();
                longest = longest.max(last.replace(now).map_or(Duration::ZERO, |last| now - last));
            }
            Ok(_) => {}
            Err(_) if stop.load(Ordering::Relaxed) => return (received, longest),
            Err(_) => {}
        }
    }
}
