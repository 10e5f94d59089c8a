//! A TCP transfer from one namespace to another: how fast, and whether every byte arrived as it was sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{Namespace, pattern, wait};

/// No progress for this long is an error.
const STALL: Duration = Duration::from_secs(10);

/// A transfer that came to its end.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Bytes received.
    pub bytes: u64,
    /// From the connection to the last byte.
    pub elapsed: Duration,
    /// Whether all bytes arrived, each as it was sent.
    pub intact: bool,
}

impl Transfer {
    /// Payload bytes a second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends `bytes` from one namespace to `address`, which the other one has, and checks them there.
///
/// # Errors
/// No connection, or no progress for 10 seconds.
pub fn tcp_transfer(from: &Namespace, to: &Namespace, address: &str, bytes: u64) -> Result<Transfer> {
    let ip: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    let listener = to.enter(|| TcpListener::bind(SocketAddr::new(ip, 0)))?;
    let listener = listener.with_context(|| format!("can't listen on {address}"))?;
    let target = listener.local_addr()?;
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || receive(&listener, bytes));
        let sent = from.enter(|| send(target, bytes))?;
        let received = receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent.with_context(|| format!("sending to {target}"))?;
        received.with_context(|| format!("receiving on {target}"))
    })
}

pub(crate) fn send(target: SocketAddr, bytes: u64) -> Result<()> {
    send_by(TcpStream::connect_timeout(&target, STALL)?, bytes, STALL)
}

/// [`send`] over a connection, of which no progress for `stall` is an error.
pub(crate) fn send_by(mut stream: TcpStream, bytes: u64, stall: Duration) -> Result<()> {
    stream.set_write_timeout(Some(stall))?;
    let block = pattern::block();
    let mut position = 0;
    while position < bytes {
        let length = usize::try_from(bytes - position).unwrap_or(usize::MAX);
        position += stream.write(pattern::at(&block, position, length))? as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // Stay until the receiver has read the end, so that a reset can't overtake the last bytes. How it ends the connection,
    // or whether it had moved meanwhile and does not know it any more, is all the same.
    stream.set_read_timeout(Some(stall))?;
    let _ = stream.read(&mut [0]);
    Ok(())
}

pub(crate) fn receive(listener: &TcpListener, bytes: u64) -> Result<Transfer> {
    let mut stream = accept(listener)?;
    let start = Instant::now();
    stream.set_read_timeout(Some(STALL))?;
    let block = pattern::block();
    let mut buffer = vec![0; pattern::PERIOD];
    let (mut position, mut same) = (0, true);
    loop {
        let length =
            stream.read(&mut buffer).with_context(|| format!("after {position} of {bytes} bytes"))?;
        let Some(received) = buffer.get(..length).filter(|received| !received.is_empty()) else { break };
        same &= received == pattern::at(&block, position, length);
        position += length as u64;
    }
    let elapsed = start.elapsed();
    stream.write_all(&[0])?;
    Ok(Transfer { bytes: position, elapsed, intact: same && position == bytes })
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + STALL;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(wait::PAUSE);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => bail!("nobody connected within {STALL:?}"),
            Err(e) => return Err(e.into()),
        }
    }
}
