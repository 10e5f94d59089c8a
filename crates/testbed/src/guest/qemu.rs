//! QEMU's process, and the console of the system that it runs.

use std::fmt;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::console::{Answer, Console};
use super::image::Image;

/// Ample time to boot on a busy machine.
pub(super) const BOOT: Duration = Duration::from_secs(90);

/// What the kernel is told.
pub(super) const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off";

/// What a guest has of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) processors: u32,
    pub(super) kilobytes: u32,
}

/// A running QEMU. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Qemu {
    process: Child,
    console: Console,
    ready: bool,
}

impl Qemu {
    /// Starts QEMU as `command`, which has the arguments that are a guest's own.
    pub(super) fn start(mut command: Command, image: &Image, size: Size) -> Result<Self> {
        // Not microvm, though it is smaller: it now and then hangs at boot, calibrating its clock.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-M", "q35"]);
        command.args(["-smp", &size.processors.to_string(), "-m", &format!("{}K", size.kilobytes)]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-action",
            "reboot=reset,panic=shutdown",
            "-display",
            "none",
            "-serial",
            "stdio",
        ]);
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.root);
        command.args(["-append", COMMAND_LINE]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().context("can't start QEMU")?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("no pipes to QEMU");
        };
        Ok(Self { process, console: Console::new(input, output), ready: false })
    }

    /// Waits until the guest takes commands; `who` it is, for the message.
    pub(super) fn wait_ready(&mut self, who: &dyn fmt::Display) -> Result<()> {
        if self.ready_within(BOOT)? {
            return Ok(());
        }
        bail!("{who} does not boot within {BOOT:?}; {}", self.console.last_lines())
    }

    pub(super) fn ready_within(&mut self, timeout: Duration) -> Result<bool> {
        self.ready = self.ready || self.console.is_ready(timeout)?;
        Ok(self.ready)
    }

    /// It takes commands, having done so in another process.
    pub(super) fn is_ready_already(&mut self) {
        self.ready = true;
    }

    /// Resets it, and waits until it takes commands again.
    pub(super) fn reboot(&mut self, who: &dyn fmt::Display) -> Result<()> {
        self.console.tell("reboot -f")?;
        self.ready = false;
        self.wait_ready(who)
    }

    pub(super) fn run(&mut self, command: &str, timeout: Duration) -> Result<Answer> {
        self.console.run(command, timeout)
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Ends it, and returns what it had to say itself.
    pub(super) fn end(&mut self) -> String {
        let _ = self.process.kill();
        let mut said = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            let _ = stderr.read_to_string(&mut said);
        }
        said.trim().to_owned()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
