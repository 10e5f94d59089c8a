//! The daemon itself, started in a namespace: its log, its counters, its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use crate::{Namespace, Process, Signal};

/// Ample time for a start or an answer on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A running `switchd`. Dropping it kills it.
#[derive(Debug)]
pub struct Switchd {
    process: Process,
    _directory: TempDir,
}

impl Switchd {
    /// Starts `switchd --config` with this text as its file, and waits until it forwards.
    ///
    /// # Errors
    /// It can't be started or ends; the message shows its log.
    pub fn start(namespace: &Namespace, config: &str) -> Result<Self> {
        Self::start_binary(&binary()?, namespace, config)
    }

    /// As [`Switchd::start`], with the binary of your choice.
    ///
    /// # Errors
    /// As [`Switchd::start`].
    pub fn start_binary(binary: &Path, namespace: &Namespace, config: &str) -> Result<Self> {
        let mut switchd = Self::launch(binary, namespace, Some(config), &[])?;
        switchd.wait_for_log("forwarding", SOON)?;
        Ok(switchd)
    }

    /// Starts `switchd` with these arguments, and waits until it forwards.
    ///
    /// # Errors
    /// As [`Switchd::start`].
    pub fn start_with(namespace: &Namespace, arguments: &[&str]) -> Result<Self> {
        let mut switchd = Self::launch(&binary()?, namespace, None, arguments)?;
        switchd.wait_for_log("forwarding", SOON)?;
        Ok(switchd)
    }

    /// Starts it with a configuration, further arguments, or both, and waits for nothing: for starts that
    /// are meant to fail or to wait.
    ///
    /// # Errors
    /// The binary can't be started at all.
    pub fn launch(
        binary: &Path,
        namespace: &Namespace,
        config: Option<&str>,
        arguments: &[&str],
    ) -> Result<Self> {
        let directory = TempDir::with_prefix("testbed-switchd-")?;
        let program = binary.to_str().with_context(|| format!("{} is not UTF-8", binary.display()))?;
        let mut command = namespace.command(program);
        if let Some(config) = config {
            let file = directory.path().join("switchd.toml");
            fs::write(&file, config)?;
            command.arg("--config").arg(file);
        }
        command.args(arguments);
        Ok(Self { process: Process::start(command)?, _directory: directory })
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }

    /// Waits for a log line that contains `text`, also one from before, and returns the first.
    ///
    /// # Errors
    /// It ends, or does not say it within `timeout`; the message shows the log.
    pub fn wait_for_log(&mut self, text: &str, timeout: Duration) -> Result<String> {
        self.wait_for_log_after(0, text, timeout)
    }

    /// As [`Switchd::wait_for_log`], but passes over the first `lines` lines of the log.
    ///
    /// # Errors
    /// As [`Switchd::wait_for_log`].
    pub fn wait_for_log_after(&mut self, lines: usize, text: &str, timeout: Duration) -> Result<String> {
        let line = self.process.wait_for_line(lines, timeout, |line| line.contains(text));
        line.with_context(|| format!("waiting for {text:?} in the log of switchd"))
    }

    /// Asks for a summary (SIGUSR1) and returns its lines once the one that contains `last` is there.
    ///
    /// # Errors
    /// It does not answer within 10 seconds.
    pub fn summary(&mut self, last: &str) -> Result<Vec<String>> {
        let before = self.log().len();
        self.process.signal(Signal::USR1)?;
        self.wait_for_log_after(before, last, SOON)?;
        Ok(self.log().split_off(before))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Sends SIGTERM and waits for the end, which must come within a second.
    ///
    /// # Errors
    /// It has ended before, or is still there after a second.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(Duration::from_secs(1))
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It had ended of itself.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// The process, for its id, its processor time and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The `switchd` to test: `$CARGO_BIN_EXE_switchd` where cargo sets it, else the one of the debug build.
///
/// # Errors
/// There is none: it was not built.
pub fn binary() -> Result<PathBuf> {
    let told =
        std::env::var_os("CARGO_BIN_EXE_switchd").or_else(|| std::env::var_os("NEXTEST_BIN_EXE_switchd"));
    let path = told.map_or_else(|| crate::target::target_directory().join("debug/switchd"), PathBuf::from);
    if path.exists() {
        Ok(path)
    } else {
        Err(anyhow!("no {}: build it with `cargo build -p switchd`", path.display()))
    }
}

/// The value behind `key=` in a line of the log (`rx_frames=12`, `port="vnet0"`), without quotes and colours.
#[must_use]
pub fn field(line: &str, key: &str) -> Option<String> {
    let line = plain(line);
    let mut rest = line.as_str();
    loop {
        let (before, after) = rest.split_once(&format!("{key}="))?;
        if before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_') {
            let value = match after.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => after.split([' ', ',', '}']).next(),
            };
            return value.map(str::to_owned);
        }
        rest = after;
    }
}

/// The line without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let line = "\u{1b}[32m INFO\u{1b}[0m port \u{1b}[3mport\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"vnet0\" tx_rx=9 rx=12 up=true";
        assert_eq!(field(line, "port").as_deref(), Some("vnet0"));
        assert_eq!(field(line, "rx").as_deref(), Some("12"));
        assert_eq!(field(line, "up").as_deref(), Some("true"));
        assert_eq!(field(line, "down"), None);
    }
}
