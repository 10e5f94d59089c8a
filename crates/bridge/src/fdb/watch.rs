//! What happens to entries, noted while somebody watches. Bounded: what finds no room is counted.

use frame::MacAddr;

use crate::fdb::EntryKind;
use crate::port::PortId;

/// Most changes that are kept until they are taken.
const KEPT: usize = 4096;

/// What has happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was learned or made. One that was made in place of another was removed before.
    Added,
    /// Its station spoke on another port.
    Moved,
    /// It has aged, had to make room, went with its port, or was removed.
    Removed,
}

/// A change of the FDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbChange {
    /// What has happened.
    pub happened: Happened,
    /// The station.
    pub mac: MacAddr,
    /// The filtering database.
    pub fid: u16,
    /// Where it is now, or was last; a blackhole is nowhere.
    pub port: Option<PortId>,
    /// What kind of entry it is, or was.
    pub kind: EntryKind,
}

/// Changes that nobody has taken yet.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    changes: Vec<FdbChange>,
    lost: u64,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { changes: Vec::with_capacity(KEPT), lost: 0 }
    }

    pub(super) fn note(&mut self, change: FdbChange) {
        if self.changes.len() < KEPT {
            self.changes.push(change);
        } else {
            self.lost += 1;
        }
    }

    pub(super) fn take(&mut self) -> (Vec<FdbChange>, u64) {
        let lost = std::mem::take(&mut self.lost);
        if self.changes.is_empty() {
            return (Vec::new(), lost);
        }
        (std::mem::replace(&mut self.changes, Vec::with_capacity(KEPT)), lost)
    }
}
