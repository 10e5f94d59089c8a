//! What a service manager is told (`sd_notify(3)`): ready, reloading, in what state. Says nothing where there
//! is none. From the control thread only; the forwarding thread feeds its [`crate::watchdog`] itself.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Between two starts of a service that fails to start.
const NEXT_TRY: Duration = Duration::from_secs(1);

/// Ports that are there forward now, or a reload has come to its end.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; ends with [`ready`].
pub(crate) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// The daemon is about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the service from now on.
pub(crate) fn main_process(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// One line for `systemctl status`.
pub(crate) fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Lets a moment pass where a service manager would start this process again at once, so that a start that fails
/// does not keep the machine busy.
pub(crate) fn pause_before_next_try() {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        std::thread::sleep(NEXT_TRY);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("the service manager can't be told: {error}");
    }
}
