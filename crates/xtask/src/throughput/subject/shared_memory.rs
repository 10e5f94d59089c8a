//! Two guests on a switch by shared memory: no host's stack, and no system call for a frame.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;
use testbed::{Namespace, Process, wait_until};

use super::rig::start_switchd;
use super::testpmd::{self, Rings};
use super::{Subject, openvswitch};
use crate::throughput::{Programs, SENDER_CORE, SWITCH_CORE};

const SOON: Duration = Duration::from_secs(20);

/// Guests and what joins them. Dropping it takes everything away.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    pub(crate) guests: testpmd::Guests,
    switch: Vec<Process>,
    _namespace: Namespace,
    _directory: TempDir,
}

impl SharedMemory {
    pub(crate) fn build(subject: Subject, rings: Rings, programs: &Programs) -> Result<Self> {
        let directory = TempDir::with_prefix("throughput-")?;
        let namespace = Namespace::new("s")?;
        let here = directory.path();
        let [left, right] = ["a.sock", "b.sock"].map(|name| here.join(name));
        let sockets = [left.as_path(), right.as_path()];
        let connect = || testpmd::Guests::start(&namespace, here, sockets, false, rings, SENDER_CORE);
        let (guests, switch) = match subject {
            Subject::Switchd | Subject::Before => {
                let switch = switchd(&namespace, here, sockets, programs.switchd(subject))?;
                (connect()?, vec![switch])
            }
            Subject::DpdkLoop => {
                let switch = testpmd::start_loop(&namespace, sockets, SWITCH_CORE)?;
                wait_until(SOON, "the loop listens", || sockets.iter().all(|socket| socket.exists()))?;
                (connect()?, vec![switch])
            }
            Subject::OpenVSwitchDpdk => {
                // Its documentation has the guests listen: its own ports that do so are deprecated.
                let switch = openvswitch::start_dpdk(&namespace, sockets, here, SWITCH_CORE)?;
                (testpmd::Guests::start(&namespace, here, sockets, true, rings, SENDER_CORE)?, switch)
            }
            other => bail!("{} has no ports on shared memory", other.name()),
        };
        Ok(Self { guests, switch, _namespace: namespace, _directory: directory })
    }

    /// Processor time that the switch has used.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        self.switch.iter().map(Process::processor_time).sum()
    }
}

fn switchd(namespace: &Namespace, here: &Path, sockets: [&Path; 2], program: &Path) -> Result<Process> {
    let port = |number: usize| {
        format!("[ports.p{number}]\ntype = \"vhost-user\"\nsocket = \"{}\"\n", sockets[number].display())
    };
    let text = format!("[bridge]\nname = \"{}\"\n{}{}", namespace.name(), port(0), port(1));
    start_switchd(namespace, here, program, &text, &SWITCH_CORE.to_string())
}
