//! The receive half: takes what guests send from their rings into a batch.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use frame::offload::LONG_HEADER;
use ports::batch::MAX_BATCH;
use ports::{Batch, Drained, RxQueue};

use crate::broken::Broken;
use crate::burst::{Burst, Planned};
use crate::device::{Device, PAIRS, publish};
use crate::memory::Span;
use crate::ring::{Use, View};

/// How often an empty ring is looked at before its guest is asked to tell of new frames: at most, and under a load
/// that has just begun.
const MOST_LOOKS: u32 = 256;
const FIRST_LOOKS: u32 = 32;
/// So many frames at once are a load.
const LOAD: usize = 16;

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
}

/// What came of looking at all queues.
struct Found {
    frames: usize,
    full: bool,
}

impl VhostRx {
    pub(crate) fn new(device: Arc<Device>) -> Self {
        Self { device, burst: Burst::new(), next: 0, looks: 0, patience: 0 }
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
            if found.full {
                self.next = pair + 1;
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
        let mut guard = self.device.lock(queue);
        let Some(live) = guard.as_mut() else { return Ok(0) };
        let header = live.features.header();
        let mut view = live.ring.view(&live.memory)?;
        let mut frames = 0;
        while frames < budget && view.ready(1)? > 0 {
            plan(&mut self.burst, &mut view, budget - frames)?;
            let taken = take_all(&self.burst, &mut view, batch, header);
            frames += taken;
            if taken < self.burst.len() {
                break;
            }
        }
        *full = view.ready(1)? > 0;
        if frames > 0 {
            if live.awaits && self.patience > 0 {
                view.ignore_new();
                live.awaits = false;
            }
            publish(&mut view, live.call.as_ref());
        }
        if live.memory.is_cut() {
            // What was read are zeros.
            batch.clear();
            return Err(Broken::Cut);
        }
        Ok(frames)
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
    let ready = usize::from(view.ready(MAX_BATCH as u16)?).min(budget);
    while burst.len() < ready && burst.has_room() {
        burst.begin_frame();
        burst.add(view, Use::Read)?;
        burst.end_frame();
    }
    Ok(())
}

/// Takes all frames that the batch has room for; says how many.
#[inline]
fn take_all(burst: &Burst, view: &mut View<'_>, batch: &mut Batch, header: usize) -> usize {
    let frames = (0..burst.len()).take_while(|index| take(view, &burst.frame(*index), batch, header));
    let taken = frames.count();
    // Apart from the frames: a processor waits for the memory of several of them at once if little else is written
    // between them.
    for chain in (0..taken).flat_map(|index| burst.frame(index).chains) {
        view.give_back(chain.head, 0);
    }
    taken
}

/// Takes a frame; `false` where the batch has no room.
#[inline]
fn take(view: &View<'_>, frame: &Planned<'_>, batch: &mut Batch, header: usize) -> bool {
    let ([chain], Some(room)) = (frame.chains, batch.room(header)) else { return false };
    if chain.len > room.len() {
        batch.count_truncated();
        return true;
    }
    copy(view, frame.pieces, room);
    batch.push(chain.len, header, None);
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
        self.look(batch, budget).unwrap_or_else(|why| {
            self.device.fail(why);
            Drained::Empty
        })
    }
}
