//! The forwarding database: which station is behind which port (IEEE 802.1Q 8.8; `net/bridge/br_fdb.c`).
//!
//! An entry is one 16-byte slot of a hash table. A dynamic one also has a node in its port's list of
//! ages ([`lru`]). The slot repeats the tick of the last refresh, so that a frame from a known station
//! reads one cache line and writes nothing until the tick has changed.
//!
//! Dynamic entries are bounded: when full, the port that holds most of them gives up its oldest, so a
//! guest that makes up addresses pushes out only its own. All memory is taken when the database is made.

mod lru;
mod table;

use std::hash::BuildHasher;

use frame::MacAddr;
use hashbrown::DefaultHashBuilder;

use crate::moment::{Moment, Span};
use crate::port::{MAX_PORTS, PortId};
use lru::{Lru, NodeId};
use table::Table;

/// Entries that one [`Fdb::age`] removes at most (about 0.1 ms), so that frames never wait for a
/// hundred thousand entries that expire at once.
const AGE_BATCH: usize = 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Learned; ages, and goes with the port's link.
    Dynamic,
    /// Configured; moves with the station, as in Linux, and goes with the port.
    Static,
    /// A port's own address; never moves.
    Local,
}

/// One entry, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbEntry {
    /// The station.
    pub mac: MacAddr,
    /// The filtering database it belongs to; 0 as long as VLANs are not told apart.
    pub fid: u16,
    /// Where it is.
    pub port: PortId,
    /// What kind of entry this is.
    pub kind: EntryKind,
    /// When a dynamic entry was last refreshed, up to a 64th of the ageing time (one second at most) early.
    pub updated: Option<Moment>,
}

/// What happened to dynamic entries since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FdbCounters {
    /// Made.
    pub learned: u64,
    /// Moved to another port, static ones included.
    pub moved: u64,
    /// Removed because they were silent for the ageing time.
    pub aged: u64,
    /// Removed to make room: a sign of too many addresses on one port.
    pub evicted: u64,
}

/// FID and MAC address in one integer: the key of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    #[inline]
    pub(crate) fn new(fid: u16, address: u64) -> Self {
        Self(u64::from(fid) << 48 | address)
    }
}

/// What [`Fdb::learn`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// The station was known here, or is now.
    Here,
    /// The station was known on another port.
    Moved,
    /// The address is the bridge's own, of this port and kind.
    Own(Found),
    /// Nothing is learned, as configured.
    Off,
}

/// What a lookup says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) port: PortId,
    /// The kernel has its own copy of frames to this address.
    pub(crate) kernel: bool,
}

/// Values of [`Slot::node`] for entries without a node.
const STATIC: u32 = u32::MAX;
const LOCAL_PORT: u32 = u32::MAX - 1;
const LOCAL_KERNEL: u32 = u32::MAX - 2;

/// Most dynamic entries that can be asked for; keeps node numbers clear of the values above.
pub(crate) const MAX_DYNAMIC: usize = 1 << 24;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: u64,
    node: u32,
    port: u16,
    /// Low 16 bits of the tick of the last refresh. A tick is at least a 32,768th of the ageing time, so
    /// an entry whose tick came round again has expired long ago and can't be taken for a fresh one.
    tick: u16,
}

impl Slot {
    fn kind(&self) -> EntryKind {
        match self.node {
            STATIC => EntryKind::Static,
            LOCAL_PORT | LOCAL_KERNEL => EntryKind::Local,
            _ => EntryKind::Dynamic,
        }
    }

    fn found(&self) -> Found {
        Found { port: PortId(self.port), kernel: self.node == LOCAL_KERNEL }
    }
}

/// The database of one bridge.
#[derive(Debug)]
pub(crate) struct Fdb {
    table: Table<Slot>,
    hasher: DefaultHashBuilder,
    lru: Lru,
    max: usize,
    /// Entries that are not dynamic.
    fixed: usize,
    ageing: Span,
    /// How coarsely refreshes are noted, in milliseconds; at least 1.
    granule: u64,
    /// When the last frame came, and the tick that this is: a division that a batch does once.
    now: Moment,
    tick: u16,
    /// No dynamic entry expires before this.
    deadline: Moment,
    counters: FdbCounters,
}

/// Of what length a tick is: 1 s, and at least 64 to an ageing time; and see [`Slot::tick`].
fn granule(ageing: Span) -> u64 {
    (ageing.0 / 64).clamp(1, 1000).max(ageing.0 / 32_768)
}

impl Fdb {
    /// An empty database for at most `max` dynamic entries. Static and local ones do not count.
    pub(crate) fn new(max: usize, ageing: Span) -> Self {
        let max = max.min(MAX_DYNAMIC);
        Self {
            table: Table::new(max + MAX_PORTS),
            hasher: DefaultHashBuilder::default(),
            lru: Lru::new(max, MAX_PORTS),
            max,
            fixed: 0,
            ageing,
            granule: granule(ageing),
            now: Moment(0),
            tick: 0,
            deadline: Moment(0),
            counters: FdbCounters::default(),
        }
    }

    #[inline]
    fn hash(&self, key: u64) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Where a station is.
    #[inline]
    pub(crate) fn lookup(&self, Key(key): Key) -> Option<Found> {
        self.table.find(self.hash(key), |slot| slot.key == key).map(Slot::found)
    }

    /// Notes that a frame from `key` came in on `port`.
    #[inline]
    pub(crate) fn learn(&mut self, Key(key): Key, port: PortId, now: Moment) -> Learned {
        if self.ageing == Span::ZERO {
            return Learned::Off;
        }
        if now != self.now {
            (self.now, self.tick) = (now, (now.0 / self.granule) as u16);
        }
        let tick = self.tick;
        let hash = self.hash(key);
        let Some(slot) = self.table.find_mut(hash, |slot| slot.key == key) else {
            return self.insert(hash, Slot { key, node: 0, port: port.0, tick }, now);
        };
        if slot.port == port.0 && slot.tick == tick && slot.node < LOCAL_KERNEL {
            return Learned::Here;
        }
        if slot.kind() == EntryKind::Local {
            return Learned::Own(slot.found());
        }
        slot.tick = tick;
        let from = PortId(std::mem::replace(&mut slot.port, port.0));
        if slot.kind() == EntryKind::Dynamic {
            self.lru.refresh(from, port, NodeId(slot.node), now);
        }
        if from == port {
            return Learned::Here;
        }
        self.counters.moved += 1;
        Learned::Moved
    }

    /// The slow half of learning: a station that was not known.
    #[cold]
    fn insert(&mut self, hash: u64, mut slot: Slot, now: Moment) -> Learned {
        if self.max == 0 {
            return Learned::Off;
        }
        if self.lru.len() == 0 {
            self.deadline = now + self.ageing;
        }
        let port = PortId(slot.port);
        if self.lru.len() >= self.max && self.forget_oldest(self.lru.fullest(port)) {
            self.counters.evicted += 1;
        }
        slot.node = self.lru.insert(port, slot.key, now).0;
        self.counters.learned += 1;
        self.put(hash, slot);
        Learned::Here
    }

    fn put(&mut self, hash: u64, slot: Slot) {
        let hasher = &self.hasher;
        self.table.insert_unique(hash, slot, |slot| hasher.hash_one(slot.key));
    }

    fn take(&mut self, key: u64) -> Option<Slot> {
        let hash = self.hash(key);
        let slot = self.table.find_entry(hash, |slot| slot.key == key).ok()?.remove().0;
        match slot.kind() {
            EntryKind::Dynamic => self.lru.remove(PortId(slot.port), NodeId(slot.node)),
            EntryKind::Static | EntryKind::Local => self.fixed -= 1,
        }
        Some(slot)
    }

    /// Removes a port's oldest dynamic entry; false if it has none.
    fn forget_oldest(&mut self, port: PortId) -> bool {
        match self.lru.oldest(port) {
            Some((key, _)) => self.take(key).is_some(),
            None => false,
        }
    }

    /// Removes all dynamic entries of a port.
    pub(crate) fn forget_dynamic(&mut self, port: PortId) {
        while self.forget_oldest(port) {}
    }

    /// Removes all entries of a port, whatever their kind.
    pub(crate) fn forget(&mut self, port: PortId) {
        self.forget_dynamic(port);
        let before = self.table.len();
        self.table.retain(|slot| slot.port != port.0);
        self.fixed -= before - self.table.len();
    }

    /// Makes a static entry, in place of whatever was known of this station. Local ones are left alone:
    /// false.
    pub(crate) fn set_static(&mut self, key: Key, port: PortId) -> bool {
        if self.kind(key) == Some(EntryKind::Local) {
            return false;
        }
        self.set_fixed(key, port, STATIC);
        true
    }

    /// Makes an address the bridge's own, in place of whatever was known of it.
    pub(crate) fn set_local(&mut self, key: Key, Found { port, kernel }: Found) {
        self.set_fixed(key, port, if kernel { LOCAL_KERNEL } else { LOCAL_PORT });
    }

    /// Forgets an entry, if there is one.
    pub(crate) fn remove(&mut self, Key(key): Key) {
        self.take(key);
    }

    /// What kind of entry there is.
    pub(crate) fn kind(&self, Key(key): Key) -> Option<EntryKind> {
        self.table.find(self.hash(key), |slot| slot.key == key).map(Slot::kind)
    }

    fn set_fixed(&mut self, Key(key): Key, port: PortId, node: u32) {
        self.take(key);
        self.fixed += 1;
        let hasher = &self.hasher;
        self.table.reserve(self.max + self.fixed, |slot| hasher.hash_one(slot.key));
        self.put(self.hash(key), Slot { key, node, port: port.0, tick: 0 });
    }

    /// Removes dynamic entries that were last refreshed an ageing time ago, [`AGE_BATCH`] at most.
    pub(crate) fn age(&mut self, now: Moment) {
        let mut left = AGE_BATCH;
        let mut next = Moment(u64::MAX);
        for port in self.lru.ports() {
            while let Some((key, updated)) = self.lru.oldest(port) {
                let expires = updated + self.ageing;
                if expires > now || left == 0 {
                    next = next.min(expires);
                    break;
                }
                self.take(key);
                self.counters.aged += 1;
                left -= 1;
            }
        }
        // Entries that expire one after the other share a wake-up; what is left over goes on at once.
        self.deadline = if left == 0 { next } else { next.max(now + Span(self.granule)) };
    }

    /// When [`Fdb::age`] has something to do; `None` without dynamic entries.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        (self.lru.len() > 0).then_some(self.deadline)
    }

    /// Number of entries of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Number of dynamic entries.
    pub(crate) fn dynamic_len(&self) -> usize {
        self.lru.len()
    }

    pub(crate) fn counters(&self) -> FdbCounters {
        self.counters
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = FdbEntry> {
        self.table.iter().map(|slot| FdbEntry {
            mac: MacAddr::from_u64(slot.key),
            fid: (slot.key >> 48) as u16,
            port: PortId(slot.port),
            kind: slot.kind(),
            updated: (slot.kind() == EntryKind::Dynamic).then(|| self.lru.updated(NodeId(slot.node))),
        })
    }
}
