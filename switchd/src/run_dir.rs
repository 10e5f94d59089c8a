//! The directory of this bridge under `/run`: a lock, so that a name is used once at a time, and the
//! file that remembers what was changed on interfaces.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// Name of the socket at which a new process asks for the ports.
const HANDOVER: &str = "handover";

/// Held as long as the process lives; the kernel gives the lock back even after SIGKILL.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    lock: File,
}

impl RunDir {
    /// Takes the directory of bridge `name`: `$RUNTIME_DIRECTORY` if a service manager gave one, else
    /// `/run/switchd/NAME`.
    ///
    /// # Errors
    /// If it can't be made or another process holds it.
    pub(crate) fn take(name: &str) -> anyhow::Result<Self> {
        let path = path_of(name);
        fs::create_dir_all(&path).with_context(|| {
            format!(
                "can't create {}: run as root, or set RUNTIME_DIRECTORY to a directory of yours",
                path.display()
            )
        })?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .with_context(|| format!("can't open {}", lock_path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            bail!(
                "a bridge named {name} runs already (process {}). Give this one another name: --name, or name = \"…\" in [bridge]",
                pid.trim()
            );
        }
        let taken = Self { path, lock };
        taken.sign()?;
        Ok(taken)
    }

    /// The directory of bridge `name`, whose lock another process has handed over.
    pub(crate) fn adopt(name: &str, lock: OwnedFd) -> Self {
        Self { path: path_of(name), lock: lock.into() }
    }

    /// Writes into the lock who holds it.
    ///
    /// # Errors
    /// As `write(2)`.
    pub(crate) fn sign(&self) -> std::io::Result<()> {
        let mut lock = &self.lock;
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())
    }

    /// The lock, to be handed over.
    ///
    /// # Errors
    /// As `dup(2)`.
    pub(crate) fn lock(&self) -> std::io::Result<OwnedFd> {
        self.lock.as_fd().try_clone_to_owned()
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a new process asks for the ports.
    pub(crate) fn handover_socket(&self) -> PathBuf {
        self.path.join(HANDOVER)
    }

    /// The socket of the control interface.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join(control::SOCKET)
    }

    /// Where the interface settings to be put back are remembered.
    pub(crate) fn restore_file(&self) -> PathBuf {
        self.path.join("restore.json")
    }
}

/// Where a new process of bridge `name` asks the running one for its ports.
pub(crate) fn handover_socket(name: &str) -> PathBuf {
    path_of(name).join(HANDOVER)
}

fn path_of(name: &str) -> PathBuf {
    std::env::var_os("RUNTIME_DIRECTORY")
        .map_or_else(|| PathBuf::from("/run/switchd").join(name), PathBuf::from)
}
