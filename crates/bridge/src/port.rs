//! The ports of a bridge, and the sets that follow from their state: worked out when a port or a link
//! changes, only read for a frame.

use frame::{ETHERNET_HEADER, MacAddr, vlan::TAG_LEN};

use crate::counters::PortCounters;

/// Most ports of one bridge, as in Linux (10-bit port numbers without 0).
pub const MAX_PORTS: usize = 1023;

/// Names a port of a bridge: its place, used again once the port was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// How a port behaves, whatever its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PortSettings {
    /// It is the host's own port, the part that br0 plays: it gets broadcast, multicast and its own
    /// address, and no unknown unicast.
    pub host: bool,
}

/// What becomes of a frame to a device's own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// It is delivered to the port: the host is behind it.
    HostPort,
    /// It is not forwarded: the kernel has its own copy of what the device receives.
    Kernel,
}

/// One port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) settings: PortSettings,
    pub(crate) up: bool,
    /// Longest frame that it takes, outer tag not counted; `usize::MAX` without a check.
    pub(crate) max_len: usize,
    pub(crate) local: Option<(MacAddr, LocalKind)>,
    pub(crate) counters: PortCounters,
}

impl Port {
    /// A port whose link is down.
    pub(crate) fn new(settings: PortSettings) -> Self {
        Self { settings, up: false, max_len: usize::MAX, local: None, counters: PortCounters::ZERO }
    }
}

/// Longest frame without its outer tag that an MTU lets pass. Linux Bridge allows four bytes more than
/// MTU and header, tagged or not (`is_skb_forwardable`, `net/core/dev.c`).
pub(crate) fn max_len(mtu: u32) -> usize {
    (mtu as usize).saturating_add(ETHERNET_HEADER + TAG_LEN)
}

/// All ports, and who gets what is for everybody.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    places: Vec<Option<Port>>,
    /// Ports with link, in order: they get broadcast and multicast.
    group: Vec<PortId>,
    /// Those of them that also get unicast to unknown stations.
    unknown: Vec<PortId>,
}

impl Ports {
    pub(crate) fn add(&mut self, settings: PortSettings) -> Option<PortId> {
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if place >= MAX_PORTS {
            return None;
        }
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(Port::new(settings));
        Some(PortId(place as u16))
    }

    pub(crate) fn remove(&mut self, id: PortId) -> Option<Port> {
        let port = self.places.get_mut(usize::from(id.0))?.take();
        self.resolve();
        port
    }

    #[inline]
    pub(crate) fn get(&self, id: PortId) -> Option<&Port> {
        self.places.get(usize::from(id.0))?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: PortId) -> Option<&mut Port> {
        self.places.get_mut(usize::from(id.0))?.as_mut()
    }

    /// Every port, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PortId, &Port)> {
        self.places.iter().enumerate().filter_map(|(id, port)| Some((PortId(id as u16), port.as_ref()?)))
    }

    /// Whether the link changed.
    pub(crate) fn set_link(&mut self, id: PortId, up: bool) -> bool {
        match self.get_mut(id) {
            Some(port) if port.up != up => port.up = up,
            _ => return false,
        }
        self.resolve();
        true
    }

    /// Ports that get broadcast and multicast, the ingress among them.
    #[inline]
    pub(crate) fn group(&self) -> &[PortId] {
        &self.group
    }

    /// Ports that get unicast to unknown stations, perhaps the ingress among them.
    #[inline]
    pub(crate) fn unknown(&self) -> &[PortId] {
        &self.unknown
    }

    fn resolve(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        let mut unknown = std::mem::take(&mut self.unknown);
        group.clear();
        group.extend(self.iter().filter(|(_, port)| port.up).map(|(id, _)| id));
        unknown.clear();
        unknown.extend(self.iter().filter(|(_, port)| port.up && !port.settings.host).map(|(id, _)| id));
        self.group = group;
        self.unknown = unknown;
    }
}
