//! A piece of memory that outlives the process (a memfd in the descriptor store): two halves that are written in
//! turn, so that there is always a whole one, whenever the process is killed.
//!
//! Who reads it trusts nothing: a half counts only if it is as long as it says and its checksum is right.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

/// First bytes of a half that was written.
const MAGIC: [u8; 8] = *b"switchdS";
/// What is written after this header, and so who can read it.
const VERSION: u32 = 2;
/// Bytes of the header: magic, version, checksum, number, length.
const HEADER: usize = 32;
/// Where the second half begins, and the longest that one can be. Of the memory only what is written is used. What lies
/// behind the second half is not looked at here.
const HALF: u64 = 1 << 30;

/// Why nothing can be read from a region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is of version {0}, and this switchd knows version {VERSION}")]
    Version(u32),
    #[error("it is damaged")]
    Damaged,
    #[error("nothing was written to it")]
    Empty,
}

/// The memory.
#[derive(Debug)]
pub(crate) struct Region {
    file: File,
    /// Number of the half that was written last; the next one goes to the other half.
    number: u64,
}

impl Region {
    /// An empty one.
    ///
    /// # Errors
    /// As `memfd_create(2)`.
    pub(crate) fn new() -> io::Result<Self> {
        let file = memfd_create("switchd-state", MemfdFlags::CLOEXEC)?;
        Ok(Self { file: file.into(), number: 0 })
    }

    /// One of an earlier process, with what was written to it last.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(crate) fn adopt(fd: OwnedFd) -> Result<(Self, Vec<u8>), Unreadable> {
        let file = File::from(fd);
        let halves = [read_half(&file, 0), read_half(&file, HALF)];
        let best = halves.iter().flatten().max_by_key(|(number, _)| *number);
        match best {
            Some((number, payload)) => Ok((Self { number: *number, file }, payload.clone())),
            None => Err(halves
                .into_iter()
                .filter_map(Result::err)
                .min_by_key(|why| match why {
                    Unreadable::Version(_) => 0,
                    Unreadable::Damaged => 1,
                    Unreadable::Empty => 2,
                })
                .unwrap_or(Unreadable::Empty)),
        }
    }

    /// The memory, for what lies behind the halves.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Writes `payload` in place of what was there. What is being replaced stays whole until that is done.
    ///
    /// # Errors
    /// As `pwrite(2)`, for instance for want of memory, or it is too long.
    pub(crate) fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        if payload.len() as u64 > HALF - HEADER as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let number = self.number.wrapping_add(1);
        let start = (number % 2) * HALF;
        // No header says anything of the half while it is being written.
        self.file.write_all_at(&[0; HEADER], start)?;
        self.file.write_all_at(payload, start + HEADER as u64)?;
        self.file.write_all_at(&header(VERSION, number, payload), start)?;
        self.number = number;
        Ok(())
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn header(version: u32, number: u64, payload: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header[16..24].copy_from_slice(&number.to_le_bytes());
    header[24..32].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let checksum = checksum(&header, payload);
    header[12..16].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Of the header, its own field left out, and the payload.
fn checksum(header: &[u8; HEADER], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..12]);
    hasher.update(&header[16..]);
    hasher.update(payload);
    hasher.finalize()
}

/// The number and the payload of the half that begins at `start`.
fn read_half(file: &File, start: u64) -> Result<(u64, Vec<u8>), Unreadable> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, start).map_err(|_| Unreadable::Empty)?;
    if header == [0; HEADER] {
        return Err(Unreadable::Empty);
    }
    let number_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let version = number_at(8) as u32;
    let (number, len) = (number_at(16), number_at(24));
    if header[..8] != MAGIC {
        return Err(Unreadable::Damaged);
    }
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let size = file.metadata().map_err(|_| Unreadable::Damaged)?.len();
    let room = size.saturating_sub(start + HEADER as u64).min(HALF - HEADER as u64);
    if len > room {
        return Err(Unreadable::Damaged);
    }
    let mut payload = vec![0; usize::try_from(len).map_err(|_| Unreadable::Damaged)?];
    file.read_exact_at(&mut payload, start + HEADER as u64).map_err(|_| Unreadable::Damaged)?;
    let told = (number_at(8) >> 32) as u32;
    if checksum(&header, &payload) == told { Ok((number, payload)) } else { Err(Unreadable::Damaged) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(region: &Region) -> Result<(Region, Vec<u8>), Unreadable> {
        Region::adopt(region.as_fd().try_clone_to_owned().unwrap())
    }

    #[test]
    fn what_was_written_last_is_read_however_often_it_is_handed_on() {
        let mut region = Region::new().unwrap();
        assert_eq!(again(&region).unwrap_err(), Unreadable::Empty);
        for number in 0..7_u8 {
            let payload = vec![number; usize::from(number) * 1000];
            region.write(&payload).unwrap();
            let (next, read) = again(&region).unwrap();
            assert_eq!(read, payload);
            region = next;
        }
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_what_was_there() {
        let mut region = Region::new().unwrap();
        region.write(b"the one before").unwrap();
        region.write(b"the last one that is whole").unwrap();
        // As far as a process may come that is killed while it writes.
        region.file.write_all_at(&[0; HEADER], HALF).unwrap();
        region.file.write_all_at(b"half of a pay", HALF + HEADER as u64).unwrap();
        let (mut next, read) = again(&region).unwrap();
        assert_eq!(read, b"the last one that is whole");
        next.write(b"and on").unwrap();
        assert_eq!(again(&next).unwrap().1, b"and on");
    }

    #[test]
    fn another_version_is_told() {
        let region = Region::new().unwrap();
        region.file.write_all_at(&header(VERSION + 1, 1, b"strange"), HALF).unwrap();
        let why = again(&region).unwrap_err();
        assert_eq!(why.to_string(), "it is of version 3, and this switchd knows version 2");
    }

    proptest! {
        /// Bytes that were changed are never taken for what was written.
        #[test]
        fn damage_is_noticed(changes in prop::collection::vec((0..4_u64, any::<u64>(), 1..=255_u8), 1..20)) {
            let mut region = Region::new().unwrap();
            let payloads = [vec![1; 500], vec![2; 700], vec![3; 300]];
            for payload in &payloads {
                region.write(payload).unwrap();
            }
            for (place, at, change) in changes {
                // The header of each half, and its payload.
                let (start, len) = [(0, 32), (HALF, 32), (32, 700), (HALF + 32, 500)][place as usize];
                let at = start + at % len;
                let mut byte = [0];
                region.file.read_exact_at(&mut byte, at).unwrap();
                region.file.write_all_at(&[byte[0] ^ change], at).unwrap();
            }
            if let Ok((_, read)) = again(&region) {
                prop_assert!(payloads[1..].contains(&read));
            }
        }
    }
}
