//! switchd as a subject, in the shape in which it ships: the process, its control socket, two raw ports on
//! veths or two that share memory, two TAPs, and the host's own port.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bridge::{EntryKind, Membership, PortState, VlanProtocol};
use control::types::{self, BridgeChange, FdbFilter, NewFdbEntry, NewVlans, PortChange};
use control::{Client, ClientError};
use frame::{MacAddr, Vid};
use tempfile::TempDir;
use testbed::{Switchd, wait_until};

use crate::differences::RAW;
use crate::generator::{AGEING, HOST_MAC, MTU};
use crate::step::{End, Entry, Flag, Member, PORTS, Step, Tags};
use crate::subject::{Subject, View};
use crate::wires::{SOON, Wires};

/// What the first ports are; the others are TAPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// `raw`, on veths.
    Veths,
    /// `vhost-user`, with cards.
    Cards,
}

/// What there is of a switchd.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Whether VLANs are told apart.
    pub tags: Tags,
    /// What its first ports are.
    pub first: First,
    /// Threads that forward.
    pub workers: usize,
}

/// A running switchd.
#[derive(Debug)]
pub struct Daemon {
    wires: Wires,
    shape: Shape,
    /// Of ports that share memory.
    sockets: TempDir,
    switchd: Switchd,
    client: Client,
    /// The VLANs of all ports as they were last seen, and whether a frame is all that came since.
    members: Vec<Member>,
    only_frames: bool,
    /// As it was set last: locking a port turns it on, unlike in Linux.
    no_linklocal_learn: bool,
}

impl Daemon {
    /// Makes the namespaces and starts it.
    ///
    /// # Errors
    /// The kernel refuses something, most likely for want of root, or switchd does not start.
    pub fn new(shape: Shape) -> Result<Self> {
        let veths = if shape.first == First::Veths { RAW } else { 0 };
        let mut wires = Wires::new("switchd", 1..=veths)?;
        for tap in (RAW + 1..=PORTS).map(|port| End::Port(port).to_string()).chain([End::Host.to_string()]) {
            let queues = if shape.workers > 1 { "multi_queue" } else { "" };
            wires.switch.ip(&format!("tuntap add {tap} mode tap {queues}"))?;
            wires.switch.ip(&format!("link set {tap} address {HOST_MAC} up"))?;
        }
        for end in
            End::all().filter(|end| !matches!(end, End::Port(port) if (veths + 1..=RAW).contains(port)))
        {
            wires.open(end)?;
        }
        let sockets = tempfile::tempdir()?;
        let (switchd, client) = start(&mut wires, shape, sockets.path())?;
        Ok(Self {
            wires,
            shape,
            sockets,
            switchd,
            client,
            members: Vec::new(),
            only_frames: false,
            no_linklocal_learn: false,
        })
    }

    /// What its first ports are.
    pub(crate) fn first(&self) -> First {
        self.shape.first
    }

    /// A new process in place of the old one, on the same wires.
    ///
    /// # Errors
    /// As [`Daemon::new`].
    pub fn renew(&mut self) -> Result<()> {
        ensure!(
            self.switchd.terminate()?.success(),
            "switchd ended badly:\n{}",
            self.switchd.log().join("\n")
        );
        let devices = if self.first() == First::Veths { 1..=PORTS } else { RAW + 1..=PORTS };
        let ports: Vec<String> = devices.map(|port| format!("link set p{port} up mtu {MTU}")).collect();
        self.wires.switch.ip_batch(&ports)?;
        (self.only_frames, self.no_linklocal_learn) = (false, false);
        (self.switchd, self.client) = start(&mut self.wires, self.shape, self.sockets.path())?;
        self.wires.receive().map(drop)
    }

    fn wait_for_device(&mut self, port: u8, what: &str, so: impl Fn(&types::Device) -> bool) -> Result<()> {
        let mut failed = None;
        wait_until(SOON, &format!("switchd sees p{port} {what}"), || {
            match self.client.show_port(&format!("p{port}")) {
                Ok(shown) => shown.device.is_some_and(|device| so(&device)),
                Err(error) => {
                    failed = Some(error);
                    true
                }
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn set_port(&mut self, end: End, change: PortChange) -> Result<bool> {
        accepted(self.client.set_port(&end.to_string(), &change))
    }

    fn set_bridge(&mut self, change: BridgeChange) -> Result<bool> {
        accepted(self.client.set_bridge(&change))
    }

    fn set_flag(&mut self, port: u8, flag: Flag, on: bool) -> Result<bool> {
        let (mut change, on) = (PortChange::default(), Some(on));
        *match flag {
            Flag::Learning => &mut change.learning,
            Flag::Flood => &mut change.flood,
            Flag::McastFlood => &mut change.mcast_flood,
            Flag::BcastFlood => &mut change.bcast_flood,
            Flag::Hairpin => &mut change.hairpin,
            Flag::Isolated => &mut change.isolated,
            Flag::Locked => &mut change.locked,
            Flag::Mab => &mut change.mab,
        } = on;
        let set = self.set_port(End::Port(port), change)?;
        if flag != Flag::Locked {
            return Ok(set);
        }
        let no_linklocal_learn = Some(self.no_linklocal_learn);
        self.set_bridge(BridgeChange { no_linklocal_learn, ..BridgeChange::default() })?;
        Ok(set)
    }

    fn make_entry(
        &mut self,
        (mac, vlan): (MacAddr, Option<Vid>),
        port: End,
        kind: EntryKind,
        replace: bool,
    ) -> Result<bool> {
        let kind = wire_kind(kind).context("no kind that a user makes")?;
        let (mac, vlan) = (mac.to_string(), vlan.map(Vid::get));
        let entry = NewFdbEntry { mac, port: Some(port.to_string()), kind, vlan };
        accepted(if replace { self.client.replace_fdb(&entry) } else { self.client.add_fdb(&entry) })
    }

    fn members(&mut self) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for shown in self.client.show_vlans(None)? {
            let membership = Membership { pvid: shown.pvid, untagged: shown.untagged, wire: None };
            let (port, vid) = (end_of(&shown.port)?, Vid::new(shown.vid).context("no VLAN")?);
            members.push(Member { port, vid, membership });
        }
        members.sort_unstable();
        Ok(members)
    }
}

fn start(wires: &mut Wires, shape: Shape, sockets: &Path) -> Result<(Switchd, Client)> {
    let Shape { tags, first, workers } = shape;
    let filtering = tags == Tags::Vlans;
    let mut config = format!(
        "[bridge]\nageing_time = \"{AGEING}ms\"\nvlan_filtering = {filtering}\nworkers = {workers}\n\
         [ports.br0]\ntype = \"tap\"\nhost = true\n"
    );
    for port in 1..=PORTS {
        let kind = match first {
            _ if port > RAW => "type = \"tap\"".to_owned(),
            First::Veths => "type = \"raw\"\nexclusive = true".to_owned(),
            First::Cards => format!("type = \"vhost-user\"\nsocket = \"{}/p{port}\"", sockets.display()),
        };
        config += &format!("[ports.p{port}]\n{kind}\n");
    }
    let switchd = Switchd::start(&wires.switch, &config)?;
    if first == First::Cards {
        (1..=RAW).try_for_each(|port| wires.connect(port, &sockets.join(format!("p{port}"))))?;
    }
    let mut client = switchd.control()?;
    let mut ready = || -> Result<bool, ClientError> {
        let up = |port: &types::Port| port.device.as_ref().is_some_and(|device| device.up);
        let entries = client.show_fdb(&FdbFilter::default())?;
        Ok(client.show_ports(None)?.iter().all(up)
            && entries.iter().any(|entry| entry.mac == HOST_MAC.to_string()))
    };
    wait_until(SOON, "all ports of switchd are up", || ready().unwrap_or(false))?;
    Ok((switchd, client))
}

fn end_of(port: &str) -> Result<End> {
    End::all().find(|end| end.to_string() == port).context("no such port")
}

/// Whether a command was carried out; a refusal is an answer, anything else is not.
fn accepted(result: Result<(), ClientError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(ClientError::Refused(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The same kind in the words of the control interface.
fn wire_kind(kind: EntryKind) -> Option<types::EntryKind> {
    types::EntryKind::ALL.into_iter().find(|(name, _)| *name == kind.name()).map(|(_, kind)| kind)
}

fn core_kind(kind: types::EntryKind) -> EntryKind {
    match kind {
        types::EntryKind::Dynamic => EntryKind::Dynamic,
        types::EntryKind::Locked => EntryKind::Locked,
        types::EntryKind::Static => EntryKind::Static,
        types::EntryKind::Sticky => EntryKind::Sticky,
        types::EntryKind::ExternLearn => EntryKind::External,
        types::EntryKind::Local => EntryKind::Local,
        types::EntryKind::Blackhole => EntryKind::Blackhole,
    }
}

fn wire_state(state: PortState) -> Option<types::PortState> {
    types::PortState::ALL.into_iter().find(|(name, _)| *name == state.name()).map(|(_, state)| state)
}

impl Subject for Daemon {
    fn name(&self) -> &'static str {
        "switchd"
    }

    fn apply(&mut self, step: &Step) -> Result<bool> {
        self.only_frames = matches!(step, Step::Frame { .. });
        let plain = PortChange::default();
        let bridge = BridgeChange::default();
        match *step {
            Step::Frame { from, ref bytes } => self.wires.send(from, bytes).map(|()| true),
            Step::Flag { port, flag, on } => self.set_flag(port, flag, on),
            Step::State { port, state } => {
                self.set_port(End::Port(port), PortChange { state: wire_state(state), ..plain })
            }
            Step::Mask { port: Some(port), mask } => {
                self.set_port(End::Port(port), PortChange { group_fwd_mask: Some(mask), ..plain })
            }
            Step::Mask { port: None, mask } => {
                self.set_bridge(BridgeChange { group_fwd_mask: Some(mask), ..bridge })
            }
            Step::Backup { port, backup } => {
                let backup = backup.map_or_else(String::new, |backup| End::Port(backup).to_string());
                self.set_port(End::Port(port), PortChange { backup_port: Some(backup), ..plain })
            }
            Step::Ageing { ms } => self.set_bridge(BridgeChange { ageing_time: Some(ms), ..bridge }),
            Step::NoLinklocalLearn { on } => {
                self.no_linklocal_learn = on;
                self.set_bridge(BridgeChange { no_linklocal_learn: Some(on), ..bridge })
            }
            Step::MaxLearned { max } => {
                self.set_bridge(BridgeChange { fdb_max_learned: Some(max), ..bridge })
            }
            Step::Promisc { on } => self.set_port(End::Host, PortChange { promisc: Some(on), ..plain }),
            Step::Entry { mac, vlan, port, kind, replace } => {
                self.make_entry((mac, vlan), port, kind, replace)
            }
            Step::Delete { mac, vlan: None, port } => {
                accepted(self.client.delete_fdb(&mac.to_string(), Some(&port.to_string())))
            }
            Step::Delete { mac, vlan, port } => {
                let (mac, port) = (mac.to_string(), port.to_string());
                accepted(self.client.delete_fdb_in(&mac, Some(&port), vlan.map(Vid::get)))
            }
            Step::Flush { port, kind } => {
                let port = port.map(|port| End::Port(port).to_string());
                let flushed = self.client.flush_fdb(port.as_deref(), kind.and_then(wire_kind), None);
                accepted(flushed.map(drop))
            }
            Step::Link { port, up } => {
                self.wires.set_link(port, up)?;
                self.wait_for_device(port, "change", |device| device.up == up).map(|()| true)
            }
            Step::Mtu { port, mtu } => {
                self.wires.set_mtu(port, mtu)?;
                self.wait_for_device(port, "change", |device| device.mtu == mtu).map(|()| true)
            }
            Step::Wait { .. } => Ok(true),
            Step::VlanFiltering { on } => {
                self.set_bridge(BridgeChange { vlan_filtering: Some(on), ..bridge })
            }
            Step::VlanProtocol { protocol } => {
                let protocol = match protocol {
                    VlanProtocol::Dot1q => types::VlanProtocol::Dot1q,
                    VlanProtocol::Dot1ad => types::VlanProtocol::Dot1ad,
                };
                self.set_bridge(BridgeChange { vlan_protocol: Some(protocol), ..bridge })
            }
            Step::DefaultPvid { vid } => {
                let default_pvid = Some(vid.map_or(0, Vid::get));
                self.set_bridge(BridgeChange { default_pvid, ..bridge })
            }
            Step::JoinVlan { port, vid, membership: Membership { pvid, untagged, .. } } => {
                let (port, vid) = (port.to_string(), vid.get());
                accepted(self.client.add_vlans(&NewVlans {
                    port,
                    vid,
                    last: None,
                    pvid,
                    untagged,
                    wire: None,
                }))
            }
            Step::LeaveVlan { port, vid } => {
                accepted(self.client.delete_vlans(&port.to_string(), vid.get(), vid.get()))
            }
            Step::VlanState { .. } => bail!("switchd has no command for the state of a VLAN"),
        }
    }

    fn view(&mut self) -> Result<View> {
        let mut view = View::default();
        // Asked first: each worker answers between two turns, so what came in before has gone out by then.
        if self.shape.workers > 1 {
            self.client.show_ports(None)?;
        }
        for shown in self.client.show_fdb(&FdbFilter::default())? {
            let mac: MacAddr = shown.mac.parse().ok().context("no address")?;
            let port = end_of(&shown.port.context("an entry without a port")?)?;
            let vlan = shown.vlan.and_then(Vid::new);
            view.fdb.push(Entry { mac, port, kind: core_kind(shown.kind), vlan });
            view.ages.extend(shown.age.map(|age| (mac, age)));
        }
        view.fdb.sort_unstable();
        if self.shape.tags == Tags::Vlans {
            if !self.only_frames {
                self.members = self.members()?;
            }
            view.vlans.clone_from(&self.members);
        }
        view.frames = self.wires.receive()?;
        Ok(view)
    }

    fn account(&mut self) -> String {
        let ports = self.client.show_ports(None).unwrap_or_default();
        let line = |port: &types::Port| {
            let drops: Vec<String> =
                port.drops.iter().map(|drop| format!("{} {}", drop.reason, drop.frames)).collect();
            let (counted, lost) = (port.counters, port.kernel.socket_lost);
            let types::Counters { rx_frames, copies, tx_frames, .. } = counted;
            let name = &port.name;
            format!(
                "{name}: rx {rx_frames} copies {copies} tx {tx_frames} socket_lost {lost} {}\n",
                drops.join(", ")
            )
        };
        ports.iter().map(line).collect()
    }

    /// Every frame was handed on or dropped for one reason, every copy sent or dropped for one.
    fn finish(&mut self) -> Result<()> {
        let sides = self.client.show_drops(None)?;
        for port in self.client.show_ports(None)? {
            let dropped = |side: &str| -> u64 {
                let of_side = |drop: &&types::DropCount| {
                    sides.iter().any(|reason| reason.reason == drop.reason && reason.side == side)
                };
                port.drops.iter().filter(of_side).map(|drop| drop.frames).sum()
            };
            let counters = &port.counters;
            let whole = counters.rx_frames == counters.forwarded + dropped("ingress")
                && counters.copies == counters.tx_frames + dropped("egress");
            ensure!(whole, "{}: {counters:?} and {:?}", port.name, port.drops);
            ensure!(port.kernel.socket_lost == 0, "{}: {:?}", port.name, port.kernel);
        }
        Ok(())
    }
}
