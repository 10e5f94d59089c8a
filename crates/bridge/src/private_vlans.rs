//! Private VLANs as the user sets them.

use std::collections::BTreeSet;

use frame::Vid;

use crate::bridge::{Bridge, NO_VLAN};
use crate::fdb::{FdbEntry, Key};
use crate::membership::VlanRefused;
use crate::vlans::{Private, PrivateRole, PrivateVlan};

impl Bridge {
    /// Makes these the private VLANs, and no others; the next frame obeys. What was learned in VLANs that now share it
    /// with others than before is forgotten, and what was configured there goes on in their place.
    ///
    /// # Errors
    /// [`VlanRefused::InTwo`]; nothing is changed then.
    pub fn set_private_vlans(&mut self, vlans: Vec<PrivateVlan>) -> Result<(), VlanRefused> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = vlans.iter().flat_map(PrivateVlan::all).find(|vid| !seen.insert(*vid)) {
            return Err(VlanRefused::InTwo(twice));
        }
        let before = self.vlans.set_private(Private::new(vlans));
        let entries: Vec<FdbEntry> = self.fdb.iter().filter(|entry| entry.fid != NO_VLAN).collect();
        for entry in entries {
            let Some(vid) = Vid::new(entry.fid) else { continue };
            if before.of(vid) != self.vlans.private().of(vid) {
                self.fdb.remove(Key::new(entry.fid, entry.mac.to_u64()));
                self.place_anew(&before, vid, entry);
            }
        }
        Ok(())
    }

    /// Puts an entry that does not age where the VLAN of its port is looked up now.
    fn place_anew(&mut self, before: &Private, vid: Vid, entry: FdbEntry) {
        let is_its = |vid: &Vid| entry.port.is_some_and(|port| self.vlans.entry(port, *vid).is_some());
        let own = before.sharing(vid).into_iter().find(is_its).unwrap_or(vid);
        let key = Key::new(self.vlans.fid(own), entry.mac.to_u64());
        if entry.updated.is_none() && self.fdb.lookup(key).is_none() {
            self.fdb.set(key, entry.port, entry.kind);
        }
    }

    /// The private VLANs, by their primary.
    pub fn private_vlans(&self) -> impl Iterator<Item = &PrivateVlan> {
        self.vlans.private().iter()
    }

    /// What a VLAN is in a private VLAN.
    #[must_use]
    pub fn private_role(&self, vid: Vid) -> Option<PrivateRole> {
        self.vlans.private().role(vid)
    }

    /// The filtering database in which the stations of a VLAN are: that of its number, or of its primary's.
    #[must_use]
    pub fn fid(&self, vid: Vid) -> u16 {
        self.vlans.fid(vid)
    }
}
