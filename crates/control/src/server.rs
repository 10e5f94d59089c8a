//! The daemon's end of the socket, driven by the daemon's event loop. Every call of [`Server::turn`] gives
//! each connection that has something to do one step: read a little, answer one request, write.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::event::Event as Readiness;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use serde_json::{Value, json};

use crate::call::Call;
use crate::connection::{Connection, Request};
use crate::error::CallError;
use crate::feed::Feed;
use crate::gate::Gate;
use crate::types::Event;
use crate::{DESCRIPTION, INTERFACE};

/// Most connections at a time.
pub const MAX_CONNECTIONS: usize = 128;

/// Most of them for everybody but administrators, so that there is always room for those.
pub const MAX_OTHERS: usize = 96;

/// Most of them for one user who is no administrator.
pub const MAX_OF_USER: usize = 32;

/// Bytes that a connection reads in one turn.
const READ: usize = 16 * 1024;

/// Bytes that it sends in one turn once it was upgraded.
const SEND: usize = 1 << 20;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user, at the time of the connection.
    pub uid: u32,
    /// Its group, at that time.
    pub gid: u32,
    /// Root, or the user that the daemon runs as; or who else a [`Gate`] says.
    pub administrator: bool,
    /// It may look; everybody may, unless a [`Gate`] says something else.
    pub looks: bool,
}

/// Further replies to one call. The connection asks for the next only when there is room for it.
pub type Stream = Box<dyn Iterator<Item = Result<Value, CallError>>>;

/// What becomes of a call.
pub enum Answer {
    /// One reply.
    Reply(Result<Value, CallError>),
    /// Several, which a client that wants only one must not have called for.
    Stream(Stream),
    /// Whatever [`Server::publish`] is given from now on, to a client that takes several replies.
    Watch,
    /// One reply, behind which the connection carries what the feed gives, to a client that takes it.
    Upgrade(Value, Box<dyn Feed>),
}

/// Whoever answers calls.
pub trait Handler {
    /// Answers a call that the peer may make.
    fn call(&mut self, call: Call) -> Answer;
}

/// The socket and its connections.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    registry: Registry,
    first_token: usize,
    may_accept: bool,
    places: BTreeMap<usize, Client>,
    version: &'static str,
    gate: Option<Gate>,
}

struct Client {
    stream: UnixStream,
    peer: Peer,
    connection: Connection,
    answers: Option<std::iter::Peekable<Stream>>,
    /// Of one that watches: how many events it missed since the last that it was told.
    watches: Option<u64>,
    /// Of one that was upgraded.
    feed: Option<Box<dyn Feed>>,
    readable: bool,
    writable: bool,
    /// The client sends no more.
    ended: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Why a connection is closed.
struct Close;

impl Server {
    /// Listens on `path`, in the place of a socket that an earlier process left there. Uses the tokens from
    /// `first_token` to [`MAX_CONNECTIONS`] beyond. `version` is what introspection tells.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn bind(
        path: &Path,
        registry: &Registry,
        first_token: usize,
        version: &'static str,
    ) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut listener = UnixListener::bind(path)?;
        // Whoever gets as far as the directory may look; what changes something asks who it is.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        registry.register(&mut listener, Token(first_token), Interest::READABLE)?;
        let registry = registry.try_clone()?;
        Ok(Self {
            listener,
            registry,
            first_token,
            may_accept: true,
            places: BTreeMap::new(),
            version,
            gate: None,
        })
    }

    /// From now on asks `gate` what whoever connects may.
    pub fn set_gate(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    /// Notes an event of one of its tokens; false if the token is another's.
    pub fn note(&mut self, event: &Readiness) -> bool {
        let Some(place) = event.token().0.checked_sub(self.first_token) else { return false };
        if place == 0 {
            self.may_accept = true;
        } else if let Some(client) = self.places.get_mut(&place) {
            client.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            client.writable |= event.is_writable() || event.is_error();
        }
        place <= MAX_CONNECTIONS
    }

    /// Gives each connection one step.
    pub fn turn(&mut self, handler: &mut dyn Handler, now: Instant) {
        self.accept(now);
        let (version, registry) = (self.version, &self.registry);
        self.places.retain(|_, client| {
            let open = client.step(handler, version, now).is_ok();
            if !open {
                // It is closed at once.
                let _ = registry.deregister(&mut client.stream);
            }
            open
        });
    }

    /// How long the event loop may sleep: not at all while there is something to do, and no longer than a
    /// client's time runs.
    #[must_use]
    pub fn timeout(&mut self, now: Instant) -> Option<Duration> {
        if self.may_accept || self.places.values_mut().any(Client::is_busy) {
            return Some(Duration::ZERO);
        }
        let deadlines = self.places.values().filter_map(Client::deadline);
        deadlines.min().map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Whether anybody watches.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.places.values().any(|client| client.watches.is_some())
    }

    /// Tells those who watch. Who has not read what came before misses it, and is told so later.
    pub fn publish(&mut self, events: &[Event], now: Instant) {
        for client in self.places.values_mut() {
            let Some(missed) = &mut client.watches else { continue };
            if !client.connection.has_room_for_reply() {
                *missed += events.len() as u64;
                continue;
            }
            let missed = std::mem::take(missed);
            let lost = (missed > 0).then(|| Event::lost(missed));
            let told: Vec<&Event> = lost.iter().chain(events).collect();
            client.connection.reply(Ok(json!({ "events": told })), true, now);
        }
    }

    /// Number of connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.places.len()
    }

    fn accept(&mut self, now: Instant) {
        // A few at a time: a thousand that come at once must not keep the others waiting.
        for _ in 0..16 {
            if !self.may_accept {
                return;
            }
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream, now),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // Also where there is no descriptor left: the next client to come brings it up again.
                Err(_) => self.may_accept = false,
            }
        }
    }

    fn admit(&mut self, mut stream: UnixStream, now: Instant) {
        // rustix has no process id of 0, which a peer outside of our pid namespace has.
        let Ok(credentials) = getsockopt(&stream, PeerCredentials) else { return };
        let uid = credentials.uid();
        let administrator = uid == 0 || uid == rustix::process::geteuid().as_raw();
        let peer = Peer { uid, gid: credentials.gid(), administrator, looks: true };
        let peer = self.gate.as_ref().map_or(peer, |gate| gate.let_in(stream.as_fd(), peer));
        let administrator = peer.administrator;
        let mut connection = Connection::new(now);
        let place = (1..=MAX_CONNECTIONS).find(|place| !self.places.contains_key(place));
        let of_user = self.places.values().filter(|client| client.peer.uid == uid).count();
        let room = administrator || self.places.len() < MAX_OTHERS && of_user < MAX_OF_USER;
        let Some(place) = place.filter(|_| room) else {
            let message = format!("there are {} connections already: try again later", self.places.len());
            connection.reply(Err(CallError::Busy(message)), false, now);
            // One try: there is no place to keep it.
            let _ = stream.write(connection.unsent());
            return;
        };
        let token = Token(self.first_token + place);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.registry.register(&mut stream, token, interest).is_ok() {
            let (answers, watches, feed) = (None, None, None);
            let (readable, writable, ended) = (true, true, false);
            let client =
                Client { stream, peer, connection, answers, watches, feed, readable, writable, ended };
            self.places.insert(place, client);
        }
    }
}

impl Client {
    /// Until when it has time for what it began.
    fn deadline(&self) -> Option<Instant> {
        // One that was upgraded may read when it likes: what it is fed has its own bounds.
        if self.feed.is_some() { None } else { self.connection.deadline() }
    }

    fn is_busy(&mut self) -> bool {
        let connection = &self.connection;
        if let Some(feed) = &mut self.feed {
            let unsent = !connection.unsent().is_empty() || feed.is_ready() || feed.is_over();
            return self.readable && !self.ended || self.writable && unsent;
        }
        (self.readable && connection.room() > 0 && !self.ended)
            || (self.answers.is_some() && connection.has_room_for_reply())
            || (self.answers.is_none() && self.watches.is_none() && connection.may_have_request())
            || (self.writable && !connection.unsent().is_empty())
    }

    fn step(&mut self, handler: &mut dyn Handler, version: &str, now: Instant) -> Result<(), Close> {
        if self.feed.is_some() {
            return self.feed(now);
        }
        self.read(now)?;
        self.answer(handler, version, now)?;
        self.write(now)?;
        let idle = self.answers.is_none()
            && self.connection.unsent().is_empty()
            && (self.watches.is_some() || !self.connection.may_have_request());
        let late = self.deadline().is_some_and(|deadline| deadline <= now);
        let idle = idle && self.feed.is_none();
        if late || (self.ended && idle) { Err(Close) } else { Ok(()) }
    }

    /// One step of a connection that was upgraded. Whatever the client says means nothing; its end means that it
    /// wants no more.
    fn feed(&mut self, now: Instant) -> Result<(), Close> {
        let mut buffer = [0; READ];
        if self.readable && !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Close),
            }
        }
        self.write(now)?;
        let Some(feed) = self.feed.as_mut().filter(|_| self.connection.unsent().is_empty()) else {
            return Ok(());
        };
        if self.ended {
            feed.stop();
        }
        let mut left = SEND;
        while self.writable && left > 0 && feed.is_ready() {
            match feed.send(&mut self.stream) {
                Ok(sent) => left = left.saturating_sub(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Close),
            }
        }
        if feed.is_over() {
            return Err(Close);
        }
        Ok(())
    }

    fn read(&mut self, now: Instant) -> Result<(), Close> {
        let room = self.connection.room().min(READ);
        if !self.readable || self.ended || room == 0 {
            return Ok(());
        }
        let mut buffer = [0; READ];
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => self.ended = true,
            Ok(read) => self.connection.take_in(&buffer[..read], now),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Close),
        }
        Ok(())
    }

    fn answer(&mut self, handler: &mut dyn Handler, version: &str, now: Instant) -> Result<(), Close> {
        if let Some(answers) = &mut self.answers {
            if self.connection.has_room_for_reply() {
                let next = answers.next().unwrap_or_else(|| Ok(json!({})));
                let continues = next.is_ok() && answers.peek().is_some();
                if !continues {
                    self.answers = None;
                }
                self.connection.reply(next, continues, now);
            }
            return Ok(());
        }
        if self.watches.is_some() {
            return Ok(());
        }
        let Some(request) = self.connection.next_request(now).map_err(|_| Close)? else { return Ok(()) };
        let (oneway, more) = (request.oneway, request.more);
        let reply = match answer(request, self.peer, handler, version) {
            Answer::Reply(reply) => reply,
            // Nobody is to hear it.
            Answer::Stream(_) | Answer::Watch | Answer::Upgrade(..) if oneway => return Ok(()),
            Answer::Upgrade(reply, feed) => {
                self.feed = Some(feed);
                Ok(reply)
            }
            Answer::Watch if more => {
                self.watches = Some(0);
                self.connection.reply(Ok(json!({ "events": [] })), true, now);
                return Ok(());
            }
            Answer::Watch => Err(CallError::ExpectedMore),
            Answer::Stream(answers) if more => {
                self.answers = Some(answers.peekable());
                return Ok(());
            }
            Answer::Stream(mut answers) => {
                let first = answers.next().unwrap_or_else(|| Ok(json!({})));
                if answers.next().is_some() { Err(CallError::ExpectedMore) } else { first }
            }
        };
        if !oneway {
            self.connection.reply(reply, false, now);
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) -> Result<(), Close> {
        while self.writable && !self.connection.unsent().is_empty() {
            match self.stream.write(self.connection.unsent()) {
                Ok(sent) => self.connection.sent(sent, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Close),
            }
        }
        Ok(())
    }
}

fn answer(request: Request, peer: Peer, handler: &mut dyn Handler, version: &str) -> Answer {
    if let Some(method) = request.method.strip_prefix("org.varlink.service.") {
        return Answer::Reply(describe(method, request.parameters.as_ref(), version));
    }
    match Call::read(&request.method, request.parameters) {
        Err(error) => Answer::Reply(Err(error)),
        Ok(call) if call.upgrades() != request.upgrade => {
            let message = format!("upgrade: {} is its only value here", call.upgrades());
            Answer::Reply(Err(CallError::InvalidParameter(message)))
        }
        Ok(_) if !peer.looks => {
            let message = "only members of the group that [control] names may look".to_owned();
            Answer::Reply(Err(CallError::NotPermitted(message)))
        }
        Ok(call) if call.is_administrative() && !peer.administrator => {
            let message = "only root, the user that switchd runs as and members of the admin_group of [control] may do this".to_owned();
            Answer::Reply(Err(CallError::NotPermitted(message)))
        }
        Ok(call) => handler.call(call),
    }
}

/// What every varlink service tells of itself.
fn describe(method: &str, parameters: Option<&Value>, version: &str) -> Result<Value, CallError> {
    match method {
        "GetInfo" => Ok(json!({
            "vendor": "switchd",
            "product": "switchd",
            "version": version,
            "url": "https://varlink.org",
            "interfaces": ["org.varlink.service", INTERFACE],
        })),
        "GetInterfaceDescription" => {
            let name = parameters.and_then(|parameters| parameters.get("interface")).and_then(Value::as_str);
            match name {
                Some(INTERFACE) => Ok(json!({ "description": DESCRIPTION })),
                Some("org.varlink.service") => Ok(json!({ "description": SERVICE })),
                Some(other) => Err(CallError::InterfaceNotFound(other.to_owned())),
                None => Err(CallError::InvalidParameter("interface".to_owned())),
            }
        }
        other => Err(CallError::MethodNotFound(format!("org.varlink.service.{other}"))),
    }
}

/// The interface that every service has (varlink.org, "Service interface").
const SERVICE: &str = "interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)

error MethodNotFound (method: string)

error MethodNotImplemented (method: string)

error InvalidParameter (parameter: string)

error PermissionDenied ()

error ExpectedMore ()
";
