//! A libvirt of its own in a namespace, as a host has it: `libvirtd`, `virsh`, and domains whose processor QEMU emulates.
//! Its state is in memory and nothing of this machine's; the domains boot what a [`Guest`](crate::Guest) boots.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::guest::{boot_files, boots, wait_for_boot};
use crate::{Namespace, Process, command, wait_until};

/// Ample time for it to find out what QEMU can do, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Runs in the mount namespace that `ip netns exec` makes, so that all of it goes with the last process; `$0` is the
/// directory with what libvirtd reads. Debian's package makes the user whose name it asks for.
const START_SCRIPT: &str = r#"
for directory in /run /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mkdir -p $directory
    mount -t tmpfs tmpfs $directory
done
cp "$0/qemu.conf" /etc/libvirt/
for file in passwd group; do mount --bind "$0/$file" /etc/$file; done
exec libvirtd --config "$0/libvirtd.conf"
"#;

/// Domains run as root and with no rights taken from them: what stands between a guest and its host is not what is tested.
const QEMU_CONF: &str = "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\n\
                         security_driver = \"none\"\nnamespaces = []\ncgroup_controllers = []\nstdio_handler = \"file\"\n";

/// A part of a domain whose card shares its memory: QEMU 7.2 falls down with MSI-X where another process has the rings and
/// the processor is emulated.
pub const NO_VECTORS: &str = "<qemu:override><qemu:device alias='net0'><qemu:frontend>
                          <qemu:property name='vectors' type='unsigned' value='0'/>
                          </qemu:frontend></qemu:device></qemu:override>";

/// A running `libvirtd`. What runs in its domains ends with the [`Namespace`].
#[derive(Debug)]
pub struct Libvirt {
    daemon: Process,
    directory: TempDir,
}

impl Libvirt {
    /// Starts `libvirtd` in `namespace` and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not come up; the message shows its log.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let directory = TempDir::with_prefix("testbed-libvirt-")?;
        let path = directory.path();
        for (file, user) in
            [("passwd", "libvirt-qemu:x:64055:64055::/:/bin/false"), ("group", "libvirt-qemu:x:64055:")]
        {
            let known = fs::read_to_string(Path::new("/etc").join(file))?;
            let others = known.lines().filter(|line| !line.starts_with("libvirt-qemu:"));
            fs::write(path.join(file), others.chain([user]).collect::<Vec<_>>().join("\n") + "\n")?;
        }
        fs::write(path.join("qemu.conf"), QEMU_CONF)?;
        let daemon = format!("unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\n", path.display());
        fs::write(path.join("libvirtd.conf"), daemon)?;
        let mut start = namespace.command("sh");
        start.args(["-e", "-c", START_SCRIPT]).arg(path);
        let mut libvirt = Self { daemon: Process::start(start)?, directory };
        let answers = || libvirt.virsh("list").is_ok() || !libvirt.daemon.is_running();
        let waited = wait_until(START, "libvirtd answers", answers);
        if waited.is_err() || !libvirt.daemon.is_running() {
            bail!("libvirtd does not start; it said:\n{}", libvirt.daemon.lines().join("\n"));
        }
        Ok(libvirt)
    }

    /// Runs `virsh ARGUMENTS` and returns what it said.
    ///
    /// # Errors
    /// It fails; the message shows it and what it said.
    pub fn virsh(&self, arguments: &str) -> Result<String> {
        let socket = self.directory.path().join("libvirt-sock");
        let mut virsh = Command::new("virsh");
        virsh.arg("-c").arg(format!("qemu+unix:///system?socket={}", socket.display()));
        command::output(virsh.args(command::words(arguments)?))
    }

    /// Defines a domain with these parts: an `<interface>`, which gets `address` (with its prefix length) once it has
    /// booted, and what is not a device, if anything.
    ///
    /// # Errors
    /// libvirt refuses it, or what a guest boots is not installed.
    pub fn define(&self, name: &str, interface: &str, rest: &str, address: &str) -> Result<()> {
        let (kernel, root, command_line) = boot_files(address)?;
        let console = self.console(name);
        let domain = format!(
            "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{name}</name>{rest}<memory unit='MiB'>256</memory><vcpu>1</vcpu>
             <os><type arch='x86_64' machine='q35'>hvm</type>
             <kernel>{}</kernel><initrd>{}</initrd>
             <cmdline>{command_line}</cmdline></os>
             <features><acpi/></features><cpu mode='maximum'/>
             <devices>{interface}
             <serial type='file'><source path='{}'/></serial><memballoon model='none'/></devices></domain>",
            kernel.display(),
            root.display(),
            console.display()
        );
        let file = self.directory.path().join(format!("{name}.xml"));
        fs::write(&file, domain)?;
        self.virsh(&format!("define {}", file.display())).map(drop)
    }

    /// Starts a domain and waits until it has booted.
    ///
    /// # Errors
    /// libvirt refuses it, or it does not boot; the message shows its console.
    pub fn boot(&self, name: &str) -> Result<()> {
        self.virsh(&format!("start {name}"))?;
        wait_for_boot(&self.console(name), 0)
    }

    /// Has a domain shut down and start again, as its power button does it, and waits until it has.
    ///
    /// # Errors
    /// As [`Libvirt::boot`].
    pub fn reboot(&self, name: &str) -> Result<()> {
        let booted = boots(&self.console(name));
        self.virsh(&format!("reboot {name} --mode acpi"))?;
        wait_for_boot(&self.console(name), booted)
    }

    /// The process of a domain that runs.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, name: &str) -> Result<i32> {
        // As libvirtd sees it.
        let file = format!("/proc/{}/root/run/libvirt/qemu/{name}.pid", self.daemon.id());
        let text = fs::read_to_string(&file).with_context(|| file)?;
        Ok(text.trim().parse()?)
    }

    fn console(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{name}.console"))
    }
}
