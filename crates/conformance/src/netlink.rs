//! Commands to the kernel's bridge over rtnetlink: what `ip` and `bridge` send, some of which the iproute2 of
//! a stable distribution does not know yet, and without a process for each.

use std::io;

use anyhow::{Context, Result};
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload, Nla,
};
use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, InfoBridge, InfoBridgePort, InfoData, InfoKind, LinkAttribute,
    LinkExtentMask, LinkInfo, LinkMessage, LinkProtoInfoBridge,
};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use testbed::Namespace;

/// An rtnetlink socket in a namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
}

impl Netlink {
    pub(crate) fn open(namespace: &Namespace) -> Result<Self> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = namespace.enter(open)?.with_context(|| format!("rtnetlink in {}", namespace.name()))?;
        Ok(Self { socket })
    }

    /// Changes a setting of a bridge, as `ip link set … type bridge`.
    pub(crate) fn set_bridge(&self, ifindex: u32, setting: InfoBridge) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        let info = vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(vec![setting]))];
        message.attributes.push(LinkAttribute::LinkInfo(info));
        self.order(RouteNetlinkMessage::NewLink(message), 0)
    }

    /// Changes a setting of a bridge's port, as `bridge link set`. (After `ip link set … type bridge_slave`
    /// the kernel looks at the device anew, and a port whose state was set to disabled is forwarding again.)
    pub(crate) fn set_port(&self, ifindex: u32, setting: &InfoBridgePort) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.header.index = ifindex;
        let mut value = vec![0; setting.value_len()];
        setting.emit_value(&mut value);
        let setting = LinkProtoInfoBridge::Other(DefaultNla::new(setting.kind(), value));
        message.attributes.push(LinkAttribute::ProtoInfoBridge(vec![setting]));
        self.order(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Makes a port, or the bridge's own device, a member of a VLAN, as `bridge vlan add`.
    pub(crate) fn add_vlan(&self, ifindex: u32, own: bool, info: BridgeVlanInfo) -> io::Result<()> {
        self.order(RouteNetlinkMessage::SetLink(about_vlan(ifindex, own, info)), 0)
    }

    /// Takes it out of one, as `bridge vlan del`.
    pub(crate) fn delete_vlan(&self, ifindex: u32, own: bool, info: BridgeVlanInfo) -> io::Result<()> {
        self.order(RouteNetlinkMessage::DelLink(about_vlan(ifindex, own, info)), 0)
    }

    /// The VLANs of all devices, as `bridge vlan show`.
    pub(crate) fn vlans(&self) -> io::Result<Vec<(u32, BridgeVlanInfo)>> {
        let mut request = LinkMessage::default();
        request.header.interface_family = AddressFamily::Bridge;
        request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
        let mut vlans = Vec::new();
        for reply in self.exchange(RouteNetlinkMessage::GetLink(request), NLM_F_DUMP)? {
            let RouteNetlinkMessage::NewLink(link) = reply else { continue };
            for attribute in link.attributes {
                let LinkAttribute::AfSpecBridge(of_link) = attribute else { continue };
                vlans.extend(of_link.into_iter().filter_map(|vlan| match vlan {
                    AfSpecBridge::VlanInfo(info) => Some((link.header.index, info)),
                    _ => None,
                }));
            }
        }
        Ok(vlans)
    }

    /// A command, with these flags besides the usual ones.
    pub(crate) fn order(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_ACK | flags).map(drop)
    }

    /// All FDB entries of all bridges here.
    pub(crate) fn fdb(&self) -> io::Result<Vec<NeighbourMessage>> {
        let mut request = NeighbourMessage::default();
        request.header.family = AddressFamily::Bridge;
        let replies = self.exchange(RouteNetlinkMessage::GetNeighbour(request), NLM_F_DUMP)?;
        let neighbour = |reply| match reply {
            RouteNetlinkMessage::NewNeighbour(neighbour) => Some(neighbour),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(neighbour).collect())
    }

    /// One link.
    pub(crate) fn link(&self, ifindex: u32) -> io::Result<Vec<LinkAttribute>> {
        let mut request = LinkMessage::default();
        request.header.index = ifindex;
        let replies = self.exchange(RouteNetlinkMessage::GetLink(request), NLM_F_ACK)?;
        let attributes = |reply| match reply {
            RouteNetlinkMessage::NewLink(link) => Some(link.attributes),
            _ => None,
        };
        replies.into_iter().find_map(attributes).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exchange(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut replies = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while let Ok(buffer) = NetlinkBuffer::new_checked(rest) {
                let length = buffer.length() as usize;
                match NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map(|message| message.payload)
                {
                    Ok(NetlinkPayload::Done(_)) => return Ok(replies),
                    Ok(NetlinkPayload::Error(error)) => {
                        return match error.code {
                            None => Ok(replies),
                            Some(_) => Err(error.to_io()),
                        };
                    }
                    Ok(NetlinkPayload::InnerMessage(inner)) => replies.push(inner),
                    _ => {}
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
            }
        }
    }
}

fn about_vlan(ifindex: u32, own: bool, info: BridgeVlanInfo) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = ifindex;
    let own = own.then_some(AfSpecBridge::Flags(BridgeFlag::LowerDev));
    let vlan = own.into_iter().chain([AfSpecBridge::VlanInfo(info)]).collect();
    message.attributes.push(LinkAttribute::AfSpecBridge(vlan));
    message
}
