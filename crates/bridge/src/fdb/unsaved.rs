//! Which entries have changed since they were last saved elsewhere, so that whoever saves them need not look at all:
//! a bit for each, and a bounded number of them at a time.
//!
//! Each entry has a place, and what was saved of the place is to be replaced: of an entry that ages it is that of its
//! node in the list of ages; the others, which are few, have one here.

use std::collections::HashMap;

use crate::fdb::lru::NodeId;
use crate::fdb::slot::Slot;
use crate::fdb::{Fdb, FdbEntry, MAX_DYNAMIC};

/// Places of entries that age are below this, those of others from here on.
const FIXED: u32 = MAX_DYNAMIC as u32;
/// In the list of keys: none.
const NO_KEY: u64 = u64::MAX;

/// What is to be saved of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbPlace {
    /// Which place; less than [`FdbPlace::FIXED`] for entries that age, and then less than `fdb_max`.
    pub place: u32,
    /// What is there now; `None` if nothing is.
    pub entry: Option<FdbEntry>,
}

impl FdbPlace {
    /// The first place of entries that do not age.
    pub const FIXED: u32 = FIXED;
}

/// A set of numbers from which some can be taken at a time.
#[derive(Clone, Debug, Default)]
struct Bits {
    words: Vec<u64>,
    len: usize,
    /// The word to look at next.
    next: usize,
}

impl Bits {
    fn with_room_for(numbers: usize) -> Self {
        Self { words: vec![0; numbers.div_ceil(64)], ..Self::default() }
    }

    /// Adds a number; beyond the room it makes more.
    #[inline]
    fn add(&mut self, number: u32) {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.len += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Takes out at most so many, looking at no more words than that and one.
    fn take(&mut self, at_most: usize, mut each: impl FnMut(u32)) -> usize {
        let mut left = at_most;
        for _ in 0..=at_most {
            if self.len == 0 || left == 0 {
                break;
            }
            if self.next >= self.words.len() {
                self.next = 0;
            }
            let word = &mut self.words[self.next];
            while *word != 0 && left > 0 {
                each((self.next * 64) as u32 + word.trailing_zeros());
                *word &= *word - 1;
                (self.len, left) = (self.len - 1, left - 1);
            }
            self.next += usize::from(*word == 0);
        }
        at_most - left
    }
}

/// The changes that nobody has saved yet.
#[derive(Clone, Debug)]
pub(super) struct Unsaved {
    ageing: Bits,
    fixed: Bits,
    /// The keys of entries that do not age, by place.
    keys: Vec<u64>,
    places: HashMap<u64, u32>,
    free: Vec<u32>,
}

impl Unsaved {
    fn new(max: usize) -> Self {
        Self {
            ageing: Bits::with_room_for(max),
            fixed: Bits::default(),
            keys: Vec::new(),
            places: HashMap::new(),
            free: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.ageing.len + self.fixed.len
    }

    /// The entry of this node is another one, elsewhere, or was refreshed.
    #[inline]
    pub(super) fn aged(&mut self, NodeId(node): NodeId) {
        self.ageing.add(node);
    }

    /// There is this entry now, or another where it was.
    pub(super) fn put(&mut self, slot: &Slot) {
        match slot.node_id() {
            Some(node) => self.aged(node),
            None => {
                let place = *self.places.entry(slot.key).or_insert_with(|| {
                    self.free.pop().unwrap_or_else(|| {
                        self.keys.push(NO_KEY);
                        (self.keys.len() - 1) as u32
                    })
                });
                self.keys[place as usize] = slot.key;
                self.fixed.add(place);
            }
        }
    }

    /// This entry is gone.
    pub(super) fn took(&mut self, slot: &Slot) {
        match slot.node_id() {
            Some(node) => self.aged(node),
            None => {
                let Some(place) = self.places.remove(&slot.key) else { return };
                self.keys[place as usize] = NO_KEY;
                self.free.push(place);
                self.fixed.add(place);
            }
        }
    }
}

impl Fdb {
    /// Notes from now on which entries change; all that there are count as changed.
    pub(crate) fn save_changes(&mut self) {
        let mut unsaved = Unsaved::new(self.max);
        self.table.iter().for_each(|slot| unsaved.put(slot));
        self.unsaved = Some(unsaved);
    }

    /// How many places have changed since they were taken.
    pub(crate) fn unsaved_len(&self) -> usize {
        self.unsaved.as_ref().map_or(0, Unsaved::len)
    }

    /// What has changed, of at most so many places; there may be more also where it is less. Costs no more than a
    /// lookup for each of them.
    pub(crate) fn take_unsaved(&mut self, at_most: usize) -> Vec<FdbPlace> {
        let Some(mut unsaved) = self.unsaved.take() else { return Vec::new() };
        let mut places = Vec::with_capacity(at_most.min(unsaved.len()));
        let show = |place, key: Option<u64>| {
            let slot = key.and_then(|key| self.table.find(self.hash(key), |slot| slot.key == key));
            FdbPlace { place, entry: slot.map(|slot| self.shown(slot)) }
        };
        let taken = unsaved.ageing.take(at_most, |node| places.push(show(node, self.lru.key(NodeId(node)))));
        let keys = &unsaved.keys;
        unsaved.fixed.take(at_most - taken, |place| {
            let key = keys.get(place as usize).copied().filter(|key| *key != NO_KEY);
            places.push(show(FIXED + place, key));
        });
        self.unsaved = Some(unsaved);
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once_and_no_call_does_more_than_it_may() {
        let mut bits = Bits::with_room_for(10_000);
        let numbers: Vec<u32> = (0..10_000).filter(|number| number % 7 == 0 || *number < 300).collect();
        for _ in 0..2 {
            numbers.iter().for_each(|number| bits.add(*number));
        }
        assert_eq!(bits.len, numbers.len());
        let mut taken = Vec::new();
        while bits.len > 0 {
            let (before, from) = (taken.len(), bits.next);
            let told = bits.take(50, |number| taken.push(number));
            assert_eq!(told, taken.len() - before);
            assert!(told <= 50 && bits.next <= from + 51);
        }
        assert_eq!(taken, numbers);
        // Those behind the place that was reached come round again.
        bits.add(3);
        while bits.len > 0 {
            bits.take(50, |number| taken.push(number));
        }
        assert_eq!(taken.last(), Some(&3));
    }
}
