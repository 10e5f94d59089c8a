//! A guest for tests of the kernel itself: Debian's own, in which programs of this machine run, the test
//! programs of this workspace among them. Not every machine's kernel has VLAN devices, a bridge that tells
//! VLANs apart, or vhost-net; that one has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use super::console::Answer;
use super::cpio::Archive;
use super::image::{self, Image, Libraries};
use super::qemu::{BOOT, Qemu, Size};
use crate::switchd;

/// Where the files are that a guest is given.
const DIRECTORY: &str = "lab";

/// Two processors, so that a switch and who uses it run at once, and room for what it is given, twice.
const SIZE: Size = Size { processors: 2, kilobytes: 1024 * 1024 };

/// Ample time for a command that does nothing long.
const SOON: Duration = Duration::from_secs(60);

/// A running guest without a network card. Dropping it kills QEMU.
///
/// It has `ip`, `bridge`, `tc`, `nft`, `ethtool`, `tcpdump`, `ping`, `sysctl` and `iperf3` of this machine, the
/// rest from busybox, and the kernel's modules for bridges, veths, TAPs, VLAN devices, tunnels and vhost-net.
#[derive(Debug)]
pub struct Lab {
    qemu: Qemu,
}

impl Lab {
    /// Boots a guest that has these files of this machine as `/lab/NAME`, with the shared libraries of those
    /// that are programs, and without their debug information.
    ///
    /// # Errors
    /// QEMU, the kernel or a program is missing, or the guest does not boot; the message then shows the end of
    /// its console.
    pub fn boot(files: &[&Path]) -> Result<Self> {
        let image = image::image(&image::LAB)?;
        // The kernel unpacks one archive after the other.
        let root = NamedTempFile::with_prefix("testbed-lab-")?;
        fs::write(root.path(), [fs::read(&image.root)?, archive(files)?].concat())?;
        let image = Image { root: root.path().to_owned(), ..image };
        let mut qemu = Qemu::start(Command::new("qemu-system-x86_64"), &image, SIZE)?;
        qemu.wait_ready(&"the guest")?;
        let mut lab = Self { qemu };
        // On a busy machine they take as long as all that went before.
        let modules = image::LAB.modules.join(" ");
        lab.pass(&format!("for module in {modules}; do modprobe $module; done"), BOOT)?;
        Ok(lab)
    }

    /// Runs a line of shell in the guest, to its end or for `timeout`, and returns what it said.
    ///
    /// # Errors
    /// The guest does not answer; a command that fails is an answer.
    pub fn run(&mut self, command: &str, timeout: Duration) -> Result<Answer> {
        self.qemu.run(command, timeout)
    }

    /// Runs a short line of shell in the guest and returns what it said.
    ///
    /// # Errors
    /// As [`Lab::pass`].
    pub fn check(&mut self, command: &str) -> Result<String> {
        self.pass(command, SOON)
    }

    /// Runs a line of shell in the guest, which is to succeed within `timeout`, and returns what it said.
    ///
    /// # Errors
    /// The guest does not answer, or the command fails or takes too long; the message shows what it said.
    pub fn pass(&mut self, command: &str, timeout: Duration) -> Result<String> {
        let Answer { status, output } = self.run(command, timeout)?;
        match status {
            0 => Ok(output),
            137 => bail!("in the guest: {command}: no end within {timeout:?}; it said:\n{output}"),
            _ => bail!("in the guest: {command}: status {status}:\n{output}"),
        }
    }
}

/// Boots a guest, runs one of the `#[ignore]`d tests of this very program in it, and returns what that said.
///
/// # Errors
/// The guest does not boot, or the test fails, takes longer than `timeout`, or is none; the message shows what it
/// said.
pub fn test_in_lab(test: &str, timeout: Duration) -> Result<String> {
    let me = std::env::current_exe()?;
    let mut lab = Lab::boot(&[&me, &switchd::binary()?])?;
    let name = me.file_name().and_then(|name| name.to_str()).context("a program without a name")?;
    let environment = "CARGO_BIN_EXE_switchd=/lab/switchd RUST_BACKTRACE=0";
    let command = format!("{environment} /lab/{name} --ignored --exact {test} --nocapture");
    let said = lab.pass(&command, timeout)?;
    ensure!(said.contains("1 passed"), "no test {test}:\n{said}");
    Ok(said)
}

fn archive(files: &[&Path]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let mut libraries = Libraries::default();
    archive.directory(DIRECTORY);
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        let mut content = fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
        if content.starts_with(b"\x7fELF") {
            libraries.add(&mut archive, file)?;
            content = stripped(file)?;
        }
        archive.file(&format!("{DIRECTORY}/{name}"), &content);
    }
    Ok(archive.finish())
}

/// A program without its debug information, which is most of it.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let file = NamedTempFile::with_prefix("testbed-stripped-")?;
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(file.path()).arg(program);
    let output = strip.output().context("can't start strip, which is where a linker is")?;
    ensure!(output.status.success(), "strip: {}", String::from_utf8_lossy(&output.stderr));
    Ok(fs::read(file.path())?)
}
