//! The kernel's FDB: commands as `bridge fdb` sends them, and what it shows.

use anyhow::Result;
use bridge::EntryKind;
use frame::{MacAddr, Vid};
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{InfoBridge, InfoBridgePort};
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{DEVICES, Kernel, accepted};
use crate::generator::HOST_MAC;
use crate::step::{End, Entry};

/// `NLM_F_BULK`, which makes of a deletion a flush (`linux/netlink.h`).
const NLM_F_BULK: u16 = 0x200;
/// `NDA_NDM_STATE_MASK` and `NDA_NDM_FLAGS_MASK` (`linux/neighbour.h`).
const STATE_MASK: u16 = 16;
const FLAGS_MASK: u16 = 17;
/// States of entries, as bits of that mask.
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;

/// An address, in one VLAN or in all.
type Address = (MacAddr, Option<Vid>);

impl Kernel {
    fn neighbour(&self, (mac, vlan): Address, port: End) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.device(port);
        message.header.flags =
            if port == End::Host { NeighbourFlags::Own } else { NeighbourFlags::Controller };
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        message.attributes.extend(vlan.map(|vlan| NeighbourAttribute::Vlan(vlan.get())));
        message
    }

    pub(super) fn delete_entry(&self, address: Address, port: End) -> Result<bool> {
        accepted(self.netlink.order(RouteNetlinkMessage::DelNeighbour(self.neighbour(address, port)), 0))
    }

    pub(super) fn make_entry(
        &self,
        address: Address,
        port: End,
        kind: EntryKind,
        replace: bool,
    ) -> Result<bool> {
        let mut message = self.neighbour(address, port);
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

    pub(super) fn flush(&self, port: Option<u8>, kind: Option<EntryKind>) -> Result<bool> {
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
    pub(super) fn entry(&self, message: &NeighbourMessage) -> Option<(Entry, Option<u64>)> {
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
        let vlan = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::Vlan(vlan) => Vid::new(*vlan),
            _ => None,
        });
        let is_device = mac.0[..5] == [2, 0, 0, 0, DEVICES];
        // br0's address has an entry in each of its VLANs, where switchd has one in all.
        let is_copy = mac == HOST_MAC && message.header.state == NeighbourState::Permanent && vlan.is_some();
        if mac.is_group() || is_device || is_copy {
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
        Some((Entry { mac, port, kind, vlan }, age.filter(|_| ages)))
    }
}
