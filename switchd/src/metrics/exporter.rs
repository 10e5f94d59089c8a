//! The thread that serves metrics. It holds a bounded number of clients, each with a bounded request and a bounded
//! time; a client too many takes the place of the one that has been there longest.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use mio::{Events, Interest, Poll, Token, Waker};

use super::http::{Exchange, Format};
use super::listener::{Listener, Stream};
use super::snapshot::Snapshot;
use super::{Request, exposition};

/// Most clients at a time.
const MAX_CLIENTS: usize = 32;

/// Most that are let in between two looks at the others.
const ADMITTED: usize = 16;

/// Bytes that a client is read at once.
const READ: usize = 4096;

/// So long what was asked is good for everybody who asks.
const FRESH: Duration = Duration::from_millis(500);

/// How long control may take to answer: it waits for the worker itself.
const ANSWERED: Duration = Duration::from_secs(5);

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Of the first client; none is used twice.
const FIRST: usize = 2;

/// The thread's own things.
pub(super) struct Exporter {
    poll: Poll,
    listener: Listener,
    may_accept: bool,
    clients: BTreeMap<usize, Client>,
    next: usize,
    ask: Sender<Request>,
    wake_control: Arc<Waker>,
    stop: Arc<AtomicBool>,
    page: Page,
}

struct Client {
    stream: Box<dyn Stream>,
    exchange: Exchange,
}

/// What was answered last, and when it was known.
#[derive(Default)]
struct Page {
    known: Option<(Instant, Arc<Snapshot>)>,
    openmetrics: Option<Arc<str>>,
    prometheus: Option<Arc<str>>,
}

impl Exporter {
    /// One for this listener, and the waker that makes it look at `stop`.
    ///
    /// # Errors
    /// As `epoll_create(2)`.
    pub(super) fn new(
        mut listener: Listener,
        ask: Sender<Request>,
        wake_control: Arc<Waker>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (clients, page) = (BTreeMap::new(), Page::default());
        let exporter =
            Self { poll, listener, may_accept: true, clients, next: FIRST, ask, wake_control, stop, page };
        Ok((exporter, waker))
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// If polling fails.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(MAX_CLIENTS);
        while !self.stop.load(Ordering::Relaxed) {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in events.iter() {
                match event.token() {
                    LISTENER => self.may_accept = true,
                    WAKER => {}
                    Token(client) => self.step(client),
                }
            }
            self.accept();
            let now = Instant::now();
            self.clients.retain(|_, client| client.exchange.deadline() > now);
        }
        Ok(())
    }

    fn patience(&self) -> Option<Duration> {
        if self.may_accept {
            return Some(Duration::ZERO);
        }
        let deadline = self.clients.values().map(|client| client.exchange.deadline()).min()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn accept(&mut self) {
        for _ in 0..ADMITTED {
            if !self.may_accept {
                return;
            }
            match self.listener.accept() {
                Ok(stream) => self.admit(stream),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // Also where there is no descriptor left: the next client to come brings it up again.
                Err(_) => self.may_accept = false,
            }
        }
    }

    fn admit(&mut self, mut stream: Box<dyn Stream>) {
        if self.clients.len() >= MAX_CLIENTS {
            // Tokens grow: the first is the oldest. Closing it takes it out of the poll.
            self.clients.pop_first();
        }
        let token = self.next;
        self.next += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(token), interest).is_ok() {
            self.clients.insert(token, Client { stream, exchange: Exchange::new(Instant::now()) });
            self.step(token);
        }
    }

    /// Reads and writes as much as goes without waiting; forgets a client that is served or gone.
    fn step(&mut self, token: usize) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        let mut page = |format| self.page.get(format, &self.ask, &self.wake_control);
        if !client.read(&mut page) || !client.write() {
            self.clients.remove(&token);
        }
    }
}

impl Client {
    /// Whether the client is still there.
    fn read(&mut self, page: &mut impl FnMut(Format) -> Option<Arc<str>>) -> bool {
        let mut buffer = [0; READ];
        // Whoever sends more than a request has its answer by then.
        while self.exchange.reads() {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => self.exchange.take_in(&buffer[..read], &mut *page),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether there is more to be sent, or to be waited for.
    fn write(&mut self) -> bool {
        while !self.exchange.unsent().is_empty() {
            match self.stream.write(self.exchange.unsent()) {
                Ok(sent) => self.exchange.sent(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        !self.exchange.is_done()
    }
}

impl Page {
    /// The metrics; those of a moment ago if somebody has just asked. `None` if control does not answer.
    fn get(&mut self, format: Format, ask: &Sender<Request>, wake_control: &Waker) -> Option<Arc<str>> {
        if self.known.as_ref().is_none_or(|(when, _)| when.elapsed() > FRESH) {
            *self = Self::default();
            let (request, answer) = bounded(1);
            ask.try_send(request).ok()?;
            wake_control.wake().ok()?;
            let snapshot = answer.recv_timeout(ANSWERED).ok()?;
            self.known = Some((Instant::now(), Arc::new(snapshot)));
        }
        let (_, snapshot) = self.known.as_ref()?;
        let openmetrics = self.openmetrics.get_or_insert_with(|| exposition::openmetrics(snapshot).into());
        Some(Arc::clone(match format {
            Format::OpenMetrics => openmetrics,
            Format::Prometheus => {
                self.prometheus.get_or_insert_with(|| exposition::prometheus(openmetrics).into())
            }
        }))
    }
}
