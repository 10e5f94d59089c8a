//! A virtual machine on a TAP that QEMU holds, as people run them: Debian's kernel, and a virtio network
//! card with QEMU's defaults, all offloads on.
//!
//! QEMU emulates the processor (TCG), so no KVM is needed and every machine shows the same. A guest is
//! there some two to five seconds after its start. It has busybox (ping, nc, wget, httpd, udhcpc, ip, …), iperf3
//! where this machine has it, and the modules 8021q, vxlan, geneve, `ip_gre` and ipip to load.

mod console;
mod cpio;
mod image;
mod lab;
mod migration;
mod qemu;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

pub use console::Answer;
pub use lab::{Lab, test_in_lab};
use qemu::{Qemu, Size};
pub use transfer::{Unread, fill_guest, guest_to_guest, guest_to_namespace, namespace_to_guest};

use crate::{Namespace, Ping, command, wait_until};

/// Enough for what a guest has to do. No multiple of 256 KiB: while it writes such memory down, QEMU 7.2 with an emulated
/// processor forgets pages that the guest writes to (its fast way to read the dirty bitmap leaves the TLB as it is;
/// mended in QEMU 9), and a guest that is moved goes on with some of what it had before.
const SIZE: Size = Size { processors: 1, kilobytes: 256 * 1024 + 128 };

/// Ample time for a command that does nothing long.
const SOON: Duration = Duration::from_secs(20);

/// How a guest is made.
#[derive(Clone, Debug, Default)]
pub struct GuestOptions {
    /// Name of the TAP that QEMU makes in the namespace, or opens if it is there.
    pub tap: String,
    /// MAC address of the guest's card.
    pub mac: String,
    /// Addresses of the guest's eth0, each with its prefix length.
    pub addresses: Vec<String>,
    /// Instead of the TAP: the socket over which it shares its memory.
    pub vhost_user: Option<VhostUser>,
    /// Where QEMU's monitor listens, if it is needed.
    pub monitor: Option<PathBuf>,
}

impl GuestOptions {
    /// Starts QEMU, with a guest that it finds there instead of a new one, where that is said.
    fn start(&self, namespace: &Namespace, incoming: Option<&str>) -> Result<Qemu> {
        let image = image::image(&image::GUEST)?;
        let mut qemu = namespace.command("qemu-system-x86_64");
        if let Some(shared) = &self.vhost_user {
            qemu.args(shared.arguments(&self.mac));
        } else {
            let tap = format!("tap,id=n0,ifname={},script=no,downscript=no", self.tap);
            // Without a boot ROM, which is of a package that need not be there.
            let card = format!("virtio-net-pci,netdev=n0,mac={},romfile=", self.mac);
            qemu.args(["-netdev", &tap, "-device", &card]);
        }
        if let Some(monitor) = &self.monitor {
            qemu.args(["-monitor", &format!("unix:{},server=on,wait=off", monitor.display())]);
        }
        qemu.args(incoming.into_iter().flat_map(|from| ["-incoming", from]));
        Qemu::start(qemu, &image, SIZE)
    }
}

/// How a guest shares its memory with a switch.
#[derive(Clone, Debug)]
pub struct VhostUser {
    /// The socket.
    pub socket: PathBuf,
    /// Whether QEMU listens there; else it connects, and again each second.
    pub listen: bool,
    /// More of the network card, each with a comma before it (`,mrg_rxbuf=off`).
    pub card: String,
    /// The file that holds the memory is one that can be cut short, of this path.
    pub memory: Option<PathBuf>,
    /// Pairs of queues.
    pub pairs: u32,
}

impl VhostUser {
    /// A guest that connects to a switch at `socket`, with QEMU's defaults.
    pub fn connecting(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), listen: false, card: String::new(), memory: None, pairs: 1 }
    }

    /// Without MSI-X: with it QEMU 7.2 falls down where a back-end has the rings and the processor is emulated.
    fn arguments(&self, mac: &str) -> Vec<String> {
        let Self { socket, listen, card, memory, pairs } = self;
        let kilobytes = SIZE.kilobytes;
        let backend = match memory {
            None => format!("memory-backend-memfd,id=mem,size={kilobytes}K,share=on"),
            Some(path) => {
                format!("memory-backend-file,id=mem,size={kilobytes}K,share=on,mem-path={}", path.display())
            }
        };
        let how = if *listen { "server=on,wait=off" } else { "reconnect=1" };
        let (netdev, several) = match pairs {
            1 => (String::new(), ""),
            _ => (format!(",queues={pairs}"), ",mq=on"),
        };
        [
            ("-object", backend),
            ("-numa", "node,memdev=mem".to_owned()),
            ("-chardev", format!("socket,id=c0,path={},{how}", socket.display())),
            ("-netdev", format!("vhost-user,id=n0,chardev=c0{netdev}")),
            ("-device", format!("virtio-net-pci,netdev=n0,mac={mac},vectors=0,romfile={several}{card}")),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }
}

/// A running guest. Dropping it kills QEMU, and with it the TAP goes.
#[derive(Debug)]
pub struct Guest {
    qemu: Qemu,
    options: GuestOptions,
    /// It has its addresses.
    addressed: bool,
}

impl Guest {
    /// Starts QEMU and sets the TAP up; the guest boots on while others are started. The first use waits
    /// for it, or [`Guest::wait_ready`].
    ///
    /// # Errors
    /// QEMU, the kernel or busybox are not installed, or the TAP can't be opened.
    pub fn start(namespace: &Namespace, options: GuestOptions) -> Result<Self> {
        let mut guest = Self { qemu: options.start(namespace, None)?, options, addressed: false };
        if guest.options.vhost_user.is_none() {
            guest.wait_for_tap(namespace)?;
        }
        Ok(guest)
    }

    fn wait_for_tap(&mut self, namespace: &Namespace) -> Result<()> {
        let tap = self.options.tap.clone();
        // Its carrier is on once someone holds the descriptor.
        let on = |link: String| link.contains("LOWER_UP") && link.contains("tun type tap");
        let opened = || {
            namespace.ip(&format!("link set {tap} up")).is_ok()
                && namespace.ip(&format!("-d link show dev {tap}")).is_ok_and(on)
        };
        let waited = wait_until(SOON, "QEMU opens its TAP", || opened() || !self.qemu.is_running());
        if waited.is_ok() && self.qemu.is_running() {
            return Ok(());
        }
        anyhow::bail!("QEMU does not open {tap}: {}", self.qemu.end())
    }

    /// Waits until the guest takes commands and has its addresses.
    ///
    /// # Errors
    /// It does not boot; the message shows its console.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.qemu.wait_ready(&format!("the guest {}", self.options.mac))?;
        self.address()
    }

    /// Waits at most this long until the guest takes commands and has its addresses, and says whether it
    /// does; ask again if not.
    ///
    /// # Errors
    /// QEMU has ended; the message shows the guest's console.
    pub fn ready_within(&mut self, timeout: Duration) -> Result<bool> {
        let ready = self.qemu.ready_within(timeout)?;
        if ready {
            self.address()?;
        }
        Ok(ready)
    }

    fn address(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.addressed, true) {
            return Ok(());
        }
        self.check("ip link set eth0 up")?;
        for address in self.options.addresses.clone() {
            self.check(&format!("ip address add {address} dev eth0"))?;
        }
        Ok(())
    }

    /// Runs a line of shell in the guest, to its end or for `timeout`, and returns what it said. What runs
    /// on in the background must have its output elsewhere: `httpd -h /tmp >/dev/null 2>&1 &`.
    ///
    /// # Errors
    /// The guest does not answer; a command that fails is an answer.
    pub fn run(&mut self, command: &str, timeout: Duration) -> Result<Answer> {
        self.wait_ready()?;
        self.qemu.run(command, timeout)
    }

    /// Runs a short line of shell in the guest and returns what it said.
    ///
    /// # Errors
    /// The guest does not answer, or the command fails; the message shows what it said.
    pub fn check(&mut self, command: &str) -> Result<String> {
        let answer = self.run(command, SOON)?;
        let Answer { status, output } = answer;
        ensure!(status == 0, "in the guest on {}: {command}: status {status}: {output}", self.options.tap);
        Ok(output)
    }

    /// Sends `count` echo requests, five a second, from the guest.
    ///
    /// # Errors
    /// The guest does not answer. Losses are a result, not an error.
    pub fn ping(&mut self, to: &str, count: u32) -> Result<Ping> {
        let timeout = SOON + Duration::from_secs(u64::from(count));
        Ping::parse(&self.run(&format!("ping -q -i 0.2 -W 1 -c {count} {to}"), timeout)?.output)
    }

    /// Stops the whole guest, as SIGSTOP to QEMU does, and returns when it stands: frames for it pile up
    /// in the TAP.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        wait_until(SOON, "all threads of QEMU stand", || {
            let tasks =
                std::fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten().flatten();
            let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat"));
            tasks.map(stat).all(|stat| stat.is_ok_and(|stat| stat.contains(") T ")))
        })
    }

    /// Lets a guest begin anew, as with its power switch, and waits until it takes commands.
    ///
    /// # Errors
    /// It does not boot.
    pub fn reboot(&mut self) -> Result<()> {
        self.wait_ready()?;
        self.qemu.reboot(&format!("the guest {}", self.options.mac))?;
        self.addressed = false;
        self.wait_ready()
    }

    /// Lets a stopped guest go on.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// QEMU's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.qemu.id()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("QEMU on {} has ended", self.options.tap))
    }
}

/// The kernel and the first root of a guest, for who starts QEMU otherwise, and the kernel's command line with which it
/// has `address` (with its prefix length) on its card and heeds its power button.
///
/// # Errors
/// The kernel or busybox are not installed.
pub fn boot_files(address: &str) -> Result<(PathBuf, PathBuf, String)> {
    let image = image::image(&image::GUEST)?;
    Ok((image.kernel, image.root, format!("{} address={address}", qemu::COMMAND_LINE)))
}

/// How often such a guest says in the file of its console that it has booted.
#[must_use]
pub fn boots(console: &Path) -> usize {
    let said = std::fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&said).matches("\u{1}ready").count()
}

/// Waits until it has said so more than `before` times.
///
/// # Errors
/// It does not; the message shows its console.
pub fn wait_for_boot(console: &Path, before: usize) -> Result<()> {
    wait_until(qemu::BOOT, "the guest has booted", || boots(console) > before).with_context(|| {
        let said = std::fs::read(console).unwrap_or_default();
        format!("its console:\n{}", String::from_utf8_lossy(&said))
    })
}

/// What is missing on this machine to start a guest, each with the Debian package that has it.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if command::run("qemu-system-x86_64 --version").is_err() {
        missing.push("qemu-system-x86");
    }
    if image::image(&image::GUEST).is_err() {
        missing.extend(["linux-image-cloud-amd64", "busybox-static"]);
    }
    missing
}
