//! TAPs with several receive queues, as new and as taken over from an earlier process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::os::fd::OwnedFd;

use ports::tap::{self, TapError, TapOptions, TapPort, TapTx};
use rig::flows::{FLOWS, Flows, Stop, send, tagged, turned};
use rig::{PATIENCE, datagram, quiet, read_datagram, receive_from_any};
use testbed::{Capture, FrameSocket, Namespace};

const QUEUES: usize = 3;

fn wanted(offload: bool, queues: usize) -> TapOptions {
    TapOptions { device: "port".into(), offload, persist: false, owner: None, queues }
}

/// A namespace and a port on a TAP there, which is up.
fn host(offload: bool, queues: usize) -> (Namespace, TapPort) {
    let host = quiet("tap");
    let port = host.enter(|| tap::open(&wanted(offload, queues))).unwrap().unwrap();
    host.ip("link set port up").unwrap();
    (host, port)
}

fn descriptors(port: &TapPort) -> Vec<OwnedFd> {
    port.handle.descriptors().map(|fd| fd.try_clone_to_owned().unwrap()).collect()
}

/// What the kernel counts: receive queues, and descriptors that only write.
fn counts(host: &Namespace) -> (usize, usize) {
    let text = host.ip("-d link show dev port").unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let number = |key| {
        let at = words.iter().position(|word| *word == key).unwrap();
        words[at + 1].parse().unwrap()
    };
    (number("numqueues"), number("numdisabled"))
}

fn check(host: &Namespace, port: &mut TapPort) {
    let mut far = FrameSocket::open(host, "port").unwrap();
    let mut clones: Vec<TapTx> = (0..QUEUES).map(|_| port.tx.clone()).collect();
    Flows::default().check(&mut port.rx, &mut clones, &mut far);
}

fn adopt_in(namespace: &Namespace, fds: Vec<OwnedFd>, options: &TapOptions) -> Result<TapPort, TapError> {
    namespace.enter(|| tap::adopt(fds, options)).unwrap()
}

#[test]
fn flows_stay_on_their_queue_and_in_order() {
    for offload in [true, false] {
        let (host, mut port) = host(offload, QUEUES);
        assert_eq!((port.rx.len(), port.handle.descriptors().count()), (QUEUES, QUEUES + 1));
        assert_eq!(counts(&host), (QUEUES, 1));
        check(&host, &mut port);
    }
}

#[test]
fn threads_write_through_clones_while_flows_arrive() {
    let (host, mut port) = host(true, QUEUES);
    let mut far = FrameSocket::open(&host, "port").unwrap();
    let stop = Stop::default();
    std::thread::scope(|scope| {
        for _ in 0..QUEUES {
            let (mut tx, stop) = (port.tx.clone(), &stop);
            scope.spawn(move || {
                while !stop.told() {
                    FLOWS.for_each(|flow| send(&mut tx, &datagram(flow, true, 0, 60)));
                }
            });
        }
        let _end = stop.at_the_end();
        Flows::default().check(&mut port.rx, &mut [port.tx.clone()], &mut far);
    });
}

#[test]
fn what_is_written_comes_out_once() {
    let (host, port) = host(true, QUEUES);
    let mut far = FrameSocket::open(&host, "port").unwrap();
    for flow in FLOWS {
        let bytes = datagram(flow, true, 0, 60);
        send(&mut port.tx.clone(), &bytes);
        assert_eq!(far.receive(PATIENCE).unwrap(), bytes);
    }
}

#[test]
fn tags_are_kept() {
    for offload in [true, false] {
        let (host, mut port) = host(offload, QUEUES);
        let mut far = FrameSocket::open(&host, "port").unwrap();
        FLOWS.for_each(|flow| far.send(&tagged(flow)).unwrap());
        for (_, bytes) in receive_from_any(&mut port.rx, FLOWS.len()) {
            assert_eq!(bytes, tagged(read_datagram(&bytes).unwrap().0));
        }
        let capture = Capture::start(&host, "port", &["-Q", "in"]).unwrap();
        send(&mut port.tx, &tagged(1));
        capture.wait_for(PATIENCE, "the frame with its tag", |got| got == tagged(1)).unwrap();
    }
}

#[test]
fn descriptors_of_before_go_on_in_any_order() {
    for offload in [true, false] {
        let (host, port) = host(offload, QUEUES);
        let fds = turned(descriptors(&port));
        drop(port);
        let mut port = adopt_in(&host, fds, &wanted(offload, QUEUES)).unwrap();
        assert_eq!(counts(&host), (QUEUES, 1));
        check(&host, &mut port);
    }
}

#[test]
fn of_several_queues_one_goes_on() {
    let (host, port) = host(true, QUEUES);
    let fds = turned(descriptors(&port));
    drop(port);
    let mut port = adopt_in(&host, fds, &wanted(true, 1)).unwrap();
    assert_eq!((port.rx.len(), counts(&host)), (1, (1, 0)));
    check(&host, &mut port);
    // And becomes several again.
    let fds = descriptors(&port);
    drop(port);
    let mut port = adopt_in(&host, fds, &wanted(true, QUEUES)).unwrap();
    assert_eq!((port.rx.len(), counts(&host)), (QUEUES, (QUEUES, 1)));
    check(&host, &mut port);
}

#[test]
fn an_interface_with_one_queue_keeps_one() {
    let (host, port) = host(true, 1);
    let fds = descriptors(&port);
    assert_eq!(fds.len(), 1);
    drop(port);
    let mut port = adopt_in(&host, fds, &wanted(true, QUEUES)).unwrap();
    assert_eq!(port.handle.descriptors().count(), 1);
    check(&host, &mut port);
}

#[test]
fn a_lost_writer_is_made_again() {
    let (host, port) = host(true, QUEUES);
    let mut fds = descriptors(&port);
    drop(port);
    drop(fds.pop());
    assert_eq!(counts(&host), (QUEUES, 0));
    let mut port = adopt_in(&host, fds, &wanted(true, QUEUES)).unwrap();
    assert_eq!(counts(&host), (QUEUES, 1));
    check(&host, &mut port);
}

#[test]
fn an_interface_that_has_moved_goes_on_with_what_it_has() {
    let (host, port) = host(true, 2);
    let (other, fds) = (quiet("other"), descriptors(&port));
    drop(port);
    host.ip(&format!("link set port netns {}", other.name())).unwrap();
    other.ip("link set port up").unwrap();
    // What bears its name here now is another one.
    host.ip("link add port type veth peer name cable").unwrap();
    let mut port = adopt_in(&host, fds, &wanted(true, QUEUES)).unwrap();
    assert_eq!((port.rx.len(), port.handle.name_here(), counts(&other)), (2, None, (2, 1)));
    check(&other, &mut port);
}

#[test]
fn descriptors_that_do_not_belong_together_are_refused() {
    let (host, port) = host(true, QUEUES);
    let refusal = |fds, offload| adopt_in(&host, fds, &wanted(offload, QUEUES)).unwrap_err().to_string();
    let second = TapOptions { device: "second".into(), ..wanted(true, 1) };
    let second = host.enter(|| tap::open(&second)).unwrap().unwrap();
    let writer = descriptors(&port).pop().unwrap();
    let both = [&port, &second].into_iter().flat_map(descriptors).collect();
    assert!(refusal(both, true).contains("several interfaces"));
    assert!(refusal(vec![writer], true).contains("none of which receives"));
    assert!(refusal(vec![], true).contains("none of which receives"));
    assert!(refusal(descriptors(&port), false).contains("other offloads"));
}

#[test]
fn a_persistent_interface_with_one_queue_is_used_with_one() {
    for offload in [true, false] {
        let host = quiet("tap");
        host.ip("tuntap add dev port mode tap").unwrap();
        let mut port = host.enter(|| tap::open(&wanted(offload, QUEUES))).unwrap().unwrap();
        host.ip("link set port up").unwrap();
        assert_eq!((port.rx.len(), port.handle.descriptors().count()), (1, 1));
        check(&host, &mut port);
    }
}

#[test]
fn a_persistent_interface_with_several_queues_is_used_with_all_that_are_wanted() {
    for queues in [1, QUEUES] {
        let host = quiet("tap");
        host.ip("tuntap add dev port mode tap multi_queue").unwrap();
        let mut port = host.enter(|| tap::open(&wanted(true, queues))).unwrap().unwrap();
        host.ip("link set port up").unwrap();
        assert_eq!(counts(&host), (queues, usize::from(queues > 1)));
        check(&host, &mut port);
    }
}

#[test]
fn what_is_no_tap_is_refused() {
    let host = quiet("tap");
    host.ip("link add port type veth peer name cable").unwrap();
    let error = host.enter(|| tap::open(&wanted(true, QUEUES))).unwrap().unwrap_err();
    assert!(matches!(error, TapError::NotATap { .. }), "{error}");
}

/// The kernel would let a second one attach to an interface that takes several.
#[test]
fn what_another_holds_is_busy() {
    for held in [1, QUEUES] {
        let (host, _port) = host(true, held);
        for queues in [1, QUEUES] {
            let error = host.enter(|| tap::open(&wanted(true, queues))).unwrap().unwrap_err();
            assert!(matches!(error, TapError::Busy { .. }), "{error}");
        }
    }
}
