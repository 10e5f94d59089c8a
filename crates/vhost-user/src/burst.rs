//! The frames of a burst as they lie in a ring: all chains are looked at before any of their bytes is touched, and the
//! processor fetches those meanwhile. (A guest's buffers are in another core's cache, and in no order that would be
//! guessed: one after the other costs three times as much.)

use std::slice;

use ports::batch::MAX_BATCH;

use crate::broken::Broken;
use crate::memory::Span;
use crate::ring::{Chain, MAX_PIECES, Pieces, Plain, Use, View};

/// Chains that one frame may lie in: 64 KiB in the smallest buffers that are of use.
pub(crate) const MAX_BUFFERS: usize = 512;

/// Frames, and the chains and pieces of memory that each lies in. Allocated once.
#[derive(Debug)]
pub(crate) struct Burst {
    /// The first ones, as far as they are as most are: to write more down of each takes longer than to forward it.
    plain: Vec<Plain>,
    /// Of those behind them.
    pieces: Pieces,
    chains: Vec<Chain>,
    /// The steps of all chains together.
    ahead: u16,
    /// Of each frame, where its chains and its pieces end.
    frames: Vec<(usize, usize)>,
}

/// A frame of it.
pub(crate) struct Planned<'a> {
    pub(crate) chains: &'a [Chain],
    pub(crate) pieces: &'a [Span],
}

impl Burst {
    pub(crate) fn new() -> Self {
        Self {
            plain: Vec::with_capacity(MAX_BATCH),
            pieces: Pieces::new(),
            chains: Vec::with_capacity(2 * MAX_BUFFERS),
            ahead: 0,
            frames: Vec::with_capacity(MAX_BATCH),
        }
    }

    /// Forgets all frames.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.pieces.clear();
        self.chains.clear();
        self.ahead = 0;
        self.frames.clear();
    }

    /// Whether one more frame fits in.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.len() < MAX_BATCH && self.chains.len() <= MAX_BUFFERS && self.pieces.len() <= MAX_PIECES
    }

    /// How far the next chain is from the first one.
    #[inline]
    pub(crate) fn ahead(&self) -> u16 {
        self.ahead
    }

    /// How far the chain behind the first so many frames is.
    pub(crate) fn ahead_of(&self, frames: usize) -> u16 {
        (0..frames).flat_map(|index| self.frame(index).chains).map(|chain| chain.step).sum()
    }

    /// How many chains the frame has that is begun.
    #[inline]
    pub(crate) fn taken_by_frame(&self) -> usize {
        self.chains.len() - self.frames.last().map_or(0, |(chains, _)| *chains)
    }

    /// Adds the next chain of the ring, which must be ready, as a frame, if it is as most are and not shorter than `len`
    /// bytes, and so were all before it; says whether it did.
    #[inline(always)]
    pub(crate) fn add_plain(&mut self, view: &View<'_>, purpose: Use, len: usize) -> bool {
        if !self.frames.is_empty() {
            return false;
        }
        let Some(plain) = view.plain(self.ahead, purpose).filter(|plain| plain.chain.len >= len) else {
            return false;
        };
        if purpose == Use::Read {
            view.fetch(plain.piece);
        }
        self.ahead = self.ahead.wrapping_add(plain.chain.step);
        self.plain.push(plain);
        true
    }

    /// The frames up to the first one that is not as most are.
    #[inline]
    pub(crate) fn plain(&self) -> &[Plain] {
        &self.plain
    }

    /// Begins the next frame.
    #[inline]
    pub(crate) fn begin_frame(&mut self) {
        self.pieces.begin();
    }

    /// Adds the next chain of the ring, which must be ready, to the frame that is begun; says its length in bytes.
    ///
    /// # Errors
    /// It is no chain.
    #[inline]
    pub(crate) fn add(&mut self, view: &View<'_>, purpose: Use) -> Result<usize, Broken> {
        let before = self.pieces.len();
        let chain = view.chain(self.ahead, purpose, &mut self.pieces)?;
        if purpose == Use::Read {
            self.pieces.all()[before..].iter().for_each(|piece| view.fetch(*piece));
        }
        self.ahead = self.ahead.wrapping_add(chain.step);
        self.chains.push(chain);
        Ok(chain.len)
    }

    /// The frame that is begun is whole.
    #[inline]
    pub(crate) fn end_frame(&mut self) {
        self.frames.push((self.chains.len(), self.pieces.len()));
    }

    /// There is no frame that is begun.
    #[cold]
    pub(crate) fn undo_frame(&mut self) {
        let (chains, pieces) = self.frames.last().copied().unwrap_or_default();
        let begun = self.chains.drain(chains..).map(|chain| chain.step).sum();
        self.ahead = self.ahead.wrapping_sub(begun);
        self.pieces.truncate(pieces);
    }

    /// How many frames there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.frames.len()
    }

    /// Frame `index`.
    #[inline]
    pub(crate) fn frame(&self, index: usize) -> Planned<'_> {
        if let Some(plain) = self.plain.get(index) {
            return Planned { chains: slice::from_ref(&plain.chain), pieces: slice::from_ref(&plain.piece) };
        }
        let ends = |index: usize| self.frames.get(index).copied().unwrap_or_default();
        let index = index - self.plain.len();
        let (from, to) = (index.checked_sub(1).map_or((0, 0), ends), ends(index));
        Planned {
            chains: self.chains.get(from.0..to.0).unwrap_or_default(),
            pieces: self.pieces.all().get(from.1..to.1).unwrap_or_default(),
        }
    }
}
