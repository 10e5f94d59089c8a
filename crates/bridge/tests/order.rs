//! Replicas do the same in the same order, however their threads take turns: loom takes all of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// The types that the order is made of, each of whose uses is a turn.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

#[path = "../src/order.rs"]
mod order;

use loom::thread;
use order::Reader;

/// What a replica has done, in its order.
struct Replica {
    reader: Reader<u32>,
    done: Vec<u32>,
    refused: Vec<u32>,
}

impl Replica {
    fn add(&mut self, deed: u32) {
        if self.reader.add(deed, &mut self.done) {
            self.done.push(deed);
        } else {
            self.refused.push(deed);
        }
    }

    fn catch_up(&mut self) {
        if self.reader.is_behind() {
            self.reader.catch_up(&mut self.done);
        }
    }
}

fn replicas(count: usize, room: usize) -> Vec<Replica> {
    let readers = Reader::all(count, room).into_iter();
    readers.map(|reader| Replica { reader, done: Vec::new(), refused: Vec::new() }).collect()
}

/// Lets each replica do its part in a thread of its own, and gives them back when all have caught up.
fn run(replicas: Vec<Replica>, part: impl Fn(u32, &mut Replica) + Copy + Send + 'static) -> Vec<Replica> {
    let threads = (0..).zip(replicas).map(|(number, mut replica)| {
        thread::spawn(move || {
            part(number, &mut replica);
            replica
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut replicas: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    replicas.iter_mut().for_each(Replica::catch_up);
    replicas
}

#[test]
fn all_do_the_same_in_the_same_order() {
    loom::model(|| {
        let replicas = run(replicas(2, 8), |number, replica| {
            replica.add(10 * number);
            replica.catch_up();
            replica.add(10 * number + 1);
        });
        let first = &replicas[0].done;
        assert!(replicas.iter().all(|replica| replica.done == *first && replica.refused.is_empty()));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 10, 11], "each once");
        let own = |number| first.iter().filter(move |deed| **deed / 10 == number).collect::<Vec<_>>();
        assert!(own(0).is_sorted() && own(1).is_sorted(), "what one adds keeps its order");
    });
}

#[test]
fn a_third_one_that_only_looks_agrees() {
    loom::model(|| {
        let replicas = run(replicas(3, 8), |number, replica| match number {
            0 => replica.catch_up(),
            _ => replica.add(number),
        });
        assert!(replicas.iter().all(|replica| replica.done == replicas[0].done && replica.done.len() == 2));
    });
}

#[test]
fn nobody_waits_for_room_and_what_is_refused_is_done_by_nobody() {
    loom::model(|| {
        let replicas = run(replicas(2, 2), |number, replica| {
            replica.add(10 * number);
            replica.add(10 * number + 1);
        });
        let first = &replicas[0].done;
        assert!(replicas.iter().all(|replica| replica.done == *first));
        let refused = replicas.iter().flat_map(|replica| &replica.refused);
        assert!(refused.clone().all(|deed| !first.contains(deed)));
        assert_eq!(refused.count() + first.len(), 4);
    });
}

/// This is about one thread.
#[test]
fn who_fills_half_of_the_room_is_told_that_others_are_behind() {
    loom::model(|| {
        let mut replicas = replicas(2, 4);
        let (busy, idle) = replicas.split_at_mut(1);
        let far_behind = [1, 2, 3, 4, 5].map(|deed| {
            busy[0].add(deed);
            busy[0].reader.others_are_far_behind()
        });
        assert_eq!(far_behind, [false, false, true, true, true]);
        assert_eq!(busy[0].refused, [5]);
        idle[0].catch_up();
        busy[0].add(5);
        assert!(!busy[0].reader.others_are_far_behind());
        idle[0].catch_up();
        assert_eq!(idle[0].done, [1, 2, 3, 4, 5]);
    });
}
