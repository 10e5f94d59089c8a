//! A running guest that is written to a file, and goes on in another QEMU: what live migration is, without a network.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Guest;
use crate::{Namespace, wait_until};

/// Ample time to write a guest's memory to a file, and to read it.
const LONG: Duration = Duration::from_secs(60);

/// When so many kilobytes are left to be written down most are.
const MOST: u64 = 60_000;

const PROMPT: &str = "(qemu) ";

impl Guest {
    /// Writes the guest to `file` while it runs, ends its QEMU, and starts another one in `namespace` that goes on with
    /// it; says how long it stood. Once most of its memory was written for the first time `meanwhile` happens. Its options
    /// must name a monitor.
    ///
    /// # Errors
    /// QEMU refuses; the message says why. Or what `meanwhile` says.
    pub fn move_through(
        &mut self,
        namespace: &Namespace,
        file: &Path,
        meanwhile: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Duration> {
        let socket = self.options.monitor.clone().context("the guest has no monitor")?;
        let mut monitor = Monitor::connect(&socket)?;
        monitor.ask("migrate_set_parameter max-bandwidth 40M")?;
        let answer = monitor.ask(&format!("migrate -d \"exec:cat > {}\"", file.display()))?;
        ensure!(answer.is_empty(), "QEMU refuses to write the guest down: {answer}");
        monitor.wait_for("most of it is written down", |status| (1..MOST).contains(&left(status)))?;
        monitor.ask("migrate_set_parameter max-bandwidth 4K")?;
        meanwhile(self)?;
        monitor.ask("migrate_set_parameter max-bandwidth 1G")?;
        monitor.wait_for("the guest is written down", |status| status.contains("completed"))?;
        let stood = Instant::now();
        self.qemu.end();
        let incoming = format!("exec:cat {}", file.display());
        self.qemu = self.options.start(namespace, Some(&incoming))?;
        self.qemu.is_ready_already();
        let mut monitor = Monitor::connect(&socket)?;
        let running = || monitor.ask("info status").is_ok_and(|status| status.contains("running"));
        wait_until(LONG, "the guest goes on", running)?;
        Ok(stood.elapsed())
    }
}

/// Kilobytes of memory that are to be written down yet, as far as QEMU knows.
fn left(status: &str) -> u64 {
    let left = status.lines().find_map(|line| line.strip_prefix("remaining ram:"));
    left.and_then(|left| left.trim().trim_end_matches(" kbytes").parse().ok()).unwrap_or_default()
}

/// QEMU's monitor for people.
struct Monitor(UnixStream);

impl Monitor {
    fn connect(socket: &Path) -> Result<Self> {
        let mut connected = None;
        wait_until(LONG, "QEMU's monitor answers", || {
            connected = UnixStream::connect(socket).ok();
            connected.is_some()
        })?;
        let stream = connected.context("it does not")?;
        stream.set_read_timeout(Some(LONG))?;
        let mut monitor = Self(stream);
        monitor.read()?;
        Ok(monitor)
    }

    /// Gives a command; says what came of it.
    fn ask(&mut self, command: &str) -> Result<String> {
        writeln!(self.0, "{command}").context("QEMU's monitor")?;
        let said = self.read()?;
        // It echoes what it reads, with all that its line editor makes of it.
        let answer = said.split_once('\n').map_or("", |(_, answer)| answer);
        Ok(answer.trim().to_owned())
    }

    /// Waits until `so` is true of what it says of the migration.
    fn wait_for(&mut self, what: &str, so: impl Fn(&str) -> bool) -> Result<()> {
        let mut status = String::new();
        let ended = || {
            status = self.ask("info migrate").unwrap_or_else(|error| error.to_string());
            so(&status) || status.contains("failed")
        };
        wait_until(LONG, what, ended).with_context(|| status.clone())?;
        ensure!(so(&status), "the guest was not written down: {status}");
        Ok(())
    }

    fn read(&mut self) -> Result<String> {
        let (mut said, mut bytes) = (String::new(), [0; 4096]);
        while !said.ends_with(PROMPT) {
            let length = self.0.read(&mut bytes).context("QEMU's monitor")?;
            ensure!(length > 0, "QEMU's monitor has ended: {said}");
            said.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        said.truncate(said.len() - PROMPT.len());
        Ok(said)
    }
}
