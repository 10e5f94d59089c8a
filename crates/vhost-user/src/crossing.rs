//! Tests of both halves together: a frame that one guest sends and another one gets.

use std::sync::Arc;

use ports::batch::MAX_BATCH;
use ports::{Batch, RxQueue, TxQueue};
use proptest::prelude::*;

use crate::device::{Device, Live};
use crate::features::Features;
use crate::log::{Log, Place};
use crate::memory::{Memory, Part, Span};
use crate::ring::Ring;
use crate::rx::VhostRx;
use crate::testing::memory_file;
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
    /// Descriptors that are described.
    described: u16,
    chains: u16,
    end: u64,
}

impl Side {
    fn new() -> Self {
        let part = Part { guest: 0, user: 0, len: LEN, offset: 0 };
        let memory = Arc::new(Memory::map(&[part], vec![memory_file(LEN)]).unwrap());
        Self { memory, device: Arc::new(Device::new().unwrap()), described: 0, chains: 0, end: BUFFERS }
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

    /// A chain of buffers of these lengths, each at its own odd place; says where they are.
    fn chain(&mut self, lengths: &[usize], flag: u64) -> Vec<u64> {
        let head = self.described;
        let mut places = Vec::new();
        for (nth, len) in lengths.iter().enumerate() {
            let more = if nth + 1 < lengths.len() { NEXT } else { 0 };
            let next = u64::from(self.described + 1);
            let rest = *len as u64 | (flag | more) << 32 | next << 48;
            self.put(16 * u64::from(self.described), &[self.end.to_le_bytes(), rest.to_le_bytes()].concat());
            places.push(self.end);
            self.end += *len as u64 + 3;
            self.described += 1;
        }
        self.put(PARTS[1] + 4 + 2 * u64::from(self.chains % SIZE), &head.to_le_bytes());
        self.chains += 1;
        self.put(PARTS[1] + 2, &self.chains.to_le_bytes());
        places
    }

    fn start(&self, queue: usize, noted: Option<&Arc<Log>>) {
        let memory = Arc::new(self.memory.noted(noted.cloned()));
        let mut ring = Ring::new(&memory, SIZE, PARTS, false, 0).unwrap();
        ring.noted = noted.map(|_| PARTS[2]);
        let features = Features::offered(true);
        self.device.set_agreed(features);
        self.device.start(queue, Live { ring, memory, call: None, features, awaits: false });
    }

    /// What came back: each chain, and how much was written to it.
    fn used(&self) -> Vec<(u32, u32)> {
        let count = u16::from_le_bytes(self.get(PARTS[2] + 2, 2).try_into().unwrap());
        let word = |at| u32::from_le_bytes(self.get(at, 4).try_into().unwrap());
        (0..u64::from(count)).map(|nth| PARTS[2] + 4 + 8 * nth).map(|at| (word(at), word(at + 4))).collect()
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

proptest! {
    /// Short or long, in whatever pieces there and here: each frame arrives as it was sent, and its sender gets its
    /// buffers back when it has, not before.
    #[test]
    fn frames_arrive_as_they_were_sent(
        frames in prop::collection::vec((HEADER + 60..5000_usize, prop::collection::vec(1..2000_usize, 0..4)), 1..10),
        buffers in prop::collection::vec(1..1700_usize, 1..3),
    ) {
        let (mut from, mut to) = (Side::new(), Side::new());
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
        let mut given = Vec::new();
        while usize::from(to.described) + buffers.len() <= usize::from(SIZE) {
            given.push(to.chain(&buffers, WRITE));
        }
        let file = memory_file(4096);
        let place = Place { offset: 0, len: 4096 };
        let log = Arc::new(Log::map(place, file.try_clone().unwrap()).unwrap());
        from.start(1, None);
        to.start(0, Some(&log));
        let (mut rx, mut tx) = (VhostRx::new(Arc::clone(&from.device)), VhostTx::new(Arc::clone(&to.device)));
        let mut batch = Batch::new();
        rx.receive(&mut batch, MAX_BATCH);
        prop_assert_eq!(batch.len(), frames.len());
        let long = frames.iter().any(|(len, _)| *len >= 1024);
        prop_assert_eq!(batch.any_lent(), long);
        prop_assert_eq!(from.used().len(), if long { 0 } else { frames.len() });
        let all: Vec<u16> = (0..frames.len() as u16).collect();
        let run = tx.send_run(&batch, &all);
        tx.flush();
        rx.release();
        prop_assert_eq!(from.used().len(), frames.len());

        let room: usize = buffers.iter().sum();
        let used = to.used();
        let mut used = used.iter();
        let mut nth = 0;
        for (seed, (len, _)) in frames.iter().enumerate().take(run.frames) {
            let (mut arrived, mut chains) = (Vec::new(), 0_u16);
            while arrived.len() < *len {
                let (_, written) = used.next().unwrap();
                prop_assert_eq!(*written as usize, room.min(len - arrived.len()));
                let mut left = *written as usize;
                for (place, len) in given[nth].iter().zip(&buffers) {
                    arrived.extend(to.get(*place, left.min(*len)));
                    left -= left.min(*len);
                }
                (nth, chains) = (nth + 1, chains + 1);
            }
            let mut sent = content(seed, *len);
            sent[10..12].copy_from_slice(&chains.to_le_bytes());
            prop_assert_eq!(arrived, sent);
        }
        prop_assert!(used.next().is_none());
        // There is room for all, unless there are too few buffers.
        let needed: usize = frames.iter().map(|(len, _)| len.div_ceil(room)).sum();
        prop_assert_eq!(run.frames == frames.len(), needed <= given.len());

        let mut bits = vec![0; 4096];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bits, 0).unwrap();
        let is_noted = |page: u64| bits[page as usize / 8] & 1 << (page % 8) != 0;
        prop_assert!(run.frames == 0 || is_noted(PARTS[2] / 4096));
        for (places, len) in given.iter().take(nth).flat_map(|chain| chain.iter().zip(&buffers)).take(1) {
            prop_assert!(is_noted(places / 4096) && *len > 0);
        }
        prop_assert!(!is_noted(PARTS[1] / 4096) && !is_noted(LEN / 4096 - 1));
    }
}

#[test]
fn a_ring_is_not_taken_away_while_its_frames_are_lent() {
    let mut from = Side::new();
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
