//! Ctrl-C and SIGTERM: noticed between two steps, so that everything made so far is removed by its owner.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The error of whoever was interrupted.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupted; everything is removed")
    }
}

impl std::error::Error for Interrupted {}

/// Whether a signal has come.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP end nothing, but are told here.
    pub(crate) fn watch() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// An error once a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(!self.0.load(Ordering::Relaxed), Interrupted);
        Ok(())
    }

    /// `result`, unless a signal has come: then what failed did so because of it.
    pub(crate) fn or<T>(&self, result: Result<T>) -> Result<T> {
        self.check()?;
        result
    }

    /// Runs a command to its end, or kills it when a signal comes.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        let shown = format!("{} …", command.get_program().to_string_lossy());
        let mut child = command.spawn().with_context(|| format!("can't start {shown}"))?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.check().is_err() {
                let _ = child.kill();
                let _ = child.wait();
            }
            std::thread::sleep(PAUSE);
        };
        self.check()?;
        ensure!(status.success(), "{shown}: {status}");
        Ok(())
    }
}
