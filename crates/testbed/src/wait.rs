//! Waiting for something to become true, instead of sleeping and hoping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// Looks at `condition` until it holds.
///
/// # Errors
/// It does not hold within `timeout`; the message names `what`.
pub fn wait_until(timeout: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + timeout;
    while !condition() {
        if Instant::now() >= deadline {
            bail!("waited {timeout:?} in vain: {what}");
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
