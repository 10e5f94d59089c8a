//! Where a frame to a known station goes (`br_forward` and `should_deliver` in
//! `net/bridge/br_forward.c`).

use crate::fdb::{Found, Way};
use crate::pipeline::Targets;
use crate::port::{Port, PortId, Ports};
use crate::reason::DropReason;

/// The port that gets a frame from `ingress` to what a lookup has found, where no rule has anything to say.
#[inline(always)]
pub(crate) fn straight(ports: &Ports, ingress: PortId, found: Found) -> Option<PortId> {
    let plain = found.way == Way::Port && found.port != ingress && ports.promiscuous_host().is_none();
    (plain && ports.get(found.port).is_some_and(|port| port.open)).then_some(found.port)
}

/// Who gets it by all rules.
pub(crate) fn targets(
    ports: &Ports,
    ingress: PortId,
    from: &Port,
    found: Found,
) -> Result<Targets, DropReason> {
    if found.way != Way::Port {
        return special(ports, ingress, from, found).map(Targets::One);
    }
    let target = deliver(ports, ingress, from, found.port);
    match ports.promiscuous_host() {
        Some(host) if host != ingress => match target {
            Ok(port) if port != host => Ok(Targets::AndHost(port, host)),
            _ => Ok(Targets::One(host)),
        },
        _ => target.map(Targets::One),
    }
}

/// Entries that are not simply behind a port.
fn special(ports: &Ports, ingress: PortId, from: &Port, found: Found) -> Result<PortId, DropReason> {
    match found.way {
        Way::Nowhere => Err(DropReason::BlackholeDestination),
        Way::Kernel => Err(DropReason::ToHost),
        // From br0 to the address of a port's own device: out of that port.
        Way::Host if from.settings.host => deliver(ports, ingress, from, found.port),
        Way::Host | Way::Port => match ports.host() {
            Some(host) if ports.get(host).is_some_and(|port| port.up) => Ok(host),
            Some(_) => Err(DropReason::EgressDown),
            None => Err(DropReason::NoHostPort),
        },
    }
}

/// The port, or the one that stands in for it; or why neither takes the frame.
fn deliver(ports: &Ports, ingress: PortId, from: &Port, to: PortId) -> Result<PortId, DropReason> {
    let mut to = to;
    let mut port = ports.get(to).ok_or(DropReason::EgressDown)?;
    if !port.up
        && let Some(backup) = port.settings.backup_port
    {
        to = backup;
        port = ports.get(to).ok_or(DropReason::EgressDown)?;
    }
    if to == ingress && !from.settings.hairpin {
        return Err(DropReason::SamePort);
    }
    if !port.forwards {
        return Err(if port.up { DropReason::EgressBlocked } else { DropReason::EgressDown });
    }
    if from.settings.isolated && port.settings.isolated {
        return Err(DropReason::Isolated);
    }
    Ok(to)
}
