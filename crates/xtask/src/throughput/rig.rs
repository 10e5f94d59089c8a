//! Two hosts and what joins them. The hosts are namespaces `a` and `b` with one interface `e0` each, at
//! its default settings; the switch has a namespace of its own.

use std::time::Duration;

use anyhow::Result;
use tempfile::NamedTempFile;
use testbed::link::move_device;
use testbed::{End, Namespace, Process, kernel_bridge, veth};

use super::{Programs, SWITCH_CORE};

/// Address of the far host.
pub(super) const FAR: &str = "198.18.0.2";

const NEAR_END: &str = "198.18.0.1/24";
const FAR_END: &str = "198.18.0.2/24";
const NEAR_MAC: &str = "02:00:5e:10:00:01";
pub(super) const FAR_MAC: &str = "02:00:5e:10:00:02";

/// What joins the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A loop that reads one TAP and writes the other.
    BareLoop,
    /// Our switch on two TAPs.
    Switchd,
    /// Linux Bridge on two veths.
    LinuxBridge,
    /// Our switch on two TAPs, with VLAN filtering: both in VLAN 1, untagged.
    Filtering,
    /// Our switch on two TAPs, with a capture of all that passes, which nobody reads.
    Captured,
    /// Our switch on two TAPs, with a mirror of what comes in on the first to a third, where nobody reads.
    Mirrored,
    /// Another build of our switch, on two TAPs.
    Before,
}

/// Who is compared in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Our switch with others.
    Peers,
    /// With VLAN filtering and without.
    Vlans,
    /// Looked at and not.
    Watched,
    /// This build and another one.
    Builds,
}

impl Subject {
    /// Those that are compared, and for the ratios a word, who is compared and with whom.
    pub(super) fn compared(who: Compared) -> (&'static [Self], &'static [(&'static str, Self, Self)]) {
        match who {
            Compared::Vlans => {
                (&[Self::Switchd, Self::Filtering], &[("/ without", Self::Filtering, Self::Switchd)])
            }
            Compared::Watched => (
                &[Self::Switchd, Self::Captured, Self::Mirrored],
                &[
                    ("captured / not", Self::Captured, Self::Switchd),
                    ("mirrored / not", Self::Mirrored, Self::Switchd),
                ],
            ),
            Compared::Builds => {
                (&[Self::Before, Self::Switchd], &[("/ before", Self::Switchd, Self::Before)])
            }
            Compared::Peers => (
                &[Self::BareLoop, Self::Switchd, Self::LinuxBridge],
                &[
                    ("/ bare loop", Self::Switchd, Self::BareLoop),
                    ("/ Linux Bridge", Self::Switchd, Self::LinuxBridge),
                ],
            ),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BareLoop => "bare loop",
            Self::Switchd => "switchd",
            Self::LinuxBridge => "Linux Bridge",
            Self::Filtering => "with VLANs",
            Self::Captured => "captured",
            Self::Mirrored => "mirrored",
            Self::Before => "before",
        }
    }
}

/// Two hosts, joined. Dropping it takes everything away.
#[derive(Debug)]
pub(super) struct Rig {
    /// The userspace switch, if it is one.
    pub(super) process: Option<Process>,
    pub(super) near: Namespace,
    pub(super) far: Namespace,
    _switch: Namespace,
    _config: Option<NamedTempFile>,
    _capture: Option<control::capture::Capture>,
}

impl Rig {
    pub(super) fn build(subject: Subject, programs: &Programs) -> Result<Self> {
        let (near, far, switch) = (Namespace::new("a")?, Namespace::new("b")?, Namespace::new("s")?);
        let near_end = End::new(&near, "e0").mac(NEAR_MAC).address(NEAR_END);
        let far_end = End::new(&far, "e0").mac(FAR_MAC).address(FAR_END);
        let config = file(subject, switch.name())?;
        let process = if subject == Subject::LinuxBridge {
            veth(near_end, End::new(&switch, "left"))?;
            veth(far_end, End::new(&switch, "right"))?;
            kernel_bridge(&switch, "br0", &["left", "right"])?;
            None
        } else {
            let process = start(subject, programs, &switch, config.as_ref())?;
            move_device(&switch, "left", near_end)?;
            move_device(&switch, "right", far_end)?;
            if subject == Subject::Mirrored {
                switch.ip("link set probe up")?;
            }
            Some(process)
        };
        testbed::wait_until(Duration::from_secs(10), "the far host to answer", || {
            testbed::ping(&near, FAR, 1).is_ok_and(|ping| ping.lost() == 0)
        })?;
        let capture = (subject == Subject::Captured).then(|| capture(switch.name())).transpose()?;
        Ok(Self { process, near, far, _switch: switch, _config: config, _capture: capture })
    }
}

/// What can't be said in arguments.
fn file(subject: Subject, name: &str) -> Result<Option<NamedTempFile>> {
    let port = |port: &str| format!("[ports.{port}]\ntype = \"tap\"\n");
    let ports = port("left") + &port("right");
    let text = match subject {
        Subject::Filtering => format!("vlan_filtering = true\n{ports}"),
        Subject::Mirrored => {
            let mirror = "[[mirror]]\nfrom = [\"left\"]\nto = \"probe\"\ndirection = \"ingress\"\n";
            format!("{ports}{}{mirror}", port("probe"))
        }
        _ => return Ok(None),
    };
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), format!("[bridge]\nname = \"{name}\"\n{text}"))?;
    Ok(Some(file))
}

/// All that passes, until the ring is full: nobody reads.
fn capture(name: &str) -> Result<control::capture::Capture> {
    let socket = std::path::Path::new("/run/switchd").join(name).join(control::SOCKET);
    Ok(control::Client::connect(&socket)?.capture(&control::types::CaptureOptions::default())?)
}

fn start(
    subject: Subject,
    programs: &Programs,
    switch: &Namespace,
    config: Option<&NamedTempFile>,
) -> Result<Process> {
    let core = SWITCH_CORE;
    let before = programs.before.as_ref().filter(|_| subject == Subject::Before);
    let switchd = before.unwrap_or(&programs.switchd).display();
    let line = match (subject, config) {
        (Subject::BareLoop, _) => {
            format!("taskset -c {core} {} bare-loop left right", programs.xtask.display())
        }
        (_, Some(config)) => format!("taskset -c {core} {switchd} --config {}", config.path().display()),
        (_, None) => format!("taskset -c {core} {switchd} --name {} --tap left --tap right", switch.name()),
    };
    let mut process = switch.spawn(&line)?;
    process.wait_for_line(0, Duration::from_secs(10), |line| line.contains("forwarding"))?;
    Ok(process)
}
