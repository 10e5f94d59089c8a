//! Frames that are lent: only their beginning is taken from a guest's memory. The rest stays there until the frame is
//! sent, and goes from there straight to where it is to be, into another guest's memory or a system call. Who lends
//! waits with what it says to the guest until the batch is handed on ([`crate::RxQueue::release`]).

use std::sync::Arc;

use crate::sys::guest_memory::Mapping;

/// Pieces that the rest of one frame lies in at most; a frame in more is not worth it.
pub const MAX_PIECES: usize = 24;

/// The memory that is lent from.
pub type Lender = Arc<[Mapping]>;

/// A piece of it.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// In which mapping.
    pub mapping: u32,
    /// Bytes.
    pub len: u32,
    /// Where in the mapping.
    pub offset: usize,
}

/// What of one frame is lent.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    lender: &'a [Mapping],
    pieces: &'a [Piece],
}

impl<'a> Tail<'a> {
    /// Nothing.
    pub const NONE: Self = Self { lender: &[], pieces: &[] };

    #[inline]
    pub(crate) fn new(lender: &'a Lender, pieces: &'a [Piece]) -> Self {
        Self { lender, pieces }
    }

    /// Whether nothing is.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Each piece: in which mapping, from where, how many bytes.
    #[inline]
    pub fn pieces(&self) -> impl Iterator<Item = (&'a Mapping, usize, usize)> + use<'a> {
        let lender = self.lender;
        self.pieces.iter().filter_map(move |piece| {
            Some((lender.get(piece.mapping as usize)?, piece.offset, piece.len as usize))
        })
    }

    /// Whether the file was cut short that this lies in: what is read of it then are zeros.
    #[inline]
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.lender.iter().any(Mapping::is_cut)
    }

    /// Reads all of it; false where it is not as long, or is cut short.
    #[must_use]
    pub fn read(&self, mut into: &mut [u8]) -> bool {
        for (mapping, offset, len) in self.pieces() {
            let Some((place, rest)) = std::mem::take(&mut into).split_at_mut_checked(len) else {
                return false;
            };
            if !mapping.read(offset, place) {
                return false;
            }
            into = rest;
        }
        into.is_empty() && !self.is_cut()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use frame::offload::LONG_HEADER;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;
    use crate::{Batch, InHand};

    const LEN: usize = 1 << 16;

    fn lender() -> (Lender, File) {
        let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, LEN as u64).unwrap();
        let file = File::from(file);
        let mapping = Mapping::new(file.try_clone().unwrap(), 0, LEN).unwrap();
        assert!(mapping.write(100, b"from") && mapping.write(40_000, b" elsewhere"));
        ([mapping].into(), file)
    }

    const PIECES: [Piece; 2] =
        [Piece { mapping: 0, len: 4, offset: 100 }, Piece { mapping: 0, len: 10, offset: 40_000 }];

    fn push(batch: &mut Batch, lender: &Lender) {
        let room = batch.room(LONG_HEADER).unwrap();
        room[..LONG_HEADER].fill(0);
        room[LONG_HEADER..LONG_HEADER + 20].fill(7);
        batch.push_lent(LONG_HEADER + 20, LONG_HEADER, PIECES.into_iter(), lender);
    }

    #[test]
    fn a_frame_is_lent_until_somebody_needs_all_of_it() {
        let (lender, _file) = lender();
        let mut batch = Batch::new();
        for _ in 0..3 {
            push(&mut batch, &lender);
        }
        assert!(batch.any_lent() && batch.as_received(1, LONG_HEADER).is_none());
        assert_eq!(batch.beginning_as_received(1, LONG_HEADER).map(<[u8]>::len), Some(LONG_HEADER + 20));
        assert_eq!((batch.wire_len(1), batch.frame(1).unwrap().wire_len(), batch.beyond(1)), (34, 34, 14));
        batch.complete(1);
        let whole = [&[7; 20][..], b"from elsewhere"].concat();
        assert_eq!(batch.bytes(1).0, whole);
        assert_eq!((batch.wire_len(1), batch.beyond(1), batch.beyond(2)), (34, 0, 14));
        assert!(batch.tail(1).is_empty() && !batch.tail(2).is_empty());
        batch.clear();
        assert!(!batch.any_lent());
    }

    #[test]
    fn what_is_cut_short_is_not_taken_for_zeros() {
        let (lender, file) = lender();
        let mut batch = Batch::new();
        push(&mut batch, &lender);
        ftruncate(&file, 4096).unwrap();
        batch.complete(0);
        assert_eq!((batch.beyond(0), batch.tail(0).is_cut()), (14, true));
    }

    /// Its guest has it still, and gives it to the next process.
    #[test]
    fn what_is_lent_is_not_in_hand() {
        let (lender, _file) = lender();
        let memory = InHand::new().unwrap();
        push(&mut Batch::in_hand(&memory).unwrap(), &lender);
        let mut next = Batch::in_hand(&memory).unwrap();
        next.take_up();
        assert!(next.is_empty());
    }
}
