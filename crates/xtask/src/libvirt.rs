//! `cargo xtask libvirt`: a virtual machine of libvirt on a switch, both as the documentation shows them: booted, pinged,
//! rebooted, pinged, killed in the midst of a flood and started again, many times; in the end the switch holds no more than
//! at first.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use control::types::FdbFilter;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::libvirt::NO_VECTORS;
use testbed::{End, Libvirt, Namespace, Process, Switchd, page, ping, veth, wait_until};

use crate::interrupt::Interrupt;
use crate::leaks::{self, Held};

/// What a reader of the pages follows.
const TAP: &str = include_str!("../../../docs/machines.md");
const SHARED_MEMORY: &str = include_str!("../../../docs/vhost-user.md");

/// The socket that the second one names.
const SOCKET: &str = "/run/switchd/switchd/vm1.sock";

const DOMAIN: &str = "guest";
const GUEST: &str = "198.18.0.2";

/// Ample time for a port to come and go, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// How often.
#[derive(Debug, Args)]
pub(crate) struct Cycles {
    /// Starts of the virtual machine
    #[arg(long, default_value_t = 50)]
    cycles: u32,
    /// The machine shares its memory, instead of a TAP
    #[arg(long)]
    vhost_user: bool,
    /// The switchd to test [default: a release build of this workspace]
    #[arg(long)]
    switchd: Option<PathBuf>,
}

/// In the order in which it is taken down.
struct Picture {
    libvirt: Libvirt,
    /// One for all questions, so that it is among the descriptors from the first to the last.
    client: control::Client,
    switchd: Switchd,
    outside: Namespace,
    host: Namespace,
    /// Of the port that shares memory, if there is one.
    socket: Option<TempDir>,
}

/// Runs the cycles and shows what the switch holds after some of them.
pub(crate) fn run(options: &Cycles) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let mut picture = Picture::build(&crate::run::switchd(options.switchd.as_deref())?, options.vhost_user)?;
    let mut first: Option<Held> = None;
    for cycle in 1..=options.cycles {
        let started = Instant::now();
        let port = interrupt.or(picture.cycle())?;
        let seconds = started.elapsed().as_secs_f32();
        let first = match &first {
            Some(first) => first,
            None => first.insert(picture.held()?),
        };
        let held = picture.no_more_than(first)?;
        println!("start {cycle} on {port}, {seconds:.1} s: {held:?}");
    }
    println!("{} starts, reboots and ends of a virtual machine left nothing over", options.cycles);
    Ok(())
}

impl Picture {
    fn build(switchd: &Path, vhost_user: bool) -> Result<Self> {
        let section = page::section(if vhost_user { SHARED_MEMORY } else { TAP }, "libvirt")?;
        let (host, outside) = (Namespace::new("host")?, Namespace::new("outside")?);
        veth(End::new(&host, "eth0"), End::new(&outside, "eth0").address("198.18.0.1/24"))?;
        let socket = vhost_user.then(tempfile::tempdir).transpose()?;
        let in_place = |text: &str| match &socket {
            Some(directory) => text.replace(SOCKET, &directory.path().join("vm1.sock").display().to_string()),
            None => text.to_owned(),
        };
        let config = in_place(page::block(section, "toml", 0)?);
        let switchd = Switchd::launch(switchd, &host, Some(&config), &[])?.forwarding()?;
        let libvirt = Libvirt::start(&host)?;
        let (rest, interface) = match vhost_user {
            true => {
                (page::block(section, "xml", 0)?.to_owned() + NO_VECTORS, page::block(section, "xml", 1)?)
            }
            false => (String::new(), page::block(section, "xml", 0)?),
        };
        libvirt.define(DOMAIN, &in_place(interface), &rest, &format!("{GUEST}/24"))?;
        let client = switchd.control()?;
        Ok(Self { libvirt, client, switchd, outside, host, socket })
    }

    /// One life of the virtual machine, on the port that is returned.
    fn cycle(&mut self) -> Result<String> {
        self.libvirt.boot(DOMAIN)?;
        let port =
            self.ports()?.into_iter().find(|name| name != "uplink").context("no port for the machine")?;
        self.pings(&port)?;
        self.libvirt.reboot(DOMAIN)?;
        self.pings(&port)?;
        let mut flood = self.outside.command("ping");
        flood.args(["-q", "-f", "-w", "20", GUEST]);
        let mut flood = Process::start(flood)?;
        self.kill()?;
        flood.kill9()?;
        let goes = if self.socket.is_some() { "its link goes down" } else { "it goes with its TAP" };
        wait_until(SOON, &format!("port {port}: {goes}"), || self.is_gone(&port))?;
        Ok(port)
    }

    /// SIGKILL to QEMU.
    fn kill(&self) -> Result<()> {
        let pid = self.libvirt.pid(DOMAIN)?;
        kill_process(Pid::from_raw(pid).context("no process")?, Signal::KILL)?;
        wait_until(SOON, "libvirt has noticed", || {
            self.libvirt.virsh(&format!("domstate {DOMAIN}")).is_ok_and(|state| state.trim() == "shut off")
        })
    }

    fn is_gone(&mut self, port: &str) -> bool {
        if self.socket.is_none() {
            return self.ports().is_ok_and(|ports| ports == ["uplink"]);
        }
        let shown = self.client.show_port(port);
        shown.is_ok_and(|shown| shown.device.is_none_or(|device| !device.up))
    }

    fn ports(&mut self) -> Result<Vec<String>> {
        let ports = self.client.show_ports(None)?;
        Ok(ports.into_iter().map(|port| port.name).collect())
    }

    /// The outside reaches the guest, and by this port.
    fn pings(&mut self, port: &str) -> Result<()> {
        let pings = ping(&self.outside, GUEST, 5)?;
        ensure!(pings.lost() == 0, "of {} pings to the guest {} are lost", pings.sent, pings.lost());
        let filter = FdbFilter { port: Some(port.to_owned()), ..FdbFilter::default() };
        let behind = self.client.show_fdb(&filter)?;
        ensure!(!behind.is_empty(), "nobody is known behind {port}");
        Ok(())
    }

    /// What it holds, once that is no more than it was before: what has ended is given back a moment later.
    fn no_more_than(&mut self, before: &Held) -> Result<Held> {
        let mut held = self.held()?;
        let settled = wait_until(SOON, "everything is given back", || {
            let looked = self.held().map(|now| held = now);
            looked.is_ok() && leaks::compare(before, &held).is_ok()
        });
        settled.and_then(|()| leaks::compare(before, &held)).with_context(|| format!("{held:?}"))?;
        Ok(held)
    }

    /// The outside's own address stays known: it speaks in every cycle.
    fn held(&mut self) -> Result<Held> {
        let mut held = leaks::held(self.switchd.id(), &self.host)?;
        held.insert("ports", self.ports()?.len() as u64);
        held.insert("entries", self.client.show_fdb(&FdbFilter::default())?.len() as u64);
        Ok(held)
    }
}
