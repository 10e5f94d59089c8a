//! What every kind of port does alike, run over each of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::cell::RefCell;

use frame::{Capabilities, Frame, Offload, Tag};
use ports::memory;
use ports::raw::RawOptions;
use ports::tap::{self, TapOptions};
use ports::{Batch, Drained, Run, RxQueue, SendError, TxQueue};
use rig::{PATIENCE, datagram, drain, frame, open, options, pair, receive, receive_from_any, wait};
use testbed::{FrameSocket, Namespace};

/// Queues of a port that has several.
const QUEUES: usize = 3;

type Make = Box<dyn Fn(usize) -> Vec<u8>>;
type Arrive<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// A port, and what can be done to it from outside.
struct Subject<'a> {
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    /// A frame that comes in on this queue, with so many bytes behind the two addresses.
    frame: Make,
    /// Lets a frame arrive.
    arrive: Arrive<'a>,
    /// The next frame that came out.
    sent: Box<dyn FnMut() -> Vec<u8> + 'a>,
    down: Box<dyn FnMut() + 'a>,
    /// Whether the receive half hears of it; a TAP that is down only has nothing to read.
    hears_down: bool,
    delete: Box<dyn FnMut() + 'a>,
}

fn send(tx: &mut dyn TxQueue, bytes: &[u8]) -> Result<(), SendError> {
    tx.send(&Frame::parse(bytes, 0, None, Offload::default()).unwrap())
}

fn keeps_the_contract(mut port: Subject<'_>) {
    frames_pass_unchanged(&mut port);
    a_run_ends_where_a_frame_must_be_looked_at(&mut port);
    a_budget_is_kept(&mut port);
    arrival_wakes_each_time(&mut port);
    ends_are_told(&mut port);
}

fn frames_pass_unchanged(port: &mut Subject<'_>) {
    for len in [46, 100, 1000, 1502] {
        let bytes = (port.frame)(len);
        (port.arrive)(&bytes);
        assert_eq!(receive(&mut *port.rx, 1), std::slice::from_ref(&bytes));
        assert_eq!(send(&mut *port.tx, &bytes), Ok(()));
        assert_eq!((port.sent)(), bytes);
    }
    assert_eq!(drain(&mut *port.rx), (vec![], Drained::Empty));
}

/// A batch goes out by runs of frames that are as they came; what is between two of them goes alone.
fn a_run_ends_where_a_frame_must_be_looked_at(port: &mut Subject<'_>) {
    let all: Vec<_> = (0..4).map(|at| (port.frame)(46 + at)).collect();
    let mut batch = Batch::new();
    for (at, bytes) in all.iter().enumerate() {
        if at == 2 {
            // The kernel took a tag out of this one, so it is not to be sent as it stands.
            batch.room(0).unwrap()[..bytes.len()].copy_from_slice(bytes);
            batch.push(bytes.len(), 0, Tag::from_bytes([0x81, 0x00, 0, 7]));
            continue;
        }
        (port.arrive)(bytes);
        let enough = at + 1;
        testbed::wait_until(PATIENCE, "the frame", || {
            port.rx.receive(&mut batch, 1);
            batch.len() == enough
        })
        .unwrap();
    }
    let run = port.tx.send_run(&batch, &[1, 0, 2, 3]);
    let bytes = all[0].len() + all[1].len();
    assert_eq!(run, Run { frames: 2, bytes, refused: None });
    assert_eq!([(port.sent)(), (port.sent)()], [all[1].clone(), all[0].clone()]);
    assert_eq!(port.tx.send_run(&batch, &[2, 3]), Run::default());
    assert_eq!(port.tx.send_run(&batch, &[3]), Run { frames: 1, bytes: all[3].len(), refused: None });
    assert_eq!((port.sent)(), all[3]);
}

/// A queue with more than its budget says so, for no further event will.
fn a_budget_is_kept(port: &mut Subject<'_>) {
    let all: Vec<_> = (0..150).map(|at| (port.frame)(46 + at)).collect();
    for bytes in &all {
        (port.arrive)(bytes);
    }
    let mut batch = Batch::new();
    assert_eq!(port.rx.receive(&mut batch, 3), Drained::More);
    assert_eq!(batch.len(), 3);
    // A batch that is full ends the turn whatever the budget.
    assert_eq!(port.rx.receive(&mut batch, 1000), Drained::More);
    assert_eq!(batch.len(), ports::batch::MAX_BATCH);
    let mut got: Vec<_> = (0..batch.len()).map(|index| batch.frame(index).unwrap().to_vec()).collect();
    got.extend(receive(&mut *port.rx, all.len() - got.len()));
    assert_eq!(got, all);
    assert_eq!(drain(&mut *port.rx), (vec![], Drained::Empty));
}

fn arrival_wakes_each_time(port: &mut Subject<'_>) {
    for _ in 0..3 {
        (port.arrive)(&(port.frame)(46));
        assert!(wait(port.rx.fd(), PATIENCE));
        assert_eq!(drain(&mut *port.rx), (vec![(port.frame)(46)], Drained::Empty));
    }
}

fn ends_are_told(port: &mut Subject<'_>) {
    (port.down)();
    if port.hears_down {
        assert!(wait(port.rx.fd(), PATIENCE));
        assert_eq!(drain(&mut *port.rx), (vec![], Drained::Down));
    }
    assert_eq!(send(&mut *port.tx, &(port.frame)(46)), Err(SendError::Down));
    (port.delete)();
    assert_eq!(drain(&mut *port.rx), (vec![], Drained::Gone));
    assert_eq!(send(&mut *port.tx, &(port.frame)(46)), Err(SendError::Gone));
}

/// A frame of no flow, for a port with one queue.
fn any(len: usize) -> Vec<u8> {
    frame(&[], len)
}

/// A flow that comes in on queue `at` of several.
fn flow_of<Q: RxQueue>(queues: &mut [Q], at: usize, arrive: impl Fn(&[u8])) -> u16 {
    let mut came_in = |flow: &u16| {
        arrive(&datagram(*flow, false, 0, 46));
        receive_from_any(queues, 1)[0].0 == at
    };
    (1..1000).find(&mut came_in).unwrap()
}

/// What makes the frames for a port with one queue, or for queue `at` of several.
fn frames<Q: RxQueue>(queues: &mut [Q], at: Option<usize>, arrive: impl Fn(&[u8])) -> Make {
    let Some(at) = at else { return Box::new(any) };
    let flow = flow_of(queues, at, arrive);
    Box::new(move |len| datagram(flow, false, 0, len))
}

fn raw(at: Option<usize>) {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &RawOptions { queues: at.map_or(1, |_| QUEUES), ..options("port") });
    // One socket for both ways: it does not see what it sends itself.
    let socket = RefCell::new(FrameSocket::open(&host, "eth0").unwrap());
    let arrive = |bytes: &[u8]| socket.borrow_mut().send(bytes).unwrap();
    let frame = frames(&mut port.rx, at, arrive);
    // The others stay open, and go on having their part of the flows.
    let rx = port.rx.swap_remove(at.unwrap_or(0));
    keeps_the_contract(Subject {
        rx: Box::new(rx),
        tx: Box::new(port.tx.swap_remove(at.unwrap_or(0))),
        frame,
        arrive: Box::new(arrive),
        sent: Box::new(|| socket.borrow_mut().receive(PATIENCE).unwrap()),
        down: Box::new(|| drop(switch.ip("link set port down").unwrap())),
        hears_down: true,
        delete: Box::new(|| drop(switch.ip("link del port").unwrap())),
    });
}

#[test]
fn raw_with_one_queue() {
    raw(None);
}

#[test]
fn raw_with_several_queues() {
    (0..QUEUES).for_each(|at| raw(Some(at)));
}

fn tap(offload: bool, at: Option<usize>) {
    let host = Namespace::new("tap").unwrap();
    let queues = at.map_or(1, |_| QUEUES);
    let options = TapOptions { device: "port".into(), offload, persist: false, owner: None, queues };
    let mut port = host.enter(|| tap::open(&options)).unwrap().unwrap();
    host.run("sysctl -qw net.ipv6.conf.port.disable_ipv6=1").unwrap();
    host.ip("link set port up").unwrap();
    let socket = RefCell::new(FrameSocket::open(&host, "port").unwrap());
    let arrive = |bytes: &[u8]| socket.borrow_mut().send(bytes).unwrap();
    let frame = frames(&mut port.rx, at, arrive);
    // The others stay open, and go on having their part of the flows.
    let rx = port.rx.swap_remove(at.unwrap_or(0));
    keeps_the_contract(Subject {
        rx: Box::new(rx),
        tx: Box::new(port.tx),
        frame,
        arrive: Box::new(arrive),
        sent: Box::new(|| socket.borrow_mut().receive(PATIENCE).unwrap()),
        down: Box::new(|| drop(host.ip("link set port down").unwrap())),
        hears_down: false,
        delete: Box::new(|| drop(host.ip("link del port").unwrap())),
    });
    assert!(port.handle.is_gone());
}

#[test]
fn tap_with_offload_header() {
    tap(true, None);
}

#[test]
fn plain_tap() {
    tap(false, None);
}

#[test]
fn tap_with_several_queues() {
    (0..QUEUES).for_each(|at| tap(true, Some(at)));
}

#[test]
fn plain_tap_with_several_queues() {
    (0..QUEUES).for_each(|at| tap(false, Some(at)));
}

#[test]
fn memory() {
    let (rx, tx, script) = memory::open(Capabilities::default()).unwrap();
    let mut sent = std::collections::VecDeque::new();
    keeps_the_contract(Subject {
        rx: Box::new(rx),
        tx: Box::new(tx),
        frame: Box::new(any),
        arrive: Box::new(|bytes| script.arrive(bytes)),
        sent: Box::new(|| {
            sent.extend(script.take_sent());
            sent.pop_front().unwrap().bytes
        }),
        down: Box::new(|| {
            script.refuse(Some(SendError::Down));
            script.end(Drained::Down);
        }),
        hears_down: true,
        delete: Box::new(|| {
            script.refuse(Some(SendError::Gone));
            script.end(Drained::Gone);
        }),
    });
}
