//! What a process has received and not yet handed on, so that the next one can do it if this one is killed: the
//! memory in which a [`crate::Batch`] lies (a memfd that outlives the process), and the notes beside its frames.
//!
//! A frame is noted once it lies there whole, and struck off before the first copy of it is handed to the
//! kernel: so none goes out twice, and what a kill can lose is what was on its way at that very moment.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

use frame::{EtherType, Tag};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::batch::{MAX_BATCH, MEMORY, STRIDE};
use crate::sys::pages::{Pages, WORDS};

/// The first words: what it is, and in what form.
const FORM: [u32; 3] = [u32::from_ne_bytes(*b"hand"), 1, (STRIDE * MAX_BATCH) as u32];
const INGRESS: usize = FORM.len();
const COUNT: usize = INGRESS + 1;
const FRAMES: usize = COUNT + 1;
/// Words of a frame: start, end, header, tag, and whether it is struck off.
const NOTE: usize = 5;
const DONE: usize = NOTE - 1;

const _: () = assert!(FRAMES + NOTE * MAX_BATCH <= WORDS);

/// The memory, to be kept where the next process finds it.
#[derive(Debug)]
pub struct InHand(OwnedFd);

impl InHand {
    /// New memory, with nothing in it.
    ///
    /// # Errors
    /// As `memfd_create(2)`.
    pub fn new() -> io::Result<Self> {
        let fd = memfd_create("switchd-in-hand", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let file = File::from(fd);
        file.set_len(Pages::size(MEMORY) as u64)?;
        file.write_all_at(FORM.map(u32::to_ne_bytes).as_flattened(), 0)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(file.into()))
    }

    /// That of an earlier process; `None` where that had another form, or it is something else.
    #[must_use]
    pub fn adopt(fd: OwnedFd) -> Option<Self> {
        let file = File::from(fd);
        let sealed = fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        let long = file.metadata().is_ok_and(|found| found.len() == Pages::size(MEMORY) as u64);
        let mut form = FORM.map(|_| [0; 4]);
        let read = file.read_exact_at(form.as_flattened_mut(), 0).is_ok();
        (sealed && long && read && form.map(u32::from_ne_bytes) == FORM).then(|| Self(file.into()))
    }
}

impl AsFd for InHand {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A frame as it is noted: where it lies, behind how long an offload header, and its tag where that does not lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) header: u8,
    pub(crate) tag: Option<Tag>,
}

/// The notes. What is stored here is there for the next process, whatever happens next to this one.
#[derive(Clone, Copy)]
pub(crate) struct Notes<'a>(pub(crate) &'a [AtomicU32; WORDS]);

impl Notes<'_> {
    /// Strikes off all frames.
    #[inline]
    pub(crate) fn clear(self) {
        self.0[COUNT].store(0, Ordering::Release);
    }

    /// Frames that are added from now on came in by `ingress`.
    #[inline]
    pub(crate) fn come_in_by(self, ingress: u16) {
        self.0[INGRESS].store(u32::from(ingress), Ordering::Release);
    }

    /// Adds frame `index`, which comes after all others, and is nothing to hand on if it is `done` already.
    #[inline]
    pub(crate) fn add(self, index: usize, note: Note, done: bool) {
        let at = FRAMES + NOTE * (index % MAX_BATCH);
        let tag = note.tag.map_or(0, |tag| u32::from(tag.tpid.0) << 16 | u32::from(tag.tci));
        let words = [note.start, note.end, u32::from(note.header), tag, u32::from(done)];
        for (word, value) in self.0[at..at + NOTE].iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        self.0[COUNT].store(index as u32 + 1, Ordering::Release);
    }

    /// Strikes frame `index` off.
    #[inline]
    pub(crate) fn strike_off(self, index: usize) {
        self.0[FRAMES + NOTE * (index % MAX_BATCH) + DONE].store(1, Ordering::Release);
    }

    /// The frames that are not struck off, and their ingress.
    pub(crate) fn left(self) -> (u16, Vec<Note>) {
        let word = |at: usize| self.0[at].load(Ordering::Acquire);
        let count = (word(COUNT) as usize).min(MAX_BATCH);
        let notes = (0..count).map(|index| FRAMES + NOTE * index).filter(|at| word(at + DONE) == 0);
        let notes = notes.map(|at| {
            let tag = word(at + 3);
            let tag = (tag != 0).then_some(Tag { tpid: EtherType((tag >> 16) as u16), tci: tag as u16 });
            Note { start: word(at), end: word(at + 1), header: word(at + 2) as u8, tag }
        });
        (word(INGRESS) as u16, notes.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;

    const TAG: Tag = Tag { tpid: EtherType::VLAN, tci: 5 };

    fn receive(batch: &mut Batch, frames: u8) {
        batch.come_in_by(7);
        for number in 0..frames {
            let room = batch.room(0).unwrap();
            room[..60].fill(number);
            batch.push(60, 0, (number == 1).then_some(TAG));
        }
    }

    /// The first byte of each frame, and its tag.
    fn held(batch: &Batch) -> Vec<(u8, Option<Tag>)> {
        let held = (0..batch.len()).map(|index| batch.bytes(index));
        held.map(|(bytes, tag)| (bytes[0], tag)).collect()
    }

    #[test]
    fn what_was_not_handed_on_is_there_for_the_next_process() {
        let memory = InHand::new().unwrap();
        let mut killed = Batch::in_hand(&memory).unwrap();
        receive(&mut killed, 4);
        killed.strike_off(0);
        killed.strike_off(2);
        drop(killed);

        let memory = InHand::adopt(memory.0).unwrap();
        let mut next = Batch::in_hand(&memory).unwrap();
        assert_eq!((next.take_up(), held(&next)), (7, vec![(1, Some(TAG)), (3, None)]));
        // That one is killed too.
        next.strike_off(0);
        drop(next);
        let mut third = Batch::in_hand(&memory).unwrap();
        assert_eq!((third.take_up(), held(&third)), (7, vec![(3, None)]));
        third.clear();
        let mut fourth = Batch::in_hand(&memory).unwrap();
        assert_eq!((fourth.take_up(), held(&fourth)), (7, vec![]));
    }

    #[test]
    fn memory_of_another_form_is_not_adopted() {
        let short = memfd_create("short", MemfdFlags::CLOEXEC).unwrap();
        assert!(InHand::adopt(short).is_none());
        let memory = InHand::new().unwrap();
        File::from(memory.0.try_clone().unwrap()).write_all_at(&[9; 4], 4).unwrap();
        assert!(InHand::adopt(memory.0).is_none());
    }

    /// Whatever the notes say, it is a frame or none.
    #[test]
    fn damaged_notes_do_no_harm() {
        let memory = InHand::new().unwrap();
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut batch = Batch::in_hand(&memory).unwrap();
            let words = batch.words();
            for word in &words[INGRESS..FRAMES + 8 * NOTE] {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let small = if state & 0x100_0000 == 0 { 127 } else { u32::MAX };
                word.store(state >> 3 & small, Ordering::Relaxed);
            }
            batch.take_up();
            for index in 0..batch.len() {
                let _ = (batch.frame(index), batch.bytes(index), batch.wire_len(index));
                let _ = [0, 10, 12, 24].map(|header| batch.as_received(index, header).map(<[u8]>::len));
            }
        }
    }
}
