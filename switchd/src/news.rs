//! What the bridge tells of stations, on its way to the log: a few a second, the rest counted, so that a
//! loop with a million moves a second neither fills the log nor slows the worker.

use bridge::{Event, Moment, Span};

/// Told in one period at most.
const TOLD: u32 = 5;
const PERIOD: Span = Span(1000);

/// Decides what is told.
#[derive(Debug, Default)]
pub(crate) struct News {
    since: Moment,
    told: u32,
    left_out: u64,
}

impl News {
    /// Hands events on to `tell`, each with how many were left out since the one before. `tell` says
    /// whether it had room. `more` events came that nobody kept.
    pub(crate) fn pass_on(
        &mut self,
        events: &[Event],
        more: u64,
        now: Moment,
        mut tell: impl FnMut(Event, u64) -> bool,
    ) {
        if now.since(self.since) >= PERIOD {
            (self.since, self.told) = (now, 0);
        }
        for event in events {
            if self.told < TOLD && tell(*event, self.left_out) {
                self.told += 1;
                self.left_out = 0;
            } else {
                self.left_out += 1;
            }
        }
        self.left_out += more;
    }
}

#[cfg(test)]
mod tests {
    use bridge::PortId;
    use frame::MacAddr;

    use super::*;

    #[test]
    fn a_storm_of_events_is_told_in_a_few_and_the_rest_counted() {
        let event = Event::OwnSource { mac: MacAddr::ZERO, port: PortId(1), vid: 0 };
        let mut news = News::default();
        let mut told = Vec::new();
        for ms in [5_000, 5_500, 6_000] {
            news.pass_on(&[event; 8], 100, Moment(ms), |_, left_out| {
                told.push(left_out);
                true
            });
        }
        // Of the first eight three are left out, and a hundred; then all of the second turn.
        assert_eq!(told, [0, 0, 0, 0, 0, 211, 0, 0, 0, 0]);
        assert_eq!(news.left_out, 103);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let event = Event::OwnSource { mac: MacAddr::ZERO, port: PortId(1), vid: 0 };
        let mut news = News::default();
        news.pass_on(&[event; 2], 0, Moment(0), |_, _| false);
        assert_eq!((news.told, news.left_out), (0, 2));
    }
}
