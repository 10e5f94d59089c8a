//! `switchctl upgrade`: lets the program that is installed now take the ports over from the one that runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use control::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::output::{self, Form};

/// How long the new process may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks for it, and waits until another process answers.
pub(crate) fn run(client: &mut Client, again: impl Fn() -> Result<Client>, form: Form) -> Result<String> {
    let before = client.version()?;
    let pid = Pid::from_raw(i32::try_from(before.pid).context("the switch has no process id here")?);
    kill(pid, Signal::SIGUSR2).with_context(|| format!("can't ask process {pid}: run this as root"))?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        std::thread::sleep(PAUSE);
        // While the processes change nobody answers.
        let Some(now) = again().ok().and_then(|mut client| client.version().ok()) else { continue };
        if now.pid != before.pid && form.json {
            return output::json(&now);
        }
        if now.pid != before.pid {
            return Ok(format!("process {}, switchd {}, has taken over from {pid}\n", now.pid, now.version));
        }
    }
    bail!("no other process has taken over; process {pid} forwards on. Its log says why")
}
