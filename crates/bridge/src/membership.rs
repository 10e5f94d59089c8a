//! VLANs as the user sets them, with the rules of `bridge vlan` (`nbp_vlan_add`, `nbp_vlan_delete` and
//! `__br_vlan_set_default_pvid` in `net/bridge/br_vlan.c`). Every call is one change between two frames, and
//! touches no other VLAN.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use frame::{EtherType, Frame, MacAddr, Tag, Vid};

use crate::bridge::Bridge;
use crate::fdb::Key;
use crate::port::PortId;
use crate::rules::state::PortState;
use crate::settings::VlanSettings;
use crate::vlan_counters::VlanCounters;
use crate::vlans::{Membership, Private, VlanEntry};

/// Why the VLANs of a port can't be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanRefused {
    /// There is no such port.
    NoSuchPort(PortId),
    /// The port is not in this VLAN.
    NotAMember(PortId, Vid),
    /// This number on the port's wire would be that of two VLANs.
    Ambiguous(PortId, Vid),
    /// In two VLANs of a private one, of which the port can't be both: two secondaries without their primary, or the
    /// primary and a secondary that is untagged.
    Roles(PortId, Vid, Vid),
    /// A VLAN would be in two private VLANs, or twice in one.
    InTwo(Vid),
}

impl VlanRefused {
    /// The reason in words, in which the port is called `port`.
    #[must_use]
    pub fn words(&self, port: &str) -> String {
        match self {
            Self::NoSuchPort(_) => format!("the bridge has no {port}"),
            Self::NotAMember(_, vid) => format!("{port} is not a member of VLAN {vid}"),
            Self::Ambiguous(_, wire) => format!(
                "number {wire} on the wire of {port} would be that of two VLANs: give one of them another"
            ),
            Self::Roles(_, one, other) => format!(
                "{port} can't be in VLANs {one} and {other} so: of a private VLAN, a host's port is in one secondary, a promiscuous port in the primary alone, and a link between switches in the primary and, tagged, in secondaries"
            ),
            Self::InTwo(vid) => {
                format!("VLAN {vid} would be two parts of private VLANs, or twice the same: name it once")
            }
        }
    }
}

/// The port by its number.
impl fmt::Display for VlanRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::NoSuchPort(port)
            | Self::NotAMember(port, _)
            | Self::Ambiguous(port, _)
            | Self::Roles(port, ..) => format!("port number {}", port.0),
            Self::InTwo(_) => String::new(),
        };
        f.write_str(&self.words(&port))
    }
}

impl std::error::Error for VlanRefused {}

impl Bridge {
    /// What the bridge makes of VLAN tags.
    #[must_use]
    pub fn vlan_settings(&self) -> VlanSettings {
        self.settings.vlan
    }

    /// Changes that; the next frame obeys. Ports that are still in the old default VLAN as they were put there
    /// go over to the new one, unless they are in that already.
    pub fn set_vlan_settings(&mut self, settings: VlanSettings) {
        let old = self.settings.vlan.default_pvid;
        self.settings.vlan = settings;
        self.vlans.set(settings);
        if old == settings.default_pvid {
            return;
        }
        for port in self.vlans.ports() {
            let default = old.and_then(|old| self.vlans.entry(port, old));
            let is_default = default.is_some_and(|entry| entry.membership == Membership::ACCESS);
            let stays = match settings.default_pvid {
                Some(new) => old.is_some() && !is_default || self.vlans.entry(port, new).is_some(),
                None => !is_default,
            };
            if stays {
                continue;
            }
            if let Some(new) = settings.default_pvid {
                self.join(port, new, Membership::ACCESS);
            }
            if let Some(old) = old {
                self.leave(port, old);
            }
        }
    }

    /// The EtherType of the tags that are VLANs: what [`crate::TagEdit::apply`] wants to know.
    #[inline]
    #[must_use]
    pub fn vlan_tpid(&self) -> EtherType {
        self.vlans.tpid()
    }

    /// The VLAN of a frame that came in on `ingress`: that of its tag where VLANs are not told apart; 0 for none.
    #[must_use]
    pub fn vlan_of(&self, ingress: PortId, frame: &Frame<'_>) -> u16 {
        match self.vlans.on() {
            true => self.vlans.classify(ingress, frame).vid(),
            false => frame.tag().map_or(0, Tag::vid),
        }
    }

    /// Makes a port a member of a VLAN. One that is a member already becomes what `membership` says: `pvid` and
    /// `untagged` are taken away if they are not in it. Another VLAN that was the port's PVID stays as it is
    /// otherwise.
    ///
    /// # Errors
    /// A [`VlanRefused`]: there is no such port, another VLAN has its number on the wire, or is another part of the same
    /// private VLAN.
    pub fn add_vlan(&mut self, port: PortId, vid: Vid, membership: Membership) -> Result<(), VlanRefused> {
        self.ports.get(port).ok_or(VlanRefused::NoSuchPort(port))?;
        if membership.wire.is_some() || self.vlans.translates(port) || self.private_role(vid).is_some() {
            let others = self.vlans.entries(port).filter(|entry| entry.vid != vid);
            let all: Vec<_> =
                others.map(|entry| (entry.vid, entry.membership)).chain([(vid, membership)]).collect();
            let private = self.vlans.private();
            let with_it: Vec<_> =
                all.iter().filter(|(other, _)| private.of(*other) == private.of(vid)).copied().collect();
            one_role_each(port, &with_it, private)?;
            one_vlan_each(port, &all)?;
        }
        self.join(port, vid, membership);
        Ok(())
    }

    /// Takes a port out of a VLAN; what was learned there of that VLAN is forgotten.
    ///
    /// # Errors
    /// A [`VlanRefused`]: there is no such port, or it is no member.
    pub fn remove_vlan(&mut self, port: PortId, vid: Vid) -> Result<(), VlanRefused> {
        self.ports.get(port).ok_or(VlanRefused::NoSuchPort(port))?;
        if self.leave(port, vid) { Ok(()) } else { Err(VlanRefused::NotAMember(port, vid)) }
    }

    /// Makes these the VLANs of a port, and no others: at most one of them is the PVID, or the last one counts.
    /// What was learned in those that stay is not forgotten.
    ///
    /// # Errors
    /// A [`VlanRefused`]: there is no such port, two of them have the same number on the wire, or are parts of one
    /// private VLAN that do not go together.
    pub fn set_vlans(&mut self, port: PortId, vlans: &[(Vid, Membership)]) -> Result<(), VlanRefused> {
        self.ports.get(port).ok_or(VlanRefused::NoSuchPort(port))?;
        one_role_each(port, vlans, self.vlans.private())?;
        one_vlan_each(port, vlans)?;
        let gone: Vec<Vid> = self.vlans.entries(port).map(|entry| entry.vid).collect();
        for vid in gone.into_iter().filter(|vid| vlans.iter().all(|(stays, _)| stays != vid)) {
            self.leave(port, vid);
        }
        for (vid, membership) in vlans {
            self.join(port, *vid, *membership);
        }
        Ok(())
    }

    /// What a port does with the frames of one VLAN. It counts only where the port itself is forwarding.
    ///
    /// # Errors
    /// A [`VlanRefused`]: there is no such port, or it is no member.
    pub fn set_vlan_state(&mut self, port: PortId, vid: Vid, state: PortState) -> Result<(), VlanRefused> {
        self.ports.get(port).ok_or(VlanRefused::NoSuchPort(port))?;
        let set = self.vlans.set_state(port, vid, state);
        set.then_some(()).ok_or(VlanRefused::NotAMember(port, vid))
    }

    /// The VLANs of a port, in order; none of a port that does not exist. They are kept, and can be set, also
    /// while VLANs are not told apart.
    pub fn vlans(&self, port: PortId) -> impl Iterator<Item = VlanEntry> {
        self.vlans.entries(port)
    }

    /// The VLAN of what comes in untagged on this port.
    #[must_use]
    pub fn pvid(&self, port: PortId) -> Option<Vid> {
        self.vlans.pvid(port)
    }

    /// What a VLAN has seen at this port, or, without [`VlanSettings::stats_per_port`], at all ports together;
    /// `None` if it is not counted.
    #[must_use]
    pub fn vlan_counters(&self, port: PortId, vid: Vid) -> Option<VlanCounters> {
        self.vlans.counting.get(port, vid)
    }

    fn join(&mut self, port: PortId, vid: Vid, membership: Membership) {
        self.vlans.add(port, vid, membership);
        if let Some((mac, _)) = self.ports.get(port).and_then(|port| port.local) {
            self.fdb.remove(Key::new(self.vlans.fid(vid), mac.to_u64()));
        }
    }

    fn leave(&mut self, port: PortId, vid: Vid) -> bool {
        let was_member = self.vlans.remove(port, vid);
        if was_member {
            self.flush_in(Some(vid), Some(port), None);
        }
        was_member
    }

    /// The address of a port's device is its own in all of the port's VLANs, whatever was known of it there.
    pub(crate) fn own_in_vlans(&mut self, port: PortId, mac: MacAddr) {
        for entry in self.vlans.entries(port) {
            self.fdb.remove(Key::new(self.vlans.fid(entry.vid), mac.to_u64()));
        }
    }
}

/// Whether it is clear what the port is in each private VLAN.
fn one_role_each(port: PortId, vlans: &[(Vid, Membership)], private: &Private) -> Result<(), VlanRefused> {
    let in_private = vlans.iter().copied().filter(|(vid, _)| private.of(*vid).is_some());
    let all: BTreeMap<Vid, Membership> = in_private.collect();
    let is_untagged = |vid| all.get(&vid).is_some_and(|membership| membership.untagged);
    let conflict = private.conflict(|vid| all.contains_key(&vid), is_untagged);
    conflict.map_or(Ok(()), |(one, other)| Err(VlanRefused::Roles(port, one, other)))
}

/// Whether each number on the port's wire is that of one VLAN; without other numbers there it always is.
fn one_vlan_each(port: PortId, vlans: &[(Vid, Membership)]) -> Result<(), VlanRefused> {
    if vlans.iter().all(|(_, membership)| membership.wire.is_none()) {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    for wire in vlans.iter().filter_map(|(vid, membership)| membership.on_wire(*vid)) {
        if !seen.insert(wire) {
            return Err(VlanRefused::Ambiguous(port, wire));
        }
    }
    Ok(())
}
