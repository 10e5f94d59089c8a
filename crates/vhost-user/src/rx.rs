//! The receive half: takes what guests send from their rings into a batch.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use ports::{Batch, Drained, RxQueue};

use crate::broken::Broken;
use crate::device::{Device, PAIRS, publish};
use crate::ring::{Pieces, Use, View};

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
    pieces: Pieces,
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
        Self { device, pieces: Pieces::new(), next: 0, looks: 0, patience: 0 }
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
        while view.ready(1)? > 0 {
            if frames == budget || !take(&mut view, &mut self.pieces, batch, header)? {
                *full = true;
                break;
            }
            frames += 1;
        }
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

/// Takes the next chain as a frame; `false` where the batch has no room.
#[inline]
fn take(view: &mut View<'_>, pieces: &mut Pieces, batch: &mut Batch, header: usize) -> Result<bool, Broken> {
    let Some(room) = batch.room(header) else { return Ok(false) };
    pieces.clear();
    let chain = view.chain(0, Use::Read, pieces)?;
    if chain.len > room.len() {
        batch.count_truncated();
        view.give_back(chain.head, 0);
        return Ok(true);
    }
    let mut at = 0;
    for piece in pieces.iter() {
        let (Some(bytes), Some(place)) = (view.bytes(piece), room.get_mut(at..)) else { continue };
        at += bytes.copy_to(place);
    }
    batch.push(chain.len, header, None);
    view.give_back(chain.head, 0);
    Ok(true)
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
