//! Many flows at once over several queues: each stays on its own, in order, every frame once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use frame::{Frame, Offload};
use ports::{Drained, RxQueue, TxQueue};
use testbed::FrameSocket;

use super::{datagram, drain, read_datagram, receive_from_any};

/// So many that none of three queues is without one.
pub(crate) const FLOWS: Range<u16> = 1..65;
/// Frames of each flow in a turn.
const BURST: u32 = 3;
const TURNS: u32 = 10;
const LEN: usize = 60;
/// Priority 5, VLAN 100.
pub(crate) const TAG: [u8; 4] = [0x81, 0x00, 0xa0, 0x64];

/// A frame of a flow with a tag.
pub(crate) fn tagged(flow: u16) -> Vec<u8> {
    let mut bytes = datagram(flow, false, 0, LEN);
    bytes.splice(12..12, TAG);
    bytes
}

/// Hands a frame over, as it stands.
pub(crate) fn send(tx: &mut impl TxQueue, bytes: &[u8]) {
    tx.send(&Frame::parse(bytes, 0, None, Offload::default()).unwrap()).unwrap();
}

/// In another order than they were opened in.
pub(crate) fn turned(mut fds: Vec<OwnedFd>) -> Vec<OwnedFd> {
    fds.reverse();
    fds.rotate_left(1);
    fds
}

/// Tells other threads to end, also when the test fails.
#[derive(Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    /// Whether it was told.
    pub(crate) fn told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Tells when the result is dropped.
    pub(crate) fn at_the_end(&self) -> impl Drop {
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        End(&self.0)
    }
}

/// Which queue each flow was seen on, and the number that comes next in it.
#[derive(Default)]
pub(crate) struct Flows {
    queue: BTreeMap<u16, usize>,
    next: u32,
}

impl Flows {
    /// Lets all flows arrive by turns, and after each frames of their other direction go out by all of `txs`, which do
    /// not come in.
    pub(crate) fn check<Q: RxQueue, T: TxQueue>(
        &mut self,
        queues: &mut [Q],
        txs: &mut [T],
        far: &mut FrameSocket,
    ) {
        for _ in 0..TURNS {
            self.arrive(far);
            let got = receive_from_any(queues, FLOWS.len() * BURST as usize);
            self.look(got);
            answer(txs, self.next);
        }
        for queue in queues.iter_mut() {
            assert_eq!(drain(queue), (vec![], Drained::Empty), "nothing more than once");
        }
        let used: BTreeSet<_> = self.queue.values().collect();
        assert_eq!(used.len(), queues.len(), "queues with flows");
    }

    fn arrive(&self, far: &mut FrameSocket) {
        for number in self.next..self.next + BURST {
            FLOWS.for_each(|flow| far.send(&datagram(flow, false, number, LEN)).unwrap());
        }
    }

    fn look(&mut self, got: Vec<(usize, Vec<u8>)>) {
        let mut next: BTreeMap<u16, u32> = FLOWS.map(|flow| (flow, self.next)).collect();
        for (at, bytes) in got {
            let (flow, back, number) = read_datagram(&bytes).unwrap();
            assert_eq!(bytes, datagram(flow, false, number, LEN), "of the other direction: {back}");
            assert_eq!(*self.queue.entry(flow).or_insert(at), at, "the queue of flow {flow}");
            let wanted = next.get_mut(&flow).unwrap();
            assert_eq!(number, *wanted, "of flow {flow}");
            *wanted += 1;
        }
        self.next += BURST;
    }
}

/// Sends a frame of the other direction of each flow through each.
fn answer<T: TxQueue>(txs: &mut [T], number: u32) {
    for tx in txs {
        for flow in FLOWS {
            send(tx, &datagram(flow, true, number, LEN));
        }
    }
}
