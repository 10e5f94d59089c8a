//! TCP between guests and namespaces, every byte checked.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Guest;
use crate::{Namespace, Transfer, pattern, tcp};

/// Where a guest listens.
const PORT: u16 = 5001;

/// Ample time for a transfer on emulated processors.
const LONG: Duration = Duration::from_secs(120);

/// Sends `bytes` from a guest to `address`, which the namespace has, and checks them there.
///
/// # Errors
/// No connection, or no progress for 10 seconds.
pub fn guest_to_namespace(from: &mut Guest, to: &Namespace, address: &str, bytes: u64) -> Result<Transfer> {
    from.wait_ready()?;
    let ip: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    let listener = to.enter(|| TcpListener::bind(SocketAddr::new(ip, 0)))??;
    let port = listener.local_addr()?.port();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || tcp::receive(&listener, bytes));
        let sent = from.run(&format!("nc {address} {port} -e send {bytes}"), LONG);
        let received = receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let transfer = received.with_context(|| format!("from a guest to {address}: {sent:?}"))?;
        sent?;
        Ok(transfer)
    })
}

/// Sends `bytes` from a namespace to `address`, which the guest has, and checks them there.
///
/// # Errors
/// No connection, or no progress for 10 seconds.
pub fn namespace_to_guest(from: &Namespace, to: &mut Guest, address: &str, bytes: u64) -> Result<Transfer> {
    let ip: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    listen(to)?;
    let start = Instant::now();
    from.enter(|| tcp::send(SocketAddr::new(ip, PORT), bytes))?.with_context(|| format!("to {address}"))?;
    received(to, bytes, start)
}

/// A transfer of which the guest reads nothing until it is told to.
#[derive(Debug)]
pub struct Unread {
    sender: JoinHandle<Result<()>>,
    bytes: u64,
}

/// Begins to send `bytes` from a namespace to `address`, which the guest has, and returns when it has as much as it takes
/// without reading.
///
/// # Errors
/// No connection.
pub fn fill_guest(from: &Namespace, to: &mut Guest, address: &str, bytes: u64) -> Result<Unread> {
    let ip: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    listen_with(to, "until [ -e /tmp/read ]; do usleep 10000; done; ")?;
    let connected = from.enter(|| TcpStream::connect(SocketAddr::new(ip, PORT)))??;
    let sender = std::thread::spawn(move || tcp::send_by(connected, bytes, LONG));
    // 01 = connected; 64 KiB at least are there and not read.
    let filled = format!(
        "grep -qsE ':{PORT:04X} .* 01 [0-9A-F]{{8}}:00[0-9A-F]*[1-9A-F][0-9A-F]{{4}} ' /proc/net/tcp /proc/net/tcp6"
    );
    to.check(&format!("until {filled}; do usleep 10000; done"))?;
    Ok(Unread { sender, bytes })
}

impl Unread {
    /// Lets the guest read all of it.
    ///
    /// # Errors
    /// It does not come to its end.
    pub fn read(self, guest: &mut Guest) -> Result<Transfer> {
        let start = Instant::now();
        guest.check("touch /tmp/read")?;
        self.sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        received(guest, self.bytes, start)
    }
}

/// Sends `bytes` from a guest to `address`, which another one has, and checks them there.
///
/// # Errors
/// No connection, or no end within two minutes.
pub fn guest_to_guest(from: &mut Guest, to: &mut Guest, address: &str, bytes: u64) -> Result<Transfer> {
    from.wait_ready()?;
    listen(to)?;
    let start = Instant::now();
    let answer = from.run(&format!("nc {address} {PORT} -e send {bytes}"), LONG)?;
    ensure!(answer.status == 0, "sending from a guest to {address}: {}", answer.output);
    received(to, bytes, start)
}

fn listen(guest: &mut Guest) -> Result<()> {
    listen_with(guest, "")
}

/// Listens in a guest, and does something before it reads.
fn listen_with(guest: &mut Guest, before: &str) -> Result<()> {
    let sink = format!("{before}md5sum >/tmp/sum.part; mv /tmp/sum.part /tmp/sum");
    guest.check(&format!("rm -f /tmp/sum /tmp/read; nc -l -p {PORT} -e sh -c '{sink}' >/dev/null 2>&1 &"))?;
    // 1389 = 5001 in hex, state 0A = listening (proc_net_tcp.rst); nc listens on IPv6 and IPv4 at once.
    let listening = format!("grep -qs ':{PORT:04X} .* 0A ' /proc/net/tcp /proc/net/tcp6");
    guest.check(&format!("until {listening}; do usleep 10000; done")).map(drop)
}

fn received(guest: &mut Guest, bytes: u64, start: Instant) -> Result<Transfer> {
    let answer = guest.run("until [ -e /tmp/sum ]; do usleep 10000; done; cat /tmp/sum", LONG)?;
    let (elapsed, sum) = (start.elapsed(), answer.output);
    let intact = first_word(&sum) == first_word(&md5(bytes)?);
    Ok(Transfer { bytes, elapsed, intact })
}

/// What `md5sum` says of the first `bytes` of the pattern.
fn md5(bytes: u64) -> Result<String> {
    let mut child = Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no pipe to md5sum")?;
    let block = pattern::block();
    let mut position = 0;
    while position < bytes {
        let length = usize::try_from(bytes - position).unwrap_or(usize::MAX);
        let piece = pattern::at(&block, position, length);
        input.write_all(piece)?;
        position += piece.len() as u64;
    }
    drop(input);
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
