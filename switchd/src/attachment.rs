//! One port as control sees it: which device it has, or what it waits for. Decides what a link event
//! means for it; changes nothing itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bridge::{PortId, PortSettings};
use config::{PortConfig, PortKind};
use frame::MacAddr;
use ports::links::LinkEvent;
use ports::tap::{TapError, TapHandle};

use crate::guests::Guest;
use crate::store;

/// A port of the configuration and the device that it has at the moment.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) id: PortId,
    pub(crate) config: PortConfig,
    /// The same for the bridge.
    pub(crate) settings: PortSettings,
    /// Settings or entries of the port were changed at run time, for the device that it has now.
    pub(crate) steered: bool,
    pub(crate) held: Option<Held>,
    /// Which of all devices that ports have had this is: news of an earlier one is no longer of interest.
    pub(crate) nth: u32,
    /// What was logged last while waiting, so that it is said once.
    pub(crate) complaint: Option<String>,
    /// Another process holds the device, and nobody tells when it lets go: to be tried again.
    pub(crate) busy: bool,
}

/// The device that a port has open.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Its identity while it is in this namespace.
    pub(crate) ifindex: u32,
    /// Its name, which of a TAP may change.
    pub(crate) name: String,
    pub(crate) mac: MacAddr,
    /// In bytes.
    pub(crate) mtu: u32,
    /// Switched on, and with carrier.
    pub(crate) up: bool,
    /// The host's own stack is kept off it.
    pub(crate) exclusive: bool,
    /// What we send passes by its queueing discipline.
    pub(crate) qdisc_bypass: bool,
    /// Of a `tap` port: its descriptor.
    pub(crate) tap: Option<TapHandle>,
    /// Of a `raw` port its sockets, of a `vhost-user` port the one that it listens at, to be handed over.
    pub(crate) sockets: Arc<[OwnedFd]>,
    /// Of a `vhost-user` port: the hold on the conversation with the guest's program.
    pub(crate) guest: Option<Arc<Guest>>,
    /// The interface end of a TAP was moved into another namespace.
    pub(crate) moved: bool,
}

/// What is to be done about a link event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing.
    Nothing,
    /// The port waits for this device: try to open it.
    Open,
    /// The device is lost; why.
    Lose(String),
    /// The device's name, link, MTU or address is not what it was.
    Changed,
    /// The interface end is in another namespace now; the port works on.
    Moved,
    /// The interface end is back here, as this ifindex.
    Returned(u32),
}

impl Attachment {
    pub(crate) fn new(id: PortId, config: PortConfig, settings: PortSettings) -> Self {
        Self { id, config, settings, steered: false, held: None, nth: 0, complaint: None, busy: false }
    }

    /// Notes why its device can't be used; says whether that is news.
    pub(crate) fn refused(&mut self, why: &anyhow::Error) -> bool {
        self.busy = matches!(why.downcast_ref(), Some(TapError::Busy { .. }));
        let complaint = format!("{why:#}");
        let news = self.complaint.as_ref() != Some(&complaint);
        self.complaint = Some(complaint);
        news
    }

    /// What outlives this process of the port, by the names in the store.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let port = &self.config.name;
        let device = self.device_descriptors().map(|fd| (store::name_of_port(port), fd));
        device.chain(self.keepsake().map(|fd| (store::name_of_guest(port), fd)))
    }

    /// The queues of its device.
    pub(crate) fn device_descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let held = self.held.iter();
        held.flat_map(|held| {
            let taps = held.tap.iter().flat_map(TapHandle::descriptors);
            taps.chain(held.sockets.iter().map(AsFd::as_fd))
        })
    }

    /// What outlives this process of the conversation with its guest.
    pub(crate) fn keepsake(&self) -> Option<BorrowedFd<'_>> {
        self.held.as_ref()?.guest.as_ref()?.keepsake()
    }

    /// `raw` or `tap`.
    pub(crate) fn kind(&self) -> &'static str {
        match self.config.kind {
            PortKind::Tap(_) => "tap",
            PortKind::Raw(_) => "raw",
            PortKind::VhostUser(_) => "vhost-user",
        }
    }

    /// What `event` means for this port.
    pub(crate) fn react(&self, event: &LinkEvent) -> Reaction {
        match (event, &self.held) {
            (LinkEvent::Link { name, .. }, None) if *name == self.config.device => Reaction::Open,
            (LinkEvent::Gone { ifindex, .. }, Some(held)) if *ifindex == held.ifindex && !held.moved => {
                self.gone(held)
            }
            (LinkEvent::Link { ifindex, name, .. }, Some(held)) if held.moved => {
                let here = held.tap.as_ref().and_then(TapHandle::name_here);
                if here.as_ref() == Some(name) { Reaction::Returned(*ifindex) } else { Reaction::Nothing }
            }
            (_, Some(held)) if held.guest.is_some() => Reaction::Nothing,
            (LinkEvent::Link { ifindex, .. }, Some(held)) if *ifindex == held.ifindex => {
                self.changed(held, event)
            }
            _ => Reaction::Nothing,
        }
    }

    fn gone(&self, held: &Held) -> Reaction {
        match &held.tap {
            Some(tap) if !tap.is_gone() => Reaction::Moved,
            _ => Reaction::Lose("the device is gone".to_owned()),
        }
    }

    fn changed(&self, held: &Held, event: &LinkEvent) -> Reaction {
        let LinkEvent::Link { name, up, running, mac, mtu, master, .. } = event else {
            return Reaction::Nothing;
        };
        if *name != self.config.device && held.tap.is_none() {
            return Reaction::Lose(format!("the device was renamed to {name}"));
        }
        if master.is_some() && held.tap.is_none() {
            return Reaction::Lose("the device was made a member of a bridge or bond".to_owned());
        }
        let same = (*up && *running) == held.up && (name, *mtu, *mac) == (&held.name, held.mtu, held.mac);
        if same { Reaction::Nothing } else { Reaction::Changed }
    }
}

#[cfg(test)]
mod tests {
    use config::{PortRules, RawConfig};

    use super::*;

    fn raw(held: Option<Held>) -> Attachment {
        let config = PortConfig {
            name: "uplink".into(),
            device: "eth7".into(),
            kind: PortKind::Raw(RawConfig::default()),
            rules: PortRules::default(),
            profile: None,
            made_by: None,
        };
        Attachment { held, ..Attachment::new(PortId(1), config, PortSettings::default()) }
    }

    fn held() -> Held {
        Held {
            ifindex: 5,
            name: "eth7".into(),
            mac: MacAddr::ZERO,
            mtu: 1500,
            up: true,
            exclusive: true,
            qdisc_bypass: false,
            tap: None,
            sockets: Arc::new([]),
            guest: None,
            moved: false,
        }
    }

    fn link(ifindex: u32, name: &str) -> LinkEvent {
        LinkEvent::Link {
            ifindex,
            name: name.into(),
            up: true,
            running: true,
            mac: MacAddr::ZERO,
            mtu: 1500,
            master: None,
        }
    }

    #[test]
    fn a_port_that_waits_opens_the_device_of_its_name_only() {
        assert_eq!(raw(None).react(&link(9, "eth7")), Reaction::Open);
        assert_eq!(raw(None).react(&link(9, "eth8")), Reaction::Nothing);
    }

    #[test]
    fn a_device_of_the_same_name_but_another_index_is_another_device() {
        let gone = LinkEvent::Gone { ifindex: 6, name: "eth7".into() };
        assert_eq!(raw(Some(held())).react(&gone), Reaction::Nothing);
        let gone = LinkEvent::Gone { ifindex: 5, name: "eth7".into() };
        assert!(matches!(raw(Some(held())).react(&gone), Reaction::Lose(_)));
    }

    #[test]
    fn carrier_loss_and_admin_down_are_both_down() {
        for (is_up, is_running) in [(false, true), (true, false)] {
            let LinkEvent::Link { ifindex, name, mac, mtu, master, .. } = link(5, "eth7") else { panic!() };
            let event = LinkEvent::Link { ifindex, name, mac, mtu, master, up: is_up, running: is_running };
            assert_eq!(raw(Some(held())).react(&event), Reaction::Changed);
        }
    }

    #[test]
    fn a_renamed_or_enslaved_device_is_lost() {
        assert!(
            matches!(raw(Some(held())).react(&link(5, "wan0")), Reaction::Lose(why) if why.contains("wan0"))
        );
        let LinkEvent::Link { ifindex, name, up, running, mac, mtu, .. } = link(5, "eth7") else { panic!() };
        let event = LinkEvent::Link { ifindex, name, up, running, mac, mtu, master: Some(3) };
        assert!(matches!(raw(Some(held())).react(&event), Reaction::Lose(why) if why.contains("bridge")));
    }

    #[test]
    fn what_has_not_changed_is_nothing() {
        assert_eq!(raw(Some(held())).react(&link(5, "eth7")), Reaction::Nothing);
    }
}
