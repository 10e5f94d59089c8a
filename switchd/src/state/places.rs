//! The FDB in the [`super::region`]: a record for each place that the bridge tells of, replaced when that changes,
//! in one of two areas. A new process writes into the one that it has not read from.
//!
//! Each record has a checksum of its own: one that was being written when the process was killed says nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bridge::{EntryKind, FdbEntry, FdbPlace, Moment, PortId};
use frame::MacAddr;
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes of a record: address and FID, when it was refreshed, port, kind, checksum.
const RECORD: usize = 24;
/// Of those, what the checksum is of.
const CHECKED: usize = 20;
/// Where the areas begin, and the length of each: entries that age in its first half, others in the second.
const START: u64 = 2 << 30;
const AREA: u64 = 2 << 30;
/// Records that are read at a time.
const READ: usize = 8192;
/// Instead of a port: none.
const NO_PORT: u16 = u16::MAX;
/// The kinds of entry by their number, which never changes.
const KINDS: [EntryKind; 7] = [
    EntryKind::Dynamic,
    EntryKind::Locked,
    EntryKind::Static,
    EntryKind::Sticky,
    EntryKind::External,
    EntryKind::Local,
    EntryKind::Blackhole,
];

/// One area of a region.
#[derive(Debug)]
pub(super) struct Places {
    area: u8,
    used: Used,
    /// What an earlier process wrote here is still there.
    stale: bool,
    buffer: Vec<u8>,
}

/// How many records of an area were ever written, of entries that age and of others.
pub(super) type Used = [u32; 2];

impl Places {
    /// The area that is not `read`, in which nothing is written yet.
    pub(super) fn beside(read: u8) -> Self {
        Self { area: u8::from(read == 0), used: [0, 0], stale: true, buffer: Vec::new() }
    }

    /// Which area it is, and how much of it is used.
    pub(super) fn extent(&self) -> (u8, Used) {
        (self.area, self.used)
    }

    /// Replaces what is known of these places.
    ///
    /// # Errors
    /// As `pwrite(2)`, for instance for want of memory.
    pub(super) fn write(&mut self, file: &File, places: &[FdbPlace]) -> io::Result<()> {
        if std::mem::take(&mut self.stale) {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file, flags, start(self.area, 0), AREA)?;
        }
        // Neighbours are written at once.
        for run in places.chunk_by(|before, after| before.place + 1 == after.place) {
            self.buffer.clear();
            run.iter().for_each(|place| self.buffer.extend_from_slice(&record(place.entry)));
            let (first, half) = of_half(run[0].place);
            file.write_all_at(&self.buffer, start(self.area, half) + u64::from(first) * RECORD as u64)?;
            self.used[half] = self.used[half].max(first + run.len() as u32);
        }
        Ok(())
    }
}

/// The entries of an area, and how many records there say nothing although they should.
pub(super) fn read(file: &File, area: u8, used: Used) -> (Vec<FdbEntry>, usize) {
    let (mut entries, mut damaged) = (Vec::new(), 0);
    for (half, used) in used.into_iter().enumerate() {
        let (mut from, used) = (0, used.min(FdbPlace::FIXED) as usize);
        let mut buffer = vec![0; READ.min(used) * RECORD];
        while from < used {
            let bytes = &mut buffer[..READ.min(used - from) * RECORD];
            let at = start(area, half) + (from * RECORD) as u64;
            if file.read_exact_at(bytes, at).is_err() {
                damaged += used - from;
                break;
            }
            for bytes in bytes.as_chunks::<RECORD>().0 {
                match entry(bytes) {
                    Ok(entry) => entries.extend(entry),
                    Err(Damaged) => damaged += 1,
                }
            }
            from += READ;
        }
    }
    (entries, damaged)
}

fn start(area: u8, half: usize) -> u64 {
    START + AREA * u64::from(area != 0) + AREA / 2 * half as u64
}

fn of_half(place: u32) -> (u32, usize) {
    match place.checked_sub(FdbPlace::FIXED) {
        Some(place) => (place, 1),
        None => (place, 0),
    }
}

/// All zeros for none.
fn record(entry: Option<FdbEntry>) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    let Some(entry) = entry else { return bytes };
    let kind = KINDS.iter().position(|kind| *kind == entry.kind).unwrap_or(KINDS.len());
    bytes[..8].copy_from_slice(&(u64::from(entry.fid) << 48 | entry.mac.to_u64()).to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.updated.map_or(0, |updated| updated.0).to_le_bytes());
    bytes[16..18].copy_from_slice(&entry.port.map_or(NO_PORT, |port| port.0).to_le_bytes());
    bytes[18] = kind as u8;
    let checksum = crc32fast::hash(&bytes[..CHECKED]);
    bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// A record that is not what was written.
struct Damaged;

fn entry(bytes: &[u8; RECORD]) -> Result<Option<FdbEntry>, Damaged> {
    if *bytes == [0; RECORD] {
        return Ok(None);
    }
    let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|at| bytes[from + at]));
    let (key, updated, rest) = (number(0), number(8), number(16));
    if crc32fast::hash(&bytes[..CHECKED]) != (rest >> 32) as u32 {
        return Err(Damaged);
    }
    let port = rest as u16;
    // A kind that this version does not know says nothing to it.
    Ok(KINDS.get(usize::from(bytes[18])).map(|kind| FdbEntry {
        mac: MacAddr::from_u64(key),
        fid: (key >> 48) as u16,
        port: (port != NO_PORT).then_some(PortId(port)),
        kind: *kind,
        updated: (updated != 0).then_some(Moment(updated)),
    }))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    fn file() -> File {
        let fd: OwnedFd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        fd.into()
    }

    fn station(number: u8, kind: EntryKind) -> FdbEntry {
        FdbEntry {
            mac: MacAddr([2, 0, 0, 0, 0, number]),
            fid: u16::from(number),
            port: (kind != EntryKind::Blackhole).then_some(PortId(number.into())),
            kind,
            updated: (kind == EntryKind::Dynamic).then_some(Moment(u64::from(number) + 1)),
        }
    }

    fn at(place: u32, number: u8) -> FdbPlace {
        let kind = if place < FdbPlace::FIXED { EntryKind::Dynamic } else { KINDS[2 + number as usize % 5] };
        FdbPlace { place, entry: Some(station(number, kind)) }
    }

    fn sorted(mut entries: Vec<FdbEntry>) -> Vec<FdbEntry> {
        entries.sort_unstable();
        entries
    }

    #[test]
    fn places_are_replaced_and_emptied_and_a_new_process_begins_beside() {
        let file = file();
        let mut places = Places::beside(1);
        let fixed = FdbPlace::FIXED;
        let all = [at(0, 1), at(1, 2), at(20_000, 3), at(fixed, 4), at(fixed + 1, 5), at(fixed + 2, 6)];
        places.write(&file, &all).unwrap();
        places.write(&file, &[at(1, 7), FdbPlace { place: fixed + 1, entry: None }]).unwrap();
        let (area, used) = places.extent();
        assert_eq!((area, used), (0, [20_001, 3]));
        let expected = [all[0], at(1, 7), all[2], all[3], all[5]].map(|place| place.entry.unwrap());
        let expected = (sorted(expected.to_vec()), 0);
        let (entries, damaged) = read(&file, area, used);
        assert_eq!((sorted(entries), damaged), expected);
        // The next one writes elsewhere, and the one after it finds none of these any more.
        let mut next = Places::beside(area);
        next.write(&file, &[at(0, 9)]).unwrap();
        let (entries, damaged) = read(&file, area, used);
        assert_eq!((sorted(entries), damaged), expected);
        let mut third = Places::beside(next.extent().0);
        third.write(&file, &[at(20_000, 8)]).unwrap();
        assert_eq!(read(&file, area, third.extent().1), (vec![at(20_000, 8).entry.unwrap()], 0));
        assert_eq!(read(&file, 1, next.extent().1), (vec![at(0, 9).entry.unwrap()], 0));
    }

    proptest! {
        #[test]
        fn damage_costs_the_records_that_it_hits_and_no_others(
            changes in prop::collection::vec((0..30 * RECORD as u64, 1..=255_u8), 1..10),
        ) {
            let file = file();
            let mut places = Places::beside(1);
            let all: Vec<_> = (0..30).map(|number| at(number, number as u8)).collect();
            places.write(&file, &all).unwrap();
            let (area, used) = places.extent();
            let mut bytes = [0; 30 * RECORD];
            file.read_exact_at(&mut bytes, start(area, 0)).unwrap();
            let whole = bytes;
            for (at, change) in changes {
                bytes[at as usize] ^= change;
            }
            file.write_all_at(&bytes, start(area, 0)).unwrap();
            let hit = |place: &usize| bytes[place * RECORD..][..RECORD] != whole[place * RECORD..][..RECORD];
            let kept: Vec<_> = (0..30).filter(|place| !hit(place)).map(|place| all[place].entry.unwrap()).collect();
            let (entries, damaged) = read(&file, area, used);
            prop_assert_eq!(damaged, 30 - kept.len());
            prop_assert_eq!(entries, kept);
        }

        /// Whatever a head says of areas, reading them ends.
        #[test]
        fn any_extent_can_be_read(area in any::<u8>(), used in prop::array::uniform2(any::<u32>())) {
            let (entries, _) = read(&file(), area, used);
            prop_assert!(entries.is_empty());
        }
    }
}
