//! Hosts and what joins them: the first two are namespaces of their own with an address each, further ones share a
//! namespace; the switch has one too.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use testbed::link::add_address;
use testbed::{Namespace, Process, wait_until};

use super::{Subject, Wiring, openvswitch, wire};
use crate::interrupt::Interrupt;
use crate::throughput::traffic::{Counters, Flow, Load, Plug, SHORTEST, introduce, trial};
use crate::throughput::{Programs, SENDER_CORE, SWITCH_CORE};

/// Address of the second host.
pub(crate) const FAR: &str = "198.18.0.2";

const ADDRESSES: [&str; 2] = ["198.18.0.1/24", "198.18.0.2/24"];

/// What is wanted of a rig.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) wiring: Wiring,
    pub(crate) ports: usize,
    /// Ports that frames can be sent from; at the others they are only counted.
    pub(crate) speaking: usize,
    /// Addresses that the switch has to have room for; its default where `None`.
    pub(crate) addresses: Option<u32>,
}

impl Wish {
    /// Two hosts.
    pub(crate) fn two(wiring: Wiring) -> Self {
        Self::ports(wiring, 2)
    }

    /// So many hosts, of which all can speak.
    pub(crate) fn ports(wiring: Wiring, ports: usize) -> Self {
        Self { wiring, ports, speaking: ports, addresses: None }
    }
}

/// Hosts, joined. Dropping it takes everything away.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) subject: Subject,
    pub(crate) plugs: Vec<Plug>,
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
    _capture: Option<control::capture::Capture>,
    _processes: Vec<Process>,
    _others: Namespace,
    switch: Namespace,
    _directory: TempDir,
}

impl Rig {
    pub(crate) fn build(
        subject: Subject,
        wish: &Wish,
        programs: &Programs,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        interrupt
            .or(Self::try_build(subject, wish, programs, interrupt))
            .with_context(|| format!("setting up {}", subject.name()))
    }

    fn try_build(subject: Subject, wish: &Wish, programs: &Programs, interrupt: &Interrupt) -> Result<Self> {
        let directory = TempDir::with_prefix("throughput-")?;
        let (near, far) = (Namespace::new("a")?, Namespace::new("b")?);
        let (others, switch) = (Namespace::new("o")?, Namespace::new("s")?);
        for namespace in [&near, &far, &others, &switch] {
            wire::silence(namespace)?;
        }
        let ports: Vec<_> = (0..wish.ports).map(|number| format!("p{number}")).collect();
        let hosts: Vec<_> = (0..wish.ports).map(|number| [&near, &far, &others][number.min(2)]).collect();
        let made =
            Made { subject, wish, ports: &ports, switch: &switch, directory: directory.path(), programs };
        let (processes, taps) = match (wish.wiring, subject.process()) {
            (Wiring::Tap, Some(_)) => {
                let processes = made.start()?;
                wire::move_to_hosts(&switch, &ports, &hosts)?;
                (processes, Vec::new())
            }
            (Wiring::Tap | Wiring::Veth, _) => {
                wire::veths(&switch, &ports, &hosts)?;
                (made.start()?, Vec::new())
            }
            (Wiring::Vm, _) => {
                let taps = wire::held_taps(&switch, &ports)?;
                (made.start()?, taps)
            }
        };
        let plugs = if wish.wiring == Wiring::Vm {
            taps.into_iter().map(Plug::held).collect()
        } else {
            plugs(&hosts, wish.speaking)?
        };
        if subject == Subject::Mirrored {
            switch.ip("link set probe up")?;
        }
        let capture = (subject == Subject::Captured).then(|| capture(directory.path())).transpose()?;
        let mut rig = Self {
            subject,
            plugs,
            near,
            far,
            _capture: capture,
            _processes: processes,
            _others: others,
            switch,
            _directory: directory,
        };
        rig.wait(wish.wiring, interrupt)?;
        Ok(rig)
    }

    /// Waits until frames come through.
    fn wait(&mut self, wiring: Wiring, interrupt: &Interrupt) -> Result<()> {
        if wiring != Wiring::Vm {
            wait_until(Duration::from_secs(20), "the far host to answer", || {
                interrupt.check().is_err()
                    || testbed::ping(&self.near, FAR, 1).is_ok_and(|ping| ping.lost() == 0)
            })?;
            return interrupt.check();
        }
        let flow = Flow::between(0, 1);
        let load = Load { frames: 10, ..Load::new(SHORTEST, vec![flow], Duration::from_millis(20)) };
        let mut last = Ok(());
        wait_until(Duration::from_secs(20), "frames to come through", || {
            let passed = introduce(&mut self.plugs, &[flow], 1e4, 1, interrupt)
                .and_then(|()| trial(&mut self.plugs, &load, interrupt));
            let done = passed.as_ref().map_or(true, |outcome| outcome.received[1] >= 10);
            last = passed.map(drop);
            done
        })?;
        last
    }

    /// The process of the switch, if it is one.
    pub(crate) fn process(&self) -> Result<Option<u32>> {
        let Some(name) = self.subject.process() else { return Ok(None) };
        let pids = testbed::command::run(&format!("ip netns pids {}", self.switch.name()))?;
        let named = |pid: &&str| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let found = pids.split_whitespace().find(named);
        let found = found.with_context(|| format!("{name} does not run any more"))?;
        Ok(Some(found.parse()?))
    }
}

fn plugs(hosts: &[&Namespace], speaking: usize) -> Result<Vec<Plug>> {
    let mut plugs = Vec::new();
    let mut of_others = None;
    for (number, host) in hosts.iter().enumerate() {
        let device = wire::end_of(&format!("p{number}"));
        let counters = match (number, &of_others) {
            (2.., Some(counters)) => Arc::clone(counters),
            _ => Arc::new(Counters::open(host)?),
        };
        if number >= 2 {
            of_others = Some(Arc::clone(&counters));
        }
        // Each host's stack counts what comes and lets it go.
        if let Some(address) = ADDRESSES.get(number) {
            add_address(host, &device, address)?;
        }
        host.ip(&format!("link set {device} up"))?;
        plugs.push(if number < speaking {
            Plug::interface(host, &device, &counters)?
        } else {
            Plug::silent(&device, &counters)
        });
    }
    Ok(plugs)
}

/// All that passes, until the ring is full: nobody reads.
fn capture(directory: &Path) -> Result<control::capture::Capture> {
    Ok(control::Client::connect(&directory.join(control::SOCKET))?
        .capture(&control::types::CaptureOptions::default())?)
}

/// Starts switchd on these cores; all of it is in `directory`, and nothing stays in `/run`.
pub(super) fn start_switchd(
    namespace: &Namespace,
    directory: &Path,
    program: &Path,
    configuration: &str,
    cores: &str,
) -> Result<Process> {
    let file = directory.join("switchd.toml");
    std::fs::write(&file, configuration)?;
    let (here, program, file) = (directory.display(), program.display(), file.display());
    spawn(namespace, cores, &format!("env RUNTIME_DIRECTORY={here} {program} --config {file}"))
}

/// Starts a program on these cores, which says when it forwards.
fn spawn(namespace: &Namespace, cores: &str, line: &str) -> Result<Process> {
    let mut process = namespace.spawn(&format!("taskset -c {cores} {line}"))?;
    process.wait_for_line(0, Duration::from_secs(20), |line| line.contains("forwarding"))?;
    Ok(process)
}

/// What a switch is started with.
struct Made<'a> {
    subject: Subject,
    wish: &'a Wish,
    ports: &'a [String],
    switch: &'a Namespace,
    directory: &'a Path,
    programs: &'a Programs,
}

impl Made<'_> {
    fn start(&self) -> Result<Vec<Process>> {
        let raw = self.wish.wiring != Wiring::Tap;
        match self.subject {
            Subject::LinuxBridge | Subject::LinuxBridgeNf => {
                wire::bridge_netfilter(self.switch, self.subject == Subject::LinuxBridgeNf)?;
                let mut lines = vec!["link add br0 type bridge".to_owned(), "link set br0 up".to_owned()];
                lines.extend(self.ports.iter().map(|port| format!("link set {port} up master br0")));
                self.switch.ip_batch(&lines)?;
                Ok(Vec::new())
            }
            Subject::BareLoop => {
                let kind = if raw { "--raw " } else { "" };
                let xtask = self.programs.xtask.display();
                let line = format!("{xtask} bare-loop {kind}{}", self.ports.join(" "));
                Ok(vec![spawn(self.switch, &SWITCH_CORE.to_string(), &line)?])
            }
            Subject::OpenVSwitch => openvswitch::start(
                self.switch,
                self.wish.wiring,
                self.ports,
                self.wish.addresses,
                self.directory,
                SWITCH_CORE,
            ),
            Subject::Vde => self.start_vde(),
            Subject::OpenVSwitchDpdk | Subject::DpdkLoop => {
                bail!("{} has ports on shared memory only", self.subject.name())
            }
            Subject::Switchd
            | Subject::Filtering
            | Subject::Workers
            | Subject::Captured
            | Subject::Mirrored
            | Subject::Before => {
                let program = self.programs.switchd(self.subject);
                let text = self.configuration(if raw { "raw" } else { "tap" });
                let cores = if self.subject == Subject::Workers {
                    format!("{SENDER_CORE},{SWITCH_CORE}")
                } else {
                    SWITCH_CORE.to_string()
                };
                Ok(vec![start_switchd(self.switch, self.directory, program, &text, &cores)?])
            }
        }
    }

    fn configuration(&self, kind: &str) -> String {
        let mut text = format!("[bridge]\nname = \"{}\"\n", self.switch.name());
        if self.subject == Subject::Filtering {
            text.push_str("vlan_filtering = true\n");
        }
        if self.subject == Subject::Workers {
            text.push_str("workers = 2\n");
        }
        if let Some(addresses) = self.wish.addresses {
            let _ = writeln!(text, "fdb_max = {addresses}");
        }
        for port in self.ports {
            let _ = write!(text, "[ports.{port}]\ntype = \"{kind}\"\n");
        }
        if self.subject == Subject::Mirrored {
            text.push_str("[ports.probe]\ntype = \"tap\"\n");
            text.push_str("[[mirror]]\nfrom = [\"p0\"]\nto = \"probe\"\ndirection = \"ingress\"\n");
        }
        text
    }

    /// It ends when its standard input does.
    fn start_vde(&self) -> Result<Vec<Process>> {
        let taps: String = self.ports.iter().map(|port| format!(" -tap {port}")).collect();
        let (directory, ports) = (self.directory.display(), self.ports.len() + 8);
        let hash = self.wish.addresses.unwrap_or(8192).next_power_of_two();
        let process = self.switch.spawn(&format!(
            "sh -c 'sleep infinity | exec taskset -c {SWITCH_CORE} vde_switch -n {ports} --hashsize {hash} \
             -sock {directory}/vde{taps}'"
        ))?;
        let last = self.ports.last().context("no ports")?;
        wait_until(Duration::from_secs(20), "vde_switch to make its TAPs", || self.switch.has_device(last))?;
        Ok(vec![process])
    }
}
