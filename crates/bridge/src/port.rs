//! The ports of a bridge, and the lists that follow from their settings and state: worked out when one of
//! those changes, only read for a frame.

use frame::{ETHERNET_HEADER, MacAddr, vlan::TAG_LEN};

use crate::counters::PortCounters;
use crate::rules::flood::{Class, Origin, refusal};
use crate::settings::{PortSettings, SettingsRefused};

/// Most ports of one bridge, as in Linux (10-bit port numbers without 0).
pub const MAX_PORTS: usize = 1023;

/// Names a port of a bridge: its place, used again once the port was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// What becomes of a frame to a device's own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// It is delivered to the host's port. From there it goes out of the device itself, as Linux does
    /// with frames from br0 to the address of one of its ports.
    HostPort,
    /// It is not forwarded: the kernel has its own copy of what the device receives.
    Kernel,
}

/// One port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) settings: PortSettings,
    /// Its device has a link.
    link: bool,
    /// Link, and enabled.
    pub(crate) up: bool,
    /// A mirror's copies go here, and nothing else.
    pub(crate) mirrored_to: bool,
    /// Up, and in a state in which its frames teach.
    pub(crate) learns: bool,
    /// Up, and forwarding.
    pub(crate) forwards: bool,
    /// No rule has anything to say of a frame from here.
    pub(crate) plain: bool,
    /// Nor of one to here, but that it is not to go back.
    pub(crate) open: bool,
    /// What its floods are.
    pub(crate) origin: Origin,
    /// Longest frame that it takes, outer tag not counted; `usize::MAX` without a check.
    pub(crate) max_len: usize,
    pub(crate) local: Option<(MacAddr, LocalKind)>,
    pub(crate) counters: PortCounters,
}

impl Port {
    /// A port whose link is down.
    pub(crate) fn new(settings: PortSettings) -> Self {
        let mut port = Self {
            settings,
            link: false,
            up: false,
            mirrored_to: false,
            learns: false,
            forwards: false,
            plain: false,
            open: false,
            origin: Origin::Port,
            max_len: usize::MAX,
            local: None,
            counters: PortCounters::ZERO,
        };
        port.resolve();
        port
    }

    fn resolve(&mut self) {
        let settings = &self.settings;
        self.up = self.link && settings.enabled;
        let takes_part = self.up && !self.mirrored_to;
        self.learns = takes_part && settings.state.learns();
        self.forwards = takes_part && settings.state == crate::PortState::Forwarding;
        self.plain = self.forwards && settings.learning && !settings.locked;
        self.open = self.forwards && !settings.isolated;
        self.origin = match settings {
            PortSettings { host: true, .. } => Origin::Host,
            PortSettings { isolated: true, .. } => Origin::Isolated,
            _ => Origin::Port,
        };
    }
}

/// Longest frame without its outer tag that an MTU lets pass. Linux Bridge allows four bytes more than
/// MTU and header, tagged or not (`is_skb_forwardable`, `net/core/dev.c`).
pub(crate) fn max_len(mtu: u32) -> usize {
    (mtu as usize).saturating_add(ETHERNET_HEADER + TAG_LEN)
}

/// All ports, and who gets what is for everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    places: Vec<Option<Port>>,
    host: Option<PortId>,
    /// The host's port while it is up and gets everything.
    promiscuous_host: Option<PortId>,
    /// Who gets a flood, in order and perhaps with the ingress among them, by class and origin.
    floods: [[Vec<PortId>; 3]; 3],
}

impl Ports {
    pub(crate) fn add(&mut self, settings: PortSettings) -> Result<PortId, SettingsRefused> {
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if place >= MAX_PORTS {
            return Err(SettingsRefused::TooManyPorts);
        }
        let id = PortId(place as u16);
        self.check(id, &settings)?;
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(Port::new(settings));
        self.resolve();
        Ok(id)
    }

    /// Whether these settings go with those of the other ports.
    fn check(&self, id: PortId, settings: &PortSettings) -> Result<(), SettingsRefused> {
        settings.check()?;
        if settings.host && self.host.is_some_and(|host| host != id) {
            return Err(SettingsRefused::SecondHost);
        }
        match settings.backup_port {
            Some(backup) if backup == id || self.get(backup).is_none_or(|port| port.settings.host) => {
                Err(SettingsRefused::Backup(backup))
            }
            _ => Ok(()),
        }
    }

    /// Takes a port out; it is nobody's backup any more.
    pub(crate) fn remove(&mut self, id: PortId) -> Option<Port> {
        let port = self.places.get_mut(usize::from(id.0))?.take();
        for other in self.iter_mut() {
            other.settings.backup_port = other.settings.backup_port.filter(|backup| *backup != id);
        }
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

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Port> {
        self.places.iter_mut().flatten()
    }

    /// Whether the port went down by that.
    pub(crate) fn set_link(&mut self, id: PortId, link: bool) -> bool {
        self.change(id, |port| port.link = link)
    }

    /// Whether the port went down by that.
    pub(crate) fn set(&mut self, id: PortId, settings: PortSettings) -> Result<bool, SettingsRefused> {
        self.get(id).ok_or(SettingsRefused::NoSuchPort(id))?;
        self.check(id, &settings)?;
        Ok(self.change(id, |port| port.settings = settings))
    }

    /// These ports are the destinations of mirrors, and no others; says which of them were none before.
    pub(crate) fn set_mirrored_to(&mut self, destinations: &[PortId]) -> Vec<PortId> {
        let mut new = Vec::new();
        for (id, port) in (0..).map(PortId).zip(&mut self.places) {
            let Some(port) = port else { continue };
            let mirrored_to = destinations.contains(&id);
            if std::mem::replace(&mut port.mirrored_to, mirrored_to) != mirrored_to {
                port.resolve();
                new.extend(mirrored_to.then_some(id));
            }
        }
        self.resolve();
        new
    }

    fn change(&mut self, id: PortId, change: impl FnOnce(&mut Port)) -> bool {
        let Some(port) = self.get_mut(id) else { return false };
        let was_up = port.up;
        change(port);
        port.resolve();
        let went_down = was_up && !port.up;
        self.resolve();
        went_down
    }

    /// The host's own port.
    pub(crate) fn host(&self) -> Option<PortId> {
        self.host
    }

    /// The host's own port while it gets everything.
    #[inline]
    pub(crate) fn promiscuous_host(&self) -> Option<PortId> {
        self.promiscuous_host
    }

    /// Ports that get a flood, perhaps the ingress among them.
    #[inline]
    pub(crate) fn flood(&self, class: Class, origin: Origin) -> &[PortId] {
        &self.floods[class as usize][origin as usize]
    }

    fn resolve(&mut self) {
        let host = self.iter().find(|(_, port)| port.settings.host);
        let promiscuous = host.filter(|(_, port)| port.up && port.settings.promisc).map(|(id, _)| id);
        (self.host, self.promiscuous_host) = (host.map(|(id, _)| id), promiscuous);
        let mut floods = std::mem::take(&mut self.floods);
        for class in Class::ALL {
            for origin in Origin::ALL {
                let list = &mut floods[class as usize][origin as usize];
                list.clear();
                let takes = |(_, port): &(PortId, &Port)| refusal(port, class, origin).is_none();
                list.extend(self.iter().filter(takes).map(|(id, _)| id));
            }
        }
        self.floods = floods;
    }
}
