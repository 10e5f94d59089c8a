//! Where a worker hears commands and tells events.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use mio::Waker;

use crate::command::{Command, Event};
use crate::watchdog::Watchdog;

/// News of stations that may wait for control; the channel has room for the other events beside them.
pub(crate) const NEWS: usize = 32;

/// Where the worker hears commands and tells events.
pub(crate) struct Channels {
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: Sender<Event>,
    /// Wakes control after an event.
    pub(crate) wake_control: Arc<Waker>,
    /// Told with every turn that forwarding goes on.
    pub(crate) watchdog: Option<Watchdog>,
    /// Wake the other workers.
    pub(crate) others: Vec<Arc<Waker>>,
}

impl Channels {
    /// Never waits: there is room for each kind of event of each port, and each is told once until the
    /// port is attached again.
    pub(crate) fn tell(&self, event: Event) {
        if self.events.try_send(event).is_ok() {
            let _ = self.wake_control.wake();
        }
    }

    /// Tells what happened to a station, if control keeps up; never in the place of another event.
    pub(crate) fn tell_news(&self, event: bridge::Event, left_out: u64) -> bool {
        let room = self.events.len() < NEWS;
        if room {
            self.tell(Event::Station { event, left_out });
        }
        room
    }
}
