//! The side of the process that gives its ports away.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use tracing::info;

use super::channel::{BATCH, Channel, Word};
use crate::sandbox;

/// How long a process that was given the ports may prepare, and then take to forward.
const PATIENCE: Duration = Duration::from_secs(10);

/// The place where a new process asks for the ports.
#[derive(Debug)]
pub(crate) struct Giving {
    listener: OwnedFd,
    /// The program that [`Giving::start_successor`] started.
    successor: Option<Child>,
}

impl Giving {
    /// Listens at `path`, where no other process of this bridge does.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&listener, &SocketAddrUnix::new(path)?)?;
        listen(&listener, 4)?;
        Ok(Self { listener, successor: None })
    }

    /// Starts the program that is now where this one was started from, with the same arguments; it will ask for
    /// the ports.
    ///
    /// # Errors
    /// As `fork(2)` and `execve(2)`.
    pub(crate) fn start_successor(&mut self) -> anyhow::Result<()> {
        let mut arguments = std::env::args_os();
        let program = arguments.next().context("this process does not know its program")?;
        let mut command = Command::new(&program);
        command.args(arguments.filter(|argument| argument != "--takeover")).arg("--takeover");
        let (name, value) = sandbox::for_successor();
        command.env(name, value);
        // They name this process.
        for variable in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(variable);
        }
        let child = command.spawn().with_context(|| format!("can't start {}", program.display()))?;
        info!(pid = child.id(), "started {} to take the ports over", program.display());
        self.successor = Some(child);
        Ok(())
    }

    /// Takes note of the end of a successor that came to nothing.
    pub(crate) fn bury_successor(&mut self) {
        if let Some(mut child) = self.successor.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Lets in who asks for the ports.
    ///
    /// # Errors
    /// It is neither root nor this process's own user.
    pub(crate) fn admit(&self) -> anyhow::Result<Recipient> {
        let socket = accept_with(&self.listener, SocketFlags::CLOEXEC)?;
        let peer = getsockopt(&socket, PeerCredentials)?;
        let own = rustix::process::geteuid().as_raw();
        ensure!(
            peer.uid() == 0 || peer.uid() == own,
            "user {} asked for the ports; only root and user {own} may take them",
            peer.uid()
        );
        let channel = Channel::new(socket);
        channel.set_patience(PATIENCE)?;
        Ok(Recipient { channel, pid: peer.pid().cast_unsigned() })
    }
}

impl AsRawFd for Giving {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

/// The process that takes the ports.
#[derive(Debug)]
pub(crate) struct Recipient {
    channel: Channel,
    /// Its process id.
    pub(crate) pid: u32,
}

impl Recipient {
    /// Gives it descriptors by name, and waits until it has prepared everything.
    ///
    /// # Errors
    /// It has ended, or takes too long.
    pub(crate) fn give(&self, descriptors: &[(String, BorrowedFd<'_>)]) -> io::Result<()> {
        for batch in descriptors.chunks(BATCH) {
            let names: Vec<_> = batch.iter().map(|(name, _)| name.as_str()).collect();
            let fds: Vec<_> = batch.iter().map(|(_, fd)| *fd).collect();
            self.channel.say(Word::Descriptors, &names.join(":"), &fds)?;
        }
        self.channel.say(Word::NoMore, "", &[])
    }

    /// Hears that it has prepared everything.
    ///
    /// # Errors
    /// It has ended, or says something else.
    pub(crate) fn prepared(&self) -> io::Result<()> {
        self.channel.hear(&[Word::Prepared]).map(drop)
    }

    /// Lets it go on, and waits until it forwards.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn go(&self) -> io::Result<()> {
        self.channel.say(Word::Go, "", &[])?;
        self.channel.hear(&[Word::Forwarding]).map(drop)
    }

    /// Tells it that the service manager knows it.
    pub(crate) fn is_main(&self) {
        // If it does not hear it any more there is nobody to tell.
        let _ = self.channel.say(Word::Main, "", &[]);
    }
}

impl AsRawFd for Recipient {
    fn as_raw_fd(&self) -> RawFd {
        self.channel.as_fd().as_raw_fd()
    }
}
