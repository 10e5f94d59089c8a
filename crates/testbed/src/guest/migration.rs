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

const PROMPT: &str = "(qemu) ";

impl Guest {
    /// Writes the guest to `file` while it runs, ends its QEMU, and starts another one in `namespace` that goes on with
    /// it; says how long it stood. Its options must name a monitor.
    ///
    /// # Errors
    /// QEMU refuses; the message says why.
    pub fn move_through(&mut self, namespace: &Namespace, file: &Path) -> Result<Duration> {
        let socket = self.options.monitor.clone().context("the guest has no monitor")?;
        let mut monitor = Monitor::connect(&socket)?;
        monitor.ask("migrate_set_parameter max-bandwidth 1G")?;
        let answer = monitor.ask(&format!("migrate -d \"exec:cat > {}\"", file.display()))?;
        ensure!(answer.is_empty(), "QEMU refuses to write the guest down: {answer}");
        let mut status = String::new();
        let ended = || {
            status = monitor.ask("info migrate").unwrap_or_else(|error| error.to_string());
            ["completed", "failed", "cancelled"].iter().any(|end| status.contains(end))
        };
        wait_until(LONG, "the guest is written down", ended).with_context(|| status.clone())?;
        ensure!(status.contains("completed"), "the guest was not written down: {status}");
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
