//! A database of which each worker has a replica: what changes it by itself - a frame that teaches something, and time -
//! happens to all of them in one order ([`crate::order`]), so they are the same but for what one of them has not heard
//! yet. What the user changes he changes in all of them, while nobody forwards.

use std::fmt;
use std::hash::BuildHasher;

use super::slot::Slot;
use super::table::Table;
use super::{Fdb, FdbCounters, Heard};
use crate::moment::Moment;
use crate::order::Reader;
use crate::port::MAX_PORTS;

/// Deeds that a replica may be behind: 10 ms of nothing but new stations.
const ROOM: usize = 8192;

/// Something that all replicas do.
#[derive(Clone, Copy, Debug)]
struct Deed {
    now: Moment,
    /// What was heard; `None` to let entries age.
    heard: Option<Heard>,
}

/// A replica's place among the others, where there are others. A copy of it has none.
#[derive(Default)]
pub(super) struct Replica(Option<Place>);

struct Place {
    reader: Reader<Deed>,
    /// Whether this is the one that says when time has passed.
    first: bool,
    /// Room for what the others have done.
    news: Vec<Deed>,
}

impl Clone for Replica {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replica").field(&self.0.is_some()).finish()
    }
}

impl Replica {
    #[inline]
    pub(super) fn is_one_of_several(&self) -> bool {
        self.0.is_some()
    }
}

impl Fdb {
    /// So many replicas of it, this one being the first. What is counted from now on each counts for itself, where not
    /// all of them count the same.
    pub(crate) fn replicas(self, count: usize) -> Vec<Self> {
        if count < 2 {
            return vec![self];
        }
        let copies: Vec<Self> = (1..count).map(|_| self.copy()).collect();
        let all = [self].into_iter().chain(copies).zip(Reader::all(count, ROOM)).enumerate();
        let placed = all.map(|(number, (mut replica, reader))| {
            let place = Place { reader, first: number == 0, news: Vec::with_capacity(ROOM) };
            replica.replica = Replica(Some(place));
            replica
        });
        placed.collect()
    }

    /// A copy with all the room that it will need, of which nobody watches or saves anything.
    fn copy(&self) -> Self {
        let mut table = Table::new(self.max + MAX_PORTS);
        let hash = |slot: &Slot| self.hasher.hash_one(slot.key);
        table.reserve(self.max + self.fixed, hash);
        self.table.iter().for_each(|slot| table.insert_unique(hash(slot), *slot, hash));
        let (lru, hasher) = (self.lru.copy(self.max), self.hasher.clone());
        let counters = FdbCounters { refused: 0, postponed: 0, ..self.counters };
        Self {
            table,
            lru,
            hasher,
            counters,
            watch: None,
            unsaved: None,
            replica: Replica::default(),
            ..*self
        }
    }

    /// Does what other replicas have done since it was asked last.
    #[inline]
    pub(crate) fn catch_up(&mut self) {
        if self.replica.0.as_ref().is_some_and(|place| place.reader.is_behind()) {
            self.do_as_others(|place| {
                place.reader.catch_up(&mut place.news);
                true
            });
        }
    }

    /// Whether some other replica is so far behind that it should be made to look.
    #[inline]
    pub(crate) fn others_are_far_behind(&mut self) -> bool {
        self.replica.0.as_mut().is_some_and(|place| place.reader.others_are_far_behind())
    }

    /// Removes what has come of age. Only the first replica does it of itself, and the others with it.
    pub(crate) fn let_age(&mut self, now: Moment) {
        let place = self.replica.0.as_ref();
        if place.is_some_and(|place| !place.first) {
            return;
        }
        self.set_now(now);
        if self.agree_on(None) {
            self.age(now);
        }
    }

    /// When [`Fdb::let_age`] has something to do; `None`: not before another frame came.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let follows = self.replica.0.as_ref().is_some_and(|place| !place.first);
        (self.lru.len() > 0 && !follows).then_some(self.deadline)
    }

    /// Says what is to be done now to the other replicas, after it has done what they did before; `false` where one of
    /// them is too far behind. Then it must not be done.
    pub(super) fn agree_on(&mut self, heard: Option<Heard>) -> bool {
        let deed = Deed { now: self.now, heard };
        self.do_as_others(|place| place.reader.add(deed, &mut place.news))
    }

    fn do_as_others(&mut self, find_out: impl FnOnce(&mut Place) -> bool) -> bool {
        let Some(place) = &mut self.replica.0 else { return true };
        let agreed = find_out(place);
        let mut news = std::mem::take(&mut place.news);
        let here = self.now;
        for deed in news.drain(..) {
            self.set_now(deed.now);
            match deed.heard {
                Some(heard) => drop(self.learn(heard)),
                None => self.age(deed.now),
            }
        }
        self.set_now(here);
        if let Some(place) = &mut self.replica.0 {
            place.news = news;
        }
        agreed
    }
}
