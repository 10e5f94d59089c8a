//! What it costs to hand a frame from one guest's memory to another's: taken from a ring, put into the other, both guests
//! told. As it is done (of a long frame all but the beginning is copied once), and with all of it fetched first, as an
//! egress has it that must change something. Every figure is the time of one frame.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench, not a library")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ports::batch::MAX_BATCH;
use ports::{Batch, RxQueue, TxQueue};
use testbed::Card;
use vhost_user::{Handle, Options, VhostPort, VhostRx, VhostTx};

const LENGTHS: [usize; 5] = [60, 1024, 1514, 9000, 65_000];
/// Bytes of a turn at most, as the worker has them.
const TURN: usize = 130_000;

/// A port, and a card on it.
struct Side {
    rx: VhostRx,
    tx: VhostTx,
    card: Card,
    _handle: Handle,
}

impl Side {
    fn new(directory: &tempfile::TempDir, name: &str) -> Self {
        let socket = directory.path().join(name);
        let options = Options { socket: socket.clone(), listen: true, offload: true, keepsake: None };
        let VhostPort { rx, tx, session, handle } = vhost_user::open(&options, Arc::new(|| {})).unwrap();
        std::thread::spawn(move || session.run());
        handle.allow();
        Self { rx, tx, card: Card::connect(&socket).unwrap(), _handle: handle }
    }
}

fn cross(from: &mut Side, to: &mut Side, batch: &mut Batch, frame: &[u8], fetch: bool) -> Duration {
    let frames = (TURN / frame.len()).clamp(1, MAX_BATCH);
    (0..frames).for_each(|_| from.card.send(frame).unwrap());
    let queue: Vec<u16> = (0..frames as u16).collect();
    let began = Instant::now();
    from.rx.receive(batch, MAX_BATCH);
    if fetch {
        (0..batch.len()).for_each(|index| batch.complete(index));
    }
    let run = to.tx.send_run(batch, &queue);
    to.tx.flush();
    from.rx.release();
    batch.clear();
    let took = began.elapsed();
    assert_eq!((run.frames, to.card.receive().unwrap().len()), (frames, frames));
    took / frames as u32
}

fn shared_memory(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (mut from, mut to) = (Side::new(&directory, "from"), Side::new(&directory, "to"));
    let mut batch = Batch::new();
    let mut group = c.benchmark_group("shared_memory");
    for length in LENGTHS {
        for (name, fetch) in [("as it is", false), ("fetched first", true)] {
            let mut frame = vec![0; length];
            frame[12..14].copy_from_slice(&[8, 0]);
            group.bench_function(BenchmarkId::new(name, length), |bencher| {
                bencher.iter_custom(|times| {
                    (0..times).map(|_| cross(&mut from, &mut to, &mut batch, &frame, fetch)).sum()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, shared_memory);
criterion_main!(benches);
