//! The watchdog of the service manager (`WatchdogSec=`), fed by the forwarding thread itself: whoever does not
//! forward does not feed, and is started again.

use std::io;
use std::os::unix::net::UnixDatagram;

use bridge::{Moment, Span};

/// A watchdog that wants to be fed.
#[derive(Debug)]
pub(crate) struct Watchdog {
    socket: UnixDatagram,
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
        Ok(Some(Self { socket, every, next: Moment(0) }))
    }

    /// When it must be fed next.
    pub(crate) fn next(&self) -> Moment {
        self.next
    }

    /// Feeds it if it is time.
    pub(crate) fn feed(&mut self, now: Moment) {
        // A full socket is tried again by the next turn.
        if now >= self.next && self.socket.send(b"WATCHDOG=1\n").is_ok() {
            self.next = now + self.every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fed_once_in_every_half_of_its_period() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut watchdog = Watchdog { socket: ours, every: Span(5_000), next: Moment(0) };
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
}
