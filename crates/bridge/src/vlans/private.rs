//! Private VLANs: a primary VLAN whose ports are kept apart by secondary VLANs (RFC 5517), as VLANs that share what
//! is learned (IEEE 802.1Q 8.8, "Allocation of VIDs to FIDs", and the asymmetric VLANs of its annex on shared
//! learning). What a port is follows from those of the VLANs that it is in:
//!
//! - the primary alone: promiscuous; it gets the frames of all, in the form of the primary;
//! - one secondary alone: a host's; it gets the frames of the primary in the form of its own VLAN, and, of a
//!   community, those of the others in that;
//! - the primary and secondaries: a link to another switch; each VLAN is itself there.

use frame::Vid;

use crate::vlans::NUMBERS;
use crate::vlans::table::{Table, VidSet};

/// A primary VLAN and its secondary ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateVlan {
    /// The VLAN of the promiscuous ports, which reach everybody.
    pub primary: Vid,
    /// The VLAN whose ports reach only those of the primary.
    pub isolated: Option<Vid>,
    /// VLANs whose ports reach those of the primary and each other.
    pub communities: Vec<Vid>,
}

impl PrivateVlan {
    /// All but the primary.
    pub(crate) fn secondaries(&self) -> impl Iterator<Item = Vid> {
        self.isolated.into_iter().chain(self.communities.iter().copied())
    }

    /// The primary, then the others.
    pub(crate) fn all(&self) -> impl Iterator<Item = Vid> {
        std::iter::once(self.primary).chain(self.secondaries())
    }
}

/// What a VLAN is in a private VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrivateKind {
    /// The one of promiscuous ports.
    Primary,
    /// The one whose ports are kept apart from each other.
    Isolated,
    /// One whose ports reach each other.
    Community,
}

/// A VLAN's part in a private VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateRole {
    /// What it is.
    pub kind: PrivateKind,
    /// In the private VLAN of this primary.
    pub primary: Vid,
}

/// One of them with what its ports are asked.
#[derive(Clone, Debug)]
struct Part {
    vlan: PrivateVlan,
    secondaries: VidSet,
}

/// All private VLANs; no VLAN is in two.
#[derive(Clone, Debug, Default)]
pub(crate) struct Private {
    /// By primary.
    parts: Vec<Part>,
    /// By VLAN, where its stations are looked up; none while each has its own place.
    fids: Option<Box<[u16; NUMBERS]>>,
}

impl Private {
    pub(crate) fn new(vlans: Vec<PrivateVlan>) -> Self {
        let mut fids: [u16; NUMBERS] = std::array::from_fn(|vid| vid as u16);
        let part = |vlan: PrivateVlan| {
            let mut secondaries = VidSet::EMPTY;
            for vid in vlan.secondaries() {
                secondaries.set(vid, true);
                fids[usize::from(vid.get())] = vlan.primary.get();
            }
            Part { vlan, secondaries }
        };
        let mut parts: Vec<Part> = vlans.into_iter().map(part).collect();
        parts.sort_unstable_by_key(|part| part.vlan.primary);
        let fids = (!parts.is_empty()).then(|| Box::new(fids));
        Self { parts, fids }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PrivateVlan> {
        self.parts.iter().map(|part| &part.vlan)
    }

    /// Where stations of a VLAN are looked up: by the number of its primary, or its own.
    #[inline(always)]
    pub(crate) fn fid(&self, vid: u16) -> u16 {
        match &self.fids {
            None => vid,
            Some(fids) => fids[usize::from(vid) % NUMBERS],
        }
    }

    /// Whether there is none.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.fids.is_none()
    }

    fn part(&self, vid: Vid) -> Option<&Part> {
        let fid = self.fid(vid.get());
        let place = self.parts.binary_search_by_key(&fid, |part| part.vlan.primary.get()).ok()?;
        self.parts.get(place)
    }

    /// The private VLAN that it is a part of.
    pub(crate) fn of(&self, vid: Vid) -> Option<&PrivateVlan> {
        self.part(vid).map(|part| &part.vlan)
    }

    pub(crate) fn role(&self, vid: Vid) -> Option<PrivateRole> {
        let PrivateVlan { primary, isolated, .. } = self.of(vid)?;
        let kind = match vid {
            _ if vid == *primary => PrivateKind::Primary,
            _ if Some(vid) == *isolated => PrivateKind::Isolated,
            _ => PrivateKind::Community,
        };
        Some(PrivateRole { kind, primary: *primary })
    }

    /// The VLANs that share what is learned with this one, itself among them.
    pub(crate) fn sharing(&self, vid: Vid) -> Vec<Vid> {
        self.of(vid).map_or_else(|| vec![vid], |vlan| vlan.all().collect())
    }

    /// As a member of which of its VLANs a port sends the frames of `vid`; `None` if it does not.
    pub(super) fn sent_in(&self, table: &Table, vid: Vid) -> Option<Vid> {
        let has = |vid: &Vid| table.members.has(*vid);
        let Some(Part { vlan, secondaries }) = self.part(vid) else { return Some(vid).filter(has) };
        if has(&vlan.primary) {
            let promiscuous = !table.members.meets(secondaries);
            return if promiscuous { Some(vlan.primary) } else { Some(vid).filter(has) };
        }
        match vid {
            _ if vid == vlan.primary => vlan.secondaries().find(has),
            _ if Some(vid) == vlan.isolated => None,
            _ => Some(vid).filter(has),
        }
    }

    /// Two VLANs of a private one that say different things of what a port is: secondaries without their primary, or
    /// one that is untagged beside it.
    pub(crate) fn conflict(
        &self,
        is_member: impl Fn(Vid) -> bool,
        is_untagged: impl Fn(Vid) -> bool,
    ) -> Option<(Vid, Vid)> {
        self.iter().find_map(|vlan| {
            let mut own = vlan.secondaries().filter(|vid| is_member(*vid));
            match is_member(vlan.primary) {
                true => own.find(|vid| is_untagged(*vid)).map(|vid| (vlan.primary, vid)),
                false => own.next().zip(own.next()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vid(number: u16) -> Vid {
        Vid::new(number).unwrap()
    }

    fn private() -> Private {
        let lab = PrivateVlan { primary: vid(300), isolated: None, communities: vec![vid(7)] };
        let guests = PrivateVlan {
            primary: vid(100),
            isolated: Some(vid(101)),
            communities: vec![vid(102), vid(103)],
        };
        Private::new(vec![lab, guests])
    }

    #[test]
    fn secondaries_are_looked_up_with_their_primary() {
        let private = private();
        let fids = [1, 7, 99, 100, 101, 102, 103, 104, 300, 4094].map(|vid| private.fid(vid));
        assert_eq!(fids, [1, 300, 99, 100, 100, 100, 100, 104, 300, 4094]);
        assert_eq!(private.sharing(vid(102)), [100, 101, 102, 103].map(vid));
        assert_eq!(private.sharing(vid(1)), [vid(1)]);
        let role = |number| private.role(vid(number)).map(|role| (role.kind, role.primary.get()));
        assert_eq!(role(100), Some((PrivateKind::Primary, 100)));
        assert_eq!(role(101), Some((PrivateKind::Isolated, 100)));
        assert_eq!(role(7), Some((PrivateKind::Community, 300)));
        assert_eq!(role(104), None);
        assert!(!private.is_empty() && Private::new(vec![]).is_empty());
    }

    #[test]
    fn a_port_sends_by_what_it_is() {
        let private = private();
        let sent = |members: &[u16], number: u16| {
            let mut table = Table::EMPTY;
            members.iter().for_each(|member| table.members.set(vid(*member), true));
            private.sent_in(&table, vid(number)).map_or(0, Vid::get)
        };
        for (members, expected) in [
            // Promiscuous, isolated, community, a link between switches, of all and of some.
            (&[100][..], [100, 100, 100, 100]),
            (&[101], [101, 0, 0, 0]),
            (&[102], [102, 0, 102, 0]),
            (&[100, 101, 102, 103], [100, 101, 102, 103]),
            (&[100, 102], [100, 0, 102, 0]),
            // Of two communities, were it so.
            (&[102, 103], [102, 0, 102, 103]),
            (&[5], [0, 0, 0, 0]),
        ] {
            assert_eq!([100, 101, 102, 103].map(|number| sent(members, number)), expected, "{members:?}");
        }
        assert_eq!((sent(&[5], 5), sent(&[5, 100], 6)), (5, 0));
    }

    #[test]
    fn what_a_port_is_must_be_clear() {
        let private = private();
        let conflict = |members: &[u16], untagged: &[u16]| {
            let (members, untagged) =
                (|vid: Vid| members.contains(&vid.get()), |vid: Vid| untagged.contains(&vid.get()));
            private.conflict(members, untagged).map(|(a, b)| (a.get(), b.get()))
        };
        assert_eq!(conflict(&[101, 103], &[]), Some((101, 103)));
        assert_eq!(conflict(&[100, 102], &[102]), Some((100, 102)));
        assert_eq!(conflict(&[7, 300], &[7, 300]), Some((300, 7)));
        for clear in [&[100][..], &[100, 101, 102], &[101, 7], &[102, 5], &[1, 2, 3]] {
            assert_eq!(conflict(clear, &[100, 5]), None, "{clear:?}");
        }
    }
}
