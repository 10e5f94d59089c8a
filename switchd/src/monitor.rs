//! What happens, for those who watch over the control socket. What the bridge notes of its FDB is fetched a few
//! times a second, and only while somebody watches: watching costs forwarding next to nothing, and not
//! watching nothing.

use std::time::{Duration, Instant};

use bridge::{FdbChange, Happened};
use control::types::Event;

use crate::answer::shown_kind;
use crate::control::{Control, told_apart};

/// How often the FDB is looked at while somebody watches.
const LOOK: Duration = Duration::from_millis(200);

/// Most events that wait to be told.
const WAITING: usize = 8192;

/// Events that nobody was told yet. None while nobody watches.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    watched: bool,
    waiting: Vec<Event>,
    looked: Option<Instant>,
}

impl Monitors {
    /// Something happened to a port.
    pub(crate) fn port(&mut self, port: &str, words: String) {
        self.tell(Event {
            topic: "port".to_owned(),
            port: Some(port.to_owned()),
            words: Some(words),
            ..Event::default()
        });
    }

    /// The configuration is another one now.
    pub(crate) fn config(&mut self, words: String) {
        self.tell(Event { topic: "config".to_owned(), words: Some(words), ..Event::default() });
    }

    fn tell(&mut self, event: Event) {
        if self.watched && self.waiting.len() < WAITING {
            self.waiting.push(event);
        }
    }

    /// How long it may take until the next look.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.watched.then_some(LOOK)
    }
}

impl Control {
    /// Tells those who watch what has happened.
    pub(crate) fn tell_monitors(&mut self) {
        let watched = self.server.as_ref().is_some_and(control::Server::is_watched);
        if watched != self.monitors.watched {
            self.monitors = Monitors { watched, ..Monitors::default() };
            // Without an answer nothing is told of the FDB, as with the next question.
            let _ = self.workers.ask(move |bridge, _| bridge.watch_fdb(watched));
        }
        let now = Instant::now();
        if !watched || self.monitors.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return;
        }
        self.monitors.looked = Some(now);
        if let Ok((changes, lost)) = self.workers.ask(|bridge, _| bridge.take_fdb_changes()) {
            for change in changes {
                let event = self.event(change);
                self.monitors.tell(event);
            }
            if lost > 0 {
                self.monitors.tell(Event::lost(lost));
            }
        }
        let events = std::mem::take(&mut self.monitors.waiting);
        if let Some(server) = self.server.as_mut().filter(|_| !events.is_empty()) {
            server.publish(&events, now);
        }
    }

    fn event(&self, change: FdbChange) -> Event {
        let what = match change.happened {
            Happened::Added => "added",
            Happened::Moved => "moved",
            Happened::Removed => "removed",
        };
        Event {
            topic: "fdb".to_owned(),
            what: Some(what.to_owned()),
            mac: Some(change.mac.to_string()),
            vlan: told_apart(change.fid),
            port: change.port.map(|port| self.name(port).to_owned()),
            kind: Some(shown_kind(change.kind)),
            ..Event::default()
        }
    }
}
