//! Facts about an interface of the current network namespace, for decisions and messages: what it is,
//! who else uses it, what it has counted. All from rtnetlink: `/sys/class/net` shows the namespace of
//! whoever mounted it.

use std::fmt;
use std::io;
use std::net::IpAddr;

use frame::MacAddr;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Stats64};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink;

/// Longest name of an interface in bytes (`IFNAMSIZ` without the final zero).
pub const MAX_NAME: usize = 15;

/// Why an interface can't be a port.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is none of that name.
    #[error("there is no interface {device} (`ip link` lists those there are)")]
    Missing {
        /// The name looked for.
        device: String,
    },
    /// It carries no Ethernet frames.
    #[error("{device} is {what}, which carries no Ethernet frames: a port needs an Ethernet interface")]
    NotEthernet {
        /// The interface.
        device: String,
        /// What it is instead.
        what: String,
    },
    /// Something else takes its frames already.
    #[error(
        "{device} belongs to {kind} {master}, which takes its frames: make {master} the port, \
         or take {device} out of it (`ip link set {device} nomaster`)"
    )]
    Taken {
        /// The interface.
        device: String,
        /// Kind of what it belongs to, such as `bridge`.
        kind: String,
        /// Name of what it belongs to.
        master: String,
    },
    /// It is a bridge.
    #[error("{device} is itself a bridge: make the interfaces behind it ports, or give it a veth")]
    Bridge {
        /// The interface.
        device: String,
    },
    /// The kernel did not tell.
    #[error("{device}: asking the kernel about the interface: {source}")]
    System {
        /// The interface.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Another interface, named with its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// Its kind as `ip -d link` shows it (`bridge`, `vlan`, `macvlan`, …); empty for hardware.
    pub kind: String,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What an interface was like when it was looked at.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its identity: a later interface of the same name has another.
    pub ifindex: u32,
    /// Its own address.
    pub mac: MacAddr,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is switched on (`IFF_UP`).
    pub up: bool,
    /// Whether frames can pass: there is carrier and the link is not dormant.
    pub running: bool,
    /// Its kind as `ip -d link` shows it (`veth`, `tun`, …); `None` for hardware.
    pub kind: Option<String>,
    /// The link layer in words if it is not Ethernet.
    pub not_ethernet: Option<String>,
    /// Length of its transmit queue in frames.
    pub tx_queue_len: u32,
    /// What it belongs to.
    pub master: Option<Other>,
    /// Its addresses, IPv6 link-local ones left out.
    pub addresses: Vec<IpAddr>,
    /// What stands on it in this namespace: VLAN devices, macvlans, tunnels.
    pub stacked: Vec<Other>,
    /// Unicast addresses other than its own for which it takes frames: those of macvlans, also in
    /// other namespaces.
    pub foreign_macs: Vec<MacAddr>,
    /// What it has counted.
    pub counters: DeviceCounters,
}

/// What the kernel counts on an interface, since the interface exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Frames it received.
    pub rx_packets: u64,
    /// Frames it sent.
    pub tx_packets: u64,
    /// Frames it received and lost.
    pub rx_dropped: u64,
    /// Frames it was to send and lost; on a TAP, those that nobody read.
    pub tx_dropped: u64,
    /// Frames with errors on reception.
    pub rx_errors: u64,
    /// Frames with errors on transmission.
    pub tx_errors: u64,
}

/// Why a port is not exclusive by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The host is reached by it.
    Addressed(Vec<IpAddr>),
    /// Other interfaces stand on it.
    Stacked(Vec<Other>),
    /// Something in another namespace stands on it.
    ForeignMacs(Vec<MacAddr>),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addressed(addresses) => write!(f, "it has the address {}", list(addresses)),
            Self::Stacked(others) => write!(f, "{} stands on it", list(others)),
            Self::ForeignMacs(macs) => {
                write!(f, "it also takes frames for {}, so a macvlan in a namespace stands on it", list(macs))
            }
        }
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Looks at the interface of that name.
///
/// # Errors
/// [`DeviceError::Missing`] or [`DeviceError::System`].
pub fn find(name: &str) -> Result<Device, DeviceError> {
    let missing = || DeviceError::Missing { device: name.to_owned() };
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(missing());
    }
    look_at(link(LinkAttribute::IfName(name.to_owned())), name)
}

/// Looks at the interface with that index, whatever its name is now.
///
/// # Errors
/// As [`find`].
pub fn find_index(ifindex: u32) -> Result<Device, DeviceError> {
    look_at(link_by_index(ifindex), &format!("with index {ifindex}"))
}

fn look_at(link: io::Result<Option<LinkMessage>>, name: &str) -> Result<Device, DeviceError> {
    let missing = || DeviceError::Missing { device: name.to_owned() };
    let system = |source: io::Error| match source.raw_os_error() {
        Some(libc::ENODEV) => missing(),
        _ => DeviceError::System { device: name.to_owned(), source },
    };
    let link = link.map_err(system)?.ok_or_else(missing)?;
    let mut device = from_link(&link);
    if let Some(index) = attribute(&link, |found| match found {
        LinkAttribute::Controller(index) if *index != 0 => Some(*index),
        _ => None,
    }) {
        device.master = link_by_index(index).map_err(system)?.map(|master| other(&master));
    }
    device.addresses = addresses(device.ifindex).map_err(system)?;
    device.stacked = stacked(device.ifindex).map_err(system)?;
    device.foreign_macs = foreign_macs(&device).map_err(system)?;
    Ok(device)
}

/// Counters of an interface; `None` if it is gone.
///
/// # Errors
/// As a netlink request.
pub fn counters(ifindex: u32) -> io::Result<Option<DeviceCounters>> {
    Ok(link_by_index(ifindex)?.map(|link| from_link(&link).counters))
}

/// Whether a port on this interface should be exclusive where nobody said: only if nothing can be cut
/// off by it.
///
/// # Errors
/// What would be cut off.
pub fn default_exclusive(device: &Device) -> Result<(), WhyNot> {
    if !device.addresses.is_empty() {
        return Err(WhyNot::Addressed(device.addresses.clone()));
    }
    if !device.stacked.is_empty() {
        return Err(WhyNot::Stacked(device.stacked.clone()));
    }
    if !device.foreign_macs.is_empty() {
        return Err(WhyNot::ForeignMacs(device.foreign_macs.clone()));
    }
    Ok(())
}

impl Device {
    /// Whether it can be a port at all.
    ///
    /// # Errors
    /// The [`DeviceError`] that says why not.
    pub fn usable(&self) -> Result<(), DeviceError> {
        let device = self.name.clone();
        if let Some(what) = self.not_ethernet.clone() {
            return Err(DeviceError::NotEthernet { device, what });
        }
        if self.kind.as_deref() == Some("bridge") {
            return Err(DeviceError::Bridge { device });
        }
        match &self.master {
            // A VRF chooses routes; frames still arrive at the interface.
            Some(Other { kind, .. }) if kind == "vrf" => Ok(()),
            Some(Other { name, kind }) => {
                Err(DeviceError::Taken { device, kind: kind.clone(), master: name.clone() })
            }
            None => Ok(()),
        }
    }
}

fn link(which: LinkAttribute) -> io::Result<Option<LinkMessage>> {
    let mut request = LinkMessage::default();
    request.attributes.push(which);
    ask_link(request)
}

fn link_by_index(ifindex: u32) -> io::Result<Option<LinkMessage>> {
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    ask_link(request).or_else(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => Ok(None),
        _ => Err(error),
    })
}

fn ask_link(request: LinkMessage) -> io::Result<Option<LinkMessage>> {
    let replies = netlink::ask(RouteNetlinkMessage::GetLink(request))?;
    Ok(replies.into_iter().find_map(|reply| match reply {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    }))
}

fn attribute<T>(link: &LinkMessage, pick: impl Fn(&LinkAttribute) -> Option<T>) -> Option<T> {
    link.attributes.iter().find_map(pick)
}

fn name_of(link: &LinkMessage) -> String {
    attribute(link, |found| match found {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
    .unwrap_or_else(|| format!("ifindex {}", link.header.index))
}

fn kind_of(link: &LinkMessage) -> Option<String> {
    attribute(link, |found| match found {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind.to_string()),
            _ => None,
        }),
        _ => None,
    })
}

fn other(link: &LinkMessage) -> Other {
    Other { name: name_of(link), kind: kind_of(link).unwrap_or_default() }
}

fn from_link(link: &LinkMessage) -> Device {
    let flags = link.header.flags;
    let not_ethernet = if flags.contains(LinkFlags::Loopback) {
        Some("the loopback interface".to_owned())
    } else if link.header.link_layer_type == LinkLayerType::Ether {
        None
    } else {
        Some(format!("of link type {}", link.header.link_layer_type))
    };
    let number = |pick: fn(&LinkAttribute) -> Option<u32>| attribute(link, pick).unwrap_or(0);
    Device {
        name: name_of(link),
        ifindex: link.header.index,
        mac: attribute(link, |found| match found {
            LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
            _ => None,
        })
        .unwrap_or_default(),
        mtu: number(|found| if let LinkAttribute::Mtu(mtu) = found { Some(*mtu) } else { None }),
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running | LinkFlags::LowerUp),
        kind: kind_of(link),
        not_ethernet,
        tx_queue_len: number(
            |found| if let LinkAttribute::TxQueueLen(len) = found { Some(*len) } else { None },
        ),
        master: None,
        addresses: Vec::new(),
        stacked: Vec::new(),
        foreign_macs: Vec::new(),
        counters: attribute(link, |found| match found {
            LinkAttribute::Stats64(stats) => Some(counters_of(stats)),
            _ => None,
        })
        .unwrap_or_default(),
    }
}

fn counters_of(stats: &Stats64) -> DeviceCounters {
    DeviceCounters {
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_dropped: stats.rx_dropped,
        tx_dropped: stats.tx_dropped,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
    }
}

fn addresses(ifindex: u32) -> io::Result<Vec<IpAddr>> {
    let replies = netlink::dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let of_device = replies.into_iter().filter_map(|reply| match reply {
        RouteNetlinkMessage::NewAddress(address) if address.header.index == ifindex => Some(address),
        _ => None,
    });
    Ok(of_device
        .filter_map(|address| {
            // With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 may have only the first.
            let local = address.attributes.iter().find_map(|found| match found {
                AddressAttribute::Local(ip) => Some(*ip),
                _ => None,
            });
            local.or_else(|| {
                address.attributes.iter().find_map(|found| match found {
                    AddressAttribute::Address(ip) => Some(*ip),
                    _ => None,
                })
            })
        })
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect())
}

/// Interfaces of this namespace whose lower link is this one.
fn stacked(ifindex: u32) -> io::Result<Vec<Other>> {
    let replies = netlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let stands_here = |link: &LinkMessage| {
        let lower = attribute(link, |found| match found {
            LinkAttribute::Link(lower) => Some(*lower),
            _ => None,
        });
        let in_other_namespace =
            attribute(link, |found| matches!(found, LinkAttribute::LinkNetNsId(_)).then_some(())).is_some();
        lower == Some(ifindex) && !in_other_namespace && link.header.index != ifindex
    };
    Ok(replies
        .iter()
        .filter_map(|reply| match reply {
            RouteNetlinkMessage::NewLink(link) if stands_here(link) => Some(link),
            _ => None,
        })
        // The other end of a pair says the same of itself.
        .filter(|link| !matches!(kind_of(link).as_deref(), Some("veth" | "netkit" | "vxcan")))
        .map(other)
        .collect())
}

/// Unicast addresses in the interface's own filter, as `bridge fdb show dev X self` lists them.
fn foreign_macs(device: &Device) -> io::Result<Vec<MacAddr>> {
    let mut request = NeighbourMessage::default();
    request.header.family = AddressFamily::Bridge;
    request.header.ifindex = device.ifindex;
    let replies = netlink::dump(RouteNetlinkMessage::GetNeighbour(request))?;
    let mut macs: Vec<MacAddr> = replies
        .into_iter()
        .filter_map(|reply| match reply {
            RouteNetlinkMessage::NewNeighbour(entry) if entry.header.ifindex == device.ifindex => Some(entry),
            _ => None,
        })
        .flat_map(|entry| entry.attributes)
        .filter_map(|found| match found {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(MacAddr),
            _ => None,
        })
        .filter(|mac| !mac.is_group() && *mac != device.mac && !mac.is_zero())
        .collect();
    macs.dedup();
    Ok(macs)
}
