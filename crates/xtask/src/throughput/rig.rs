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
}

impl Subject {
    /// Those that are compared, and for the ratios a word, who is compared and with whom.
    pub(super) fn compared(vlan: bool) -> (&'static [Self], &'static [(&'static str, Self, Self)]) {
        if vlan {
            (&[Self::Switchd, Self::Filtering], &[("/ without", Self::Filtering, Self::Switchd)])
        } else {
            (
                &[Self::BareLoop, Self::Switchd, Self::LinuxBridge],
                &[
                    ("/ bare loop", Self::Switchd, Self::BareLoop),
                    ("/ Linux Bridge", Self::Switchd, Self::LinuxBridge),
                ],
            )
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BareLoop => "bare loop",
            Self::Switchd => "switchd",
            Self::LinuxBridge => "Linux Bridge",
            Self::Filtering => "with VLANs",
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
}

impl Rig {
    pub(super) fn build(subject: Subject, programs: &Programs) -> Result<Self> {
        let (near, far, switch) = (Namespace::new("a")?, Namespace::new("b")?, Namespace::new("s")?);
        let near_end = End::new(&near, "e0").mac(NEAR_MAC).address(NEAR_END);
        let far_end = End::new(&far, "e0").mac(FAR_MAC).address(FAR_END);
        let config = (subject == Subject::Filtering).then(|| filtering(switch.name())).transpose()?;
        let process = if subject == Subject::LinuxBridge {
            veth(near_end, End::new(&switch, "left"))?;
            veth(far_end, End::new(&switch, "right"))?;
            kernel_bridge(&switch, "br0", &["left", "right"])?;
            None
        } else {
            let process = start(subject, programs, &switch, config.as_ref())?;
            move_device(&switch, "left", near_end)?;
            move_device(&switch, "right", far_end)?;
            Some(process)
        };
        testbed::wait_until(Duration::from_secs(10), "the far host to answer", || {
            testbed::ping(&near, FAR, 1).is_ok_and(|ping| ping.lost() == 0)
        })?;
        Ok(Self { process, near, far, _switch: switch, _config: config })
    }
}

/// The same switch with VLAN filtering, which needs a file.
fn filtering(name: &str) -> Result<NamedTempFile> {
    let ports = ["left", "right"].map(|port| format!("[[ports]]\nname = \"{port}\"\ntype = \"tap\"\n"));
    let file = NamedTempFile::new()?;
    let text = format!("[bridge]\nname = \"{name}\"\nvlan_filtering = true\n{}", ports.concat());
    std::fs::write(file.path(), text)?;
    Ok(file)
}

fn start(
    subject: Subject,
    programs: &Programs,
    switch: &Namespace,
    config: Option<&NamedTempFile>,
) -> Result<Process> {
    let core = SWITCH_CORE;
    let switchd = programs.switchd.display();
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
