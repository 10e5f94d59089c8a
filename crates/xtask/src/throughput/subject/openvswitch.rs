//! Open vSwitch with its userspace datapath, as processes of its own in a namespace: nothing of the machine's own
//! Open vSwitch is touched.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Namespace, Process, wait_until};

use super::Wiring;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The daemon that has DPDK, and what it is told: no network card, and memory of its own.
pub(super) const DPDK: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";

/// Its database, without a bridge.
struct Database {
    environment: String,
    socket: String,
    server: Process,
}

impl Database {
    fn start(namespace: &Namespace, directory: &Path) -> Result<Self> {
        let here = directory.to_str().context("a directory that is not UTF-8")?;
        let environment =
            ["RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR"].map(|name| format!("OVS_{name}={here}"));
        let environment = format!("env {}", environment.join(" "));
        let (database, socket) = (format!("{here}/conf.db"), format!("{here}/db.sock"));
        testbed::command::run(&format!("ovsdb-tool create {database} {SCHEMA}"))?;
        let server = namespace.spawn(&format!(
            "{environment} ovsdb-server {database} --remote=punix:{socket} --unixctl={here}/server -vconsole:off"
        ))?;
        wait_until(Duration::from_secs(10), "the database of Open vSwitch", || Path::new(&socket).exists())?;
        let started = Self { environment, socket, server };
        started.set(namespace, "--no-wait init")?;
        Ok(started)
    }

    fn set(&self, namespace: &Namespace, arguments: &str) -> Result<()> {
        let Self { environment, socket, .. } = self;
        namespace
            .run(&format!("{environment} ovs-vsctl --timeout=60 --db=unix:{socket} {arguments}"))
            .map(drop)
    }
}

/// Starts the one with DPDK, which connects to guests at these sockets; it forwards on `core`.
pub(super) fn start_dpdk(
    namespace: &Namespace,
    sockets: [&Path; 2],
    directory: &Path,
    core: usize,
) -> Result<Vec<Process>> {
    let database = Database::start(namespace, directory)?;
    database.set(
        namespace,
        &format!(
            "--no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-socket-mem=256 \
             other_config:dpdk-lcore-mask=0x1 other_config:pmd-cpu-mask={:#x} \
             other_config:dpdk-extra=\"--no-pci --in-memory --single-file-segments\"",
            1 << core
        ),
    )?;
    let Database { environment, socket, .. } = &database;
    let here = directory.display();
    let daemon = namespace
        .spawn(&format!("{environment} {DPDK} unix:{socket} --unixctl={here}/daemon -vconsole:off"))?;
    let mut bridge = String::from("add-br br0 -- set bridge br0 datapath_type=netdev");
    for (number, path) in sockets.iter().enumerate() {
        let path = path.display();
        let _ = write!(
            bridge,
            " -- add-port br0 p{number} -- set interface p{number} type=dpdkvhostuserclient \
             options:vhost-server-path={path}"
        );
    }
    database.set(namespace, &bridge)?;
    Ok(vec![daemon, database.server])
}

/// Starts it with these ports; all of it is in `directory`.
pub(super) fn start(
    namespace: &Namespace,
    wiring: Wiring,
    ports: &[String],
    addresses: Option<u32>,
    directory: &Path,
    core: usize,
) -> Result<Vec<Process>> {
    let database = Database::start(namespace, directory)?;
    // Read once, at the start.
    database.set(namespace, "--no-wait set Open_vSwitch . other_config:userspace-tso-enable=true")?;
    let Database { environment, socket, .. } = &database;
    let here = directory.display();
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
    database.set(namespace, &bridge)?;
    Ok(vec![daemon, database.server])
}
