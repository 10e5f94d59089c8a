//! The forwarding threads, one for each worker: started, stopped, and started again where a handover came to nothing.

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
use crate::to_workers::{ToWorkers, joined};
use crate::worker::Worker;

type Thread = JoinHandle<io::Result<(Worker, Report)>>;

/// The threads, while they run.
pub(crate) struct Forwarding {
    threads: Vec<Thread>,
    /// Where threads that have not begun wait for their workers.
    hands: Vec<Sender<Worker>>,
    events: Sender<Event>,
    wake_control: Arc<Waker>,
}

impl Forwarding {
    /// Threads that are not there yet; the end of one, where nobody has stopped it, will be told as an event.
    pub(crate) fn new(events: Sender<Event>, wake_control: Arc<Waker>) -> Self {
        Self { threads: Vec::new(), hands: Vec::new(), events, wake_control }
    }

    /// Makes the threads for so many workers, so that each has nothing more to do before it forwards than to be given its worker.
    ///
    /// # Errors
    /// As `clone(2)`.
    pub(crate) fn prepare(&mut self, workers: usize) -> anyhow::Result<()> {
        (0..workers).try_for_each(|number| self.prepare_one(number))
    }

    fn prepare_one(&mut self, number: usize) -> anyhow::Result<()> {
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
        let name = if number == 0 { "forward".to_owned() } else { format!("forward-{number}") };
        let thread = thread::Builder::new().name(name).spawn(forward);
        self.threads.push(thread.context("can't start a forwarding thread")?);
        self.hands.push(hand);
        Ok(())
    }

    /// Lets each of the workers forward on a thread of its own.
    ///
    /// # Errors
    /// As `clone(2)`, or a thread was refused what it needs.
    pub(crate) fn start(&mut self, workers: Vec<Worker>) -> anyhow::Result<()> {
        if self.hands.is_empty() {
            self.prepare(workers.len())?;
        }
        for (hand, worker) in self.hands.drain(..).zip(workers) {
            ensure!(hand.send(worker).is_ok(), "a forwarding thread has ended before it began");
        }
        Ok(())
    }

    /// Stops them; gives the workers, with what was counted and learned in the end.
    ///
    /// # Errors
    /// One had ended of itself, and why.
    pub(crate) fn stop(&mut self, workers: &ToWorkers) -> anyhow::Result<(Vec<Worker>, Report)> {
        let mut threads = std::mem::take(&mut self.threads);
        if let Some(ended) = threads.iter().position(JoinHandle::is_finished) {
            // The others may wait for it, for ever.
            threads = vec![threads.swap_remove(ended)];
        }
        workers.tell_all(|| Command::Stop);
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result.context("forwarding failed"),
            Err(_) => bail!("a forwarding thread panicked"),
        });
        let (workers, reports): (Vec<_>, Vec<_>) =
            ended.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
        Ok((workers, joined(reports, Report::join).context("nothing forwards")?))
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
