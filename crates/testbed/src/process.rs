//! A program that runs beside the test: its output by line, signals to it, and its end.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::command;
use crate::wait::PAUSE;

/// A running program. Dropping it kills it, by id, and waits for its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    shown: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command` with its standard output and error collected by line.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let shown = command::show(&command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start {shown}"))?;
        let lines = Arc::default();
        collect(child.stdout.take(), &lines);
        collect(child.stderr.take(), &lines);
        Ok(Self { child, shown, lines })
    }

    /// Its process id. (`ip netns exec` becomes the program, so this is the program's own.)
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines that it has written until now, standard output and error together.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }

    /// Waits until it has written a line for which `wanted` holds, and returns the first one, beginning
    /// with line number `from`.
    ///
    /// # Errors
    /// It ends first, or `timeout` is over; the message shows what it wrote.
    pub fn wait_for_line(
        &mut self,
        from: usize,
        timeout: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = self.child.try_wait()?;
            if let Some(line) = locked(&self.lines).iter().skip(from).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            let why = match ended {
                Some(status) => format!("ended with {status}"),
                None if Instant::now() >= deadline => format!("has not said it within {timeout:?}"),
                None => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            bail!("{} {why}; it said:\n{}", self.shown, self.lines().join("\n"));
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("can't signal {}", self.shown))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
        bail!("{} still runs after {timeout:?}; it said:\n{}", self.shown, self.lines().join("\n"))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// It had ended of itself before.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            Ok(())
        } else {
            bail!("{}: {status}", self.shown)
        }
    }

    /// Processor time that it has used, user and system, of all its threads.
    ///
    /// # Errors
    /// It has ended.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // proc(5): the name in parentheses may hold anything, the numbers follow the last one.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let mut numbers = rest.split_whitespace().skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (numbers.next(), numbers.next()) else {
            bail!("can't read the times in {stat}");
        };
        let ticks = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis((user + system) * 1000 / ticks))
    }

    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or_else(|| anyhow!("no process id"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads `source` to its end on a thread.
fn collect(source: Option<impl Read + Send + 'static>, lines: &Arc<Mutex<Vec<String>>>) {
    let Some(source) = source else { return };
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            locked(&lines).push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

fn locked(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
