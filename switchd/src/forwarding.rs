//! The forwarding thread: started, stopped, and started again where a handover came to nothing.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, bail, ensure};
use caps::CapSet;
use crossbeam_channel::{Sender, bounded};
use mio::Waker;

use crate::clock::Clock;
use crate::command::{Command, Event, Report};
use crate::sandbox;
use crate::to_worker::ToWorker;
use crate::worker::Worker;

/// The thread, while it runs.
pub(crate) struct Forwarding {
    thread: Option<JoinHandle<io::Result<(Worker, Report)>>>,
    /// Where a thread that has not begun waits for its worker.
    hand: Option<Sender<Worker>>,
    events: Sender<Event>,
    wake_control: Arc<Waker>,
}

impl Forwarding {
    /// A thread that is not there yet; its end, where nobody has stopped it, will be told as an event.
    pub(crate) fn new(events: Sender<Event>, wake_control: Arc<Waker>) -> Self {
        Self { thread: None, hand: None, events, wake_control }
    }

    /// Makes the thread, so that it has nothing more to do before it forwards than to be given its worker.
    ///
    /// # Errors
    /// As `clone(2)`.
    pub(crate) fn prepare(&mut self) -> anyhow::Result<()> {
        let (events, wake_control) = (self.events.clone(), Arc::clone(&self.wake_control));
        let (hand, given) = bounded::<Worker>(1);
        let forward = move || {
            let prepared = give_up_rights().and_then(|()| enter_sandbox());
            let worker = prepared.and_then(|()| given.recv().map_err(io::Error::other));
            let result = worker.and_then(|worker| worker.run(Clock));
            if result.is_err() && events.try_send(Event::Ended).is_ok() {
                let _ = wake_control.wake();
            }
            result
        };
        let thread = thread::Builder::new().name("forward".to_owned()).spawn(forward);
        self.thread = Some(thread.context("can't start the forwarding thread")?);
        self.hand = Some(hand);
        Ok(())
    }

    /// Lets `worker` forward on a thread of its own.
    ///
    /// # Errors
    /// As `clone(2)`, or the thread was refused what it needs.
    pub(crate) fn start(&mut self, worker: Worker) -> anyhow::Result<()> {
        if self.hand.is_none() {
            self.prepare()?;
        }
        let handed = self.hand.take().is_some_and(|hand| hand.send(worker).is_ok());
        ensure!(handed, "the forwarding thread has ended before it began");
        Ok(())
    }

    /// Stops it; gives the worker, with what was counted and learned in the end.
    ///
    /// # Errors
    /// It had ended of itself, and why.
    pub(crate) fn stop(&mut self, worker: &ToWorker) -> anyhow::Result<(Worker, Report)> {
        worker.send(Command::Stop);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.context("forwarding failed"),
            Some(Err(_)) => bail!("the forwarding thread panicked"),
            None => bail!("nothing forwards"),
        }
    }
}

/// A thread that reads what guests send, or others, has no use for a capability: what needs one, control has done
/// before.
///
/// # Errors
/// As `capset(2)`.
pub(crate) fn give_up_rights() -> io::Result<()> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Nor has the one that forwards for most system calls.
fn enter_sandbox() -> io::Result<()> {
    sandbox::enter_forwarding().map_err(|error| io::Error::other(format!("{error:#}")))
}
