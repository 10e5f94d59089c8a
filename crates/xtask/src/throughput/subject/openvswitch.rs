//! Open vSwitch with its userspace datapath, as processes of its own in a namespace: nothing of the machine's own
//! Open vSwitch is touched.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Namespace, Process, wait_until};

use super::Wiring;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Starts it with these ports; all of it is in `directory`.
pub(super) fn start(
    namespace: &Namespace,
    wiring: Wiring,
    ports: &[String],
    addresses: Option<u32>,
    directory: &Path,
    core: usize,
) -> Result<Vec<Process>> {
    let here = directory.to_str().context("a directory that is not UTF-8")?;
    let environment = ["RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR"].map(|name| format!("OVS_{name}={here}"));
    let environment = format!("env {}", environment.join(" "));
    let (database, socket) = (format!("{here}/conf.db"), format!("{here}/db.sock"));
    testbed::command::run(&format!("ovsdb-tool create {database} {SCHEMA}"))?;
    let server = namespace.spawn(&format!(
        "{environment} ovsdb-server {database} --remote=punix:{socket} --unixctl={here}/server -vconsole:off"
    ))?;
    wait_until(Duration::from_secs(10), "the database of Open vSwitch", || Path::new(&socket).exists())?;
    let vsctl = |arguments: &str| {
        namespace.run(&format!("{environment} ovs-vsctl --timeout=60 --db=unix:{socket} {arguments}"))
    };
    vsctl("--no-wait init")?;
    // Read once, at the start.
    vsctl("--no-wait set Open_vSwitch . other_config:userspace-tso-enable=true")?;
    let daemon = namespace.spawn(&format!(
        "{environment} taskset -c {core} ovs-vswitchd unix:{socket} --unixctl={here}/daemon --disable-system \
         -vconsole:off"
    ))?;
    let kind = if wiring == Wiring::Tap { "tap" } else { "system" };
    let mut bridge = String::from("add-br br0 -- set bridge br0 datapath_type=netdev");
    if let Some(addresses) = addresses {
        let _ = write!(bridge, " other_config:mac-table-size={addresses}");
    }
    for port in ports {
        let _ = write!(bridge, " -- add-port br0 {port} -- set interface {port} type={kind}");
    }
    vsctl(&bridge)?;
    Ok(vec![daemon, server])
}
