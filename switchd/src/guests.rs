//! Ports of virtual machines that share their memory: opened, and what becomes of them when a guest comes or goes.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use config::{Config, PortConfig, PortKind, SocketMode, VhostUserConfig};
use frame::MacAddr;
use mio::Waker;
use tracing::{info, warn};
use vhost_user::{Handle, Keepsake, Options, Status, VhostPort};

use crate::attachment::Held;
use crate::control::Control;
use crate::forwarding::give_up_rights;
use crate::open::{Opened, for_each_worker};
use crate::steering;

/// The hold on a port, and what of it was told.
#[derive(Debug)]
pub(crate) struct Guest {
    handle: Handle,
    told: Mutex<Status>,
}

impl Guest {
    /// How it stands.
    pub(crate) fn status(&self) -> Status {
        self.handle.status()
    }

    /// What the next process finds the conversation in.
    pub(crate) fn keepsake(&self) -> Option<BorrowedFd<'_>> {
        self.handle.keepsake()
    }

    /// The port is no more: its socket goes, too.
    pub(crate) fn end(&self) {
        self.handle.remove_socket();
    }

    /// How it stood when this was asked last, and how it stands now.
    fn look(&self) -> (Status, Status) {
        let now = self.status();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut told, now.clone()), now)
    }
}

/// Opens the socket of a port of so many workers, or goes on with `earlier`; serves whoever connects once it is allowed to.
///
/// # Errors
/// The socket can't be had, or no thread.
pub(crate) fn open(
    port: &PortConfig,
    options: &VhostUserConfig,
    earlier: Option<OwnedFd>,
    keepsake: Option<Keepsake>,
    wake: &Arc<Waker>,
    workers: usize,
) -> anyhow::Result<Opened> {
    let listen = options.mode == SocketMode::Server;
    let resumed = earlier.is_some() || keepsake.as_ref().is_some_and(Keepsake::is_up);
    let vhost_options = Options { socket: (&port.device).into(), listen, offload: options.offload, keepsake };
    let wake = Arc::clone(wake);
    // That control is gone is told elsewhere.
    let tell = Arc::new(move || drop(wake.wake()));
    let opened = match earlier {
        Some(fd) => vhost_user::adopt(fd, &vhost_options, tell)?,
        None => vhost_user::open(&vhost_options, tell)?,
    };
    let VhostPort { rx, tx, session, handle } = opened;
    let socket = handle.listener().map(|fd| fd.try_clone_to_owned()).transpose()?;
    let serve = move || {
        // Who connects to a socket of another user needs the right to.
        if !listen || give_up_rights().is_ok() {
            session.run();
        }
    };
    let thread = thread::Builder::new().name(format!("vhost-{}", port.name)).spawn(serve);
    thread.context("can't start the thread that speaks with the guest's program")?;
    let status = handle.status();
    let held = Held {
        ifindex: 0,
        name: String::new(),
        mac: MacAddr::ZERO,
        mtu: 0,
        up: status.up,
        exclusive: false,
        qdisc_bypass: false,
        tap: None,
        sockets: socket.into_iter().collect(),
        guest: Some(Arc::new(Guest { handle, told: Mutex::new(status) })),
        moved: false,
    };
    Ok(Opened { rx: vec![Box::new(rx)], tx: for_each_worker(&tx, workers), held, resumed })
}

/// Where sockets of ports are made.
pub(crate) fn sockets(config: &Config) -> impl Iterator<Item = &Path> {
    let made =
        |kind: &PortKind| matches!(kind, PortKind::VhostUser(options) if options.mode == SocketMode::Server);
    config.ports.iter().filter(move |port| made(&port.kind)).map(|port| Path::new(&port.device))
}

/// Removes the socket of a port that an earlier process had and nobody has any more.
pub(crate) fn remove_socket(port: &PortConfig) {
    if let PortKind::VhostUser(VhostUserConfig { mode: SocketMode::Server, .. }) = &port.kind {
        // What is not there is as it should be.
        let _ = std::fs::remove_file(&port.device);
    }
}

impl Control {
    /// Lets guests and their programs speak with this process.
    pub(crate) fn allow_guests(&self) {
        self.guests().for_each(|guest| guest.handle.allow());
    }

    /// Holds them back: another process goes on with them.
    pub(crate) fn hold_guests(&self) {
        self.guests().for_each(|guest| guest.handle.hold());
    }

    fn guests(&self) -> impl Iterator<Item = &Guest> {
        self.attachments.iter().filter_map(|port| port.held.as_ref()?.guest.as_deref())
    }

    /// Guests may have come or gone.
    pub(crate) fn look_at_guests(&mut self) {
        for index in 0..self.attachments.len() {
            let Some(guest) = self.attachments[index].held.as_ref().and_then(|held| held.guest.clone())
            else {
                continue;
            };
            let (before, now) = guest.look();
            if before != now {
                self.settle_guest(index, &before, &now);
            }
        }
    }

    fn settle_guest(&mut self, index: usize, before: &Status, now: &Status) {
        let name = self.attachments[index].config.name.clone();
        // One that was away for a moment only may be another one, or have begun anew.
        if before.up && (!now.up || before.falls != now.falls) {
            self.set_guest_link(index, false);
            let why = now.why.as_deref().unwrap_or("its guest has put its network card out of use");
            info!(port = name, "link is down: {why}");
            self.monitors.port(&name, format!("link is down: {why}"));
        } else if let Some(why) = now.why.as_ref().filter(|_| before.why != now.why) {
            warn!(port = name, "{why}");
        }
        if before.sessions != now.sessions {
            steering::forget(&self.config, &mut self.attachments, index, &self.workers);
        }
        if now.connected && (!before.connected || before.sessions != now.sessions) {
            info!(port = name, "the program of a guest has connected");
        }
        if now.up && (!before.up || before.falls != now.falls) {
            self.set_guest_link(index, true);
            info!(port = name, queues = now.pairs, features = format!("{:#x}", now.features), "link is up");
            self.monitors.port(&name, "link is up".to_owned());
        }
    }

    fn set_guest_link(&mut self, index: usize, up: bool) {
        if let Some(held) = &mut self.attachments[index].held {
            held.up = up;
            let held = held.clone();
            self.tell_workers(index, &held);
        }
    }
}
