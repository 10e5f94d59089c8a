//! **admit**: source sanity, reserved addresses, the port's state, the VLAN, who may send. What comes of it is what the
//! frame may teach, and whether it goes on.

use frame::{Frame, MacAddr, Vid};

use super::emit::vlan_bytes;
use super::{Admitted, GROUP, Teaches, addresses};
use crate::bridge::{Bridge, NO_VLAN};
use crate::fdb::{Found, Key, Way};
use crate::port::{LocalKind, Port, PortId};
use crate::reason::DropReason;
use crate::rules::locked::{self, Gate};
use crate::rules::{reserved, vlan};
use crate::settings::VlanProtocol;
use crate::vlans::{Classified, Entrance};

impl Bridge {
    /// Source sanity, reserved addresses, the port's state, the VLAN, who may send.
    #[inline(always)]
    pub(crate) fn admit<'f, const VLANS: bool>(
        &self,
        ingress: PortId,
        frame: &'f Frame<'f>,
    ) -> Result<Admitted<'f>, DropReason> {
        let (destination, source) = addresses(frame);
        if source & GROUP != 0 {
            return Err(DropReason::SourceGroup);
        }
        if source == 0 {
            return Err(DropReason::SourceZero);
        }
        let port = self.ports.get(ingress).ok_or(DropReason::IngressDown)?;
        let Entrance { vlan, as_it_came } =
            if VLANS { self.vlans.entrance(ingress, frame) } else { Entrance::FREE };
        let plain = port.plain && !reserved::is_reserved(destination) && !self.fdb.has_blackholes();
        let (teaches, end) = if plain && vlan.enters() {
            (Teaches::Station, None)
        } else {
            self.judge(port, ingress, vlan, destination, source)?
        };
        Ok(Admitted { frame, ingress, destination, source, vlan, as_it_came, teaches, end })
    }

    /// What a frame may teach and whether it ends there, by all rules.
    #[inline(never)]
    fn judge(
        &self,
        port: &Port,
        ingress: PortId,
        vlan: Classified,
        destination: u64,
        source: u64,
    ) -> Result<(Teaches, Option<DropReason>), DropReason> {
        let teaches = if port.settings.learning { Teaches::Station } else { Teaches::Nothing };
        if reserved::is_reserved(destination) && self.stays_here(port, destination) {
            let in_vlan = vlan::admit(&self.vlans, ingress, vlan, true).is_ok();
            let teaches =
                if in_vlan && self.teaches_here(port, destination) { teaches } else { Teaches::Nothing };
            return Ok((teaches, Some(DropReason::ReservedAddress)));
        }
        if port.mirrored_to {
            return Err(DropReason::MirrorDestination);
        }
        if !port.learns {
            return Err(if port.up { DropReason::IngressBlocked } else { DropReason::IngressDown });
        }
        let end = vlan::admit(&self.vlans, ingress, vlan, port.forwards)?;
        if self.fdb.has_blackholes() && self.is_blackhole(vlan, source) {
            return Err(DropReason::BlackholeSource);
        }
        if port.settings.locked {
            match self.gate(port, ingress, vlan, source) {
                Gate::Open => {}
                Gate::Shut => return Err(DropReason::Locked),
                Gate::Noted => return Ok((Teaches::Locked, Some(DropReason::Locked))),
            }
        }
        Ok((teaches, if port.forwards { end } else { Some(DropReason::IngressLearning) }))
    }

    fn gate(&self, port: &Port, ingress: PortId, vlan: Classified, source: u64) -> Gate {
        match self.without_vlan(vlan, source) {
            // The address of a device of ours.
            Some(_) => Gate::Shut,
            None => locked::judge(&self.fdb, &port.settings, ingress, vlan.key(source)),
        }
    }

    /// Whether a frame to a reserved address ends here. What the host itself sends passes, as from br0.
    fn stays_here(&self, port: &Port, destination: u64) -> bool {
        let (own, all) = (port.settings.group_fwd_mask, self.settings.group_fwd_mask);
        let service = self.vlans.on() && self.settings.vlan.protocol == VlanProtocol::Dot1ad;
        let required = if service { reserved::BY_8021AD } else { 0 };
        !port.settings.host && !reserved::is_forwarded(destination, own, all, required)
    }

    /// Whether one that ends here teaches.
    fn teaches_here(&self, port: &Port, destination: u64) -> bool {
        port.learns && reserved::may_teach(destination, self.settings.no_linklocal_learn)
    }

    fn is_blackhole(&self, vlan: Classified, source: u64) -> bool {
        let found = self.fdb.lookup(vlan.key(source)).or_else(|| self.without_vlan(vlan, source));
        found.is_some_and(|found| found.way == Way::Nowhere)
    }

    /// What is known of an address in every VLAN, where VLANs are told apart: blackholes, and the addresses of
    /// devices whose port is in the frame's VLAN. Linux has an entry in each VLAN for those; like its
    /// `fdb_local_vlan_0` we have one in all.
    #[cold]
    pub(super) fn without_vlan(&self, vlan: Classified, address: u64) -> Option<Found> {
        if !self.vlans.on() {
            return None;
        }
        match self.fdb.lookup(Key::new(NO_VLAN, address))?.way {
            Way::Nowhere => Some(Found { port: PortId(u16::MAX), way: Way::Nowhere }),
            Way::Host | Way::Kernel => self.device_in(vlan, MacAddr::from_u64(address)),
            Way::Port => None,
        }
    }

    /// The first port of the VLAN whose device has this address.
    fn device_in(&self, vlan: Classified, mac: MacAddr) -> Option<Found> {
        let vid = Vid::new(vlan.vid())?;
        self.ports.iter().find_map(|(id, port)| {
            let (_, kind) = port.local.filter(|(local, _)| *local == mac)?;
            let way = if kind == LocalKind::Kernel { Way::Kernel } else { Way::Host };
            self.vlans.shares(id, vid).then_some(Found { port: id, way })
        })
    }

    /// Counts the frame for its VLAN.
    #[inline(never)]
    pub(super) fn count_vlan(&mut self, ingress: PortId, frame: &Frame<'_>) {
        let vlan = self.vlans.classify(ingress, frame);
        self.vlans.counting.received(ingress, vlan.vid(), vlan_bytes(frame, vlan));
    }
}

/// Whether a frame has been let into its VLAN.
#[inline(always)]
pub(super) fn is_in_vlan(admitted: &Result<Admitted<'_>, DropReason>) -> bool {
    match admitted {
        Ok(admitted) => admitted.end != Some(DropReason::ReservedAddress),
        // Those come after the VLAN.
        Err(reason) => matches!(reason, DropReason::Locked | DropReason::BlackholeSource),
    }
}
