//! A machine that boots a real systemd: a container of `systemd-nspawn` on a small Debian, with a network
//! namespace of its own that wires can be led into. It boots in half a second, and what is done in it is gone
//! with it: the disk is an overlay in memory.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::switchd::with_workers;
use crate::target::target_directory;
use crate::{Namespace, Process, Signal, command, wait_until};

/// First part of every name, so that what a killed run left behind is known for ours.
const PREFIX: &str = "swmachine-";

/// Ample time for a boot or a shutdown on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

static NEXT: AtomicU32 = AtomicU32::new(0);
static CLEAN: Once = Once::new();

/// Where `cargo xtask setup` puts the Debian that machines boot.
#[must_use]
pub fn root() -> PathBuf {
    target_directory().join("testroot-bookworm")
}

/// A running machine. Dropping it shuts it down and removes all of it.
#[derive(Debug)]
pub struct Machine {
    name: String,
    leader: String,
    // Shut down before its namespace is removed.
    namespace: Option<Namespace>,
    container: Process,
    _directory: TempDir,
}

impl Machine {
    /// Boots a machine and waits until systemd has started all of it.
    ///
    /// # Errors
    /// There is no Debian to boot, or it does not come up; the message shows its console.
    pub fn boot(label: &str) -> Result<Self> {
        CLEAN.call_once(remove_stale);
        let root = root();
        if !root.exists() {
            bail!("no {}: `cargo xtask setup` makes it", root.display());
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let directory = TempDir::with_prefix("testbed-machine-")?;
        let socket = directory.path().join("notify");
        let notices = UnixDatagram::bind(&socket)?;
        notices.set_read_timeout(Some(Duration::from_millis(100)))?;
        let group = hierarchy().join(&name);
        fs::create_dir(&group).with_context(|| format!("can't make the cgroup {}", group.display()))?;
        let container = Process::start(nspawn(&name, &root, &socket))?;
        let mut machine =
            Self { name, leader: String::new(), namespace: None, container, _directory: directory };
        machine.leader = machine.wait_for_boot(&notices)?;
        machine.namespace = Some(Namespace::of_process(label, &machine.leader)?);
        Ok(machine)
    }

    /// The id of its systemd, once that says that it is ready.
    fn wait_for_boot(&mut self, notices: &UnixDatagram) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let (mut leader, mut ready) = (None, false);
        let mut buffer = [0; 4096];
        while leader.is_none() || !ready {
            if Instant::now() > deadline || !self.container.is_running() {
                bail!("the machine does not boot; its console:\n{}", self.container.lines().join("\n"));
            }
            let Ok(len) = notices.recv(&mut buffer) else { continue };
            for line in String::from_utf8_lossy(&buffer[..len]).lines() {
                ready |= line == "READY=1";
                leader = line.strip_prefix("X_NSPAWN_LEADER_PID=").map(str::to_owned).or(leader);
            }
        }
        leader.context("no leader")
    }

    /// Its network namespace, for wires and hosts.
    ///
    /// # Panics
    /// Never: a machine that has booted has one.
    #[must_use]
    #[allow(clippy::expect_used, reason = "set before boot returns")]
    pub fn namespace(&self) -> &Namespace {
        self.namespace.as_ref().expect("a booted machine has a namespace")
    }

    /// A command that will run inside, as root with all rights.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader, "-a", program]);
        command
    }

    /// Runs a program inside, to its end, whatever its exit status.
    ///
    /// # Errors
    /// It can't be started.
    pub fn exec(&self, line: &str) -> Result<Output> {
        let words = command::words(line)?;
        let [program, args @ ..] = words.as_slice() else { bail!("an empty command") };
        let mut command = self.command(program);
        command.args(args).output().with_context(|| format!("can't start {}", command::show(&command)))
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

    /// A path of the machine as one of ours.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(&self.leader).join("root").join(inside.trim_start_matches('/'))
    }

    /// Writes a file of the machine, and the directories that it is in.
    ///
    /// # Errors
    /// As `open(2)` and `write(2)`.
    pub fn write(&self, inside: &str, text: &str) -> Result<()> {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        let text = if inside.ends_with("switchd.toml") { with_workers(text) } else { text.to_owned() };
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Puts a copy of a file of ours into the machine, in place of one that may be in use.
    ///
    /// # Errors
    /// As reading and writing.
    pub fn install(&self, ours: &Path, inside: &str) -> Result<()> {
        let path = self.path(inside);
        let new = self.path(&format!("{inside}.new"));
        fs::copy(ours, &new).with_context(|| format!("copying {} to {}", ours.display(), new.display()))?;
        fs::rename(&new, &path).with_context(|| path.display().to_string())
    }

    /// The threads of a unit, by our own ids, each with its name.
    ///
    /// # Errors
    /// The unit has no process.
    pub fn threads(&self, unit: &str) -> Result<Vec<(i32, String)>> {
        let group = find_group(&hierarchy().join(&self.name), unit);
        let group = group.with_context(|| format!("{unit} has no process"))?;
        let ids = fs::read_to_string(group.join("cgroup.threads"))?;
        let named = |id: &str| {
            let name = fs::read_to_string(format!("/proc/{id}/comm"))?;
            Ok((id.parse()?, name.trim().to_owned()))
        };
        ids.lines().map(named).collect()
    }

    /// One property of a unit, as `systemctl show` tells it.
    ///
    /// # Errors
    /// systemd does not answer.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        Ok(self.run(&format!("systemctl show -P {name} {unit}"))?.trim().to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.container.signal(Signal::TERM);
        let _ = self.container.wait(Duration::from_secs(10));
        remove(&self.name);
    }
}

fn nspawn(name: &str, root: &Path, notify: &Path) -> Command {
    let group = hierarchy().join(name).join("cgroup.procs");
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(group).args([
        "systemd-nspawn",
        "--boot",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        "--notify-ready=yes",
        "--console=pipe",
        "--link-journal=no",
        "--volatile=overlay",
        "--private-network",
        "--capability=all",
        "--drop-capability=CAP_SYS_MODULE",
        // Without them DevicePolicy= and IPAddressDeny= are silently not enforced.
        "--system-call-filter=bpf perf_event_open",
        "-M",
        name,
        &format!("--hostname={name}"),
    ]);
    command.arg("-D").arg(root).env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").env("NOTIFY_SOCKET", notify);
    command
}

/// Where cgroup2 is mounted: all processes of a machine are in one group of it.
fn hierarchy() -> PathBuf {
    let hybrid = Path::new("/sys/fs/cgroup/unified");
    if hybrid.exists() { hybrid.to_owned() } else { PathBuf::from("/sys/fs/cgroup") }
}

fn find_group(group: &Path, unit: &str) -> Option<PathBuf> {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.map(|entry| entry.path()).find_map(|path| {
        if path.file_name().is_some_and(|name| name == unit) { Some(path) } else { find_group(&path, unit) }
    })
}

/// Kills what runs in the machine, and removes what the kernel and nspawn keep of it.
fn remove(name: &str) {
    let group = hierarchy().join(name);
    let _ = fs::write(group.join("cgroup.kill"), "1");
    let _ = wait_until(Duration::from_secs(5), "the cgroup is empty", || remove_tree(&group));
    remove_tree(&Path::new("/sys/fs/cgroup/systemd").join(name));
    let _ = fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(name));
}

/// Removes a cgroup with those in it; true once it is gone.
fn remove_tree(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
    !group.exists()
}

/// Removes the machines whose process is gone.
fn remove_stale() {
    for entry in fs::read_dir(hierarchy()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
