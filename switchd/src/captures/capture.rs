//! One capture: which frames it wants, and the ring that they are written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use bridge::PortId;
use control::pcapng::{self, Tail, Tally, Way};
use frame::vlan::TagBytes;
use frame::{Frame, Tag};
use rtrb::Producer;

/// Bytes of the two addresses, behind which a tag has its place.
const ADDRESSES: usize = 12;

/// Which part of the ring is to be free, once it was full, before anything is written again.
const AMPLE: usize = 8;

/// Which frames are wanted, and how much of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    /// Those that come in.
    pub(crate) incoming: bool,
    /// Those that go out.
    pub(crate) outgoing: bool,
    /// Only those that are dropped. Of those that are not to go out after all nothing is seen otherwise.
    pub(crate) drops: bool,
    /// Only those of this VLAN.
    pub(crate) vlan: Option<u16>,
    /// Bytes of a frame at most.
    pub(crate) snaplen: u32,
}

impl Filter {
    fn wants(&self, way: Way) -> bool {
        if way == Way::In { self.incoming } else { self.outgoing }
    }
}

/// Where a capture is written to.
#[derive(Debug)]
struct Ring {
    bytes: Producer<u8>,
    /// There was no room for a frame, and not much has become free since.
    full: bool,
}

impl Ring {
    /// Whether so many bytes find room. Where they once did not, none do until there is ample: what is left out is left
    /// out in one piece, which costs next to nothing.
    fn has_room(&mut self, bytes: usize) -> bool {
        let ample = if self.full { self.bytes.buffer().capacity() / AMPLE } else { 0 };
        self.full = self.bytes.slots() < bytes.max(ample);
        !self.full
    }

    /// Writes one block of so many bytes, for which there is room; the reader sees all of it or nothing.
    fn put(&mut self, bytes: usize, pieces: &[&[u8]]) {
        let Ok(mut chunk) = self.bytes.write_chunk(bytes) else { return };
        let (mut room, mut behind) = chunk.as_mut_slices();
        for piece in pieces {
            let (first, rest) = piece.split_at(room.len().min(piece.len()));
            room.split_off_mut(..first.len()).into_iter().for_each(|room| room.copy_from_slice(first));
            behind.split_off_mut(..rest.len()).into_iter().for_each(|room| room.copy_from_slice(rest));
        }
        chunk.commit_all();
    }
}

/// One capture.
#[derive(Debug)]
pub(crate) struct Capture {
    id: u32,
    filter: Filter,
    /// By port: the number of its interface, if it is captured. The reader knows its description.
    interfaces: Vec<Option<u32>>,
    /// By number of the interface.
    tallies: Vec<Tally>,
    ring: Ring,
    /// Whoever reads the ring has seen it empty.
    waits: Arc<AtomicBool>,
    wrote: bool,
}

impl Capture {
    /// A capture at `ports`, whose descriptions the reader has already.
    pub(crate) fn new(
        id: u32,
        filter: Filter,
        ports: &[PortId],
        ring: Producer<u8>,
        waits: Arc<AtomicBool>,
    ) -> Self {
        let tallies = vec![Tally::default(); ports.len()];
        let ring = Ring { bytes: ring, full: false };
        let mut capture = Self { id, filter, interfaces: Vec::new(), tallies, ring, waits, wrote: false };
        for (number, port) in (0..).zip(ports) {
            *capture.place(*port) = Some(number);
        }
        capture
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn end(self) -> Vec<Tally> {
        self.tallies
    }

    fn place(&mut self, port: PortId) -> &mut Option<u32> {
        let place = usize::from(port.0);
        if place >= self.interfaces.len() {
            self.interfaces.resize(place + 1, None);
        }
        &mut self.interfaces[place]
    }

    fn number(&self, port: PortId) -> Option<u32> {
        self.interfaces.get(usize::from(port.0)).copied().flatten()
    }

    pub(super) fn add_port(&mut self, port: PortId) {
        *self.place(port) = Some(self.tallies.len() as u32);
        self.tallies.push(Tally::default());
    }

    pub(super) fn forget(&mut self, port: PortId) {
        *self.place(port) = None;
    }

    /// Whether all there is to do with frames is to count them, as there is no room.
    pub(super) fn only_counts(&mut self) -> bool {
        let picks = self.filter.vlan.is_some() || self.filter.drops;
        !picks && self.ring.full && !self.ring.has_room(0)
    }

    /// Counts frames that came in or went out at a port and are left out.
    pub(super) fn count(&mut self, port: PortId, way: Way, frames: usize) {
        if let Some(number) = self.number(port)
            && self.filter.wants(way)
            && let Some(tally) = self.tallies.get_mut(number as usize)
        {
            tally.received += frames as u64;
            tally.missed += frames as u64;
        }
    }

    /// Writes a frame, if it is wanted and there is room.
    #[expect(clippy::too_many_arguments, reason = "all that there is to say of a frame")]
    pub(super) fn write(
        &mut self,
        port: PortId,
        way: Way,
        vlan: u16,
        dropped: bool,
        time: u64,
        tail: &Tail,
        shown: &Shown<'_>,
    ) {
        let filter = self.filter;
        // A copy that was lost on its way out did not go out.
        let kind = if filter.drops { dropped } else { way == Way::In || !dropped };
        if !filter.wants(way) || !kind || filter.vlan.is_some_and(|wanted| wanted != vlan) {
            return;
        }
        let Some(number) = self.number(port) else { return };
        let length = shown.len();
        let captured = length.min(filter.snaplen as usize);
        let whole = pcapng::packet_len(captured, tail);
        let has_room = self.ring.has_room(whole);
        if has_room {
            let head = pcapng::packet_head(number, time, captured, length, tail);
            let fill = captured.next_multiple_of(4) - captured;
            let [addresses, tags, rest] = shown.first(captured);
            let length = (whole as u32).to_le_bytes();
            self.ring.put(whole, &[&head, addresses, tags, rest, &[0; 4][..fill], tail.bytes(), &length]);
            self.wrote = true;
        }
        if let Some(tally) = self.tallies.get_mut(number as usize) {
            tally.received += 1;
            tally.missed += u64::from(!has_room);
        }
    }

    /// Whether whoever reads the ring waits for what was written since the last call.
    pub(super) fn is_waited_for(&mut self) -> bool {
        // The other half of this is where the ring is read: either that sees what was written, or this that
        // it waits.
        std::mem::take(&mut self.wrote) && {
            fence(Ordering::SeqCst);
            self.waits.swap(false, Ordering::AcqRel)
        }
    }
}

/// A frame as it is on the wire, in the pieces that it is in.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    head: &'a [u8],
    tags: TagBytes,
    rest: &'a [u8],
}

impl<'a> Shown<'a> {
    pub(crate) fn of(frame: &Frame<'a>) -> Self {
        let pieces = frame.pieces();
        Self { head: pieces.head, tags: pieces.tags, rest: pieces.rest }
    }

    /// One that may be no frame at all.
    pub(crate) fn raw((bytes, tag): (&'a [u8], Option<Tag>)) -> Self {
        let (head, rest) = bytes.split_at(ADDRESSES.min(bytes.len()));
        Self { head, tags: TagBytes::of([tag, None]), rest }
    }

    fn len(&self) -> usize {
        self.head.len() + self.tags.as_slice().len() + self.rest.len()
    }

    /// The pieces of its first bytes.
    fn first(&self, mut bytes: usize) -> [&[u8]; 3] {
        [self.head, self.tags.as_slice(), self.rest].map(|piece| {
            let taken = bytes.min(piece.len());
            bytes -= taken;
            &piece[..taken]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_comes_later_is_counted_apart() {
        let (ring, _reader) = rtrb::RingBuffer::new(256);
        let filter = Filter { incoming: true, outgoing: true, drops: false, vlan: None, snaplen: 64 };
        let mut capture = Capture::new(1, filter, &[PortId(0)], ring, Arc::default());
        let tail = Tail::new(Way::In, None);
        let write = |capture: &mut Capture, port| {
            capture.write(PortId(port), Way::In, 0, false, 0, &tail, &Shown::raw((&[0; 60], None)));
        };
        (0..3).for_each(|_| write(&mut capture, 0));
        write(&mut capture, 7);
        capture.add_port(PortId(7));
        (0..2).for_each(|_| write(&mut capture, 7));
        capture.forget(PortId(0));
        write(&mut capture, 0);
        assert_eq!(capture.end(), [Tally { received: 3, missed: 1 }, Tally { received: 2, missed: 2 }]);
    }

    #[test]
    fn a_full_ring_takes_nothing_until_much_is_free_and_all_is_counted() {
        let (ring, mut reader) = rtrb::RingBuffer::new(1024);
        let mut filter = Filter { incoming: true, outgoing: false, drops: false, vlan: None, snaplen: 64 };
        let mut capture = Capture::new(1, filter, &[PortId(0)], ring, Arc::default());
        let tail = Tail::new(Way::In, None);
        let write = |capture: &mut Capture| {
            capture.write(PortId(0), Way::In, 0, false, 0, &tail, &Shown::raw((&[0; 60], None)));
        };
        let packet = pcapng::packet_len(60, &tail);
        let fit = 1024 / packet;
        (0..fit).for_each(|_| write(&mut capture));
        assert!(!capture.only_counts(), "nothing was left out so far");
        write(&mut capture);
        assert!(capture.only_counts());
        capture.count(PortId(0), Way::In, 10);
        capture.count(PortId(0), Way::Out, 10);
        // Room for one, and that is not much.
        reader.read_chunk(127 - (1024 - fit * packet)).unwrap().commit_all();
        assert!(capture.only_counts());
        reader.read_chunk(1).unwrap().commit_all();
        assert!(!capture.only_counts());
        write(&mut capture);
        let seen = Tally { received: fit as u64 + 12, missed: 11 };
        assert_eq!(capture.end(), [seen]);

        // One that wants some frames only has to look at each.
        filter.vlan = Some(7);
        let mut picky = Capture::new(1, filter, &[PortId(0)], rtrb::RingBuffer::new(8).0, Arc::default());
        picky.ring.full = true;
        assert!(!picky.only_counts());
    }
}
