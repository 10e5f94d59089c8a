//! Captures, as the forwarding thread sees them: each frame that somebody wants to see is written, as a block of
//! pcapng, into the capture's ring, from which control sends it on ([`feed`]). The ring is all the memory there is:
//! a frame that finds no room is counted and left out, and nobody waits. While nobody captures, there is nothing but
//! the question whether anybody does.

mod capture;
mod feed;
mod running;

use bridge::{Bridge, DropReason, Lost, PortId};
pub(crate) use capture::{Capture, Filter, Shown};
use control::pcapng::{Tail, Tally, Way};
pub(crate) use feed::{CaptureFeed, Rings};
use frame::Frame;
use ports::Batch;
use ports::batch::MAX_BATCH;
pub(crate) use running::Running;

use crate::clock::Clock;

/// Most captures at a time.
pub(crate) const MAX_CAPTURES: usize = 8;

/// All captures, and what they need to know of the frames of a turn.
#[derive(Debug)]
pub(crate) struct Captures {
    running: Vec<Capture>,
    tails: Tails,
    /// By the frame's number in the batch.
    vlans: [u16; MAX_BATCH],
    /// That of the frames of this turn, once somebody wanted to know.
    time: Option<u64>,
}

impl Captures {
    /// None so far.
    pub(crate) fn new() -> Self {
        Self {
            running: Vec::with_capacity(MAX_CAPTURES),
            tails: Tails::new(),
            vlans: [0; MAX_BATCH],
            time: None,
        }
    }

    /// Whether anybody captures.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        !self.running.is_empty()
    }

    /// Begins one.
    pub(crate) fn add(&mut self, capture: Capture) {
        self.running.push(capture);
    }

    /// Gives a capture one more port, of which its reader knows.
    pub(crate) fn add_port(&mut self, id: u32, port: PortId) {
        if let Some(capture) = self.running.iter_mut().find(|capture| capture.id() == id) {
            capture.add_port(port);
        }
    }

    /// Ends one; says what each of its interfaces has seen.
    pub(crate) fn end(&mut self, id: u32) -> Vec<Tally> {
        let place = self.running.iter().position(|capture| capture.id() == id);
        place.map(|place| self.running.swap_remove(place).end()).unwrap_or_default()
    }

    /// Forgets a port that is no more: another one will have its number.
    pub(crate) fn forget(&mut self, port: PortId) {
        self.running.iter_mut().for_each(|capture| capture.forget(port));
    }

    /// A batch came in, and it was decided what becomes of it.
    #[cold]
    pub(crate) fn came_in(&mut self, ingress: PortId, batch: &Batch, lost: &[Lost], bridge: &Bridge) {
        self.time = None;
        if self.only_count(ingress, Way::In, batch.len()) {
            return;
        }
        let mut reasons = [None; MAX_BATCH];
        for lost in lost.iter().filter(|lost| lost.egress.is_none()) {
            if let Some(place) = reasons.get_mut(usize::from(lost.index)) {
                *place = Some(lost.reason);
            }
        }
        for (index, reason) in reasons.into_iter().enumerate().take(batch.len()) {
            let frame = batch.frame(index).ok();
            self.vlans[index] = frame.map_or(0, |frame| bridge.vlan_of(ingress, &frame));
            let shown = frame.map_or_else(|| Shown::raw(batch.bytes(index)), |frame| Shown::of(&frame));
            self.write(ingress, Way::In, index as u16, reason, &shown);
        }
    }

    /// What is told of from now on happens on the way out.
    #[cold]
    pub(crate) fn turn_to_egress(&mut self) {
        self.time = None;
    }

    /// An egress has taken frames of the batch as they came.
    #[cold]
    pub(crate) fn went_out_whole(&mut self, egress: PortId, batch: &Batch, queue: &[u16]) {
        if self.only_count(egress, Way::Out, queue.len()) {
            return;
        }
        for &index in queue {
            self.write(egress, Way::Out, index, None, &Shown::raw(batch.bytes(usize::from(index))));
        }
    }

    /// An egress has taken a frame.
    #[cold]
    pub(crate) fn went_out(&mut self, egress: PortId, index: u16, frame: &Frame<'_>) {
        self.write(egress, Way::Out, index, None, &Shown::of(frame));
    }

    /// A copy for an egress was lost.
    #[cold]
    pub(crate) fn lost(&mut self, egress: PortId, index: u16, reason: DropReason, batch: &Batch) {
        let shown = Shown::raw(batch.bytes(usize::from(index)));
        self.write(egress, Way::Out, index, Some(reason), &shown);
    }

    /// Whether all there is to do with these frames is to count them, as no capture has room; does it then.
    fn only_count(&mut self, port: PortId, way: Way, frames: usize) -> bool {
        let only_count = self.running.iter_mut().all(Capture::only_counts);
        if only_count {
            self.running.iter_mut().for_each(|capture| capture.count(port, way, frames));
        }
        only_count
    }

    fn write(&mut self, port: PortId, way: Way, index: u16, reason: Option<DropReason>, shown: &Shown<'_>) {
        let vlan = self.vlans.get(usize::from(index)).copied().unwrap_or_default();
        let tail = self.tails.of(way, reason);
        let time = *self.time.get_or_insert_with(|| Clock.date());
        for capture in &mut self.running {
            capture.write(port, way, vlan, reason.is_some(), time, tail, shown);
        }
    }

    /// Whether somebody waits for what was written since the last call.
    #[cold]
    pub(crate) fn is_waited_for(&mut self) -> bool {
        // All are asked: each is waited for apart.
        self.running.iter_mut().fold(false, |waited, capture| capture.is_waited_for() | waited)
    }
}

/// What stands behind a frame in its block, made once for all frames.
#[derive(Debug)]
struct Tails {
    plain: [Tail; 2],
    /// By way, and then by reason.
    dropped: [Vec<Tail>; 2],
}

impl Tails {
    fn new() -> Self {
        let ways = [Way::In, Way::Out];
        let comment = |reason: &DropReason| format!("dropped, {reason}: {}", reason.explanation());
        let of = |way| DropReason::ALL.iter().map(|reason| Tail::new(way, Some(&comment(reason)))).collect();
        Self { plain: ways.map(|way| Tail::new(way, None)), dropped: ways.map(of) }
    }

    fn of(&self, way: Way, reason: Option<DropReason>) -> &Tail {
        match reason {
            None => &self.plain[way as usize],
            Some(reason) => &self.dropped[way as usize][reason as usize],
        }
    }
}
