//! Medians, percentiles and ratios.

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The smallest value that is at least as large as `percent` of all of them.
pub(crate) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The median of the ratios of samples that were taken beside each other; of what was nothing there is none.
pub(crate) fn ratio(of: &[f64], to: &[f64]) -> Option<f64> {
    let ratios: Vec<_> = of.iter().zip(to).filter(|(_, to)| **to > 0.0).map(|(of, to)| of / to).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_middle_is_found_in_any_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_99th_percentile_of_a_hundred_is_the_last_but_one() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 99.0), Some(99.0));
        assert_eq!(percentile(&values, 100.0), Some(100.0));
        assert_eq!(percentile(&values, 50.0), Some(50.0));
        assert_eq!(percentile(&[7.0], 99.0), Some(7.0));
        assert_eq!(percentile(&[], 99.0), None);
    }

    #[test]
    fn a_ratio_is_of_pairs_and_not_of_medians() {
        assert_eq!(ratio(&[1.0, 20.0, 3.0], &[2.0, 40.0, 3.0]), Some(0.5));
        assert_eq!(ratio(&[1.0, 2.0], &[0.0, 4.0]), Some(0.5));
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }

    proptest! {
        #[test]
        fn a_machine_that_is_slow_now_and_then_changes_no_ratio(
            speeds in proptest::collection::vec(0.1..10.0_f64, 1..20),
        ) {
            let of: Vec<_> = speeds.iter().map(|speed| 3.0 * speed).collect();
            let found = ratio(&of, &speeds);
            prop_assert!(found.is_some_and(|found| (found - 3.0).abs() < 1e-9), "{:?}", found);
        }
    }
}
