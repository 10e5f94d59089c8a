//! The one place that asks the clock. Everything below is given a [`Moment`].

use bridge::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of the kernel's monotonic clock, which all processes since the machine was started share: what
/// one notes the next one understands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

impl Clock {
    /// Never runs backwards.
    pub(crate) fn now(self) -> Moment {
        let now = clock_gettime(ClockId::Monotonic);
        // 584 million years of milliseconds fit.
        Moment(now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000)
    }

    /// Nanoseconds since 1970, as the machine has it: for people, and for what other programs note.
    pub(crate) fn date(self) -> u64 {
        let now = clock_gettime(ClockId::Realtime);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}
