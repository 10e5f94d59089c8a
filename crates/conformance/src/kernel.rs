//! The kernel's bridge as a subject: br0 over four veths, each with a packet socket at its far end, and one
//! on br0 itself.

mod fdb;
mod vlan;

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result};
use bridge::PortState;
use frame::MacAddr;
use netlink_packet_route::link::{
    BridgeBooleanOptionFlags, BridgeBooleanOptions, BridgePortState, InfoBridge, InfoBridgePort,
    InfoPortData, LinkAttribute, LinkInfo,
};
use testbed::wait_until;

use crate::generator::{AGEING, HOST_MAC, MTU};
use crate::netlink::Netlink;
use crate::step::{End, Flag, Member, PORTS, Step, Tags};
use crate::subject::{Subject, View};
use crate::wires::{SOON, Wires};

/// In the addresses of the ports' own devices, which are none of the stations.
const DEVICES: u8 = 3;

/// A port that never goes down and that no frame leaves: br0 has a carrier only while some port forwards.
const KEEP: &str = "keep";

/// The kernel's bridge.
#[derive(Debug)]
pub struct Kernel {
    wires: Wires,
    netlink: Netlink,
    /// The device of each end.
    devices: BTreeMap<End, u32>,
    /// The states that were set, which the kernel forgets when a link goes down.
    states: BTreeMap<u8, PortState>,
    tags: Tags,
    /// The bridge's setting.
    filtering: bool,
    /// The VLANs of all ports as they were last seen, and whether a frame is all that came since.
    members: Vec<Member>,
    only_frames: bool,
}

impl Kernel {
    /// Makes the namespaces, and a new bridge in them.
    ///
    /// # Errors
    /// The kernel refuses something, most likely for want of root.
    pub fn new(tags: Tags) -> Result<Self> {
        let wires = Wires::new("kernel", 1..=PORTS)?;
        for port in 1..=PORTS {
            wires.switch.ip(&format!("link set p{port} address {}", MacAddr([2, 0, 0, 0, DEVICES, port])))?;
        }
        wires.switch.ip(&format!("link add {KEEP} type veth peer name {KEEP}-end"))?;
        wires.switch.ip(&format!("link set {KEEP}-end up"))?;
        let netlink = Netlink::open(&wires.switch)?;
        let (devices, states) = (BTreeMap::new(), BTreeMap::new());
        let mut kernel = Self {
            wires,
            netlink,
            devices,
            states,
            tags,
            filtering: false,
            members: Vec::new(),
            only_frames: false,
        };
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
        let ports = (1..=PORTS).map(|port| format!("link set p{port} up mtu {MTU}"));
        self.wires
            .switch
            .ip_batch(&["link del br0".to_owned()].into_iter().chain(ports).collect::<Vec<_>>())?;
        self.make_bridge()?;
        self.wires.receive().map(drop)
    }

    fn make_bridge(&mut self) -> Result<()> {
        let switch = &self.wires.switch;
        // With an address of its own br0 does not take that of a port.
        let ageing = AGEING / 10;
        self.filtering = self.tags == Tags::Vlans;
        // Not every kernel knows the option, even to say no.
        let filtering = if self.filtering { " vlan_filtering 1" } else { "" };
        // A timer of the kernel's would set a port that is learning to forwarding, so long after its link came up.
        let options = format!("mcast_snooping 0 forward_delay 0 ageing_time {ageing}{filtering}");
        let mut lines = vec![
            format!("link add br0 address {HOST_MAC} type bridge {options}"),
            "link set br0 up".to_owned(),
            format!("link set {KEEP} master br0 up"),
        ];
        lines.extend((1..=PORTS).map(|port| format!("link set p{port} master br0 up")));
        let off = "learning off flood off mcast_flood off bcast_flood off isolated on";
        lines.push(format!("link set {KEEP} type bridge_slave {off}"));
        switch.ip_batch(&lines)?;
        self.states.clear();
        let files: Vec<String> = End::all().map(|end| format!("/sys/class/net/{end}/ifindex")).collect();
        let indices = switch.run(&format!("cat {}", files.join(" ")))?;
        for (end, index) in End::all().zip(indices.lines()) {
            self.devices.insert(end, index.trim().parse()?);
        }
        for port in 1..=PORTS {
            self.wait_for_state(port, PortState::Forwarding)?;
        }
        wait_until(SOON, "br0 up", || {
            self.wires.switch.ip("-br link show br0").is_ok_and(|s| s.contains(" UP "))
        })?;
        self.only_frames = false;
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
        self.only_frames = matches!(step, Step::Frame { .. });
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
            Step::Entry { mac, vlan, port, kind, replace } => {
                self.make_entry((mac, vlan), port, kind, replace)
            }
            Step::Delete { mac, vlan, port } => self.delete_entry((mac, vlan), port),
            Step::Flush { port, kind } => self.flush(port, kind),
            Step::Link { port, up } => self.set_link(port, up).map(|()| true),
            Step::Mtu { port, mtu } => self.wires.set_mtu(port, mtu).map(|()| true),
            Step::Wait { .. } => Ok(true),
            Step::VlanFiltering { on } => {
                self.filtering = on;
                self.set_bridge(InfoBridge::VlanFiltering(on))
            }
            Step::VlanProtocol { protocol } => self.set_protocol(protocol),
            Step::DefaultPvid { vid } => self.set_default_pvid(vid),
            Step::JoinVlan { port, vid, membership } => self.join(port, vid, membership),
            Step::LeaveVlan { port, vid } => self.leave(port, vid),
            Step::VlanState { port, vid, state } => self.set_vlan_state(port, vid, state),
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
        if self.tags == Tags::Vlans {
            if !self.only_frames {
                self.members = self.members()?;
            }
            view.vlans.clone_from(&self.members);
        }
        Ok(view)
    }
}
