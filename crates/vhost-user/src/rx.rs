//! The receive half: takes what guests send from their rings into a batch. Of a long frame it takes the beginning only
//! and lends the rest ([`ports::lent`]): its ring stays locked, and the guest hears of nothing, until it is handed on.

use std::fmt;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use frame::offload::LONG_HEADER;
use ports::batch::MAX_BATCH;
use ports::lent::{Lender, MAX_PIECES};
use ports::{Batch, Drained, RxQueue};

use crate::broken::Broken;
use crate::burst::{Burst, Planned};
use crate::device::{Device, Live, Locked, PAIRS, publish};
use crate::memory::Span;
use crate::ring::{Use, View};

/// How often an empty ring is looked at before its guest is asked to tell of new frames: at most, and under a load
/// that has just begun.
const MOST_LOOKS: u32 = 256;
const FIRST_LOOKS: u32 = 32;
/// So many frames at once are a load.
const LOAD: usize = 16;

/// A frame of so many bytes, header included, is lent: to look for a shorter one twice takes longer than a copy.
const LONG: usize = 1024;
/// Of which so much is taken: all headers that there are.
const BEGINNING: u32 = 256;

/// The receive half of a vhost-user port.
#[derive(Debug)]
pub struct VhostRx {
    device: Arc<Device>,
    burst: Burst,
    /// The pair of queues to begin with.
    next: usize,
    /// Looks at empty rings in a row.
    looks: u32,
    /// How many of them are worth it: grows where frames come meanwhile, and shrinks where none do, so that a guest
    /// that says little costs nothing.
    patience: u32,
    lent: Option<Lent>,
}

/// Frames that are lent: those of the burst, all of this ring.
struct Lent {
    queue: Locked,
    frames: usize,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.frames)
    }
}

/// What came of looking at all queues.
struct Found {
    frames: usize,
    full: bool,
}

impl VhostRx {
    pub(crate) fn new(device: Arc<Device>) -> Self {
        Self { device, burst: Burst::new(), next: 0, looks: 0, patience: 0, lent: None }
    }

    fn drain_all(&mut self, batch: &mut Batch, budget: usize) -> Result<Found, Broken> {
        let usable = self.device.usable();
        let mut found = Found { frames: 0, full: false };
        for step in 0..PAIRS {
            let pair = (self.next + step) % PAIRS;
            let queue = 2 * pair + 1;
            if usable & 1 << queue == 0 {
                continue;
            }
            found.frames += self.drain(queue, batch, budget - found.frames, &mut found.full)?;
            if found.full || self.lent.is_some() {
                self.next = pair + 1;
                // The others have their turn then.
                found.full = true;
                break;
            }
        }
        Ok(found)
    }

    fn drain(
        &mut self,
        queue: usize,
        batch: &mut Batch,
        budget: usize,
        full: &mut bool,
    ) -> Result<usize, Broken> {
        let mut guard = self.device.lock_for_long(queue);
        let Some(live) = guard.as_mut() else { return Ok(0) };
        let header = live.features.header();
        let mut view = live.ring.view(&live.memory)?;
        let (mut frames, mut held) = (0, 0);
        while frames < budget && view.is_ready(0)? {
            plan(&mut self.burst, &mut view, budget - frames)?;
            let taken = take_all(&self.burst, &view, batch, header, live.memory.lender());
            frames += taken;
            if batch.any_lent() {
                held = taken;
                break;
            }
            give_back(&self.burst, taken, &mut view);
            if taken < self.burst.len() {
                break;
            }
        }
        *full = view.is_ready(self.burst.ahead_of(held))?;
        if live.memory.is_cut() {
            // What was read are zeros.
            batch.clear();
            return Err(Broken::Cut);
        }
        if held > 0 {
            self.lent = Some(Lent { queue: guard, frames: held });
        } else if frames > 0 {
            self.tell(live)?;
        }
        Ok(frames)
    }

    /// Lets the guest know of what was given back.
    fn tell(&self, live: &mut Live) -> Result<(), Broken> {
        let mut view = live.ring.view(&live.memory)?;
        if live.awaits && self.patience > 0 {
            view.ignore_new();
            live.awaits = false;
        }
        publish(&mut view, live.position.as_ref(), live.call.as_ref());
        Ok(())
    }

    fn take_back(&mut self) -> Result<(), Broken> {
        let Some(Lent { mut queue, frames }) = self.lent.take() else { return Ok(()) };
        let Some(live) = queue.as_mut() else { return Ok(()) };
        give_back(&self.burst, frames, &mut live.ring.view(&live.memory)?);
        self.tell(live)?;
        if live.memory.is_cut() { Err(Broken::Cut) } else { Ok(()) }
    }

    /// Asks the guest to tell of new frames on all queues; says whether there are some already.
    fn await_new(&self) -> Result<bool, Broken> {
        let usable = self.device.usable();
        for queue in (1..2 * PAIRS).step_by(2).filter(|queue| usable & 1 << queue != 0) {
            let mut guard = self.device.lock(queue);
            let Some(live) = guard.as_mut() else { continue };
            live.awaits = true;
            if live.view()?.await_new()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look(&mut self, batch: &mut Batch, budget: usize) -> Result<Drained, Broken> {
        let Found { frames, full } = self.drain_all(batch, budget)?;
        if frames > 0 {
            if self.looks > 0 {
                self.patience = (2 * self.patience).min(MOST_LOOKS);
            } else if frames >= LOAD {
                self.patience = self.patience.max(FIRST_LOOKS);
            }
            self.looks = 0;
            if full || self.patience > 0 {
                return Ok(Drained::More);
            }
        } else if self.looks < self.patience {
            self.looks += 1;
            return Ok(Drained::More);
        }
        self.patience /= 2;
        self.looks = 0;
        Ok(if self.await_new()? { Drained::More } else { Drained::Empty })
    }
}

/// Looks at the chains of the next frames.
#[inline]
fn plan(burst: &mut Burst, view: &mut View<'_>, budget: usize) -> Result<(), Broken> {
    burst.clear();
    // Once for all of them.
    view.is_ready(MAX_BATCH as u16 - 1)?;
    while burst.len() < budget && burst.has_room() && view.is_known(burst.ahead()) {
        if burst.add_plain(view, Use::Read, 0) {
            continue;
        }
        burst.begin_frame();
        burst.add(view, Use::Read)?;
        burst.end_frame();
    }
    Ok(())
}

/// Takes all frames that the batch has room for; says how many.
#[inline]
fn take_all(burst: &Burst, view: &View<'_>, batch: &mut Batch, header: usize, lender: &Lender) -> usize {
    let frames = (0..burst.len()).take_while(|index| take(view, &burst.frame(*index), batch, header, lender));
    frames.count()
}

/// Gives the first frames of a burst back. Apart from taking them: a processor waits for the memory of several of them
/// at once if little else is written between them.
#[inline]
fn give_back(burst: &Burst, frames: usize, view: &mut View<'_>) {
    for chain in (0..frames).flat_map(|index| burst.frame(index).chains) {
        view.give_back(chain, 0);
    }
}

/// Takes a frame; `false` where the batch has no room.
#[inline]
fn take(view: &View<'_>, frame: &Planned<'_>, batch: &mut Batch, header: usize, lender: &Lender) -> bool {
    let ([chain], Some(room)) = (frame.chains, batch.room(header)) else { return false };
    if chain.len > room.len() {
        batch.count_truncated();
        return true;
    }
    if chain.len >= LONG && frame.pieces.len() <= MAX_PIECES {
        return lend(view, frame.pieces, batch, header, lender);
    }
    copy(view, frame.pieces, room);
    batch.push(chain.len, header, None);
    true
}

/// Takes the beginning of a frame and lends the rest; `false` where the batch has no room.
#[inline]
fn lend(view: &View<'_>, pieces: &[Span], batch: &mut Batch, header: usize, lender: &Lender) -> bool {
    let Some(room) = batch.room(header) else { return false };
    let mut at = 0;
    for piece in pieces {
        let first = piece.first(BEGINNING - at as u32);
        let end = at + first.len as usize;
        if let Some(place) = room.get_mut(at..end) {
            view.read(&first, 0, place);
        }
        at = end;
    }
    let mut left = BEGINNING;
    let behind = |piece: &Span| {
        let first = piece.len.min(left);
        left -= first;
        piece.behind(first)
    };
    batch.push_lent(at, header, pieces.iter().filter_map(behind).map(Span::piece), lender);
    true
}

/// Copies all pieces, one behind the other; there is room.
#[inline]
fn copy(view: &View<'_>, pieces: &[Span], room: &mut [u8]) {
    if let [piece] = pieces
        && let Some(place) = room.get_mut(..piece.len as usize)
        && let Some((header, frame)) = place.split_first_chunk_mut::<LONG_HEADER>()
    {
        // The frame begins a cache line here and, with most guests, there: its header does not go with it, for a copy
        // across the border takes twice as long.
        let _ = view.read(piece, 0, header) && view.read(piece, LONG_HEADER, frame);
        return;
    }
    let mut at = 0;
    for piece in pieces {
        let end = at + piece.len as usize;
        let Some(place) = room.get_mut(at..end) else { return };
        view.read(piece, 0, place);
        at = end;
    }
}

impl RxQueue for VhostRx {
    fn fd(&self) -> RawFd {
        self.device.events().as_raw_fd()
    }

    fn receive(&mut self, batch: &mut Batch, budget: usize) -> Drained {
        self.release();
        self.look(batch, budget).unwrap_or_else(|why| {
            self.device.fail(why);
            Drained::Empty
        })
    }

    fn release(&mut self) {
        if let Err(why) = self.take_back() {
            self.device.fail(why);
        }
    }
}
