//! Hosts around one switch, each in a namespace of its own. Host number `n`, from 1, has the port `pN`,
//! and behind it `eth0` with the addresses 198.18.0.N and 2001:db8::N.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed::link::{End, kernel_bridge, move_device, veth};
use testbed::{Capture, Namespace, Switchd};

/// Ample time for what happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Makes `switchd` use the offload header of 10 bytes on raw ports.
const SHORT_HEADER: &str = "SWITCHD_SHORT_HEADER";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TAP of switchd's, moved into the host's namespace.
    Tap,
    /// A raw socket on a veth, the other end of which the host has.
    Raw,
}

/// A port and whether it takes unfinished frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) kind: Kind,
    pub(crate) offload: bool,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Tap { "tap" } else { "raw" };
        write!(f, "{kind}{}", if self.offload { "" } else { " (offload = false)" })
    }
}

pub(crate) const TAP: Port = Port { kind: Kind::Tap, offload: true };
pub(crate) const PLAIN_TAP: Port = Port { kind: Kind::Tap, offload: false };
pub(crate) const RAW: Port = Port { kind: Kind::Raw, offload: true };
pub(crate) const PLAIN_RAW: Port = Port { kind: Kind::Raw, offload: false };

/// Tap to tap, tap to raw and raw to raw, each with offload on and off.
pub(crate) const PAIRS: [[Port; 2]; 6] = [
    [TAP, TAP],
    [TAP, RAW],
    [RAW, RAW],
    [PLAIN_TAP, PLAIN_TAP],
    [PLAIN_TAP, PLAIN_RAW],
    [PLAIN_RAW, PLAIN_RAW],
];

/// What to build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) ports: &'a [Port],
    /// Of every device, in bytes.
    pub(crate) mtu: u32,
    /// Whether the hosts have addresses on `eth0`.
    pub(crate) addresses: bool,
    /// Whether raw ports are held to the 10-byte offload header.
    pub(crate) short_header: bool,
    /// Further raw ports, on devices that the test makes in the switch's namespace, now or later.
    pub(crate) further: &'a [&'a str],
    /// Lines of `[bridge]`.
    pub(crate) bridge: &'a str,
    /// More lines of each port, as far as they go.
    pub(crate) rules: &'a [&'a str],
}

impl<'a> Plan<'a> {
    /// Hosts with addresses on these ports, all else as it is by default.
    pub(crate) fn of(ports: &'a [Port]) -> Self {
        Self { ports, mtu: 1500, addresses: true, short_header: false, further: &[], bridge: "", rules: &[] }
    }

    /// Hosts that only send and receive frames made by hand: nothing of their own stack is on the wire.
    pub(crate) fn silent(ports: &'a [Port]) -> Self {
        Self { addresses: false, ..Self::of(ports) }
    }
}

/// A switch and its hosts. Dropping it removes everything.
pub(crate) struct Lan {
    switchd: Option<Switchd>,
    pub(crate) hosts: Vec<Namespace>,
    pub(crate) switch: Namespace,
}

impl Lan {
    /// The plan with `switchd` as the switch.
    pub(crate) fn build(plan: &Plan<'_>) -> Self {
        let lan = Self::hosts(plan);
        for number in 1..=plan.ports.len() {
            if plan.ports[number - 1].kind == Kind::Raw {
                lan.wire(plan, number);
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let mut binary = testbed::switchd::binary().unwrap();
        if plan.short_header {
            binary = with_short_header(&binary, directory.path());
        }
        let switchd = Switchd::launch(&binary, &lan.switch, Some(&config(plan)), &[]).unwrap();
        let mut switchd = switchd.forwarding().unwrap();
        for number in 1..=plan.ports.len() {
            if plan.ports[number - 1].kind == Kind::Tap {
                move_device(&lan.switch, &format!("p{number}"), lan.end(plan, number)).unwrap();
                let moved = format!("p{number} was moved to another network namespace");
                switchd.wait_for_log(&moved, SOON).unwrap();
            }
        }
        Self { switchd: Some(switchd), ..lan }
    }

    /// The same hosts on a bridge of the kernel's, over veths: what switchd is compared with.
    pub(crate) fn build_kernel_bridge(plan: &Plan<'_>) -> Self {
        let lan = Self::hosts(plan);
        let names: Vec<_> = (1..=plan.ports.len()).map(|number| format!("p{number}")).collect();
        (1..=plan.ports.len()).for_each(|number| lan.wire(plan, number));
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        kernel_bridge(&lan.switch, "br0", &names).unwrap();
        lan
    }

    fn hosts(plan: &Plan<'_>) -> Self {
        let new = |label: &str| Namespace::new(label).unwrap();
        let hosts: Vec<_> = (1..=plan.ports.len()).map(|number| new(&format!("h{number}"))).collect();
        if !plan.addresses {
            for host in &hosts {
                host.run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1").unwrap();
            }
        }
        Self { switchd: None, hosts, switch: new("switch") }
    }

    fn end(&self, plan: &Plan<'_>, number: usize) -> End<'_> {
        let end = End::new(&self.hosts[number - 1], "eth0").mac(&mac_text(number)).mtu(plan.mtu);
        if !plan.addresses {
            return end;
        }
        end.address(&format!("198.18.0.{number}/24")).address(&format!("2001:db8::{number}/64"))
    }

    fn wire(&self, plan: &Plan<'_>, number: usize) {
        let port = End::new(&self.switch, &format!("p{number}")).mtu(plan.mtu);
        veth(self.end(plan, number), port).unwrap();
    }

    /// Host number `n`, from 1.
    pub(crate) fn host(&self, number: usize) -> &Namespace {
        &self.hosts[number - 1]
    }

    /// Both at once.
    pub(crate) fn hosts_and_switchd(&mut self) -> (&[Namespace], &mut Switchd) {
        (&self.hosts, self.switchd.as_mut().expect("a bridge of the kernel's has no switchd"))
    }

    pub(crate) fn switchd(&mut self) -> &mut Switchd {
        self.switchd.as_mut().expect("a bridge of the kernel's has no switchd")
    }
}

fn config(plan: &Plan<'_>) -> String {
    let mut text = format!("[bridge]\n{}\n", plan.bridge);
    for (index, port) in plan.ports.iter().enumerate() {
        let number = index + 1;
        let rest = match port.kind {
            Kind::Tap => format!("type = \"tap\"\nmtu = {}", plan.mtu),
            Kind::Raw => "type = \"raw\"".to_owned(),
        };
        let rules = plan.rules.get(index).copied().unwrap_or_default();
        write!(text, "[ports.p{number}]\n{rest}\noffload = {}\n{rules}\n", port.offload).unwrap();
    }
    for device in plan.further {
        write!(text, "[ports.{device}]\ntype = \"raw\"\n").unwrap();
    }
    text
}

/// A program in `directory` that starts `binary` as on a kernel that has only the 10-byte header.
fn with_short_header(binary: &Path, directory: &Path) -> PathBuf {
    let script = directory.join("switchd");
    std::fs::write(&script, format!("#!/bin/sh\n{SHORT_HEADER}=1 exec {} \"$@\"\n", binary.display()))
        .unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    script
}

/// The address of host `number`.
pub(crate) fn mac(number: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, u8::try_from(number).unwrap()]
}

fn mac_text(number: usize) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

/// Begins to capture what comes in on the `eth0` of a host. `longest` is the length of its frames at most:
/// tcpdump keeps room for as many more of them as they are shorter.
pub(crate) fn capture(host: &Namespace, longest: usize) -> Capture {
    Capture::start(host, "eth0", &["-Q", "in", "-s", &longest.to_string()]).unwrap()
}
