//! The send half: writes frames into the buffers that guests have given for them.

use std::sync::Arc;

use frame::offload::LONG_HEADER;
use frame::{Capabilities, Frame};
use ports::{Batch, Run, SendError, TxQueue};

use crate::broken::Broken;
use crate::device::{Device, Live, PAIRS, publish};
use crate::features::Features;
use crate::ring::{Chain, Pieces, Use, View};

/// Buffers that one frame may lie in: 64 KiB in the smallest that are of use.
const MAX_BUFFERS: usize = 512;

/// Where `num_buffers` stands in the header.
const NUM_BUFFERS: usize = 10;

/// The send half of a vhost-user port.
#[derive(Debug)]
pub struct VhostTx {
    device: Arc<Device>,
    writer: Writer,
    /// Queues with frames that their guest does not know of yet, a bit each.
    unpublished: u32,
}

/// Memory for the buffers of one frame.
#[derive(Debug)]
struct Writer {
    pieces: Pieces,
    chains: Vec<Chain>,
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

impl VhostTx {
    pub(crate) fn new(device: Arc<Device>) -> Self {
        let writer = Writer { pieces: Pieces::new(), chains: Vec::with_capacity(MAX_BUFFERS) };
        Self { device, writer, unpublished: 0 }
    }

    /// The queue for a flow, of which `bytes` are a frame.
    #[inline]
    fn queue_for(&self, bytes: &[u8]) -> usize {
        const RECEIVING: u32 = 0x5555;
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
        work: impl FnOnce(&mut View<'_>, Features, &mut Writer) -> Result<R, Refusal>,
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
            ring.view(memory)
                .map_err(Refusal::Broken)
                .and_then(|mut view| work(&mut view, features, &mut self.writer))
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
        publish(&mut view, live.call.as_ref());
        if live.memory.is_cut() { Err(Broken::Cut) } else { Ok(()) }
    }
}

impl Writer {
    /// Puts one frame, in pieces, behind its header.
    #[inline]
    fn put(
        &mut self,
        view: &mut View<'_>,
        features: Features,
        mut header: [u8; LONG_HEADER],
        parts: [&[u8]; 3],
    ) -> Result<(), Refusal> {
        let long = features.header();
        let len = long + parts.iter().map(|part| part.len()).sum::<usize>();
        self.find(view, features, len)?;
        let buffers = self.chains.len() as u16;
        header[NUM_BUFFERS..].copy_from_slice(&buffers.to_le_bytes());
        self.write(view, [&header[..long], parts[0], parts[1], parts[2]]);
        let mut left = len;
        for chain in &self.chains {
            let written = left.min(chain.len);
            view.give_back(chain.head, written as u32);
            left -= written;
        }
        Ok(())
    }

    /// Finds buffers for `len` bytes.
    #[inline]
    fn find(&mut self, view: &mut View<'_>, features: Features, len: usize) -> Result<(), Refusal> {
        self.pieces.clear();
        self.chains.clear();
        let mut room = 0;
        while room < len {
            let taken = self.chains.len() as u16;
            if view.ready(taken + 1)? <= taken {
                return Err(Refusal::Egress(SendError::Full));
            }
            if taken > 0 && !features.mergeable() || self.chains.len() == MAX_BUFFERS {
                return Err(Refusal::Egress(SendError::TooLong));
            }
            let chain = view.chain(taken, Use::Write, &mut self.pieces)?;
            room += chain.len;
            self.chains.push(chain);
        }
        Ok(())
    }

    #[inline]
    fn write(&self, view: &View<'_>, parts: [&[u8]; 4]) {
        let mut places = self.pieces.iter().filter_map(|piece| view.bytes(piece));
        let (mut place, mut at) = (places.next(), 0);
        for mut part in parts {
            while !part.is_empty() {
                let Some(rest) = place.as_ref().and_then(|place| place.offset(at).ok()) else { return };
                let written = part.len().min(rest.len());
                rest.copy_from(&part[..written]);
                part = &part[written..];
                at += written;
                if written == rest.len() {
                    (place, at) = (places.next(), 0);
                }
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
        let pieces = frame.pieces();
        let queue = self.queue_for(pieces.head);
        self.with_ring(queue, |view, features, writer| {
            let mut header = pieces.offload.encode();
            if !features.capabilities().checksum {
                header = [0; LONG_HEADER];
            }
            writer.put(view, features, header, [pieces.head, pieces.tags.as_slice(), pieces.rest])
        })
    }

    fn send_run(&mut self, batch: &Batch, queue: &[u16]) -> Run {
        let mut done = Run::default();
        let mut left = queue;
        // One lock for all that go to the same ring.
        while let Some(first) =
            left.first().and_then(|index| batch.as_received(usize::from(*index), LONG_HEADER))
        {
            let ring = self.queue_for(&first[LONG_HEADER..]);
            let several = (self.device.usable() & 0x5555).count_ones() > 1;
            let sent = self.with_ring(ring, |view, features, writer| {
                let (mut frames, mut bytes) = (0, 0);
                for index in if several { &left[..1] } else { left } {
                    let Some(received) = batch.as_received(usize::from(*index), LONG_HEADER) else { break };
                    let (header, frame) = received.split_at(LONG_HEADER);
                    match writer.put(view, features, plain_header(header, features), [frame, &[], &[]]) {
                        Ok(()) => {}
                        Err(Refusal::Egress(why)) => return Ok((frames, bytes, Some(why))),
                        Err(broken) => return Err(broken),
                    }
                    frames += 1;
                    bytes += frame.len();
                }
                Ok((frames, bytes, None))
            });
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
