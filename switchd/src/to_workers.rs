//! The way from control to the workers: commands, and questions that control waits for the answer of. Each worker takes
//! all commands in the order in which they were sent, between two turns.
//!
//! Every worker has a replica of the bridge. What is known of entries and settings the first one is asked for, what is
//! counted all of them. A change is done to all replicas: each worker stops when it comes to it, and none goes on
//! before all have done it, so no frame finds one half of it.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use bridge::{Bridge, Moment};
use crossbeam_channel::{Receiver, Sender, bounded};
use mio::Waker;

use crate::clock::Clock;
use crate::command::{Change, Command};

/// How long an answer may take before control gives it up.
const PATIENCE: Duration = Duration::from_secs(1);

/// One worker's commands, and what wakes it.
#[derive(Clone)]
pub(crate) struct ToWorker {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

/// All of them, by number; there is one at least.
#[derive(Clone)]
pub(crate) struct ToWorkers(Arc<[ToWorker]>);

/// A worker did not answer in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the forwarding thread did not answer within {PATIENCE:?}")]
pub(crate) struct NoAnswer;

impl ToWorker {
    pub(crate) fn new(commands: Sender<Command>, waker: Arc<Waker>) -> Self {
        Self { commands, waker }
    }

    /// Says one thing to the worker. A worker that has ended hears nothing; its end is told elsewhere.
    fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

impl ToWorkers {
    pub(crate) fn new(workers: Vec<ToWorker>) -> Self {
        Self(workers.into())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Says something to each.
    pub(crate) fn tell(&self, commands: impl IntoIterator<Item = Command>) {
        self.0.iter().zip(commands).for_each(|(worker, command)| worker.send(command));
    }

    /// Says the same to all.
    pub(crate) fn tell_all(&self, command: impl Fn() -> Command) {
        self.tell(std::iter::repeat_with(command));
    }

    /// Sends each a command that takes a place for an answer, and waits for all answers, which are in the order of the
    /// workers.
    ///
    /// # Errors
    /// A worker has ended, or takes too long.
    pub(crate) fn hear<R>(&self, mut command: impl FnMut(Sender<R>) -> Command) -> Result<Vec<R>, NoAnswer> {
        let asked = self.0.iter().map(|worker| {
            let (reply, answer) = bounded(1);
            worker.send(command(reply));
            answer
        });
        let asked: Vec<Receiver<R>> = asked.collect();
        asked.iter().map(wait).collect()
    }

    /// Asks the first bridge something that all of them say the same of, or that only the first knows, and waits for the
    /// answer. What was asked before is done before.
    ///
    /// # Errors
    /// As [`ToWorkers::hear`].
    pub(crate) fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Bridge, Moment) -> R + Send + 'static,
    ) -> Result<R, NoAnswer> {
        let (reply, answer) = bounded(1);
        let ask = move |bridge: &mut Bridge, now| drop(reply.send(question(bridge, now)));
        self.tell([Command::Bridge(Box::new(ask))]);
        wait(&answer)
    }

    /// Asks all bridges the same, as what they count.
    ///
    /// # Errors
    /// As [`ToWorkers::hear`].
    pub(crate) fn ask_all<R: Send + 'static>(
        &self,
        question: impl Fn(&Bridge, Moment) -> R + Clone + Send + 'static,
    ) -> Result<Vec<R>, NoAnswer> {
        self.hear(|reply| {
            let question = question.clone();
            Command::Bridge(Box::new(move |bridge, now| drop(reply.send(question(bridge, now)))))
        })
    }

    /// Changes all bridges, and waits for what came of it, which is the same for all.
    ///
    /// # Errors
    /// As [`ToWorkers::hear`].
    pub(crate) fn change<R: Send + 'static>(
        &self,
        change: impl Fn(&mut Bridge, Moment) -> R + Send + Sync + 'static,
    ) -> Result<R, NoAnswer> {
        let (reply, answer) = bounded(self.count());
        self.set(move |bridge, now| drop(reply.send(change(bridge, now))));
        wait(&answer)
    }

    /// The same without waiting for it.
    pub(crate) fn set(&self, change: impl Fn(&mut Bridge, Moment) + Send + Sync + 'static) {
        let meet = Barrier::new(self.count());
        let change = Arc::new(Change { deed: Box::new(change), now: Clock.now(), meet });
        self.tell_all(|| Command::Change(Arc::clone(&change)));
    }
}

/// What all workers have said, in one.
///
/// # Errors
/// Nobody has said anything.
pub(crate) fn joined<R>(
    answers: impl IntoIterator<Item = R>,
    mut join: impl FnMut(&mut R, R),
) -> Result<R, NoAnswer> {
    let all = answers.into_iter().reduce(|mut all, more| {
        join(&mut all, more);
        all
    });
    all.ok_or(NoAnswer)
}

/// The same of lists that say the same of the same things, and each its own of how often.
///
/// # Errors
/// Nobody has said anything.
pub(crate) fn joined_lists<R>(
    answers: impl IntoIterator<Item = Vec<R>>,
    mut join: impl FnMut(&mut R, R),
) -> Result<Vec<R>, NoAnswer> {
    joined(answers, |all, more| all.iter_mut().zip(more).for_each(|(one, other)| join(one, other)))
}

fn wait<R>(answer: &Receiver<R>) -> Result<R, NoAnswer> {
    answer.recv_timeout(PATIENCE).map_err(|_| NoAnswer)
}
