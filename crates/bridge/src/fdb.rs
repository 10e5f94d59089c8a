//! The forwarding database: which station is behind which port (IEEE 802.1Q 8.8; `net/bridge/br_fdb.c`).
//!
//! An entry is one 16-byte slot of a hash table. A dynamic one also has a node in its port's list of
//! ages ([`lru`]). The slot repeats the tick of the last refresh, so that a frame from a known station
//! reads one cache line and writes nothing until the tick has changed.
//!
//! Dynamic entries (locked ones among them) are bounded: when full, the port that holds most of them gives up its oldest, so a
//! guest that makes up addresses pushes out only its own. All memory is taken when the database is made.

mod learning;
mod lru;
mod replica;
mod slot;
mod table;
mod unsaved;
mod watch;

use std::hash::BuildHasher;
use std::hint::black_box;

use frame::MacAddr;
use hashbrown::DefaultHashBuilder;

use crate::moment::{Moment, Span};
use crate::port::{MAX_PORTS, PortId};
pub(crate) use learning::Heard;
use lru::Lru;
use replica::Replica;
pub use slot::EntryKind;
use slot::{BLACKHOLE, BY_USER, EXTERNAL, KERNEL, LOCAL, LOCKED, STATIC, STICKY, Slot};
pub(crate) use slot::{Found, MAX_DYNAMIC, Way};
use table::Table;
pub use unsaved::FdbPlace;
use unsaved::Unsaved;
use watch::Watch;
pub use watch::{FdbChange, Happened};

/// Entries that one [`Fdb::age`] removes at most (about 0.1 ms), so that frames never wait for a
/// hundred thousand entries that expire at once.
const AGE_BATCH: usize = 1024;

/// One entry, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbEntry {
    /// The station.
    pub mac: MacAddr,
    /// The filtering database it belongs to: the number of the VLAN, or of its primary; 0 for what is in none, or in all.
    pub fid: u16,
    /// Where it is; a blackhole is nowhere.
    pub port: Option<PortId>,
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
    /// Not made because `fdb_max_learned` stations were learned already.
    pub refused: u64,
    /// Not noted at once because another worker was far behind with what was learned; each was with a later frame.
    pub postponed: u64,
}

impl FdbCounters {
    /// Each counter by its name.
    pub fn fields(&mut self) -> [(&'static str, &mut u64); 6] {
        let Self { learned, moved, aged, evicted, refused, postponed } = self;
        [
            ("learned", learned),
            ("moved", moved),
            ("aged", aged),
            ("evicted", evicted),
            ("refused", refused),
            ("postponed", postponed),
        ]
    }

    /// Adds what another replica of the database has counted; what all of them do all have counted.
    pub fn join(&mut self, other: Self) {
        self.refused += other.refused;
        self.postponed += other.postponed;
    }
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

/// A key that is wanted soon.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted {
    hash: u64,
    key: u64,
}

/// What a frame taught of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The bridge did not ask: the frame was dropped before, or the port does not learn.
    NotAsked,
    /// Nothing is ever learned: the ageing time is zero, or the FDB has no room at all.
    Off,
    /// The station was known here; its entry is fresh again.
    Known,
    /// The station was not known; now it is here.
    New,
    /// The station was known on this other port; now it is here.
    Moved(PortId),
    /// A `sticky` entry keeps the station on this other port.
    Sticky(PortId),
    /// A blackhole entry has the address.
    Blackhole,
    /// The address is the bridge's own, of this port.
    Own(PortId),
    /// This port holds as many stations as it may (`max_macs`).
    Limited,
    /// As many stations as may be (`fdb_max_learned`) are learned already.
    Full,
    /// The station was heard on this other port too short a while ago (`move_damping`).
    Damped(PortId),
    /// Another worker is far behind with what was learned: a later frame of the station will teach it.
    Postponed,
}

/// The database of one bridge.
#[derive(Clone, Debug)]
pub(crate) struct Fdb {
    table: Table<Slot>,
    hasher: DefaultHashBuilder,
    lru: Lru,
    max: usize,
    /// Most entries that are learned, the user's own not counted; 0 for no such limit.
    max_learned: u32,
    /// How many of the entries that age were learned.
    learned: usize,
    /// Entries that are not dynamic.
    fixed: usize,
    blackholes: usize,
    ageing: Span,
    /// How long a port must have been silent before a station leaves it.
    damping: Span,
    /// How coarsely refreshes are noted, in milliseconds; at least 1.
    granule: u64,
    /// When the last frame came, and the tick that this is: a division that a batch does once.
    now: Moment,
    tick: u16,
    /// No dynamic entry expires before this.
    first: Moment,
    /// When those that expire soon after are to go as well.
    deadline: Moment,
    counters: FdbCounters,
    /// While somebody watches.
    watch: Option<Watch>,
    /// While somebody saves what changes.
    unsaved: Option<Unsaved>,
    /// Where other workers have replicas of it.
    replica: Replica,
}

/// Of what length a tick is: 1 s, and at least 64 to an ageing time and 16 to a damping; and see
/// [`Slot::tick`].
fn granule(ageing: Span, damping: Span) -> u64 {
    let damped = if damping == Span::ZERO { 1000 } else { (damping.0 / 16).max(1) };
    (ageing.0 / 64).clamp(1, 1000).min(damped).max(ageing.0 / 32_768)
}

impl Fdb {
    /// An empty database for at most `max` dynamic entries. Static and local ones do not count.
    pub(crate) fn new(max: usize, ageing: Span, damping: Span) -> Self {
        let max = max.min(MAX_DYNAMIC);
        Self {
            table: Table::new(max + MAX_PORTS),
            hasher: DefaultHashBuilder::default(),
            lru: Lru::new(max, MAX_PORTS),
            max,
            max_learned: 0,
            learned: 0,
            fixed: 0,
            blackholes: 0,
            ageing,
            damping,
            granule: granule(ageing, damping),
            now: Moment(0),
            tick: 0,
            first: Moment(u64::MAX),
            deadline: Moment(0),
            counters: FdbCounters::default(),
            watch: None,
            unsaved: None,
            replica: Replica::default(),
        }
    }

    /// A copy with all that one frame can meet: the entries of these keys, and the oldest of each port, of
    /// which one may have to make room. All counts are those of the whole.
    pub(crate) fn excerpt(&self, keys: &[Key]) -> Self {
        let oldest = self.lru.ports().filter_map(|port| self.lru.oldest(port)).map(|(key, _)| key);
        let met: Vec<u64> = oldest.chain(keys.iter().map(|Key(key)| *key)).collect();
        let lru = Lru::new(met.len() + 1, 0);
        let table = Table::new(met.len() + 1);
        let (hasher, replica) = (self.hasher.clone(), Replica::default());
        let mut copy = Self { table, hasher, lru, watch: None, unsaved: None, replica, ..*self };
        for key in met {
            let hash = self.hash(key);
            let known = copy.table.find(hash, |slot| slot.key == key).is_some();
            let slot = self.table.find(hash, |slot| slot.key == key).filter(|_| !known);
            let Some(&slot) = slot else { continue };
            let node = slot.node_id().map(|node| self.lru.updated(node));
            let node = node.map(|updated| copy.lru.insert(PortId(slot.port), key, updated));
            copy.put(hash, node.map_or(slot, |node| slot.with_node(node)));
        }
        copy.lru.count_as(&self.lru);
        copy
    }

    #[inline]
    fn hash(&self, key: u64) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Says what time it is, to all that follows.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Moment) {
        if now != self.now {
            (self.now, self.tick) = (now, (now.0 / self.granule) as u16);
        }
    }

    /// Takes other limits from now on: entries that have come of age by that go, and mean nothing any more
    /// before they do.
    pub(crate) fn set_limits(&mut self, ageing: Span, damping: Span, max_learned: u32, now: Moment) {
        (self.ageing, self.damping, self.max_learned) = (ageing, damping, max_learned);
        let granule = granule(ageing, damping);
        if granule != self.granule {
            self.granule = granule;
            self.tick = (self.now.0 / granule) as u16;
            let lru = &self.lru;
            self.table.retain(|slot| {
                slot.tick = slot.node_id().map_or(0, |node| (lru.updated(node).0 / granule) as u16);
                true
            });
        }
        self.age(now);
    }

    /// Where a station is. An entry that has expired says nothing, also if it was not yet cleared away.
    #[inline(always)]
    pub(crate) fn lookup(&self, Key(key): Key) -> Option<Found> {
        self.find(key).map(Slot::found)
    }

    /// Brings into the cache where it stands in which place the entry of a key is, if there is one; and says which key
    /// that was, for [`Fdb::fetch`]. Of many keys the processor waits for all at once so, and not for each twice.
    #[inline(always)]
    pub(crate) fn want(&self, Key(key): Key) -> Wanted {
        let hash = self.hash(key);
        black_box(self.table.find(hash, |_| false).is_some());
        Wanted { hash, key }
    }

    /// Brings the entry itself into the cache.
    #[inline(always)]
    pub(crate) fn fetch(&self, Wanted { hash, key }: Wanted) {
        black_box(self.table.find(hash, |slot| slot.key == key).is_some());
    }

    /// The same, with the kind of the entry.
    pub(crate) fn entry(&self, Key(key): Key) -> Option<(Found, EntryKind)> {
        self.find(key).map(|slot| (slot.found(), slot.kind()))
    }

    #[inline(always)]
    fn find(&self, key: u64) -> Option<&Slot> {
        let slot = self.table.find(self.hash(key), |slot| slot.key == key)?;
        (self.now < self.first || !self.expired(slot)).then_some(slot)
    }

    #[cold]
    fn expired(&self, slot: &Slot) -> bool {
        slot.node_id().is_some_and(|node| self.lru.updated(node) + self.ageing <= self.now)
    }

    /// Whether there is any blackhole entry.
    #[inline]
    pub(crate) fn has_blackholes(&self) -> bool {
        self.blackholes > 0
    }

    /// Puts in an entry that ages, for which there was none; the fullest port makes room for it.
    fn put_dynamic(&mut self, mut slot: Slot) {
        if self.lru.len() == 0 {
            self.first = self.now + self.ageing;
            self.deadline = self.first;
        }
        let port = PortId(slot.port);
        if self.lru.len() >= self.max && self.forget_oldest(self.lru.fullest(port)) {
            self.counters.evicted += 1;
        }
        slot.node |= self.lru.insert(port, slot.key, self.now).0;
        self.learned += usize::from(slot.is_learned());
        self.put(self.hash(slot.key), slot);
    }

    /// Notes from now on what happens to entries, or no longer.
    pub(crate) fn watch(&mut self, on: bool) {
        self.watch = on.then(Watch::new);
    }

    /// What has happened since the last call, and how much of it found no room.
    pub(crate) fn take_changes(&mut self) -> (Vec<FdbChange>, u64) {
        self.watch.as_mut().map_or((Vec::new(), 0), Watch::take)
    }

    fn note(&mut self, happened: Happened, slot: &Slot) {
        if self.watch.is_some() {
            let FdbEntry { mac, fid, port, kind, .. } = self.shown_without_age(slot);
            if let Some(watch) = &mut self.watch {
                watch.note(FdbChange { happened, mac, fid, port, kind });
            }
        }
    }

    /// A station has moved.
    fn note_move(&mut self, key: u64) {
        self.counters.moved += 1;
        let hash = self.hash(key);
        let slot = self.table.find(hash, |slot| slot.key == key).copied();
        if let Some(slot) = slot {
            self.note(Happened::Moved, &slot);
            self.put_unsaved(&slot);
        }
    }

    fn put_unsaved(&mut self, slot: &Slot) {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.put(slot);
        }
    }

    fn put(&mut self, hash: u64, slot: Slot) {
        self.note(Happened::Added, &slot);
        self.put_unsaved(&slot);
        let hasher = &self.hasher;
        self.table.insert_unique(hash, slot, |slot| hasher.hash_one(slot.key));
    }

    fn take(&mut self, key: u64) -> Option<Slot> {
        let hash = self.hash(key);
        let slot = self.table.find_entry(hash, |slot| slot.key == key).ok()?.remove().0;
        match slot.node_id() {
            Some(node) => self.lru.remove(PortId(slot.port), node),
            None => self.fixed -= 1,
        }
        self.learned -= usize::from(slot.is_learned());
        self.blackholes -= usize::from(slot.node == BLACKHOLE);
        self.note(Happened::Removed, &slot);
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.took(&slot);
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
        let of_port = self.table.iter().filter(|slot| slot.port == port.0).map(|slot| slot.key);
        for key in of_port.collect::<Vec<_>>() {
            self.take(key);
        }
    }

    /// Makes an address the bridge's own, in place of whatever was known of it.
    pub(crate) fn set_local(&mut self, key: Key, port: PortId, kernel: bool) {
        self.set_fixed(key, port, if kernel { KERNEL } else { LOCAL });
    }

    /// Makes an entry of the user's, in place of whatever there was; false if it is one that ages and the
    /// database has no room for any.
    pub(crate) fn set(&mut self, key: Key, port: Option<PortId>, kind: EntryKind) -> bool {
        let port = port.unwrap_or(PortId(u16::MAX));
        let node = match kind {
            EntryKind::Static => STATIC,
            EntryKind::Sticky => STICKY,
            EntryKind::External => EXTERNAL,
            EntryKind::Local => LOCAL,
            EntryKind::Blackhole => BLACKHOLE,
            EntryKind::Dynamic | EntryKind::Locked if self.max == 0 => return false,
            EntryKind::Dynamic | EntryKind::Locked => {
                self.take(key.0);
                let node = if kind == EntryKind::Locked { LOCKED | BY_USER } else { BY_USER };
                self.put_dynamic(Slot { key: key.0, node, port: port.0, tick: self.tick });
                return true;
            }
        };
        self.set_fixed(key, port, node);
        true
    }

    /// Puts in a station that was learned before this database was made, at the time that [`Fdb::set_now`] said
    /// last; an entry that does not age stays, and one that was learned earlier does not.
    pub(crate) fn inherit(&mut self, Key(key): Key, port: PortId, locked: bool) {
        let known = self.table.find(self.hash(key), |slot| slot.key == key);
        let fixed = known.is_some_and(|slot| slot.node_id().is_none());
        if known.is_some() && !fixed {
            self.take(key);
        }
        if !fixed && self.max > 0 && self.ageing != Span::ZERO {
            let node = if locked { LOCKED } else { 0 };
            self.put_dynamic(Slot { key, node, port: port.0, tick: self.tick });
        }
    }

    pub(crate) fn set_counters(&mut self, counters: FdbCounters) {
        self.counters = counters;
    }

    /// Forgets an entry, if there is one.
    pub(crate) fn remove(&mut self, Key(key): Key) {
        self.take(key);
    }

    fn set_fixed(&mut self, Key(key): Key, port: PortId, node: u32) {
        self.take(key);
        self.fixed += 1;
        self.blackholes += usize::from(node == BLACKHOLE);
        let hasher = &self.hasher;
        self.table.reserve(self.max + self.fixed, |slot| hasher.hash_one(slot.key));
        self.put(self.hash(key), Slot { key, node, port: port.0, tick: 0 });
    }

    /// Removes dynamic entries that were last refreshed an ageing time ago, [`AGE_BATCH`] at most. Of replicas each does
    /// it at the same place in the order of what changes.
    fn age(&mut self, now: Moment) {
        self.set_now(now);
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
        self.first = next;
        self.deadline = if left == 0 { next } else { next.max(now + Span(self.granule)) };
    }

    /// Number of entries of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Number of dynamic entries.
    pub(crate) fn dynamic_len(&self) -> usize {
        self.lru.len()
    }

    /// Number of dynamic entries on one port.
    pub(crate) fn stations(&self, port: PortId) -> usize {
        self.lru.len_of(port)
    }

    pub(crate) fn counters(&self) -> FdbCounters {
        self.counters
    }

    /// The entry of a station, as it is shown.
    pub(crate) fn show(&self, Key(key): Key) -> Option<FdbEntry> {
        self.find(key).map(|slot| self.shown(slot))
    }

    /// All entries, in no order; those that have expired and wait to be cleared away among them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = FdbEntry> {
        self.table.iter().map(|slot| self.shown(slot))
    }

    /// The entries in `places` places of the table, and where to go on.
    pub(crate) fn part(&self, from: usize, places: usize) -> (Vec<FdbEntry>, Option<usize>) {
        let end = from.saturating_add(places).min(self.table.places());
        let entries = (from..end).filter_map(|place| self.table.at(place)).map(|slot| self.shown(slot));
        (entries.collect(), (end < self.table.places()).then_some(end))
    }

    fn shown(&self, slot: &Slot) -> FdbEntry {
        let updated = slot.node_id().map(|node| self.lru.updated(node));
        FdbEntry { updated, ..self.shown_without_age(slot) }
    }

    fn shown_without_age(&self, slot: &Slot) -> FdbEntry {
        FdbEntry {
            mac: MacAddr::from_u64(slot.key),
            fid: (slot.key >> 48) as u16,
            port: (slot.node != BLACKHOLE).then_some(PortId(slot.port)),
            kind: slot.kind(),
            updated: None,
        }
    }
}
