//! What passes a device, as tcpdump sees it: all of it, both ways, VLAN tags in their place.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::pcap::{self, Captured};
use crate::{Namespace, Process, Signal, wait_until};

const START: Duration = Duration::from_secs(10);

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: NamedTempFile,
}

impl Capture {
    /// Begins to capture on a device; when this returns, no frame is missed any more. `arguments` are
    /// tcpdump's, for instance `["-Q", "in"]` for incoming frames only, or a filter.
    ///
    /// # Errors
    /// tcpdump can't be started, or does not accept the device or the arguments.
    pub fn start(namespace: &Namespace, device: &str, arguments: &[&str]) -> Result<Self> {
        let file = NamedTempFile::with_prefix("testbed-capture-")?;
        let mut command = namespace.command("tcpdump");
        // -Z: else tcpdump becomes another user, who can't write the file. -B: 64 MiB, so that a fast
        // transfer is captured whole.
        command.args(["--immediate-mode", "-U", "-n", "-s", "0", "-B", "65536", "-Z", "root", "-i", device]);
        command.arg("-w").arg(file.path()).args(arguments);
        let mut tcpdump = Process::start(command)?;
        tcpdump.wait_for_line(0, START, |line| line.contains("listening on"))?;
        Ok(Self { tcpdump, file })
    }

    /// The frames captured until now.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn frames(&self) -> Result<Vec<Captured>> {
        pcap::read(&std::fs::read(self.file.path())?)
    }

    /// Waits until a frame is captured for which `wanted` holds, and returns the first one.
    ///
    /// # Errors
    /// There is none within `timeout`; the message names `what`.
    pub fn wait_for(
        &self,
        timeout: Duration,
        what: &str,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Captured> {
        let mut found = None;
        wait_until(timeout, what, || {
            found = self.frames().unwrap_or_default().into_iter().find(|frame| wanted(&frame.bytes));
            found.is_some()
        })?;
        found.context("no frame")
    }

    /// Ends the capture and returns its frames, in order.
    ///
    /// # Errors
    /// tcpdump does not end, or lost frames for want of room.
    pub fn stop(mut self) -> Result<Vec<Captured>> {
        self.settle()?;
        self.tcpdump.signal(Signal::INT)?;
        self.tcpdump.wait(START)?;
        let none = "0 packets dropped by kernel";
        self.tcpdump.wait_for_line(0, START, |line| line == none).context("the capture is not whole")?;
        self.frames()
    }

    /// Waits until tcpdump has written what the kernel gave it: at its end it drops what it has not read.
    fn settle(&mut self) -> Result<()> {
        // "N packets captured, M packets received by filter, …", on SIGUSR1. With -Q, M counts both ways,
        // so that N may stay below: then N must not grow while it answers several times.
        let mut counts = Vec::new();
        while !matches!(counts.as_slice(), [.., (n, m)] if n == m) {
            if let [.., a, b, c, d] = counts.as_slice()
                && [a, b, c].iter().all(|earlier| *earlier == d)
            {
                break;
            }
            let before = self.tcpdump.lines().len();
            self.tcpdump.signal(Signal::USR1)?;
            let line =
                self.tcpdump.wait_for_line(before, START, |line| line.contains("received by filter"))?;
            let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            let [captured, received, ..] = numbers.as_slice() else { anyhow::bail!("can't read {line}") };
            counts.push((*captured, *received));
        }
        Ok(())
    }
}
