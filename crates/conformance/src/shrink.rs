//! From a sequence that shows a difference to a short one that still does.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::step::Step;

/// How long one shrinking takes at most.
const LONGEST: Duration = Duration::from_secs(90);

/// Leaves out whatever can be left out (delta debugging, Zeller 2002): halves first, then smaller parts,
/// then single steps. `fails` says whether a sequence still shows the difference, on new subjects.
///
/// # Errors
/// The test itself failed.
pub fn shrink(mut steps: Vec<Step>, mut fails: impl FnMut(&[Step]) -> Result<bool>) -> Result<Vec<Step>> {
    let deadline = Instant::now() + LONGEST;
    let mut part = steps.len().div_ceil(2);
    while part > 0 && Instant::now() < deadline {
        let before = steps.len();
        // From the end: what is late is less often needed.
        let mut end = steps.len();
        while end > 0 && Instant::now() < deadline {
            let start = end.saturating_sub(part);
            let without = [&steps[..start], &steps[end..]].concat();
            if fails(&without)? {
                steps = without;
            }
            end = start;
        }
        part = if part == 1 && steps.len() < before { 1 } else { part / 2 };
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let steps: Vec<Step> = (0..200).map(|ms| Step::Wait { ms }).collect();
        let needed = [17, 18, 120, 199].map(|ms| Step::Wait { ms });
        let fails = |steps: &[Step]| Ok(needed.iter().all(|step| steps.contains(step)));
        assert_eq!(shrink(steps, fails).unwrap(), needed);
    }
}
