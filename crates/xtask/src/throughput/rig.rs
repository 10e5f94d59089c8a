//! Two hosts and what joins them. The hosts are namespaces `a` and `b` with one interface `e0` each, at
//! its default settings; the switch has a namespace of its own.

use std::time::Duration;

use anyhow::Result;
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
}

impl Subject {
    pub(super) const ALL: [Self; 3] = [Self::BareLoop, Self::Switchd, Self::LinuxBridge];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BareLoop => "bare loop",
            Self::Switchd => "switchd",
            Self::LinuxBridge => "Linux Bridge",
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
}

impl Rig {
    pub(super) fn build(subject: Subject, programs: &Programs) -> Result<Self> {
        let (near, far, switch) = (Namespace::new("a")?, Namespace::new("b")?, Namespace::new("s")?);
        let near_end = End::new(&near, "e0").mac(NEAR_MAC).address(NEAR_END);
        let far_end = End::new(&far, "e0").mac(FAR_MAC).address(FAR_END);
        let process = if subject == Subject::LinuxBridge {
            veth(near_end, End::new(&switch, "left"))?;
            veth(far_end, End::new(&switch, "right"))?;
            kernel_bridge(&switch, "br0", &["left", "right"])?;
            None
        } else {
            let process = start(subject, programs, &switch)?;
            move_device(&switch, "left", near_end)?;
            move_device(&switch, "right", far_end)?;
            Some(process)
        };
        testbed::wait_until(Duration::from_secs(10), "the far host to answer", || {
            testbed::ping(&near, FAR, 1).is_ok_and(|ping| ping.lost() == 0)
        })?;
        Ok(Self { process, near, far, _switch: switch })
    }
}

fn start(subject: Subject, programs: &Programs, switch: &Namespace) -> Result<Process> {
    let core = SWITCH_CORE;
    let line = if subject == Subject::Switchd {
        format!(
            "taskset -c {core} {} --name {} --tap left --tap right",
            programs.switchd.display(),
            switch.name()
        )
    } else {
        format!("taskset -c {core} {} bare-loop left right", programs.xtask.display())
    };
    let mut process = switch.spawn(&line)?;
    process.wait_for_line(0, Duration::from_secs(10), |line| line.contains("forwarding"))?;
    Ok(process)
}
