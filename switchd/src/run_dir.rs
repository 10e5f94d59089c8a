//! The directory of this bridge under `/run`: a lock, so that a name is used once at a time, and the
//! file that remembers what was changed on interfaces.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// Held as long as the process lives; the kernel gives the lock back even after SIGKILL.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Takes the directory of bridge `name`: `$RUNTIME_DIRECTORY` if a service manager gave one, else
    /// `/run/switchd/NAME`.
    ///
    /// # Errors
    /// If it can't be made or another process holds it.
    pub(crate) fn take(name: &str) -> anyhow::Result<Self> {
        let path = std::env::var_os("RUNTIME_DIRECTORY")
            .map_or_else(|| PathBuf::from("/run/switchd").join(name), PathBuf::from);
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
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))?;
        Ok(Self { path, _lock: lock })
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
