//! A machine with a real systemd on which switchd is installed as it ships, and hosts on its ports: `host1` on the
//! TAP `tap0`, `host2` on a veth whose near end is the raw port `p2`.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed::{End, Machine, Namespace, link, veth, wait_until};

/// Ample time for what takes milliseconds on a machine that is not busy.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The configuration that [`Service::start`] gives it.
pub(crate) const CONFIG: &str = "[ports.lan]\ntype = \"tap\"\ndevice = \"tap0\"\n\
                                 [ports.wire]\ntype = \"raw\"\ndevice = \"p2\"\n";

pub(crate) struct Service {
    pub(crate) host1: Namespace,
    pub(crate) host2: Namespace,
    pub(crate) machine: Machine,
}

impl Service {
    /// A machine with everything installed, and nothing started.
    pub(crate) fn installed(label: &str) -> Self {
        let machine = Machine::boot(label).unwrap();
        machine.install(&testbed::switchd::binary().unwrap(), "/usr/sbin/switchd").unwrap();
        for (ours, inside) in [
            ("switchd.service", "/etc/systemd/system/switchd.service"),
            ("switchd@.service", "/etc/systemd/system/switchd@.service"),
            ("switchd.sysusers", "/usr/lib/sysusers.d/switchd.conf"),
        ] {
            machine.install(&shipped(ours), inside).unwrap();
        }
        machine.run("systemd-sysusers").unwrap();
        let (host1, host2) = (Namespace::new("host1").unwrap(), Namespace::new("host2").unwrap());
        let far = End::new(&host2, "eth0").mac("02:00:00:00:00:02").address("198.18.0.2/24");
        veth(End::new(machine.namespace(), "p2"), far).unwrap();
        machine.run("systemctl daemon-reload").unwrap();
        Self { host1, host2, machine }
    }

    /// The same with `config`, started and pinging through.
    pub(crate) fn start(label: &str, config: &str) -> Self {
        let service = Self::installed(label);
        service.machine.write("/etc/switchd/switchd.toml", config).unwrap();
        service.systemctl("start switchd");
        service.wire_tap();
        service.assert_pings();
        // The kernel tells of a carrier up to a second later.
        let up = || service.host2.ip("link show eth0").unwrap().contains("state UP");
        wait_until(SOON, "the kernel has told that eth0 of host 2 is up", up).unwrap();
        service
    }

    /// Gives the interface end of `tap0` to host 1.
    pub(crate) fn wire_tap(&self) {
        let far = End::new(&self.host1, "eth0").mac("02:00:00:00:00:01").address("198.18.0.1/24");
        link::move_device(self.machine.namespace(), "tap0", far).unwrap();
    }

    pub(crate) fn assert_pings(&self) {
        let pinged = wait_until(SOON, "host 1 reaches host 2", || {
            testbed::ping(&self.host1, "198.18.0.2", 1).unwrap().received == 1
        });
        assert!(pinged.is_ok(), "{pinged:?}\n{}", self.journal());
    }

    /// Runs `systemctl`, which must succeed.
    pub(crate) fn systemctl(&self, arguments: &str) {
        let done = self.machine.run(&format!("systemctl {arguments}"));
        assert!(done.is_ok(), "{:#}\n{}", done.unwrap_err(), self.journal());
    }

    /// How many MACs its status shows.
    pub(crate) fn macs(&self) -> u32 {
        let status = self.property("StatusText");
        status.split(' ').nth_back(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn property(&self, name: &str) -> String {
        self.machine.property("switchd", name).unwrap()
    }

    /// All that the service has logged, also of earlier starts, and what systemd says of it.
    pub(crate) fn journal(&self) -> String {
        self.machine.run("journalctl --no-pager -o short-precise -u switchd -u 'switchd@*'").unwrap()
    }

    /// Talks to the switch that runs now.
    pub(crate) fn control(&self) -> control::Client {
        let socket = self.machine.path("/run/switchd/switchd").join(control::SOCKET);
        control::Client::connect(&socket).unwrap()
    }

    /// Waits until the journal holds `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let found = wait_until(SOON, text, || self.journal().contains(text));
        assert!(found.is_ok(), "{text:?} is not in\n{}", self.journal());
    }
}

/// A file as it ships.
pub(crate) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}
