//! The control thread: signals, link events and the worker's news, turned into commands to the worker
//! and into log lines. It owns what was changed on interfaces and puts it back at the end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bridge::{LocalKind, PortId};
use config::{Config, PortKind};
use control::Server;
use crossbeam_channel::Receiver;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use ports::device;
use ports::links::{LinkEvent, LinkWatcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;
use tracing::{info, warn};

use crate::attachment::{Attachment, Held, Reaction};
use crate::command::{Command, Event};
use crate::forwarding::Forwarding;
use crate::handover::{Giving, Recipient};
use crate::monitor::Monitors;
use crate::open::{Opened, Opener};
use crate::run_dir::RunDir;
use crate::state::Memory;
use crate::to_worker::ToWorker;
use crate::{steering, successor, summary, systemd};

const SIGNALS: Token = Token(0);
const LINKS: Token = Token(1);
const WORKER: Token = Token(2);
/// The first of the control socket's.
const CLIENTS: usize = 3;

/// How often a device that another process holds is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What control listens to, made before any port is opened so that nothing is missed.
pub(crate) struct Listener {
    poll: Poll,
    signals: Signals,
    links: LinkWatcher,
}

impl Listener {
    /// Starts to listen; also gives the waker with which the worker announces its events.
    ///
    /// # Errors
    /// If the kernel refuses epoll, signals or rtnetlink.
    pub(crate) fn new() -> anyhow::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new().context("can't poll")?;
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2]).context("can't catch signals")?;
        let mut links = LinkWatcher::new().context("can't watch links through rtnetlink")?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        poll.registry().register(&mut links, LINKS, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WORKER)?;
        Ok((Self { poll, signals, links }, Arc::new(waker)))
    }

    /// Where to register what else is listened to.
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Opens the control socket in the run directory.
    ///
    /// # Errors
    /// It can't be made there.
    pub(crate) fn serve(&self, run_dir: &RunDir) -> anyhow::Result<Server> {
        let path = run_dir.control_socket();
        let server = Server::bind(&path, self.poll.registry(), CLIENTS, env!("CARGO_PKG_VERSION"));
        server.with_context(|| format!("can't listen on {}", path.display()))
    }
}

/// Everything that control owns.
pub(crate) struct Control {
    /// What the file or the arguments say.
    pub(crate) config: Config,
    pub(crate) listener: Listener,
    /// Out of its place while it serves.
    pub(crate) server: Option<Server>,
    pub(crate) worker: ToWorker,
    pub(crate) events: Receiver<Event>,
    pub(crate) opener: Opener,
    pub(crate) attachments: Vec<Attachment>,
    /// The configuration file read again, with whatever is wrong in it.
    pub(crate) read_again: Box<dyn Fn() -> anyhow::Result<Config>>,
    pub(crate) shown: Shown,
    /// What the next process will know.
    pub(crate) memory: Memory,
    /// At the end the ports are left to the next process, and nothing is put back.
    pub(crate) leaves: bool,
    pub(crate) forwarding: Forwarding,
    /// Where a new process may ask for the ports, and the one that has done so.
    pub(crate) giving: Option<Giving>,
    pub(crate) recipient: Option<Recipient>,
    /// The ports are another process's now.
    pub(crate) given: bool,
    /// The lock on the run directory, to be handed over.
    pub(crate) lock: OwnedFd,
    /// How many devices its ports have had.
    pub(crate) devices: u32,
    pub(crate) monitors: Monitors,
}

/// What the service manager was told last: ports whose link is up, and entries in the FDB.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    up: usize,
    entries: usize,
}

impl Control {
    /// Runs until SIGINT, SIGTERM, or the end of the worker.
    ///
    /// # Errors
    /// If waiting for events fails.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(16);
        loop {
            match self.listener.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.context("can't wait for events")?,
            }
            self.retry_busy();
            for event in events.iter() {
                let go_on = match event.token() {
                    SIGNALS => self.hear_signals(),
                    LINKS => self.hear_links()?,
                    WORKER => self.hear_worker()?,
                    successor::ASKED => {
                        self.hear_asking();
                        true
                    }
                    successor::TOLD => self.hear_told()?,
                    _ => {
                        self.server.as_mut().map(|server| server.note(event));
                        true
                    }
                };
                if !go_on {
                    return Ok(());
                }
            }
            self.serve();
            self.tell_monitors();
        }
    }

    /// How long there is nothing to do but to listen.
    fn patience(&self) -> Option<Duration> {
        let retry = self.attachments.iter().any(|attachment| attachment.busy).then_some(RETRY);
        let clients = self.server.as_ref().and_then(|server| server.timeout(Instant::now()));
        [retry, clients, self.monitors.patience()].into_iter().flatten().min()
    }

    /// One step for each client.
    fn serve(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.turn(self, Instant::now());
            self.server = Some(server);
        }
    }

    fn retry_busy(&mut self) {
        for index in 0..self.attachments.len() {
            if self.attachments[index].busy {
                self.open_late(index);
            }
        }
    }

    fn hear_signals(&mut self) -> bool {
        let pending: Vec<_> = self.listener.signals.pending().collect();
        for signal in pending {
            match signal {
                SIGUSR1 => self.summarise(),
                SIGUSR2 => self.upgrade(),
                SIGHUP => drop(self.reload()),
                SIGTERM => return false,
                _ => {
                    self.leaves = false;
                    return false;
                }
            }
        }
        true
    }

    fn hear_links(&mut self) -> anyhow::Result<bool> {
        let mut events = Vec::new();
        self.listener.links.read(&mut events).context("can't read link events")?;
        for event in &events {
            for index in 0..self.attachments.len() {
                self.react(index, event);
            }
        }
        if self.ports_up() != self.shown.up {
            self.look();
        }
        Ok(true)
    }

    fn hear_worker(&mut self) -> anyhow::Result<bool> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Gone { port, nth } => {
                    let this = |of: &Attachment| (of.id, of.nth) == (port, nth);
                    if let Some(index) = self.attachments.iter().position(this) {
                        self.lose(index, "the device is gone");
                    }
                }
                Event::Refused(port, errno) => {
                    let name = self.name(port);
                    let errno = io::Error::from_raw_os_error(errno);
                    warn!(
                        port = name,
                        "the kernel refuses a frame sent here: {errno}; counted as tx_refused"
                    );
                }
                Event::Station { event, left_out } => self.tell_station(event, left_out),
                Event::Changed => self.look(),
                Event::Ended => anyhow::bail!("the forwarding thread has ended"),
            }
        }
        Ok(true)
    }

    /// What a port is called.
    pub(crate) fn name(&self, id: PortId) -> &str {
        let port = self.attachments.iter().find(|attachment| attachment.id == id);
        port.map_or("", |attachment| attachment.config.name.as_str())
    }

    fn tell_station(&self, event: bridge::Event, left_out: u64) {
        let name = |id| self.name(id);
        match event {
            bridge::Event::MacMoved { mac, from, to } => {
                let (from, to) = (name(from), name(to));
                info!(%mac, from, to, left_out, "a station spoke on another port than before");
            }
            bridge::Event::OwnSource { mac, port } => warn!(
                %mac,
                port = name(port),
                left_out,
                "a frame came in with an address of this bridge as its source: a loop, or somebody uses that address"
            ),
        }
    }

    fn react(&mut self, index: usize, event: &LinkEvent) {
        let attachment = &mut self.attachments[index];
        match attachment.react(event) {
            Reaction::Nothing => {}
            Reaction::Open => self.open_late(index),
            Reaction::Lose(why) => self.lose(index, &why),
            Reaction::Changed => self.look_again(index),
            Reaction::Moved => {
                let Some(held) = &mut attachment.held else { return };
                (held.moved, held.up) = (true, true);
                let held = held.clone();
                info!(
                    port = attachment.config.name,
                    "{} was moved to another network namespace; the port works on", attachment.config.device
                );
                self.tell_worker(index, &held);
            }
            Reaction::Returned(ifindex) => {
                let Some(held) = &mut attachment.held else { return };
                (held.moved, held.ifindex) = (false, ifindex);
                info!(
                    port = attachment.config.name,
                    "{} is back in this network namespace", attachment.config.device
                );
                self.react(index, event);
            }
        }
    }

    /// An event says that a device has changed, but not whether it is the latest word: asks the kernel.
    fn look_again(&mut self, index: usize) {
        let attachment = &mut self.attachments[index];
        let Some(held) = &mut attachment.held else { return };
        // A device that is gone by now has an event of its own.
        let Ok(device) = device::find_index(held.ifindex) else { return };
        if device.name != held.name {
            info!(
                port = attachment.config.name,
                "{} was renamed to {}; the port works on", held.name, device.name
            );
            held.name = device.name;
        }
        let was_up = held.up;
        held.up = device.up && device.running;
        (held.mtu, held.mac) = (device.mtu, device.mac);
        let held = held.clone();
        if held.up != was_up {
            let state = if held.up { "up" } else { "down" };
            info!(port = attachment.config.name, "link is {state}");
            self.monitors.port(&attachment.config.name, format!("link is {state}"));
        }
        self.tell_worker(index, &held);
    }

    /// Opens a device that has appeared; if it can't be used says why, once.
    pub(crate) fn open_late(&mut self, index: usize) {
        let config = self.attachments[index].config.clone();
        self.attachments[index].busy = false;
        match self.opener.open(&config) {
            Ok(Some(opened)) => self.attach(index, opened),
            Ok(None) => {}
            Err(error) => {
                if self.attachments[index].refused(&error) {
                    warn!(port = config.name, "{error:#}; the port stays down");
                }
            }
        }
    }

    /// Gives an open device to the worker.
    pub(crate) fn attach(&mut self, index: usize, opened: Opened) {
        let attachment = &mut self.attachments[index];
        let Opened { rx, tx, held, .. } = opened;
        info!(
            port = attachment.config.name,
            device = attachment.config.device,
            kind = attachment.kind(),
            exclusive = held.exclusive,
            mtu = held.mtu,
            mac = %held.mac,
            "port attached, link {}", if held.up { "up" } else { "down" }
        );
        let state = if held.up { "up" } else { "down" };
        self.monitors
            .port(&attachment.config.name, format!("has {}, link is {state}", attachment.config.device));
        attachment.complaint = None;
        self.devices += 1;
        attachment.nth = self.devices;
        attachment.held = Some(held.clone());
        let (port, nth) = (attachment.id, attachment.nth);
        self.worker.send(Command::Attach { port, nth, rx, tx });
        self.tell_worker(index, &held);
    }

    /// What the bridge must know of a device.
    fn tell_worker(&self, index: usize, held: &Held) {
        let attachment = &self.attachments[index];
        let port = attachment.id;
        let host = matches!(&attachment.config.kind, PortKind::Tap(tap) if tap.host);
        // In another namespace the MTU is not ours to see, and towards br0 Linux checks none.
        let mtu = (!held.moved && !host).then_some(held.mtu);
        let (mac, kind) = match &attachment.config.kind {
            PortKind::Tap(_) => (host.then_some(held.mac), LocalKind::HostPort),
            PortKind::Raw(_) => ((!held.exclusive).then_some(held.mac), LocalKind::Kernel),
        };
        self.worker.send(Command::Mtu { port, mtu });
        self.worker.send(Command::Local { port, mac, kind });
        self.worker.send(Command::Link { port, up: held.up });
    }

    fn lose(&mut self, index: usize, why: &str) {
        let attachment = &mut self.attachments[index];
        let Some(held) = attachment.held.take() else { return };
        warn!(
            port = attachment.config.name,
            "{why}; the port is down until there is a {} again", attachment.config.device
        );
        self.monitors.port(&attachment.config.name, format!("{why}; waits for {}", attachment.config.device));
        let port = attachment.id;
        steering::forget(&self.config, &mut self.attachments, index, &self.worker);
        self.worker.send(Command::Detach { port });
        self.worker.send(Command::Local { port, mac: None, kind: LocalKind::Kernel });
        self.opener.release(&self.attachments[index].config, held);
    }

    fn summarise(&mut self) {
        match self.worker.hear(Command::Report) {
            Ok(report) => {
                self.memory.save(&self.attachments, &self.config, &report);
                summary::log(&self.attachments, &report);
            }
            Err(error) => warn!("{error}; no summary"),
        }
    }

    /// Notes for the next process, if it is to know, what is known now. Says how large the FDB is.
    pub(crate) fn note(&mut self) -> Option<usize> {
        if !self.leaves {
            return self.worker.ask(|bridge, _| bridge.fdb_len()).ok();
        }
        let report = self.worker.hear(Command::Report).ok()?;
        self.memory.save(&self.attachments, &self.config, &report);
        Some(report.fdb.len())
    }

    /// Looks at what the worker has counted and learned: notes it for the next process, and shows it in the service
    /// manager's words.
    pub(crate) fn look(&mut self) {
        let Some(entries) = self.note() else { return };
        let shown = Shown { up: self.ports_up(), entries };
        if shown != self.shown {
            let ports = self.attachments.len();
            systemd::status(&format!("{} of {ports} ports up, {} MACs", shown.up, shown.entries));
            self.shown = shown;
        }
    }

    fn ports_up(&self) -> usize {
        self.attachments.iter().filter(|port| port.held.as_ref().is_some_and(|held| held.up)).count()
    }

    /// Puts back what was changed on interfaces. The worker has closed its halves by now.
    pub(crate) fn put_back(mut self) {
        for attachment in &mut self.attachments {
            if let Some(held) = attachment.held.take() {
                self.opener.release(&attachment.config, held);
            }
        }
        for problem in self.opener.finish() {
            warn!("{problem}");
        }
    }
}
