//! VLANs of the kernel's bridge: commands as `bridge vlan` sends them, and what it shows.

use anyhow::{Context, Result};
use bridge::{Membership, PortState, VlanProtocol};
use frame::Vid;
use netlink_packet_route::link::{self, BridgeVlanInfo, BridgeVlanInfoFlags, InfoBridge};

use super::{Kernel, accepted};
use crate::step::{End, Member};

impl Kernel {
    pub(super) fn set_protocol(&self, protocol: VlanProtocol) -> Result<bool> {
        self.set_bridge(InfoBridge::VlanProtocol(match protocol {
            VlanProtocol::Dot1q => link::VlanProtocol::Ieee8021Q,
            VlanProtocol::Dot1ad => link::VlanProtocol::Ieee8021Ad,
        }))
    }

    /// The kernel changes it only while VLANs are not told apart.
    pub(super) fn set_default_pvid(&self, vid: Option<Vid>) -> Result<bool> {
        if self.filtering {
            self.set_bridge(InfoBridge::VlanFiltering(false))?;
        }
        let set = self.set_bridge(InfoBridge::VlanDefaultPvid(vid.map_or(0, Vid::get)))?;
        if self.filtering {
            self.set_bridge(InfoBridge::VlanFiltering(true))?;
        }
        Ok(set)
    }

    pub(super) fn join(&self, port: End, vid: Vid, membership: Membership) -> Result<bool> {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, membership.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, membership.untagged);
        let info = BridgeVlanInfo { flags, vid: vid.get() };
        accepted(self.netlink.add_vlan(self.device(port), port == End::Host, info))
    }

    pub(super) fn leave(&self, port: End, vid: Vid) -> Result<bool> {
        let info = BridgeVlanInfo { flags: BridgeVlanInfoFlags::empty(), vid: vid.get() };
        accepted(self.netlink.delete_vlan(self.device(port), port == End::Host, info))
    }

    /// A process for each: this has a message type of its own, which the crate does not know.
    pub(super) fn set_vlan_state(&self, port: u8, vid: Vid, state: PortState) -> Result<bool> {
        let number = match state {
            PortState::Disabled => 0,
            PortState::Listening => 1,
            PortState::Learning => 2,
            PortState::Forwarding => 3,
            PortState::Blocking => 4,
        };
        Ok(self.wires.switch.run(&format!("bridge vlan set vid {vid} dev p{port} state {number}")).is_ok())
    }

    pub(super) fn members(&self) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for (index, info) in self.netlink.vlans().context("the VLANs of all ports")? {
            let Some((port, _)) = self.devices.iter().find(|(_, device)| **device == index) else { continue };
            let membership = Membership {
                pvid: info.flags.contains(BridgeVlanInfoFlags::Pvid),
                untagged: info.flags.contains(BridgeVlanInfoFlags::Untagged),
                wire: None,
            };
            members.push(Member { port: *port, vid: Vid::new(info.vid).context("no VLAN")?, membership });
        }
        members.sort_unstable();
        Ok(members)
    }
}
