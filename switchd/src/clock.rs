//! The one place that asks the clock. Everything below is given a [`Moment`].

use bridge::Moment;
use rustix::time::{ClockId, clock_gettime};

/// The kernel's monotonic clock, which all processes since the machine was started share: what one notes the next
/// one understands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

/// What the clock has shown, in nanoseconds: 584 years of them fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading(u64);

impl Clock {
    /// Never runs backwards.
    pub(crate) fn read(self) -> Reading {
        let now = clock_gettime(ClockId::Monotonic);
        Reading(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    /// The same in milliseconds.
    pub(crate) fn now(self) -> Moment {
        self.read().moment()
    }

    /// Nanoseconds since 1970, as the machine has it: for people, and for what other programs note.
    pub(crate) fn date(self) -> u64 {
        let now = clock_gettime(ClockId::Realtime);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}

impl Reading {
    /// What a clock shows after so many nanoseconds.
    #[cfg(test)]
    pub(crate) fn of(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    pub(crate) fn moment(self) -> Moment {
        Moment(self.0 / 1_000_000)
    }

    /// Nanoseconds from `earlier` to this one.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
