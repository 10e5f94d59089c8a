//! A running switch named `lab` with hosts on wires to it, and its command line. Host N, from 1, has the address
//! 02:00:00:00:00:0N and 198.18.0.N on its `eth0`, whose other end is the port `pN`. All are quiet.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{End, FrameSocket, Namespace, Switchd, veth, wait_until};

/// Ample time for something that happens at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A switch and its hosts.
pub(crate) struct Switch {
    pub(crate) namespace: Namespace,
    pub(crate) hosts: Vec<Namespace>,
    pub(crate) switchd: Switchd,
}

impl Switch {
    /// A switch with so many hosts, each on a raw port; `bridge` is more of `[bridge]`, `further` of the file, and
    /// `ports` of each port.
    pub(crate) fn of(hosts: usize, bridge: &str, ports: &[&str], further: &str) -> Self {
        let quiet = |label| {
            let namespace = Namespace::new(label).unwrap();
            namespace.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1").unwrap();
            namespace
        };
        let namespace = quiet("switch");
        let mut config = format!("[bridge]\nname = \"lab\"\n{bridge}\n");
        let wired = |number: usize| {
            let (host, port) = (quiet("host"), format!("p{number}"));
            let end = End::new(&host, "eth0").mac(&format!("02:00:00:00:00:{number:02x}"));
            veth(end.address(&format!("198.18.0.{number}/24")), End::new(&namespace, &port)).unwrap();
            let keys = ports.get(number - 1).copied().unwrap_or_default();
            config += &format!("[ports.{port}]\ntype = \"raw\"\n{keys}\n");
            host
        };
        let hosts = (1..=hosts).map(wired).collect();
        let switchd = Switchd::start(&namespace, &(config + further)).unwrap();
        Self { namespace, hosts, switchd }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchctl"));
        command.arg("--socket").arg(self.switchd.control_socket()).args(line.split_whitespace());
        command
    }

    /// What it prints; it must succeed.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(&format!("--json {line}"))).unwrap()
    }

    /// Its exit code and what it says on standard error; it must fail.
    pub(crate) fn fails(&self, line: &str) -> (i32, String) {
        failed(&self.command(line).output().unwrap())
    }

    /// A packet socket on the wire of a host, at its end.
    pub(crate) fn socket(&self, number: usize) -> FrameSocket {
        FrameSocket::open(&self.hosts[number - 1], "eth0").unwrap()
    }

    /// Waits until so many frames that came in on a port are handled.
    pub(crate) fn handled(&self, port: &str, frames: u64) {
        let mut control = self.switchd.control().unwrap();
        let counted = || control.show_port(port).unwrap().counters.rx_frames >= frames;
        wait_until(SOON, "the frames are handled", counted).unwrap();
    }

    /// One frame from a group address, which is dropped, once it is counted.
    pub(crate) fn drop_one(&self) {
        let mut frame = vec![0xff; 12];
        frame.resize(60, 0);
        self.socket(1).send(&frame).unwrap();
        wait_until(SOON, "the frame is counted", || self.json("drops show") != json!([])).unwrap();
    }
}

/// The exit code and what is said on standard error.
pub(crate) fn failed(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}
