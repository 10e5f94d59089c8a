//! The send half: writes frames into the buffers that guests have given for them.

use std::sync::Arc;

use frame::offload::LONG_HEADER;
use frame::{Capabilities, Frame};
use ports::batch::MAX_BATCH;
use ports::lent::Tail;
use ports::{Batch, CACHE_LINE, Run, SendError, TxQueue};

use crate::broken::Broken;
use crate::burst::{Burst, MAX_BUFFERS, Planned};
use crate::device::{Device, Live, PAIRS, publish};
use crate::features::Features;
use crate::memory::Span;
use crate::ring::{Use, View};

/// Queues that guests receive from, a bit each.
const RECEIVING: u32 = 0x5555;

/// Where `num_buffers` stands in the header.
const NUM_BUFFERS: usize = 10;

/// The send half of a vhost-user port.
#[derive(Debug)]
pub struct VhostTx {
    device: Arc<Device>,
    burst: Burst,
    /// Queues with frames that their guest does not know of yet, a bit each.
    unpublished: u32,
}

/// Why a frame did not go into a ring.
enum Refusal {
    Broken(Broken),
    Egress(SendError),
}

impl From<Broken> for Refusal {
    fn from(why: Broken) -> Self {
        Self::Broken(why)
    }
}

impl Clone for VhostTx {
    /// Another send half of the same port, for another thread.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.device))
    }
}

impl VhostTx {
    pub(crate) fn new(device: Arc<Device>) -> Self {
        Self { device, burst: Burst::new(), unpublished: 0 }
    }

    /// The queue for a flow, of which `bytes` are a frame.
    #[inline]
    fn queue_for(&self, bytes: &[u8]) -> usize {
        let usable = self.device.usable() & RECEIVING;
        let pairs = usable.count_ones();
        if pairs <= 1 {
            return usable.trailing_zeros() as usize % (2 * PAIRS);
        }
        let nth = hash(bytes) % pairs;
        let mut left = usable;
        (0..nth).for_each(|_| left &= left - 1);
        left.trailing_zeros() as usize
    }

    /// Runs `work` on the ring of a queue.
    #[inline]
    fn with_ring<R>(
        &mut self,
        queue: usize,
        work: impl FnOnce(&mut View<'_>, Features, &mut Burst) -> Result<R, Refusal>,
    ) -> Result<R, SendError> {
        let done = {
            if self.device.usable() & 1 << queue == 0 {
                return Err(SendError::Down);
            }
            let mut guard = self.device.lock(queue);
            let Some(Live { ring, memory, features, .. }) = guard.as_mut() else {
                return Err(SendError::Down);
            };
            let features = *features;
            self.burst.clear();
            ring.view(memory)
                .map_err(Refusal::Broken)
                .and_then(|mut view| work(&mut view, features, &mut self.burst))
        };
        match done {
            Ok(done) => {
                self.unpublished |= 1 << queue;
                Ok(done)
            }
            Err(Refusal::Egress(why)) => {
                self.unpublished |= 1 << queue;
                Err(why)
            }
            Err(Refusal::Broken(why)) => {
                self.device.fail(why);
                Err(SendError::Down)
            }
        }
    }

    fn publish(&self, queue: usize) -> Result<(), Broken> {
        let mut guard = self.device.lock(queue);
        let Some(live) = guard.as_mut() else { return Ok(()) };
        let mut view = live.ring.view(&live.memory)?;
        // New buffers are looked for when there is a frame for them.
        view.ignore_new();
        publish(&mut view, live.position.as_ref(), live.call.as_ref());
        if live.memory.is_cut() { Err(Broken::Cut) } else { Ok(()) }
    }
}

/// Finds buffers for a frame of `len` bytes, header included.
#[inline]
fn plan(burst: &mut Burst, view: &mut View<'_>, features: Features, len: usize) -> Result<(), Refusal> {
    if view.is_ready(burst.ahead())? && burst.add_plain(view, Use::Write, len) {
        return Ok(());
    }
    burst.begin_frame();
    let mut room = 0;
    while room < len {
        let of_frame = burst.taken_by_frame();
        let refusal = if !view.is_ready(burst.ahead())? {
            Some(SendError::Full)
        } else if of_frame > 0 && !features.mergeable() || of_frame == MAX_BUFFERS {
            Some(SendError::TooLong)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            burst.undo_frame();
            return Err(Refusal::Egress(refusal));
        }
        room += burst.add(view, Use::Write)?;
    }
    burst.end_frame();
    Ok(())
}

/// Puts frames of a batch in a ring, as many as have nothing to be finished and find room; says how many, their bytes,
/// and why the next one found none.
#[inline]
fn put_run(
    view: &mut View<'_>,
    features: Features,
    burst: &mut Burst,
    batch: &Batch,
    queue: &[u16],
) -> Result<(usize, usize, Option<SendError>), Refusal> {
    let mut all: [&[u8]; MAX_BATCH] = [&[]; MAX_BATCH];
    let ready = |index: &u16| {
        let received = batch.beginning_as_received(usize::from(*index), LONG_HEADER)?;
        Some((received, batch.beyond(usize::from(*index))))
    };
    let mut refused = None;
    for (place, (received, beyond)) in all.iter_mut().zip(queue.iter().map_while(ready)) {
        if !burst.has_room() {
            break;
        }
        match plan(burst, view, features, received.len() - LONG_HEADER + features.header() + beyond) {
            Ok(()) => *place = received,
            Err(Refusal::Egress(why)) => {
                refused = Some(why);
                break;
            }
            Err(broken) => return Err(broken),
        }
    }
    let frames =
        all[..burst.len()].iter().zip(queue).map(|(received, index)| (*received, usize::from(*index)));
    let any_lent = batch.any_lent();
    for (nth, (received, index)) in frames.clone().enumerate() {
        match burst.plain().get(nth) {
            Some(plain) if features.header() == LONG_HEADER => {
                put_whole(view, &plain.piece, features, received);
                if any_lent {
                    put_behind(view, &plain.piece, received.len(), batch.tail(index));
                }
            }
            _ => {
                let (header, frame) = received.split_at(LONG_HEADER);
                let header = plain_header(header, features);
                put(view, &burst.frame(nth), features, header, [frame, &[], &[]], batch.tail(index));
            }
        }
    }
    if any_lent && frames.clone().any(|(_, index)| batch.tail(index).is_cut()) {
        // Zeros stand there instead of a frame.
        return Ok((0, 0, Some(SendError::FAULT)));
    }
    // Apart from the frames: a processor waits for the memory of several of them at once if little else is written
    // between them.
    let mut bytes = 0;
    for (nth, (received, index)) in frames.enumerate() {
        let len = received.len() - LONG_HEADER + if any_lent { batch.beyond(index) } else { 0 };
        match burst.plain().get(nth) {
            Some(plain) => view.give_back(&plain.chain, (features.header() + len) as u32),
            None => give_back(view, &burst.frame(nth), features.header() + len),
        }
        bytes += len;
    }
    Ok((burst.len(), bytes, refused))
}

/// Puts a frame with its header where it is planned, in one piece. As [`put`] does, but the header goes from register to
/// guest: by way of an array of its own the rate falls by a sixth. Where it has a cache line of its own, as DPDK has it,
/// it mostly says the same as the last time: then it is not written, and both cores keep the line.
#[inline]
fn put_whole(view: &View<'_>, piece: &Span, features: Features, received: &[u8]) {
    let Some((header, frame)) = received.split_first_chunk::<LONG_HEADER>() else { return };
    let (mut first, mut last) = ([0; NUM_BUFFERS - 2], [0, 0, 1, 0]);
    if features.capabilities().checksum {
        first.copy_from_slice(&header[..NUM_BUFFERS - 2]);
        last[..2].copy_from_slice(&header[NUM_BUFFERS - 2..NUM_BUFFERS]);
    }
    let apart = (piece.offset + LONG_HEADER).is_multiple_of(CACHE_LINE);
    let stands = apart && view.holds(piece, 0, first) && view.holds(piece, first.len(), last);
    let _ = (stands || view.write(piece, 0, &first) && view.write(piece, first.len(), &last))
        && view.write(piece, LONG_HEADER, frame);
}

/// Puts what of a frame is lent into its piece, from byte `at` on.
#[inline]
fn put_behind(view: &View<'_>, piece: &Span, mut at: usize, tail: Tail<'_>) {
    for (mapping, offset, len) in tail.pieces() {
        view.copy(piece, at, mapping, offset, len);
        at += len;
    }
}

/// Puts a frame, in parts, where it is planned, and what is lent of it behind them.
fn put(
    view: &View<'_>,
    planned: &Planned<'_>,
    features: Features,
    mut header: [u8; LONG_HEADER],
    parts: [&[u8]; 3],
    tail: Tail<'_>,
) {
    let buffers = planned.chains.len() as u16;
    header[NUM_BUFFERS..].copy_from_slice(&buffers.to_le_bytes());
    let mut places = Places::new(planned.pieces);
    for part in [&header[..features.header()], parts[0], parts[1], parts[2]] {
        places.fill(part.len(), |piece, at, from, len| {
            part.get(from..from + len).is_some_and(|bytes| view.write(piece, at, bytes))
        });
    }
    for (mapping, offset, len) in tail.pieces() {
        places.fill(len, |piece, at, from, len| view.copy(piece, at, mapping, offset + from, len));
    }
}

/// Gives the chains of a frame of `len` bytes back, header included.
#[inline]
fn give_back(view: &mut View<'_>, planned: &Planned<'_>, len: usize) {
    let mut left = len;
    for chain in planned.chains {
        let written = left.min(chain.len);
        view.give_back(chain, written as u32);
        left -= written;
    }
}

/// Pieces that are filled one behind the other.
struct Places<'a> {
    pieces: std::slice::Iter<'a, Span>,
    piece: Option<&'a Span>,
    at: usize,
}

impl<'a> Places<'a> {
    fn new(pieces: &'a [Span]) -> Self {
        let mut pieces = pieces.iter();
        Self { piece: pieces.next(), pieces, at: 0 }
    }

    /// Lets `put` fill the next `len` bytes: in which piece, from which byte of it on, which of these bytes, and how many.
    fn fill(&mut self, len: usize, put: impl Fn(&Span, usize, usize, usize) -> bool) {
        let mut done = 0;
        while let (Some(piece), true) = (self.piece, done < len) {
            let now = (len - done).min(piece.len as usize - self.at);
            put(piece, self.at, done, now);
            done += now;
            self.at += now;
            if self.at == piece.len as usize {
                (self.piece, self.at) = (self.pieces.next(), 0);
            }
        }
    }
}

/// Of addresses and ports, wherever they stand.
fn hash(bytes: &[u8]) -> u32 {
    let looked_at = bytes.get(..12).into_iter().chain(bytes.get(22..bytes.len().min(58)));
    looked_at.flatten().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
        >> 8
}

/// The header that a guest gets for one that says that nothing is to be finished.
#[inline]
fn plain_header(received: &[u8], features: Features) -> [u8; LONG_HEADER] {
    let mut header = [0; LONG_HEADER];
    // A guest that did not agree to checksums does not want to know that one was checked.
    if features.capabilities().checksum {
        header.copy_from_slice(&received[..LONG_HEADER]);
    }
    header
}

impl TxQueue for VhostTx {
    #[inline]
    fn capabilities(&self) -> Capabilities {
        self.device.agreed().capabilities()
    }

    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        self.send_lent(frame, Tail::NONE)
    }

    fn send_lent(&mut self, frame: &Frame<'_>, tail: Tail<'_>) -> Result<(), SendError> {
        let pieces = frame.pieces();
        let queue = self.queue_for(pieces.head);
        self.with_ring(queue, |view, features, burst| {
            let mut header = pieces.offload.encode();
            if !features.capabilities().checksum {
                header = [0; LONG_HEADER];
            }
            let parts = [pieces.head, pieces.tags.as_slice(), pieces.rest];
            let len = parts.iter().map(|part| part.len()).sum::<usize>() + frame.beyond();
            plan(burst, view, features, features.header() + len)?;
            put(view, &burst.frame(0), features, header, parts, tail);
            if tail.is_cut() {
                return Err(Refusal::Egress(SendError::FAULT));
            }
            give_back(view, &burst.frame(0), features.header() + len);
            Ok(())
        })
    }

    fn send_run(&mut self, batch: &Batch, queue: &[u16]) -> Run {
        let mut done = Run::default();
        let mut left = queue;
        // One lock for all that go to the same ring.
        while let Some(first) =
            left.first().and_then(|index| batch.beginning_as_received(usize::from(*index), LONG_HEADER))
        {
            let ring = self.queue_for(&first[LONG_HEADER..]);
            let several = (self.device.usable() & RECEIVING).count_ones() > 1;
            let run = if several { &left[..1] } else { left };
            let sent =
                self.with_ring(ring, |view, features, burst| put_run(view, features, burst, batch, run));
            let (frames, bytes, refused) = sent.unwrap_or_else(|why| (0, 0, Some(why)));
            done.frames += frames;
            done.bytes += bytes;
            left = &left[frames..];
            if refused.is_some() {
                done.refused = refused;
                break;
            }
        }
        done
    }

    fn flush(&mut self) {
        let mut left = std::mem::take(&mut self.unpublished);
        while left != 0 {
            let queue = left.trailing_zeros() as usize;
            left &= left - 1;
            if let Err(why) = self.publish(queue) {
                self.device.fail(why);
            }
        }
    }
}
