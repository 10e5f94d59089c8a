//! How the forwarding loop keeps up: how long its turns last, and how many frames it finds when it looks at a port.
//! Only the worker writes here, once a turn and once a batch; who wants to read gets a copy between two turns.

/// How often a value lay in which range.
#[derive(Clone, Debug)]
pub(crate) struct Histogram<const N: usize> {
    bounds: [u64; N],
    counts: [u64; N],
    beyond: u64,
    sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// Each bound belongs to the range below it.
    const fn new(bounds: [u64; N]) -> Self {
        Self { bounds, counts: [0; N], beyond: 0, sum: 0 }
    }

    #[inline]
    fn record(&mut self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        match place.and_then(|place| self.counts.get_mut(place)) {
            Some(count) => *count += 1,
            None => self.beyond += 1,
        }
        self.sum += value;
    }

    /// Each range by its bound, in order, with how many values lay there, and the last one, which has no bound.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some);
        bounds.chain([None]).zip(self.counts.iter().copied().chain([self.beyond]))
    }

    /// All values together.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values there were.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }
}

/// The pace of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// From waking up until there is nothing more to do, in nanoseconds: a frame that comes meanwhile waits at most
    /// so long.
    pub(crate) turns: Histogram<13>,
    /// Frames that were taken from a port at once.
    pub(crate) batches: Histogram<7>,
}

impl Default for Pace {
    fn default() -> Self {
        const US: u64 = 1_000;
        const MS: u64 = 1_000_000;
        Self {
            turns: Histogram::new([
                10 * US,
                25 * US,
                50 * US,
                100 * US,
                250 * US,
                500 * US,
                MS,
                2_500 * US,
                5 * MS,
                10 * MS,
                25 * MS,
                50 * MS,
                100 * MS,
            ]),
            batches: Histogram::new([1, 2, 4, 8, 16, 32, 64]),
        }
    }
}

impl Pace {
    /// Notes how long a turn has lasted.
    #[inline]
    pub(crate) fn turn(&mut self, nanoseconds: u64) {
        self.turns.record(nanoseconds);
    }

    /// Notes how many frames came at once.
    #[inline]
    pub(crate) fn batch(&mut self, frames: usize) {
        self.batches.record(frames as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_range_below_its_bound() {
        let mut pace = Pace::default();
        for frames in [1, 2, 3, 64, 65, 1000] {
            pace.batch(frames);
        }
        let counted: Vec<_> = pace.batches.ranges().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(Some(1), 1), (Some(2), 1), (Some(4), 1), (Some(64), 1), (None, 2)]);
        assert_eq!((pace.batches.count(), pace.batches.sum()), (6, 1 + 2 + 3 + 64 + 65 + 1000));
        assert!(pace.turns.bounds.is_sorted() && pace.batches.bounds.is_sorted());
    }
}
