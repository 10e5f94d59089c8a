//! The control thread: signals, link events and the workers' news, turned into commands to the workers
//! and into log lines. It owns what was changed on interfaces and puts it back at the end.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bridge::PortId;
use config::Config;
use control::Server;
use crossbeam_channel::Receiver;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use ports::links::LinkWatcher;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;
use tracing::{info, warn};

use crate::attachment::Attachment;
use crate::captures::Running;
use crate::command::Event;
use crate::forwarding::Forwarding;
use crate::handover::{Giving, Recipient};
use crate::metrics::{Metrics, Reloads};
use crate::monitor::Monitors;
use crate::open::Opener;
use crate::patterns::Unmatched;
use crate::rights::{self, Rights};
use crate::run_dir::RunDir;
use crate::state::Memory;
use crate::to_workers::ToWorkers;
use crate::{successor, summary};

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
    pub(crate) fn serve(&self, run_dir: &RunDir, rights: &Rc<Cell<Rights>>) -> anyhow::Result<Server> {
        let path = run_dir.control_socket();
        let server = Server::bind(&path, self.poll.registry(), CLIENTS, env!("CARGO_PKG_VERSION"));
        let mut server = server.with_context(|| format!("can't listen on {}", path.display()))?;
        server.set_gate(rights::gate(rights));
        Ok(server)
    }
}

/// Everything that control owns.
pub(crate) struct Control {
    /// What the file or the arguments say.
    pub(crate) config: Config,
    pub(crate) listener: Listener,
    /// Out of its place while it serves.
    pub(crate) server: Option<Server>,
    pub(crate) workers: ToWorkers,
    pub(crate) events: Receiver<Event>,
    pub(crate) opener: Opener,
    pub(crate) attachments: Vec<Attachment>,
    /// The configuration file read again, with whatever is wrong in it.
    pub(crate) read_again: Box<dyn Fn() -> anyhow::Result<Config>>,
    pub(crate) shown: Shown,
    /// What the next process will know.
    pub(crate) memory: Memory,
    /// Some of what has changed in the FDB is still to be saved.
    pub(crate) saving: bool,
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
    pub(crate) captures: Running,
    /// Makes this thread look for events and requests.
    pub(crate) wake: Arc<Waker>,
    /// Whoever serves metrics, if anybody does.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) reloads: Reloads,
    pub(crate) rights: Rc<Cell<Rights>>,
    /// Interfaces that a pattern means and that have no port.
    pub(crate) unmatched: Unmatched,
}

/// What the service manager was told last: ports whose link is up, and entries in the FDB.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) up: usize,
    pub(crate) entries: usize,
}

impl Control {
    /// Runs until SIGINT, SIGTERM, or the end of the worker.
    ///
    /// # Errors
    /// If waiting for events fails.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(16);
        loop {
            let patience = self.patience();
            match self.listener.poll.poll(&mut events, patience) {
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
            self.save_more();
        }
    }

    /// How long there is nothing to do but to listen.
    fn patience(&mut self) -> Option<Duration> {
        let retry = self.attachments.iter().any(|attachment| attachment.busy).then_some(RETRY);
        let clients = self.server.as_mut().and_then(|server| server.timeout(Instant::now()));
        let saving = self.saving.then_some(Duration::ZERO);
        [retry, clients, self.monitors.patience(), saving].into_iter().flatten().min()
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
            self.unmake(event);
        }
        if !events.is_empty() {
            self.match_interfaces();
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
        self.look_at_guests();
        self.answer_scrape();
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
            bridge::Event::MacMoved { mac, from, to, vid } => {
                let (from, to, vid) = (name(from), name(to), told_apart(vid));
                info!(%mac, from, port = to, vid, left_out, "a station spoke on another port than before");
            }
            bridge::Event::OwnSource { mac, port, vid } => warn!(
                %mac,
                vid = told_apart(vid),
                port = name(port),
                left_out,
                "a frame came in with an address of this bridge as its source: a loop, or somebody uses that address"
            ),
        }
    }

    fn summarise(&mut self) {
        match self.report() {
            Ok(report) => {
                let entries = self.workers.ask(|bridge, _| {
                    let few = bridge.fdb_len() <= summary::ENTRIES_SHOWN;
                    if few { bridge.fdb().collect() } else { Vec::new() }
                });
                summary::log(&self.attachments, &report, &entries.unwrap_or_else(|_| Vec::new()));
                self.look();
            }
            Err(error) => warn!("{error}; no summary"),
        }
    }

    pub(crate) fn ports_up(&self) -> usize {
        self.attachments.iter().filter(|port| port.held.as_ref().is_some_and(|held| held.up)).count()
    }

    /// Puts back what was changed on interfaces. The worker has closed its halves by now.
    pub(crate) fn put_back(mut self) {
        if let Some(metrics) = self.metrics.take() {
            metrics.close();
        }
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

/// A VLAN, where they are told apart.
pub(crate) fn told_apart(vid: u16) -> Option<u16> {
    (vid != 0).then_some(vid)
}
