//! A machine with a real systemd on which switchd is installed as it ships, and hosts on its ports: `host1` on the
//! TAP `tap0`, `host2` on a veth whose near end is the raw port `p2`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use control::types::FdbFilter;

use crate::link::{self, End, veth};
use crate::switchd::FORBIDDEN;
use crate::{Machine, Namespace, ping, wait_until};

/// Ample time for what takes milliseconds on a machine that is not busy.
const SOON: Duration = Duration::from_secs(15);

/// The configuration of a [`Service`] on which both hosts reach each other.
pub const CONFIG: &str =
    "[ports.lan]\ntype = \"tap\"\ndevice = \"tap0\"\n[ports.wire]\ntype = \"raw\"\ndevice = \"p2\"\n";

/// The machine, and the hosts on its ports.
#[derive(Debug)]
pub struct Service {
    /// The host on `tap0`, 198.18.0.1.
    pub host1: Namespace,
    /// The host behind `p2`, 198.18.0.2.
    pub host2: Namespace,
    /// Where switchd runs.
    pub machine: Machine,
}

impl Service {
    /// A machine with hosts, and nothing of ours in it.
    ///
    /// # Errors
    /// It does not boot.
    pub fn bare(label: &str) -> Result<Self> {
        let machine = Machine::boot(label)?;
        let (host1, host2) = (Namespace::new("host1")?, Namespace::new("host2")?);
        let far = End::new(&host2, "eth0").mac("02:00:00:00:00:02").address("198.18.0.2/24");
        veth(End::new(machine.namespace(), "p2"), far)?;
        Ok(Self { host1, host2, machine })
    }

    /// The same with everything installed, and nothing started.
    ///
    /// # Errors
    /// As [`Service::bare`], or something is missing here.
    pub fn installed(label: &str, switchd: &Path) -> Result<Self> {
        let service = Self::bare(label)?;
        let machine = &service.machine;
        machine.install(switchd, "/usr/sbin/switchd")?;
        for (ours, inside) in [
            ("switchd.service", "/etc/systemd/system/switchd.service"),
            ("switchd@.service", "/etc/systemd/system/switchd@.service"),
            ("switchd.sysusers", "/usr/lib/sysusers.d/switchd.conf"),
        ] {
            machine.install(&shipped(ours), inside)?;
        }
        machine.run("systemd-sysusers")?;
        service.systemctl("daemon-reload")?;
        Ok(service)
    }

    /// The same, started with `config`, and both hosts reach each other.
    ///
    /// # Errors
    /// As [`Service::installed`], or it does not start; the message shows its journal.
    pub fn start(label: &str, switchd: &Path, config: &str) -> Result<Self> {
        let service = Self::installed(label, switchd)?;
        service.machine.write("/etc/switchd/switchd.toml", config)?;
        service.systemctl("start switchd")?;
        service.wire_tap()?;
        service.pings()?;
        service.settle()?;
        Ok(service)
    }

    /// Gives the interface end of `tap0` to host 1.
    ///
    /// # Errors
    /// There is no `tap0`.
    pub fn wire_tap(&self) -> Result<()> {
        let far = End::new(&self.host1, "eth0").mac("02:00:00:00:00:01").address("198.18.0.1/24");
        link::move_device(self.machine.namespace(), "tap0", far)
    }

    /// Waits until the kernel, which tells of a carrier up to a second later, has told of it.
    ///
    /// # Errors
    /// The link of host 2 does not come up.
    pub fn settle(&self) -> Result<()> {
        let up = || self.host2.ip("link show eth0").is_ok_and(|shown| shown.contains("state UP"));
        wait_until(SOON, "eth0 of host 2 is up", up)
    }

    /// Waits until host 1 reaches host 2.
    ///
    /// # Errors
    /// It does not; the message shows the journal.
    pub fn pings(&self) -> Result<()> {
        let answers = || ping(&self.host1, "198.18.0.2", 1).is_ok_and(|pings| pings.received == 1);
        wait_until(SOON, "host 1 reaches host 2", answers).with_context(|| self.journal())
    }

    /// Runs `systemctl`.
    ///
    /// # Errors
    /// It fails; the message shows the journal.
    pub fn systemctl(&self, arguments: &str) -> Result<()> {
        let done = self.machine.run(&format!("systemctl {arguments}"));
        done.map(drop).with_context(|| self.journal())
    }

    /// How many MACs its status shows.
    #[must_use]
    pub fn macs(&self) -> u32 {
        let status = self.property("StatusText");
        status.split(' ').nth_back(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// A property of `switchd.service`; empty where systemd does not tell.
    #[must_use]
    pub fn property(&self, name: &str) -> String {
        self.machine.property("switchd", name).unwrap_or_default()
    }

    /// Waits until it has been started again by systemd `restarts` times, and is ready.
    ///
    /// # Errors
    /// It is not; the message shows the journal.
    pub fn wait_for_restarts(&self, restarts: u32) -> Result<()> {
        let back =
            || self.property("NRestarts") == restarts.to_string() && self.property("ActiveState") == "active";
        wait_until(SOON, "it is back", back).with_context(|| self.journal())
    }

    /// Asks the service to hand over to a new process, and waits until that is the service.
    ///
    /// # Errors
    /// It does not come to that; the message shows the journal.
    pub fn take_over(&self) -> Result<()> {
        let pid = self.property("MainPID");
        self.machine.run(&format!("kill -USR2 {pid}"))?;
        let another = || {
            let now = self.property("MainPID");
            now != pid && now != "0"
        };
        wait_until(SOON, "another process is the service", another).with_context(|| self.journal())
    }

    /// All that the service has logged, also of earlier starts, and what systemd says of it.
    #[must_use]
    pub fn journal(&self) -> String {
        let read = self.machine.run("journalctl --no-pager -o short-precise -u 'switchd*'");
        read.unwrap_or_else(|error| format!("{error:#}"))
    }

    /// Talks to the switch that runs now.
    ///
    /// # Errors
    /// None does.
    pub fn control(&self) -> Result<control::Client> {
        let socket = self.machine.path("/run/switchd/switchd").join(control::SOCKET);
        Ok(control::Client::connect(&socket)?)
    }

    /// The stations that are known, in order, each with its port.
    ///
    /// # Errors
    /// As [`Service::control`].
    pub fn stations(&self) -> Result<Vec<(String, Option<String>)>> {
        let entries = self.control()?.show_fdb(&FdbFilter::default())?;
        let mut stations: Vec<_> = entries.into_iter().map(|entry| (entry.mac, entry.port)).collect();
        stations.sort_unstable();
        Ok(stations)
    }

    /// Waits until the journal holds `text`.
    ///
    /// # Errors
    /// It does not; the message shows the journal.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait_until(SOON, text, || self.journal().contains(text)).with_context(|| self.journal())
    }
}

impl Drop for Service {
    /// # Panics
    /// It made a system call that its own sandbox does not know: each test is a test of that, too.
    fn drop(&mut self) {
        let journal = self.journal();
        let strange: Vec<_> = journal.lines().filter(|line| line.contains(FORBIDDEN)).collect();
        assert!(strange.is_empty() || std::thread::panicking(), "{strange:#?}");
    }
}

/// A file of `config/` as it ships.
#[must_use]
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name)
}
