//! **decide**: one port, a set to flood, or nobody.

use super::{Admitted, BROADCAST, Decided, GROUP, Targets, Taught};
use crate::bridge::Bridge;
use crate::fdb::Found;
use crate::port::PortId;
use crate::reason::DropReason;
use crate::rules::flood::{Class, Refusal};
use crate::rules::{unicast, vlan};
use crate::vlans::Classified;

impl Bridge {
    /// The entry of the frame's destination, if that is a station.
    #[inline(always)]
    pub(crate) fn find<const VLANS: bool>(&self, taught: &Taught<'_>) -> Option<Found> {
        let &Admitted { destination, vlan, end, .. } = &taught.admitted;
        if end.is_some() || destination & GROUP != 0 {
            return None;
        }
        match self.fdb.lookup(vlan.key(destination)) {
            None if VLANS => self.without_vlan(vlan, destination),
            found => found,
        }
    }

    /// The port of a known station, where no rule has anything to say: what [`Bridge::decide`] would come to,
    /// in a few instructions.
    #[inline(always)]
    pub(super) fn straight<const VLANS: bool>(
        &self,
        taught: &Taught<'_>,
        found: Option<Found>,
    ) -> Option<PortId> {
        let &Admitted { ingress, vlan, as_it_came, .. } = &taught.admitted;
        let port = found.and_then(|found| unicast::straight(&self.ports, ingress, found))?;
        let sends = !VLANS
            || match port.0 {
                0..64 => as_it_came >> port.0 & 1 == 1,
                _ => self.vlans.leaves_as_it_came(vlan, port),
            };
        sends.then_some(port)
    }

    /// One port, all of them, or nobody; `found` is the entry of the destination.
    pub(crate) fn decide<'f, const VLANS: bool>(
        &self,
        taught: &Taught<'f>,
        found: Option<Found>,
    ) -> Result<Decided<'f>, DropReason> {
        let &Admitted { frame, ingress, destination, vlan, end, .. } = &taught.admitted;
        if let Some(reason) = end {
            return Err(reason);
        }
        let port = self.ports.get(ingress).ok_or(DropReason::IngressDown)?;
        if let Some(found) = found {
            let targets = unicast::targets(&self.ports, ingress, port, found)?;
            let targets = if VLANS { self.within(vlan, targets)? } else { targets };
            return Ok(Decided { frame, vlan, targets });
        }
        let class = match destination {
            BROADCAST => Class::Broadcast,
            group if group & GROUP != 0 => Class::Multicast,
            _ => Class::Unknown,
        };
        let except = (!port.settings.hairpin).then_some(ingress);
        let takes = |port: &PortId| Some(*port) != except && (!VLANS || self.sends(vlan, *port));
        if !self.ports.flood(class, port.origin).iter().any(takes) {
            return Err(DropReason::NoEgress);
        }
        Ok(Decided { frame, vlan, targets: Targets::Flood(class, port.origin, except) })
    }

    /// Whether the frame's VLAN lets `port` send it. The promiscuous host gets everything.
    #[inline(always)]
    pub(crate) fn sends(&self, vlan: Classified, port: PortId) -> bool {
        self.vlans.leaves(vlan, port) || self.ports.promiscuous_host() == Some(port)
    }

    /// Those of a known station's ports that are in the frame's VLAN, or why there is none.
    fn within(&self, vlan: Classified, targets: Targets) -> Result<Targets, DropReason> {
        match targets {
            Targets::One(port) | Targets::AndHost(port, _) if self.sends(vlan, port) => Ok(targets),
            Targets::AndHost(_, host) => Ok(Targets::One(host)),
            Targets::One(port) => Err(match vlan::refusal(&self.vlans, port, vlan) {
                Some(Refusal::VlanState(_)) => DropReason::EgressVlanBlocked,
                Some(Refusal::PrivateVlan) => DropReason::PrivateVlan,
                _ => DropReason::EgressVlan,
            }),
            Targets::Flood(..) => Ok(targets),
        }
    }
}
