//! Who gets what is for everybody (`br_flood` in `net/bridge/br_forward.c`). Worked out for each class and
//! origin when a port changes; for a frame, the finished lists are only read.

use crate::port::Port;
use crate::rules::state::PortState;

/// What is flooded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// To ff:ff:ff:ff:ff:ff.
    Broadcast,
    /// To any other group.
    Multicast,
    /// To a station that no entry knows.
    Unknown,
}

/// Where a flood comes from, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A port.
    Port,
    /// An isolated port.
    Isolated,
    /// The host.
    Host,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Broadcast, Self::Multicast, Self::Unknown];
}

impl Origin {
    pub(crate) const ALL: [Self; 3] = [Self::Port, Self::Isolated, Self::Host];
}

/// Why a port gets no copy of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The frame came from there, and the port has no `hairpin`.
    CameFromHere,
    /// It is down.
    Down,
    /// It is the destination of a mirror.
    MirrorDestination,
    /// It is not forwarding.
    State(PortState),
    /// The port's setting of this name is off.
    Off(&'static str),
    /// Both ports are isolated.
    Isolated,
    /// It is not a member of the frame's VLAN.
    NotInVlan,
    /// It is in the frame's private VLAN, in a part of it that the frame's VLAN does not reach.
    PrivateVlan,
    /// The frame's VLAN is in this state there.
    VlanState(PortState),
    /// The host's port gets no unicast to unknown stations unless it is promiscuous.
    NotForHost,
    /// The frame is longer than the port's MTU allows.
    Mtu,
}

/// Why `port` does not belong to the list of this class and origin; `None` if it does. That a frame is not
/// sent back is for whoever reads the list.
pub(crate) fn refusal(port: &Port, class: Class, origin: Origin) -> Option<Refusal> {
    let settings = &port.settings;
    if !port.up {
        return Some(Refusal::Down);
    }
    if settings.host {
        let refused = class == Class::Unknown && !settings.promisc;
        return refused.then_some(Refusal::NotForHost);
    }
    if port.mirrored_to {
        return Some(Refusal::MirrorDestination);
    }
    if !port.forwards {
        return Some(Refusal::State(settings.state));
    }
    if origin == Origin::Isolated && settings.isolated {
        return Some(Refusal::Isolated);
    }
    // What the host sends to groups goes to all: it would be deaf otherwise.
    let (name, on) = match class {
        Class::Broadcast => ("bcast_flood", settings.bcast_flood || origin == Origin::Host),
        Class::Multicast => ("mcast_flood", settings.mcast_flood || origin == Origin::Host),
        Class::Unknown => ("flood", settings.flood),
    };
    (!on).then_some(Refusal::Off(name))
}
