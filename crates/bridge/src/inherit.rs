//! What a bridge takes over from one that was there before it in another process: what was counted, and what was
//! known of stations.

use frame::Vid;

use crate::bridge::{Bridge, NO_VLAN};
use crate::counters::PortCounters;
use crate::fdb::{EntryKind, FdbCounters, FdbEntry, Key};
use crate::moment::Moment;
use crate::port::PortId;
use crate::vlan_counters::VlanCounters;

impl Bridge {
    /// Puts in entries as [`Bridge::take_unsaved`] of another bridge told them, with the age that they have; `now`
    /// is not before any of them. Where several are of one station, the one that was refreshed last counts. A port
    /// need not be up. Entries that are on no port of this bridge, or too old, are left out.
    pub fn inherit_entries(&mut self, mut entries: Vec<FdbEntry>, now: Moment) {
        // The oldest first, as they would have been learned.
        entries.sort_unstable_by_key(|entry| entry.updated);
        for entry in entries {
            if entry.port.is_some_and(|port| self.ports.get(port).is_none()) {
                continue;
            }
            // Then it was a VLAN of its own, perhaps.
            let fid = Vid::new(entry.fid).map_or(NO_VLAN, |vid| self.vlans.fid(vid));
            let key = Key::new(fid, entry.mac.to_u64());
            match (entry.kind, entry.port, entry.updated) {
                (EntryKind::Dynamic | EntryKind::Locked, Some(port), Some(updated)) if updated <= now => {
                    self.fdb.set_now(updated);
                    self.fdb.inherit(key, port, entry.kind == EntryKind::Locked);
                }
                (EntryKind::Dynamic | EntryKind::Locked, ..) => {}
                (kind, port, _) => {
                    self.fdb.set(key, port, kind);
                }
            }
        }
        self.fdb.set_now(now);
        self.settle_locals();
    }

    /// Goes on counting from there.
    pub fn inherit_counters(&mut self, port: PortId, counters: PortCounters) {
        if let Some(port) = self.ports.get_mut(port) {
            port.counters = counters;
        }
    }

    /// Goes on counting from there what a VLAN has seen at this port, or, without
    /// [`crate::VlanSettings::stats_per_port`], at all ports together.
    pub fn inherit_vlan_counters(&mut self, port: PortId, vid: Vid, counters: VlanCounters) {
        self.vlans.counting.set(port, vid, counters);
    }

    /// Goes on counting from there.
    pub fn inherit_fdb_counters(&mut self, counters: FdbCounters) {
        self.fdb.set_counters(counters);
    }
}
