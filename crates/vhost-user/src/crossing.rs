//! Tests of both halves together: a frame that one guest sends and another one gets.

use std::sync::Arc;

use ports::batch::MAX_BATCH;
use ports::{Batch, RxQueue, TxQueue};
use proptest::prelude::*;

use crate::device::{Device, Live};
use crate::features::Features;
use crate::log::{Log, Place};
use crate::memory::{Memory, Part, Span};
use crate::ring::{Ring, Shape};
use crate::rx::VhostRx;
use crate::testing::{memory_file, owner};
use crate::tx::VhostTx;

const SIZE: u16 = 64;
const LEN: u64 = 1 << 20;
const PARTS: [u64; 3] = [0, 0x1000, 0x2000];
const BUFFERS: u64 = 0x4000;
const HEADER: usize = 12;
const WRITE: u64 = 2;
const NEXT: u64 = 1;

/// A guest with one queue, and the half of a port that has it.
struct Side {
    memory: Arc<Memory>,
    device: Arc<Device>,
    packed: bool,
    /// Descriptors of all chains so far; of a split ring those of this round, from the first one on.
    described: u16,
    chains: u16,
    /// Chains that have come back, and how far that is in a packed ring.
    seen: u16,
    at: u16,
    /// Of each chain of a packed ring its descriptors, by its number.
    steps: Vec<u16>,
    end: u64,
}

impl Side {
    fn new(packed: bool) -> Self {
        let part = Part { guest: 0, user: 0, len: LEN, offset: 0 };
        let memory = Arc::new(Memory::map(&[part], vec![memory_file(LEN)]).unwrap());
        let device = Arc::new(Device::new().unwrap());
        Self {
            memory,
            device,
            packed,
            described: 0,
            chains: 0,
            seen: 0,
            at: 0,
            steps: Vec::new(),
            end: BUFFERS,
        }
    }

    fn all(&self) -> Span {
        self.memory.find(0, LEN as u32).unwrap()
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        assert!(self.memory.write(self.all(), at as usize, bytes));
    }

    fn get(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        assert!(self.memory.read(self.all(), at as usize, &mut bytes));
        bytes
    }

    fn half(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.get(at, 2).try_into().unwrap())
    }

    fn word(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.get(at, 4).try_into().unwrap())
    }

    /// All that was made available has come back: buffers may lie where the first ones did.
    fn begin(&mut self) {
        self.end = BUFFERS;
        self.steps.clear();
        if !self.packed {
            self.described = 0;
        }
    }

    /// A chain of buffers of these lengths, each at its own odd place; says where they are.
    fn chain(&mut self, lengths: &[usize], flag: u64) -> Vec<u64> {
        let head = self.described;
        let mut places = Vec::new();
        for (nth, len) in lengths.iter().enumerate() {
            let more = if nth + 1 < lengths.len() { NEXT } else { 0 };
            let index = self.described % SIZE;
            let (low, high) = if self.packed {
                (self.steps.len() as u64, flag | more | u64::from(owner(self.described, SIZE)[0]))
            } else {
                (flag | more, u64::from(index + 1))
            };
            let rest = *len as u64 | low << 32 | high << 48;
            self.put(16 * u64::from(index), &[self.end.to_le_bytes(), rest.to_le_bytes()].concat());
            places.push(self.end);
            self.end += *len as u64 + 3;
            self.described = self.described.wrapping_add(1);
        }
        self.steps.push(lengths.len() as u16);
        self.put(PARTS[1] + 4 + 2 * u64::from(self.chains % SIZE), &head.to_le_bytes());
        self.chains = self.chains.wrapping_add(1);
        if !self.packed {
            self.put(PARTS[1] + 2, &self.chains.to_le_bytes());
        }
        places
    }

    fn start(&self, queue: usize, noted: Option<&Arc<Log>>) {
        // The first round of a packed ring.
        self.start_at(queue, if self.packed { 1 << 15 } else { 0 }, noted);
    }

    fn start_at(&self, queue: usize, base: u16, noted: Option<&Arc<Log>>) {
        let memory = Arc::new(self.memory.noted(noted.cloned()));
        let shape = Shape { packed: self.packed, event_idx: false };
        let mut ring = Ring::new(&memory, SIZE, PARTS, shape, base).unwrap();
        ring.noted = noted.map(|_| PARTS[2]);
        let features = Features::offered(true);
        self.device.set_agreed(features);
        let live = Live { ring, memory, call: None, features, position: None, awaits: false };
        self.device.start(queue, live);
    }

    /// What has come back since the last call: which chain, and how much was written to it.
    fn used(&mut self) -> Vec<(u32, u32)> {
        let mut used = Vec::new();
        loop {
            let at = if self.packed {
                let at = 16 * u64::from(self.at % SIZE);
                if self.half(at + 14) & (1 << 7 | 1 << 15) != owner(self.at, SIZE)[1] {
                    return used;
                }
                let number = self.half(at + 12);
                used.push((u32::from(number), self.word(at + 8)));
                self.at = self.at.wrapping_add(self.steps[usize::from(number)]);
                continue;
            } else if self.half(PARTS[2] + 2) == self.seen {
                return used;
            } else {
                PARTS[2] + 4 + 8 * u64::from(self.seen % SIZE)
            };
            used.push((self.word(at), self.word(at + 4)));
            self.seen = self.seen.wrapping_add(1);
        }
    }
}

/// Lengths of pieces that are `len` together.
fn split(len: usize, cuts: &[usize]) -> Vec<usize> {
    let mut left = len;
    let mut pieces: Vec<usize> = cuts
        .iter()
        .map_while(|cut| {
            let piece = (*cut).min(left);
            left -= piece;
            (piece > 0).then_some(piece)
        })
        .collect();
    pieces.extend((left > 0).then_some(left));
    pieces
}

fn content(seed: usize, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| ((at * 7 + seed * 13) % 251) as u8).collect();
    bytes[..HEADER].fill(0);
    // No tag.
    bytes[HEADER + 12..HEADER + 14].copy_from_slice(&[8, 0]);
    bytes
}

/// Frames by their lengths, header included, and by how each is cut into pieces.
type Frames = Vec<(usize, Vec<usize>)>;

/// One burst from one to the other: all frames arrive for which there is room, as they were sent; says how many. Who sends
/// gets its buffers back when they have arrived, not before.
fn cross(
    frames: &Frames,
    buffers: &[usize],
    from: &mut Side,
    to: &mut Side,
    halves: &mut (VhostRx, VhostTx),
) -> (usize, Vec<u64>) {
    let (rx, tx) = halves;
    from.begin();
    to.begin();
    for (seed, (len, cuts)) in frames.iter().enumerate() {
        let lengths = split(*len, cuts);
        let places = from.chain(&lengths, 0);
        let bytes = content(seed, *len);
        let mut at = 0;
        for (place, len) in places.iter().zip(&lengths) {
            from.put(*place, &bytes[at..at + len]);
            at += len;
        }
    }
    let room: usize = buffers.iter().sum();
    let chains: usize = frames.iter().map(|(len, _)| len.div_ceil(room)).sum();
    let given: Vec<Vec<u64>> = (0..chains).map(|_| to.chain(buffers, WRITE)).collect();
    let mut batch = Batch::new();
    rx.receive(&mut batch, MAX_BATCH);
    assert_eq!(batch.len(), frames.len());
    let long = frames.iter().any(|(len, _)| *len >= 1024);
    assert_eq!(batch.any_lent(), long);
    let before = from.used().len();
    assert_eq!(before, if long { 0 } else { frames.len() });
    let all: Vec<u16> = (0..frames.len() as u16).collect();
    let run = tx.send_run(&batch, &all);
    assert!(to.used().is_empty(), "seen before it was told of");
    tx.flush();
    rx.release();
    assert_eq!(before + from.used().len(), frames.len());

    let used = to.used();
    let mut used = used.iter();
    let mut nth = 0;
    for (seed, (len, _)) in frames.iter().enumerate().take(run.frames) {
        let (mut arrived, mut chains) = (Vec::new(), 0_u16);
        while arrived.len() < *len {
            let (_, written) = used.next().unwrap();
            assert_eq!(*written as usize, room.min(len - arrived.len()));
            let mut left = *written as usize;
            for (place, len) in given[nth].iter().zip(buffers) {
                arrived.extend(to.get(*place, left.min(*len)));
                left -= left.min(*len);
            }
            (nth, chains) = (nth + 1, chains + 1);
        }
        let mut sent = content(seed, *len);
        sent[10..12].copy_from_slice(&chains.to_le_bytes());
        assert_eq!(arrived, sent);
    }
    assert!(used.next().is_none());
    (run.frames, given.into_iter().take(nth).filter_map(|chain| chain.first().copied()).collect())
}

proptest! {
    /// Short or long, in whatever pieces there and here, over rings of either kind that go round many times.
    #[test]
    fn frames_arrive_as_they_were_sent(
        rounds in prop::collection::vec(prop::collection::vec((HEADER + 60..5000_usize, prop::collection::vec(1..2000_usize, 0..4)), 1..8), 1..12),
        buffers in prop::collection::vec(400..1700_usize, 1..3),
        packed: [bool; 2],
    ) {
        let (mut from, mut to) = (Side::new(packed[0]), Side::new(packed[1]));
        let file = memory_file(4096);
        let place = Place { offset: 0, len: 4096 };
        let log = Arc::new(Log::map(place, file.try_clone().unwrap()).unwrap());
        from.start(1, None);
        to.start(0, Some(&log));
        let mut halves = (VhostRx::new(Arc::clone(&from.device)), VhostTx::new(Arc::clone(&to.device)));
        let room: usize = buffers.iter().sum();
        for frames in &rounds {
            let chains: usize = frames.iter().map(|(len, _)| len.div_ceil(room)).sum();
            let pieces: usize = frames.iter().map(|(len, cuts)| split(*len, cuts).len()).sum();
            if chains * buffers.len() > usize::from(SIZE) || pieces > usize::from(SIZE) {
                continue;
            }
            let (crossed, places) = cross(frames, &buffers, &mut from, &mut to, &mut halves);
            prop_assert_eq!(crossed, frames.len());
            let mut bits = vec![0; 4096];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut bits, 0).unwrap();
            let is_noted = |page: u64| bits[page as usize / 8] & 1 << (page % 8) != 0;
            let ring = if packed[1] { PARTS[0] } else { PARTS[2] };
            prop_assert!(is_noted(ring / 4096) && places.iter().all(|place| is_noted(place / 4096)));
            prop_assert!(!is_noted(PARTS[1] / 4096) && !is_noted(LEN / 4096 - 1));
        }
    }
}

#[test]
fn a_ring_is_not_taken_away_while_its_frames_are_lent() {
    let mut from = Side::new(false);
    let place = from.chain(&[HEADER + 1100], 0)[0];
    from.put(place, &content(0, HEADER + 1100));
    from.start(1, None);
    let mut rx = VhostRx::new(Arc::clone(&from.device));
    let mut batch = Batch::new();
    rx.receive(&mut batch, MAX_BATCH);
    assert!(batch.any_lent());
    let device = Arc::clone(&from.device);
    let (told, heard) = std::sync::mpsc::channel();
    let stopper = std::thread::spawn(move || {
        let stopped = device.stop(1).is_some();
        told.send(()).unwrap();
        stopped
    });
    assert!(heard.recv_timeout(std::time::Duration::from_millis(50)).is_err());
    rx.release();
    assert!(stopper.join().unwrap());
    assert_eq!(from.used(), [(0, 0)]);
}

/// Between a burst and its end the ring is taken out of use, and put to use again: as when a guest's program begins to
/// move it, or asks for other interrupts.
#[test]
fn what_was_put_in_a_ring_is_told_of_before_it_is_taken_away() {
    for packed in [false, true] {
        let (mut from, mut to) = (Side::new(packed), Side::new(packed));
        let place = from.chain(&[HEADER + 60], 0)[0];
        from.put(place, &content(0, HEADER + 60));
        for _ in 0..2 {
            to.chain(&[2000], WRITE);
        }
        from.start(1, None);
        to.start(0, None);
        let mut halves = (VhostRx::new(Arc::clone(&from.device)), VhostTx::new(Arc::clone(&to.device)));
        let mut batch = Batch::new();
        halves.0.receive(&mut batch, MAX_BATCH);
        assert_eq!(halves.1.send_run(&batch, &[0]).frames, 1);
        let base = to.device.stop(0).unwrap().ring.base();
        assert_eq!(to.used(), [(0, HEADER as u32 + 60)], "packed: {packed}");
        to.start_at(0, base, None);
        assert_eq!(halves.1.send_run(&batch, &[0]).frames, 1);
        halves.1.flush();
        assert_eq!(to.used(), [(1, HEADER as u32 + 60)], "packed: {packed}");
    }
}
