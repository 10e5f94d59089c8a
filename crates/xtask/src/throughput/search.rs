//! The highest value at which something still holds: RFC 2544's binary search.

use anyhow::Result;

/// The highest of what was tried, at most `most`, for which `holds`; tried are halves of what remains, until that
/// is less than `resolution` of `most`. 0 if it held nowhere. `holds` is asked for `most` first.
pub(crate) fn highest(most: f64, resolution: f64, mut holds: impl FnMut(f64) -> Result<bool>) -> Result<f64> {
    if holds(most)? {
        return Ok(most);
    }
    let (mut good, mut bad) = (0.0, most);
    while bad - good > resolution * most {
        let middle = f64::midpoint(good, bad);
        if holds(middle)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A switch that takes `rate` frames a second and has a queue for `queue` more.
    struct Virtual {
        rate: f64,
        queue: f64,
    }

    impl Virtual {
        fn loses_nothing(&self, offered: f64, seconds: f64) -> bool {
            (offered - self.rate) * seconds <= self.queue
        }
    }

    proptest! {
        #[test]
        fn the_rate_of_a_switch_is_found(rate in 1e3..2e6_f64, queue in 0.0..1e3_f64) {
            let subject = Virtual { rate, queue };
            let most = 2e6;
            let found = highest(most, 0.01, |offered| Ok(subject.loses_nothing(offered, 1.0))).unwrap();
            prop_assert!(subject.loses_nothing(found, 1.0));
            prop_assert!(found >= rate - 0.01 * most && found <= rate + queue);
        }

        #[test]
        fn it_takes_as_many_trials_as_halves(limit in 0.0..1.0_f64) {
            let mut trials = 0;
            highest(1.0, 1.0 / 64.0, |value| { trials += 1; Ok(value <= limit) }).unwrap();
            prop_assert!(trials <= 7, "{}", trials);
        }
    }

    #[test]
    fn what_always_holds_takes_one_trial_and_what_never_does_is_nothing() {
        let mut trials = 0;
        assert_eq!(
            highest(5.0, 0.01, |_| {
                trials += 1;
                Ok(true)
            })
            .unwrap(),
            5.0
        );
        assert_eq!(trials, 1);
        assert_eq!(highest(5.0, 0.01, |_| Ok(false)).unwrap(), 0.0);
    }

    #[test]
    fn a_failure_ends_it() {
        assert!(highest(5.0, 0.01, |_| anyhow::bail!("no more")).is_err());
    }
}
