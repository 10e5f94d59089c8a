//! What the worker is to send: for each egress port, the frames of this turn in order. And what it may
//! want to tell.

use crate::event::Event;
use crate::port::{MAX_PORTS, PortId};
use crate::samples::Lost;
use crate::vlans::TagEdit;

/// Most events that are kept between two calls of [`Deliveries::clear`].
const MAX_EVENTS: usize = 16;

/// Queues of frame indices by egress port. The caller owns it and uses it again every turn; nothing is
/// allocated after [`Deliveries::new`].
#[derive(Debug)]
pub struct Deliveries {
    max_batch: usize,
    /// `max_batch` places for each possible port, one port behind the other.
    queues: Box<[u16]>,
    /// What becomes of each one's tag, as the number of a [`TagEdit`].
    edits: Box<[u16]>,
    /// Whether any of them is not [`TagEdit::KEEP`].
    any_edit: bool,
    /// How many of its places each port uses.
    lengths: Box<[u16]>,
    /// Ports with at least one frame, in the order in which they got their first.
    touched: Vec<PortId>,
    events: Vec<Event>,
    events_left_out: u64,
    lost: Vec<Lost>,
}

impl Deliveries {
    /// Room for `max_batch` frames (65,535 at most) between two calls of [`Deliveries::clear`].
    #[must_use]
    pub fn new(max_batch: usize) -> Self {
        let max_batch = max_batch.min(usize::from(u16::MAX));
        Self {
            max_batch,
            queues: vec![0; MAX_PORTS * max_batch].into_boxed_slice(),
            edits: vec![0; MAX_PORTS * max_batch].into_boxed_slice(),
            any_edit: false,
            lengths: vec![0; MAX_PORTS].into_boxed_slice(),
            touched: Vec::with_capacity(MAX_PORTS),
            events: Vec::with_capacity(MAX_EVENTS),
            events_left_out: 0,
            // Each frame is lost once on its way in, or once at each port. Memory that is not used is not there.
            lost: Vec::with_capacity(max_batch * (MAX_PORTS + 1)),
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// Each egress port that got frames, with their indices in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (PortId, &[u16])> {
        self.touched.iter().map(|&port| (port, self.queue(port)))
    }

    /// The frames of one egress port, in order of arrival.
    #[must_use]
    pub fn queue(&self, port: PortId) -> &[u16] {
        let start = usize::from(port.0) * self.max_batch;
        let length = self.lengths.get(usize::from(port.0)).map_or(0, |length| usize::from(*length));
        self.queues.get(start..start + length).unwrap_or_default()
    }

    /// What becomes of the tag of the frame at this `place` of the port's queue.
    #[inline]
    #[must_use]
    pub fn edit(&self, port: PortId, place: usize) -> TagEdit {
        let edit = self.edits.get(usize::from(port.0) * self.max_batch + place);
        edit.map_or(TagEdit::KEEP, |edit| TagEdit(*edit))
    }

    /// How many frames from this `place` of the port's queue on keep the tag that they came with.
    #[inline]
    #[must_use]
    pub fn kept(&self, port: PortId, place: usize) -> usize {
        let frames = self.queue(port).len().saturating_sub(place);
        if self.any_edit {
            return (place..place + frames)
                .take_while(|place| self.edit(port, *place) == TagEdit::KEEP)
                .count();
        }
        frames
    }

    /// What happened to stations, in order: the first few of this turn.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many events found no room in [`Deliveries::events`].
    #[must_use]
    pub fn events_left_out(&self) -> u64 {
        self.events_left_out
    }

    /// Frames that were dropped, and why: all of this turn.
    #[must_use]
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }

    /// Notes a drop. There is room for all of `max_batch` frames; what is beyond that is told to nobody.
    #[cold]
    pub(crate) fn lose(&mut self, lost: Lost) {
        if self.lost.len() < self.lost.capacity() {
            self.lost.push(lost);
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        } else {
            self.events_left_out += 1;
        }
    }

    /// Forgets all frames and events; touches only the queues that were used.
    pub fn clear(&mut self) {
        self.events.clear();
        self.lost.clear();
        self.any_edit = false;
        self.events_left_out = 0;
        for port in self.touched.drain(..) {
            self.lengths[usize::from(port.0)] = 0;
        }
    }

    /// Appends a frame to a port's queue; false if that is full, which takes more than `max_batch` frames
    /// without a [`Deliveries::clear`].
    #[inline(always)]
    pub(crate) fn push(&mut self, port: PortId, index: u16, edit: TagEdit) -> bool {
        let Some(length) = self.lengths.get_mut(usize::from(port.0)) else { return false };
        let used = usize::from(*length);
        if used == self.max_batch {
            return false;
        }
        let place = usize::from(port.0) * self.max_batch + used;
        (self.queues[place], self.edits[place]) = (index, edit.0);
        self.any_edit |= edit != TagEdit::KEEP;
        *length += 1;
        if used == 0 {
            self.touched.push(port);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_keep_their_order_and_start_empty_after_clear() {
        let mut out = Deliveries::new(3);
        for (port, index) in [(7, 0), (1022, 0), (7, 2)] {
            assert!(out.push(PortId(port), index, TagEdit::KEEP));
        }
        let all: Vec<_> = out.iter().map(|(port, queue)| (port.0, queue.to_vec())).collect();
        assert_eq!(all, [(7, vec![0, 2]), (1022, vec![0])]);
        out.clear();
        assert!(out.is_empty() && out.queue(PortId(7)).is_empty());
        assert!(out.push(PortId(7), 1, TagEdit::KEEP));
        assert_eq!(out.queue(PortId(7)), [1]);
    }

    #[test]
    fn a_full_queue_and_an_impossible_port_take_nothing() {
        let mut out = Deliveries::new(1);
        assert!(out.push(PortId(0), 0, TagEdit::KEEP));
        assert!(!out.push(PortId(0), 1, TagEdit::KEEP));
        assert!(!out.push(PortId(u16::MAX), 0, TagEdit::KEEP));
        assert_eq!(out.iter().count(), 1);
        assert!(out.queue(PortId(u16::MAX)).is_empty());
    }
}
