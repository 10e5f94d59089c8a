//! The hash table of the database, as small as its entries allow so that it stays in the cache, and
//! without an allocation after it was made.
//!
//! hashbrown spreads few entries over all of a large table, and then each lookup misses the cache: with
//! 10,000 entries a frame is decided in 45 ns in a table of 16,384 places and in 65 ns in one of 262,144.
//! So there is a table of each size from the start, and the entries move to the next one when one is full.

use hashbrown::HashTable;
use hashbrown::hash_table::{AbsentEntry, OccupiedEntry};

/// Entries that fit into the first table: seven eighths of 1,024 places, as hashbrown fills them.
const FIRST: usize = 896;

/// How much larger the next one is.
const STEP: usize = 4;

/// A hash table that has all the memory it will ever need.
#[derive(Debug)]
pub(super) struct Table<T> {
    active: HashTable<T>,
    /// Empty ones, the largest first.
    larger: Vec<HashTable<T>>,
}

impl<T: Clone> Clone for Table<T> {
    /// The entries, without the room for more: a copy is for looking at.
    fn clone(&self) -> Self {
        Self { active: self.active.clone(), larger: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Room for `entries`.
    pub(super) fn new(entries: usize) -> Self {
        // Twice the entries: hashbrown then clears out tombstones in place instead of growing.
        let mut larger = vec![HashTable::with_capacity(2 * entries)];
        let sizes = std::iter::successors(Some(FIRST), |size| Some(size * STEP));
        let sizes: Vec<_> = sizes.take_while(|size| size * STEP <= 2 * entries).collect();
        larger.extend(sizes.into_iter().rev().map(HashTable::with_capacity));
        let active = larger.pop().unwrap_or_default();
        Self { active, larger }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.active.find(hash, eq)
    }

    #[inline]
    pub(super) fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.active.find_mut(hash, eq)
    }

    pub(super) fn find_entry(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
    ) -> Result<OccupiedEntry<'_, T>, AbsentEntry<'_, T>> {
        self.active.find_entry(hash, eq)
    }

    /// Adds an entry that is not there.
    pub(super) fn insert_unique(&mut self, hash: u64, entry: T, hasher: impl Fn(&T) -> u64) {
        if self.active.len() == self.active.capacity()
            && let Some(mut next) = self.larger.pop()
        {
            for entry in self.active.drain() {
                next.insert_unique(hasher(&entry), entry, &hasher);
            }
            self.active = next;
        }
        self.active.insert_unique(hash, entry, hasher);
    }

    /// Makes room for entries beyond those that were asked for at first; this may allocate.
    pub(super) fn reserve(&mut self, entries: usize, hasher: impl Fn(&T) -> u64) {
        let last = self.larger.first_mut().unwrap_or(&mut self.active);
        let wanted = 2 * entries;
        if wanted > last.capacity() {
            last.reserve(wanted - last.len(), hasher);
        }
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.active.retain(keep);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.active.iter()
    }

    /// How many places it has, used or not.
    pub(super) fn places(&self) -> usize {
        self.active.num_buckets()
    }

    /// The entry in a place.
    pub(super) fn at(&self, place: usize) -> Option<&T> {
        self.active.get_bucket(place)
    }

    pub(super) fn len(&self) -> usize {
        self.active.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_again_in_every_size_of_table() {
        let hash = |n: &u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut table = Table::new(60_000);
        let sizes = table.larger.len();
        assert!(table.active.capacity() < 1000 && sizes >= 3);
        for n in 0..60_000_u64 {
            table.insert_unique(hash(&n), n, hash);
        }
        assert_eq!((table.len(), table.larger.len()), (60_000, 0));
        assert!((0..60_000).all(|n| table.find(hash(&n), |found| *found == n).is_some()));
        assert!(table.find(hash(&60_000), |found| *found == 60_000).is_none());
    }

    #[test]
    fn a_station_that_comes_and_goes_needs_no_end_of_room() {
        let hash = |n: &u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut table = Table::new(2_000);
        for n in 0..100_000_u64 {
            table.insert_unique(hash(&n), n, hash);
            if n >= 2_000 {
                let old = n - 2_000;
                assert!(
                    table.find_entry(hash(&old), |found| *found == old).map(|entry| entry.remove()).is_ok()
                );
            }
        }
        assert!(table.active.capacity() <= 8_000, "{}", table.active.capacity());
    }
}
