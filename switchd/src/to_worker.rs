//! The way from control to the worker: commands, and questions that control waits for the answer of. The
//! worker answers between two turns.

use std::sync::Arc;
use std::time::Duration;

use bridge::{Bridge, Moment};
use crossbeam_channel::{Sender, bounded};
use mio::Waker;

use crate::command::Command;

/// How long an answer may take before control gives it up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The worker's commands, and what wakes it.
#[derive(Clone)]
pub(crate) struct ToWorker {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

/// The worker did not answer in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the forwarding thread did not answer within {PATIENCE:?}")]
pub(crate) struct NoAnswer;

impl ToWorker {
    pub(crate) fn new(commands: Sender<Command>, waker: Waker) -> Self {
        Self { commands, waker: Arc::new(waker) }
    }

    /// Says one thing to the worker. A worker that has ended hears nothing; its end is told elsewhere.
    pub(crate) fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }

    /// Sends the command that takes a place for an answer, and waits for it.
    ///
    /// # Errors
    /// The worker has ended, or takes too long.
    pub(crate) fn hear<R>(&self, command: impl FnOnce(Sender<R>) -> Command) -> Result<R, NoAnswer> {
        let (reply, answer) = bounded(1);
        self.send(command(reply));
        answer.recv_timeout(PATIENCE).map_err(|_| NoAnswer)
    }

    /// Asks the bridge something, or changes it, and waits for what came of it. What was asked before is
    /// done before.
    ///
    /// # Errors
    /// As [`ToWorker::hear`].
    pub(crate) fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Bridge, Moment) -> R + Send + 'static,
    ) -> Result<R, NoAnswer> {
        self.hear(|reply| {
            Command::Bridge(Box::new(move |bridge, now| drop(reply.send(question(bridge, now)))))
        })
    }
}
