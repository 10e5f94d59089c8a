//! The ring against the `virtio-queue` crate, and both halves of a port against memory that says anything.

use std::sync::Arc;

use frame::offload::LONG_HEADER;
use ports::{Batch, RxQueue, TxQueue};
use proptest::prelude::*;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor as Oracle;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap};

use super::*;
use crate::device::{Device, Live};
use crate::features::Features;
use crate::memory::Part;
use crate::rx::VhostRx;
use crate::testing::{memory_file, owner};
use crate::tx::VhostTx;

const SIZE: u16 = 16;
const LEN: u64 = 1 << 16;
const DESCRIPTORS: u64 = 0;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
const TABLES: u64 = 0x3000;
const BUFFERS: u64 = 0x8000;
const PARTS: [u64; 3] = [DESCRIPTORS, AVAILABLE, USED];

/// The same memory for us and for whoever plays the guest.
fn shared() -> (Arc<Memory>, GuestMemoryMmap) {
    let file = memory_file(LEN);
    let theirs = FileOffset::new(file.try_clone().unwrap(), 0);
    let range = (GuestAddress(0), LEN as usize, Some(theirs));
    let part = Part { guest: 0, user: 0x10_0000, len: LEN, offset: 0 };
    (
        Arc::new(Memory::map(&[part], vec![file]).unwrap()),
        GuestMemoryMmap::from_ranges_with_files([range]).unwrap(),
    )
}

fn descriptor(
    guest: &GuestMemoryMmap,
    table: u64,
    index: u16,
    (address, len, flags, next): (u64, u32, u16, u16),
) {
    let raw = RawDescriptor::from(Oracle::new(address, len, flags, next));
    guest.write_obj(raw, GuestAddress(table + 16 * u64::from(index))).unwrap();
}

/// A chain: the length of each buffer, and whether they stand in a table of their own.
type Made = (Vec<u16>, bool);

/// Puts a chain into the next place, whose first descriptor is `head`; says how many descriptors it took.
fn make(guest: &GuestMemoryMmap, (buffers, indirect): &Made, head: u16, place: u16, flag: u16) -> u16 {
    let table = if *indirect { TABLES + 0x400 * u64::from(head) } else { DESCRIPTORS };
    let first = if *indirect { 0 } else { head };
    for (nth, len) in buffers.iter().enumerate() {
        let index = first + nth as u16;
        let more = if nth + 1 < buffers.len() { NEXT } else { 0 };
        let address = BUFFERS + 0x800 * u64::from(head + nth as u16) % (LEN - BUFFERS - 0x800);
        descriptor(guest, table, index, (address, u32::from(*len), more | flag, index + 1));
    }
    let taken = if *indirect {
        descriptor(guest, DESCRIPTORS, head, (table, 16 * buffers.len() as u32, INDIRECT, 0));
        1
    } else {
        buffers.len() as u16
    };
    guest.write_obj(head, GuestAddress(AVAILABLE + 4 + 2 * u64::from(place % SIZE))).unwrap();
    guest.write_obj(place.wrapping_add(1), GuestAddress(AVAILABLE + 2)).unwrap();
    taken
}

proptest! {
    /// Whatever a well-behaved guest makes available, both see the same of it, and say the same of interrupts.
    #[test]
    fn it_sees_what_another_implementation_sees(
        rounds in prop::collection::vec(prop::collection::vec((prop::collection::vec(1_u16..0x800, 1..4), any::<bool>()), 1..5), 1..12),
        event_idx: bool,
        written: bool,
        wanted in prop::collection::vec(0_u16..8, 12),
        start: u16,
    ) {
        let (memory, guest) = shared();
        for at in [AVAILABLE + 2, USED + 2] {
            guest.write_obj(start, GuestAddress(at)).unwrap();
        }
        let mut ring = Ring::new(&memory, SIZE, PARTS, Shape { packed: false, event_idx }, start).unwrap();
        let mut oracle = Queue::new(SIZE).unwrap();
        oracle.set_desc_table_address(Some(DESCRIPTORS as u32), Some(0));
        oracle.set_avail_ring_address(Some(AVAILABLE as u32), Some(0));
        oracle.set_used_ring_address(Some(USED as u32), Some(0));
        oracle.set_event_idx(event_idx);
        oracle.set_next_avail(start);
        oracle.set_next_used(start);
        oracle.set_ready(true);
        let (flag, purpose) = if written { (WRITE, Use::Write) } else { (0, Use::Read) };
        let (mut place, mut pieces) = (start, Pieces::new());
        for (round, chains) in rounds.iter().enumerate() {
            let mut head = 0;
            for chain in chains {
                if head + 4 <= SIZE {
                    head += make(&guest, chain, head, place, flag);
                    place = place.wrapping_add(1);
                }
            }
            let event = ring.next.wrapping_add(wanted[round]);
            guest.write_obj(event, GuestAddress(AVAILABLE + 4 + 2 * u64::from(SIZE))).unwrap();
            let mut view = ring.view(&memory).unwrap();
            let mut ours = Vec::new();
            while view.is_ready(0).unwrap() {
                pieces.clear();
                let chain = view.chain(0, purpose, &mut pieces).unwrap();
                let spans: Vec<_> = pieces.all().iter().map(|span| (span.offset as u64, span.len)).collect();
                prop_assert_eq!(chain.len as u32, spans.iter().map(|span| span.1).sum::<u32>());
                ours.push((chain.head, spans));
                view.give_back(&chain, 7);
            }
            let before = guest.read_obj::<u16>(GuestAddress(USED + 2)).unwrap();
            let tells = view.publish(None);
            let used: Vec<u8> = (0..USED + 0x100).map(|at| guest.read_obj(GuestAddress(at)).unwrap()).collect();
            guest.write_obj(before, GuestAddress(USED + 2)).unwrap();
            let mut theirs = Vec::new();
            while let Some(chain) = oracle.pop_descriptor_chain(&guest) {
                let head = chain.head_index();
                theirs.push((head, chain.map(|one| (one.addr().0, one.len())).collect::<Vec<_>>()));
                oracle.add_used(&guest, head, 7).unwrap();
            }
            prop_assert_eq!(ours, theirs);
            // It has no other way to be asked for interrupts.
            if event_idx {
                prop_assert_eq!(tells, oracle.needs_notification(&guest).unwrap());
            }
            let now: Vec<u8> = (0..USED + 0x100).map(|at| guest.read_obj(GuestAddress(at)).unwrap()).collect();
            prop_assert_eq!(used, now);
        }
    }
}

/// A table of descriptors without a byte is not walked for as long as the guest likes.
#[test]
fn a_table_of_nothing_has_an_end() {
    const TABLE: u64 = 0x4000;
    let (memory, guest) = shared();
    let entries = MAX_PIECES as u16 + 1;
    assert!(TABLE + 16 * u64::from(entries) <= LEN);
    for (index, more) in (0..entries).map(|index| (index, if index + 1 < entries { NEXT } else { 0 })) {
        descriptor(&guest, TABLE, index, (BUFFERS, 0, more, index + 1));
    }
    for (len, expected) in [(16 * u32::from(entries), true), (16 * (u32::from(entries) - 1), false)] {
        descriptor(&guest, DESCRIPTORS, 0, (TABLE, len, INDIRECT, 0));
        // The shorter one ends where it ends.
        descriptor(&guest, TABLE, entries - 2, (BUFFERS, 0, if expected { NEXT } else { 0 }, entries - 1));
        let mut ring = Ring::new(&memory, SIZE, PARTS, Shape::default(), 0).unwrap();
        let view = ring.view(&memory).unwrap();
        let chain = view.chain(0, Use::Read, &mut Pieces::new());
        assert_eq!(chain == Err(Broken::EndlessChain), expected, "{chain:?}");
    }
}

/// A generator that needs no memory (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number that is likely to mean something.
    fn telling(&mut self) -> u64 {
        let any = self.next();
        match any % 7 {
            0 => any >> 3,
            1 => LEN - any % 64,
            2 => u64::MAX - any % 64,
            3 => PARTS[(any >> 8) as usize % 3] + (any >> 16) % 0x200,
            4 => any >> 8 & 0x1f,
            5 => (any >> 8 & 7) << 32 | (any >> 16 & 0xfff) | (any >> 32 & 0xf) << 48,
            _ => BUFFERS + (any >> 8) % 0x4000,
        }
    }
}

/// The parts of the ring of queue 0 or 1.
fn parts(queue: u64) -> [u64; 3] {
    PARTS.map(|part| part + 0x400 * (1 - queue))
}

/// Puts sound rings in place, of which all chains were used up to `next`.
fn set_up(guest: &GuestMemoryMmap, next: u16) {
    for queue in [0, 1] {
        let [descriptors, available, used] = parts(queue);
        for index in 0..SIZE {
            let flags = if queue == 0 { WRITE } else { 0 };
            let buffer = BUFFERS + 0x400 * u64::from(index) + 0x4000 * queue;
            descriptor(guest, descriptors, index, (buffer, 0x400, flags, 0));
            guest.write_obj(index, GuestAddress(available + 4 + 2 * u64::from(index))).unwrap();
        }
        for part in [available, used] {
            guest.write_obj(next, GuestAddress(part + 2)).unwrap();
        }
    }
}

/// A step forward on the ring of a queue, as a guest does it; `made` counts the descriptors of a packed one.
fn step(guest: &GuestMemoryMmap, queue: u64, chains: u16, packed: bool, made: &mut u16) {
    let [descriptors, available, _] = parts(queue);
    if !packed {
        let index = GuestAddress(available + 2);
        let ahead = guest.read_obj::<u16>(index).unwrap();
        guest.write_obj(ahead.wrapping_add(chains), index).unwrap();
        return;
    }
    for _ in 0..chains {
        let index = *made % SIZE;
        let flags = owner(*made, SIZE)[0] | if queue == 0 { WRITE } else { 0 };
        let buffer = BUFFERS + 0x400 * u64::from(index) + 0x4000 * queue;
        descriptor(guest, descriptors, index, (buffer, 0x400, index, flags));
        *made = made.wrapping_add(1);
    }
}

/// A million steps, each with something else in the guest's memory: nothing panics, each fault has a reason, and
/// with a new ring it goes on.
#[test]
fn memory_that_says_anything_ends_with_a_reason_and_nothing_else() {
    let (memory, guest) = shared();
    let device = Arc::new(Device::new().unwrap());
    let (mut rx, mut tx) = (VhostRx::new(Arc::clone(&device)), VhostTx::new(Arc::clone(&device)));
    let (mut batch, mut out) = (Batch::new(), Batch::new());
    out.room(LONG_HEADER).unwrap()[..LONG_HEADER + 1514].fill(0);
    out.push(LONG_HEADER + 1514, LONG_HEADER, None);
    let mut random = Random(0x5eed);
    let (mut broken, mut received, mut sent, mut lent, mut of_packed) = (0, 0, 0, 0, 0);
    let (mut packed, mut made) = (false, [0; 2]);
    for nth in 0..1_000_000 {
        if nth % 64 == 0 {
            drop((device.stop(0), device.stop(1)));
        }
        if device.usable() == 0 {
            let features = Features(Features::offered(true).0 & random.next());
            let next = random.next() as u16;
            device.set_agreed(features);
            set_up(&guest, next);
            packed = features.shape().packed;
            made = [next & (SIZE - 1) | if next >> 15 == 0 { SIZE } else { 0 }; 2];
            for queue in [0, 1] {
                let parts = parts(queue as u64);
                let ring = Ring::new(&memory, SIZE, parts, features.shape(), next).unwrap();
                let memory = Arc::clone(&memory);
                device
                    .start(queue, Live { ring, memory, call: None, features, position: None, awaits: false });
            }
        }
        let queue = random.next() >> 5 & 1;
        step(&guest, queue, random.next() as u16 % 3, packed, &mut made[queue as usize]);
        let [descriptors, available, _] = parts(queue);
        // And now and then anything, anywhere.
        let at = match random.next() >> 7 & 15 {
            0 => Some(random.next() % (LEN - 8)),
            1 => Some(descriptors + random.next() % 0x100),
            2 => Some(available + random.next() % 0x28),
            3 => Some(TABLES + random.next() % 0x400),
            _ => None,
        };
        if let Some(at) = at {
            guest.write_obj(random.telling(), GuestAddress(at & !7)).unwrap();
        }
        batch.clear();
        rx.receive(&mut batch, 64);
        received += batch.len();
        of_packed += if packed { batch.len() } else { 0 };
        batch.take_truncated();
        lent += usize::from(batch.any_lent());
        // What came in goes out again, or something that is longer than most buffers.
        let all: Vec<u16> = (0..batch.len() as u16).collect();
        sent += match random.next() >> 9 & 1 {
            0 => tx.send_run(&batch, &all).frames,
            _ => tx.send_run(&out, &[0]).frames,
        };
        tx.flush();
        rx.release();
        if let Some(why) = device.take_broken() {
            assert!(!why.to_string().is_empty() && device.usable() == 0, "{nth}");
            broken += 1;
            drop((device.stop(0), device.stop(1)));
        }
    }
    // It was not all in vain.
    let all = [broken, received, sent, lent, of_packed];
    assert!(all.iter().all(|count| *count > 1000), "{all:?}");
}
