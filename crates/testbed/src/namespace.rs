//! A network namespace with a name of its own, which is gone when the value is.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Process, command};

/// First part of every name, so that what a killed run left behind is known for ours.
const PREFIX: &str = "swtest-";

/// Where `ip netns` keeps its names.
const DIRECTORY: &str = "/run/netns";

static NEXT: AtomicU32 = AtomicU32::new(0);
static CLEAN: Once = Once::new();

/// A network namespace. Dropping it kills what still runs inside and removes it with all its devices.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace called `swtest-PID-N-label`, with `lo` up. The first call in a process removes
    /// the namespaces of earlier runs that are no more.
    ///
    /// # Errors
    /// `ip netns` fails, most likely for want of root.
    pub fn new(label: &str) -> Result<Self> {
        let name = new_name(label);
        command::run(&format!("ip netns add {name}"))?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The namespace that a process is in, under a name as [`Namespace::new`] gives it.
    ///
    /// # Errors
    /// As [`Namespace::new`], or there is no such process.
    pub(crate) fn of_process(label: &str, pid: &str) -> Result<Self> {
        let name = new_name(label);
        command::run(&format!("ip netns attach {name} {pid}"))?;
        Ok(Self { name })
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds it, for `setns` and netlink.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program inside, to its end, whatever its exit status.
    ///
    /// # Errors
    /// It can't be started.
    pub fn exec(&self, program: &str, args: &[&str]) -> Result<Output> {
        let mut command = self.command(program);
        command.args(args);
        command.output().with_context(|| format!("can't start {}", command::show(&command)))
    }

    /// Runs a command line inside and returns its standard output (see [`command::words`]).
    ///
    /// # Errors
    /// It can't be started or fails; the message shows it and what it said.
    pub fn run(&self, line: &str) -> Result<String> {
        let words = command::words(line)?;
        let [program, args @ ..] = words.as_slice() else { bail!("an empty command") };
        command::output(self.command(program).args(args))
    }

    /// Runs `ip ARGUMENTS` inside: the same as `run("ip …")`, but faster.
    ///
    /// # Errors
    /// As [`Namespace::run`].
    pub fn ip(&self, arguments: &str) -> Result<String> {
        command::output(Command::new("ip").args(["-n", &self.name]).args(command::words(arguments)?))
    }

    /// Runs several `ip` command lines inside, up to the first that fails, in one process: `ip -batch`.
    ///
    /// # Errors
    /// As [`Namespace::run`].
    pub fn ip_batch(&self, lines: &[String]) -> Result<String> {
        let file = tempfile::NamedTempFile::with_prefix("testbed-batch-")?;
        fs::write(file.path(), lines.join("\n") + "\n")?;
        command::output(Command::new("ip").args(["-n", &self.name, "-batch"]).arg(file.path()))
    }

    /// Starts a command line inside and leaves it running until the [`Process`] is dropped.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(&self, line: &str) -> Result<Process> {
        let words = command::words(line)?;
        let [program, args @ ..] = words.as_slice() else { bail!("an empty command") };
        let mut command = self.command(program);
        command.args(args);
        Process::start(command)
    }

    /// Runs `action` on a thread of its own inside the namespace and returns its value. Sockets opened
    /// there belong to the namespace and may be carried out. `/sys` and `/proc/net` remain the caller's.
    ///
    /// # Errors
    /// The namespace can't be entered. A panic of `action` goes on in the caller.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        let file =
            File::open(self.path()).with_context(|| format!("can't open {}", self.path().display()))?;
        let inside = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("can't enter namespace {}", self.name))?;
            Ok(action())
        };
        std::thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// One number of a device's statistics, such as `rx_packets` or `tx_dropped`.
    ///
    /// # Errors
    /// There is no such device or number.
    pub fn statistic(&self, device: &str, name: &str) -> Result<u64> {
        let text = self.run(&format!("cat /sys/class/net/{device}/statistics/{name}"))?;
        text.trim().parse().map_err(|e| anyhow!("{device} {name}: {e}"))
    }

    /// Whether a device of this name is here now.
    #[must_use]
    pub fn has_device(&self, device: &str) -> bool {
        self.ip(&format!("link show dev {device}")).is_ok()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn new_name(label: &str) -> String {
    CLEAN.call_once(remove_stale);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}-{label}", std::process::id())
}

/// Kills what runs in the namespace and removes it. Says nothing: there is nobody to tell.
fn remove(name: &str) {
    for pid in command::run(&format!("ip netns pids {name}")).unwrap_or_default().split_whitespace() {
        if let Some(pid) =
            pid.parse().ok().and_then(Pid::from_raw).filter(|p| *p != rustix::process::getpid())
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = command::run(&format!("ip netns del {name}"));
}

/// Removes the namespaces whose process is gone.
fn remove_stale() {
    for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
