//! The kernel's bridge as a subject: br0 over four veths, each with a packet socket at its far end, and one
//! on br0 itself.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result};
use bridge::{EntryKind, PortState};
use frame::MacAddr;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{
    BridgeBooleanOptionFlags, BridgeBooleanOptions, BridgePortState, InfoBridge, InfoBridgePort,
    InfoPortData, LinkAttribute, LinkInfo,
};
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use testbed::wait_until;

use crate::generator::{AGEING, HOST_MAC};
use crate::netlink::Netlink;
use crate::step::{End, Entry, Flag, PORTS, Step};
use crate::subject::{Subject, View};
use crate::wires::{SOON, Wires};

/// A port that never goes down and that no frame leaves: br0 has a carrier only while some port forwards.
const KEEP: &str = "keep";

/// `NLM_F_BULK`, which makes of a deletion a flush (`linux/netlink.h`).
const NLM_F_BULK: u16 = 0x200;
/// `NDA_NDM_STATE_MASK` and `NDA_NDM_FLAGS_MASK` (`linux/neighbour.h`).
const STATE_MASK: u16 = 16;
const FLAGS_MASK: u16 = 17;
/// States of entries, as bits of that mask.
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;

/// The kernel's bridge.
#[derive(Debug)]
pub struct Kernel {
    wires: Wires,
    netlink: Netlink,
    /// The device of each end.
    devices: BTreeMap<End, u32>,
    /// The states that were set, which the kernel forgets when a link goes down.
    states: BTreeMap<u8, PortState>,
}

impl Kernel {
    /// Makes the namespaces, and a new bridge in them.
    ///
    /// # Errors
    /// The kernel refuses something, most likely for want of root.
    pub fn new() -> Result<Self> {
        let wires = Wires::new("kernel", 1..=PORTS)?;
        wires.switch.ip(&format!("link add {KEEP} type veth peer name {KEEP}-end"))?;
        wires.switch.ip(&format!("link set {KEEP}-end up"))?;
        let netlink = Netlink::open(&wires.switch)?;
        let mut kernel = Self { wires, netlink, devices: BTreeMap::new(), states: BTreeMap::new() };
        kernel.make_bridge()?;
        for end in End::all().skip(1) {
            kernel.wires.open(end)?;
        }
        Ok(kernel)
    }

    /// A new bridge in place of the old one, on the same wires.
    ///
    /// # Errors
    /// As [`Kernel::new`].
    pub fn renew(&mut self) -> Result<()> {
        self.wires.switch.ip("link del br0")?;
        for port in 1..=PORTS {
            self.wires.set_link(port, true)?;
            self.wires.set_mtu(port, crate::generator::MTU)?;
        }
        self.make_bridge()?;
        self.wires.receive().map(drop)
    }

    fn make_bridge(&mut self) -> Result<()> {
        let switch = &self.wires.switch;
        // With an address of its own br0 does not take that of a port.
        let ageing = AGEING / 10;
        switch.ip(&format!(
            "link add br0 address {HOST_MAC} type bridge mcast_snooping 0 ageing_time {ageing}"
        ))?;
        switch.ip("link set br0 up")?;
        let ports: Vec<String> = (1..=PORTS).map(|port| format!("p{port}")).collect();
        for device in ports.iter().map(String::as_str).chain([KEEP]) {
            switch.ip(&format!("link set {device} master br0 up"))?;
        }
        let off = "learning off flood off mcast_flood off bcast_flood off isolated on";
        switch.ip(&format!("link set {KEEP} type bridge_slave {off}"))?;
        self.states.clear();
        for end in End::all() {
            let index = switch.run(&format!("cat /sys/class/net/{end}/ifindex"))?;
            self.devices.insert(end, index.trim().parse()?);
        }
        for port in 1..=PORTS {
            self.wait_for_state(port, PortState::Forwarding)?;
        }
        wait_until(SOON, "br0 up", || {
            self.wires.switch.ip("-br link show br0").is_ok_and(|s| s.contains(" UP "))
        })?;
        self.wires.open(End::Host)
    }

    fn device(&self, end: End) -> u32 {
        self.devices.get(&end).copied().unwrap_or_default()
    }

    fn port_state(&self, port: u8) -> Option<BridgePortState> {
        let attributes = self.netlink.link(self.device(End::Port(port))).ok()?;
        let infos = attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => Some(infos),
            _ => None,
        })?;
        let data = infos.into_iter().find_map(|info| match info {
            LinkInfo::PortData(InfoPortData::BridgePort(data)) => Some(data),
            _ => None,
        })?;
        data.into_iter().find_map(|data| match data {
            InfoBridgePort::State(state) => Some(state),
            _ => None,
        })
    }

    fn wait_for_state(&self, port: u8, state: PortState) -> Result<()> {
        wait_until(SOON, &format!("p{port} {}", state.name()), || {
            self.port_state(port) == Some(kernel_state(state))
        })
    }

    fn set_port(&self, port: u8, setting: InfoBridgePort) -> Result<bool> {
        accepted(self.netlink.set_port(self.device(End::Port(port)), &setting))
    }

    fn set_bridge(&self, setting: InfoBridge) -> Result<bool> {
        accepted(self.netlink.set_bridge(self.device(End::Host), setting))
    }

    fn set_flag(&self, port: u8, flag: Flag, on: bool) -> Result<bool> {
        self.set_port(
            port,
            match flag {
                Flag::Learning => InfoBridgePort::Learning(on),
                Flag::Flood => InfoBridgePort::UnicastFlood(on),
                Flag::McastFlood => InfoBridgePort::MulticastFlood(on),
                Flag::BcastFlood => InfoBridgePort::BroadcastFlood(on),
                Flag::Hairpin => InfoBridgePort::HairpinMode(on),
                Flag::Isolated => InfoBridgePort::Isolated(on),
                Flag::Locked => InfoBridgePort::Locked(on),
                Flag::Mab => InfoBridgePort::Mab(on),
            },
        )
    }

    fn set_state(&mut self, port: u8, state: PortState) -> Result<bool> {
        self.states.insert(port, state);
        match self.netlink.set_port(self.device(End::Port(port)), &InfoBridgePort::State(kernel_state(state)))
        {
            // Of a port that is down it will be set when it is up.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(true),
            other => accepted(other),
        }
    }

    fn set_link(&mut self, port: u8, up: bool) -> Result<()> {
        self.wires.set_link(port, up)?;
        if !up {
            return self.wait_for_state(port, PortState::Disabled);
        }
        let state = self.states.get(&port).copied().unwrap_or(PortState::Forwarding);
        wait_until(SOON, &format!("p{port} is enabled"), || {
            self.port_state(port).is_some_and(|state| state != BridgePortState::Disabled)
                || self.states.get(&port) == Some(&PortState::Disabled)
        })?;
        self.set_state(port, state).map(drop)
    }

    fn neighbour(&self, mac: MacAddr, port: End) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.device(port);
        message.header.flags =
            if port == End::Host { NeighbourFlags::Own } else { NeighbourFlags::Controller };
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        message
    }

    fn make_entry(&self, mac: MacAddr, port: End, kind: EntryKind, replace: bool) -> Result<bool> {
        let mut message = self.neighbour(mac, port);
        message.header.state = match kind {
            EntryKind::Static | EntryKind::Sticky => NeighbourState::Noarp,
            EntryKind::Local => NeighbourState::Permanent,
            _ => NeighbourState::Reachable,
        };
        match kind {
            EntryKind::Sticky => message.header.flags |= NeighbourFlags::Sticky,
            EntryKind::External => message.header.flags |= NeighbourFlags::ExtLearned,
            _ => {}
        }
        let flags = NLM_F_CREATE | if replace { NLM_F_REPLACE } else { NLM_F_EXCL };
        accepted(self.netlink.order(RouteNetlinkMessage::NewNeighbour(message), flags))
    }

    fn flush(&self, port: Option<u8>, kind: Option<EntryKind>) -> Result<bool> {
        let Some(kind) = kind else {
            return match port {
                Some(port) => self.set_port(port, InfoBridgePort::Flush),
                None => self.set_bridge(InfoBridge::FdbFlush),
            };
        };
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.device(End::Host);
        message.header.flags = NeighbourFlags::Own;
        if let Some(port) = port {
            message.attributes.push(NeighbourAttribute::IfIndex(self.device(End::Port(port))));
        }
        let (states, flags) = match kind {
            EntryKind::Static => {
                message.header.state = NeighbourState::Noarp;
                (NUD_NOARP | NUD_PERMANENT, NeighbourFlags::Sticky)
            }
            EntryKind::Sticky => {
                message.header.flags |= NeighbourFlags::Sticky;
                (0, NeighbourFlags::Sticky)
            }
            EntryKind::External => {
                message.header.flags |= NeighbourFlags::ExtLearned;
                (0, NeighbourFlags::ExtLearned)
            }
            _ => return Ok(false),
        };
        let mask = |kind, bytes: &[u8]| NeighbourAttribute::Other(DefaultNla::new(kind, bytes.to_vec()));
        if states != 0 {
            message.attributes.push(mask(STATE_MASK, &u16::to_ne_bytes(states)));
        }
        message.attributes.push(mask(FLAGS_MASK, &[flags.bits()]));
        accepted(self.netlink.order(RouteNetlinkMessage::DelNeighbour(message), NLM_F_BULK))
    }

    /// An entry as the suite speaks of it; of those that the devices bring along only br0's.
    fn entry(&self, message: &NeighbourMessage) -> Option<(Entry, Option<u64>)> {
        let flags = message.header.flags;
        let br0 = self.device(End::Host);
        let of_bridge = message.attributes.contains(&NeighbourAttribute::Controller(br0));
        let port = *self.devices.iter().find(|(_, index)| **index == message.header.ifindex)?.0;
        // Of the bridge itself the entries have no master, and the device's own lists are no FDB.
        if !of_bridge && port != End::Host {
            return None;
        }
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
            _ => None,
        })?;
        if mac.is_group() {
            return None;
        }
        let locked = message.attributes.iter().any(|attribute| {
            matches!(attribute, NeighbourAttribute::ExtFlags(flags) if flags.contains(NeighbourExtFlags::Locked))
        });
        let kind = match message.header.state {
            _ if flags.contains(NeighbourFlags::ExtLearned) => EntryKind::External,
            _ if flags.contains(NeighbourFlags::Sticky) => EntryKind::Sticky,
            NeighbourState::Permanent => EntryKind::Local,
            NeighbourState::Noarp => EntryKind::Static,
            _ if locked => EntryKind::Locked,
            _ => EntryKind::Dynamic,
        };
        let age = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::CacheInfo(info) => Some(u64::from(info.updated) * 10),
            _ => None,
        });
        let ages = matches!(kind, EntryKind::Dynamic | EntryKind::Locked);
        Some((Entry { mac, port, kind }, age.filter(|_| ages)))
    }
}

/// Whether a command was carried out; a refusal is an answer, anything else is not.
fn accepted(result: io::Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error().is_some() => Ok(false),
        Err(error) => Err(error).context("rtnetlink"),
    }
}

fn kernel_state(state: PortState) -> BridgePortState {
    match state {
        PortState::Disabled => BridgePortState::Disabled,
        PortState::Blocking => BridgePortState::Blocking,
        PortState::Listening => BridgePortState::Listening,
        PortState::Learning => BridgePortState::Learning,
        PortState::Forwarding => BridgePortState::Forwarding,
    }
}

impl Subject for Kernel {
    fn name(&self) -> &'static str {
        "Linux"
    }

    fn apply(&mut self, step: &Step) -> Result<bool> {
        match *step {
            Step::Frame { from, ref bytes } => self.wires.send(from, bytes).map(|()| true),
            Step::Flag { port, flag, on } => self.set_flag(port, flag, on),
            Step::State { port, state } => self.set_state(port, state),
            Step::Mask { port: Some(port), mask } => self.set_port(port, InfoBridgePort::GroupFwdMask(mask)),
            Step::Mask { port: None, mask } => self.set_bridge(InfoBridge::GroupFwdMask(mask)),
            Step::Backup { port, backup } => {
                let backup = backup.map_or(0, |backup| self.device(End::Port(backup)));
                self.set_port(port, InfoBridgePort::BackupPort(backup))
            }
            Step::Ageing { ms } => self.set_bridge(InfoBridge::AgeingTime((ms / 10) as u32)),
            Step::NoLinklocalLearn { on } => {
                let mask = BridgeBooleanOptionFlags::NoLinkLocalLearn;
                let value = if on { mask } else { BridgeBooleanOptionFlags::empty() };
                self.set_bridge(InfoBridge::MultiBoolOpt(BridgeBooleanOptions { value, mask }))
            }
            Step::MaxLearned { max } => self.set_bridge(InfoBridge::FdbMaxLearned(max)),
            Step::Promisc { on } => {
                let on = if on { "on" } else { "off" };
                self.wires.switch.ip(&format!("link set br0 promisc {on}")).map(|_| true)
            }
            Step::Entry { mac, port, kind, replace } => self.make_entry(mac, port, kind, replace),
            Step::Delete { mac, port } => {
                accepted(self.netlink.order(RouteNetlinkMessage::DelNeighbour(self.neighbour(mac, port)), 0))
            }
            Step::Flush { port, kind } => self.flush(port, kind),
            Step::Link { port, up } => self.set_link(port, up).map(|()| true),
            Step::Mtu { port, mtu } => self.wires.set_mtu(port, mtu).map(|()| true),
            Step::Wait { .. } => Ok(true),
        }
    }

    fn view(&mut self) -> Result<View> {
        let mut view = View { frames: self.wires.receive()?, ..View::default() };
        for message in self.netlink.fdb()? {
            let Some((entry, age)) = self.entry(&message) else { continue };
            view.ages.extend(age.map(|age| (entry.mac, age)));
            view.fdb.push(entry);
        }
        view.fdb.sort_unstable();
        Ok(view)
    }
}
