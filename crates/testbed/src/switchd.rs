//! The daemon itself, started in a namespace: its log, its counters, its end.

mod summary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
pub use summary::{Fields, Summary};
use tempfile::TempDir;

use crate::{Namespace, Process, Signal, wait_until};

/// Ample time for a start or an answer on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// Runs the tests with so many workers in each switchd whose configuration does not say how many.
const WORKERS: &str = "TESTBED_WORKERS";

/// A running `switchd`. Dropping it kills it.
///
/// It has a directory of its own, where its lock and its memory of changed interfaces are, so that many
/// run at once under one name.
#[derive(Debug)]
pub struct Switchd {
    process: Process,
    words: Vec<String>,
    directory: TempDir,
}

/// The configuration, with as many workers as the environment asks for.
pub(crate) fn with_workers(config: &str) -> String {
    let workers = std::env::var(WORKERS).ok().filter(|_| !config.contains("workers ="));
    let Some(workers) = workers else { return config.to_owned() };
    let line = format!("[bridge]\nworkers = {workers}\n");
    match config.split_once("[bridge]\n") {
        Some((before, rest)) => format!("{before}{line}{rest}"),
        None => format!("{line}{config}"),
    }
}

impl Switchd {
    /// Starts `switchd --config` with this text as its file, and waits until it forwards.
    ///
    /// # Errors
    /// It can't be started or ends; the message shows its log.
    pub fn start(namespace: &Namespace, config: &str) -> Result<Self> {
        Self::launch(&binary()?, namespace, Some(config), &[])?.forwarding()
    }

    /// Starts `switchd` with these arguments, and waits until it forwards.
    ///
    /// # Errors
    /// As [`Switchd::start`].
    pub fn start_with(namespace: &Namespace, arguments: &[&str]) -> Result<Self> {
        Self::launch(&binary()?, namespace, None, arguments)?.forwarding()
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
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
        let mut words = ["ip", "netns", "exec", namespace.name()].map(str::to_owned).to_vec();
        words.push(text(binary)?);
        if let Some(config) = config {
            let file = directory.path().join("switchd.toml");
            fs::write(&file, with_workers(config))?;
            words.extend(["--config".to_owned(), text(&file)?]);
        }
        words.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let process = Process::start(command(&words, &directory))?;
        Ok(Self { process, words, directory })
    }

    /// Waits until it forwards.
    ///
    /// # Errors
    /// It ends; the message shows its log.
    pub fn forwarding(mut self) -> Result<Self> {
        self.wait_for_log("forwarding", SOON)?;
        Ok(self)
    }

    /// Ends it with SIGKILL if it still runs, starts it again as it was started, in the same directory, and
    /// waits until it forwards.
    ///
    /// # Errors
    /// As [`Switchd::start`].
    pub fn start_again(mut self) -> Result<Self> {
        if self.process.is_running() {
            self.process.kill9()?;
        }
        self.process = Process::start(command(&self.words, &self.directory))?;
        self.forwarding()
    }

    /// The directory with its configuration, `switchd.toml`, and what it keeps at run time.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Connects to its control socket.
    ///
    /// # Errors
    /// It does not listen.
    pub fn control(&self) -> Result<control::Client> {
        Ok(control::Client::connect(&self.control_socket())?)
    }

    /// Where its control socket is.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.directory().join(control::SOCKET)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
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

    /// Waits until frames leave by a port: who has put its other end up is told so before the switch itself has heard of it.
    ///
    /// # Errors
    /// There is no such port, or it does not come up.
    pub fn wait_for_port(&self, port: &str) -> Result<()> {
        let mut control = self.control()?;
        wait_until(SOON, &format!("port {port} is up"), || {
            control.show_port(port).is_ok_and(|shown| shown.device.is_some_and(|device| device.up))
        })
    }

    /// Asks for a summary (SIGUSR1) and reads it.
    ///
    /// # Errors
    /// It does not answer within 10 seconds.
    pub fn summary(&mut self) -> Result<Summary> {
        let before = self.log().len();
        self.process.signal(Signal::USR1)?;
        let mut summary = None;
        let waited = wait_until(SOON, "the summary of switchd", || {
            summary = Summary::read(self.log().get(before..).unwrap_or_default());
            summary.is_some()
        });
        waited.with_context(|| self.log().join("\n"))?;
        summary.context("no summary")
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

/// What it says of a system call that it is not to make.
pub(crate) const FORBIDDEN: &str = "is not one that switchd makes";

impl Drop for Switchd {
    /// # Panics
    /// It made a system call that its own sandbox does not know: each test is a test of that, too.
    fn drop(&mut self) {
        let strange: Vec<_> = self.log().into_iter().filter(|line| line.contains(FORBIDDEN)).collect();
        assert!(strange.is_empty() || std::thread::panicking(), "{strange:#?}");
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

fn command(words: &[String], directory: &TempDir) -> Command {
    let (program, arguments) =
        words.split_first().map_or(("", words), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(program);
    command.args(arguments).env("RUNTIME_DIRECTORY", directory.path());
    command
}
