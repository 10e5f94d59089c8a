//! Busy polling: for a while after the last frame the worker asks its ports for more instead of sleeping. A frame that
//! comes then finds it awake, at the price of a processor that works for nothing meanwhile. Off, it is one comparison
//! a turn.

use std::time::Duration;

use crate::clock::Reading;

/// How long to go on, and since when.
#[derive(Debug, Default)]
pub(crate) struct BusyPoll {
    /// Nanoseconds after the last frame; 0 where it is off.
    span: u64,
    /// When the last turn ended in which frames came; none since it was given up.
    since: Option<Reading>,
}

impl BusyPoll {
    /// Goes on for so long from the next frame on.
    pub(crate) fn set(&mut self, span: Duration) {
        *self = Self { span: span.as_nanos() as u64, since: None };
    }

    /// A turn has ended in which frames came.
    #[inline]
    pub(crate) fn frames_came(&mut self, now: Reading) {
        if self.span > 0 {
            self.since = Some(now);
        }
    }

    /// Whether not to sleep yet.
    #[inline]
    pub(crate) fn goes_on(&mut self, now: Reading) -> bool {
        self.since = self.since.filter(|since| now.since(*since) < self.span);
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    #[test]
    fn it_goes_on_for_the_span_after_the_last_frame_and_only_then() {
        let mut poll = BusyPoll::default();
        let at = |us: u64| Reading::of(us * US);
        poll.frames_came(at(1));
        assert!(!poll.goes_on(at(1)), "it is off");
        poll.set(Duration::from_micros(50));
        assert!(!poll.goes_on(at(2)), "no frame came so far");
        poll.frames_came(at(10));
        assert!(poll.goes_on(at(10)) && poll.goes_on(at(59)));
        poll.frames_came(at(59));
        assert!(poll.goes_on(at(108)));
        assert!(!poll.goes_on(at(109)));
        assert!(!poll.goes_on(at(100)), "once given up it waits for a frame");
        poll.frames_came(at(200));
        poll.set(Duration::ZERO);
        assert!(!poll.goes_on(at(200)));
    }
}
