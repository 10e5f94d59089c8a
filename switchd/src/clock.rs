//! The one place that asks the clock. Everything below is given a [`Moment`].

use std::time::Instant;

use bridge::Moment;

/// Counts milliseconds from its creation; never runs backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start.
    pub(crate) fn now(&self) -> Moment {
        // 584 million years of milliseconds fit.
        Moment(self.0.elapsed().as_millis() as u64)
    }
}
