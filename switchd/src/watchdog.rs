//! The watchdog of the service manager (`WatchdogSec=`), fed by the forwarding threads themselves, when all of them have
//! shown that they go on: where one does not forward nobody feeds, and the process is started again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bridge::{Moment, Span};

/// A watchdog that wants to be fed, as one worker has it.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog {
    socket: Arc<UnixDatagram>,
    /// The workers that went on since it was fed, a bit each.
    alive: Arc<AtomicU64>,
    /// This worker's bit, and those of all.
    bit: u64,
    all: u64,
    every: Span,
    next: Moment,
}

impl Watchdog {
    /// The one that this process was started with, if it was; fed at once.
    ///
    /// # Errors
    /// The service manager's socket can't be reached: it would end this process soon.
    pub(crate) fn from_environment() -> io::Result<Option<Self>> {
        let (Some(period), Some(path)) = (sd_notify::watchdog_enabled(), std::env::var_os("NOTIFY_SOCKET"))
        else {
            return Ok(None);
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // Feeding never delays a frame.
        socket.set_nonblocking(true)?;
        let every = Span(u64::try_from(period.as_millis()).unwrap_or(u64::MAX) / 2);
        Ok(Some(Self::new(socket, every)))
    }

    fn new(socket: UnixDatagram, every: Span) -> Self {
        let (socket, alive) = (Arc::new(socket), Arc::default());
        Self { socket, alive, bit: 1, all: 1, every, next: Moment(0) }
    }

    /// The same one for each of so many workers, 64 at most.
    pub(crate) fn of_workers(&self, workers: usize) -> impl Iterator<Item = Self> {
        let all = u64::MAX >> (64 - workers.clamp(1, 64));
        (0..workers).map(move |worker| Self { bit: 1 << worker, all, ..self.clone() })
    }

    /// When it must be fed next.
    pub(crate) fn next(&self) -> Moment {
        self.next
    }

    /// Feeds it if it is time, and every other worker has gone on as well.
    pub(crate) fn feed(&mut self, now: Moment) {
        if now < self.next {
            return;
        }
        if self.alive.fetch_or(self.bit, Ordering::Relaxed) | self.bit == self.all {
            // A full socket is tried again by the next turn.
            if self.socket.send(b"WATCHDOG=1\n").is_err() {
                return;
            }
            self.alive.store(0, Ordering::Relaxed);
        }
        self.next = now + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fed_once_in_every_half_of_its_period() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut watchdog = Watchdog::new(ours, Span(5_000));
        let mut fed = 0;
        for ms in (20_000..31_000).step_by(10) {
            watchdog.feed(Moment(ms));
            let mut told = [0; 32];
            while let Ok(len) = theirs.recv(&mut told) {
                assert_eq!(&told[..len], b"WATCHDOG=1\n");
                fed += 1;
            }
        }
        assert_eq!((fed, watchdog.next()), (3, Moment(35_000)));
    }

    #[test]
    fn it_is_fed_only_while_all_workers_go_on() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut workers: Vec<_> = Watchdog::new(ours, Span(5_000)).of_workers(3).collect();
        let mut fed = |moments: std::ops::Range<u64>, alive: &[usize]| {
            for ms in moments.step_by(100) {
                alive.iter().for_each(|worker| workers[*worker].feed(Moment(ms)));
            }
            std::iter::from_fn(|| theirs.recv(&mut [0; 32]).ok()).count()
        };
        assert_eq!(fed(0..50_000, &[0, 1, 2]), 10);
        assert!(fed(50_000..90_000, &[0, 2]) <= 1, "it had gone on until then");
        assert_eq!(fed(90_000..110_000, &[2, 1, 0]), 4);
    }
}
