//! The workers before they begin: places where they will wait, so that commands can be sent to them already, and then
//! the workers themselves, each with its replica of the bridge.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use bridge::Bridge;
use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Poll, Token, Waker};
use ports::Batch;

use crate::channels::Channels;
use crate::command::{Command, Event};
use crate::to_workers::{ToWorker, ToWorkers};
use crate::watchdog::Watchdog;
use crate::worker::Worker;

/// Commands that wait for a worker at most; it takes all between two turns. At the start it takes those for all
/// ports at once.
const COMMANDS: usize = 256;
const COMMANDS_OF_A_PORT: usize = 2;

/// What wakes a worker.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// Where a worker waits.
struct Seat {
    poll: Poll,
    waker: Arc<Waker>,
    commands: Receiver<Command>,
}

/// The seats of all workers.
pub(crate) struct Crew {
    seats: Vec<Seat>,
    /// How many ports there are at the start.
    ports: usize,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) events: Sender<Event>,
    /// Wakes control after an event.
    pub(crate) wake_control: Arc<Waker>,
    pub(crate) watchdog: Option<Watchdog>,
}

impl Seat {
    fn new(room: usize) -> io::Result<(Self, ToWorker)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, commands) = bounded(room);
        let to_worker = ToWorker::new(sender, Arc::clone(&waker));
        Ok((Self { poll, waker, commands }, to_worker))
    }
}

impl Crew {
    /// Seats for so many workers of a bridge of so many ports, and the way to them.
    ///
    /// # Errors
    /// If epoll or eventfd can't be had.
    pub(crate) fn new(workers: usize, ports: usize) -> anyhow::Result<(Self, ToWorkers)> {
        let seat = |_| Seat::new(COMMANDS + ports * COMMANDS_OF_A_PORT);
        let seats = (0..workers).map(seat).collect::<io::Result<Vec<_>>>().context("can't set up polling")?;
        let (seats, to_workers) = seats.into_iter().unzip();
        Ok((Self { seats, ports }, ToWorkers::new(to_workers)))
    }

    /// The workers, each with a replica of `bridge` and one of the `batches`, of which there is one for each.
    pub(crate) fn assemble(self, bridge: Bridge, batches: Vec<Batch>, shared: &Shared) -> Vec<Worker> {
        let Self { seats, ports } = self;
        let wakers: Vec<_> = seats.iter().map(|seat| Arc::clone(&seat.waker)).collect();
        let watchdogs = shared.watchdog.iter().flat_map(|watchdog| watchdog.of_workers(seats.len()));
        let mut watchdogs: Vec<_> = watchdogs.collect();
        let replicas = bridge.replicas(seats.len());
        let parts = seats.into_iter().zip(replicas).zip(batches).enumerate().rev();
        let workers = parts.map(|(number, ((seat, bridge), batch))| {
            let others = wakers.iter().enumerate().filter(|(other, _)| *other != number);
            let channels = Channels {
                commands: seat.commands,
                events: shared.events.clone(),
                wake_control: Arc::clone(&shared.wake_control),
                watchdog: watchdogs.pop(),
                others: others.map(|(_, waker)| Arc::clone(waker)).collect(),
            };
            Worker::new(seat.poll, bridge, ports, batch, channels)
        });
        let mut workers: Vec<_> = workers.collect();
        workers.reverse();
        workers
    }
}
