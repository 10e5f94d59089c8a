//! Raw ports with several receive queues, as new and as taken over from an earlier process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use frame::Tag;
use ports::raw::{self, OpenError, RawOptions, RawPort};
use ports::{Drained, RxQueue};
use rig::flows::{FLOWS, Flows, Stop, TAG, send, tagged, turned};
use rig::{PATIENCE, datagram, drain, open, options, pair, read_datagram, receive_each, receive_from_any};
use testbed::{End, FrameSocket, Namespace, veth};

const QUEUES: usize = 3;

fn wanted(queues: usize) -> RawOptions {
    RawOptions { queues, ..options("port") }
}

fn sockets(port: &RawPort) -> Vec<OwnedFd> {
    port.rx.iter().map(|rx| rx.as_fd().try_clone_to_owned().unwrap()).collect()
}

fn adopt(namespace: &Namespace, fds: Vec<OwnedFd>, queues: usize) -> Result<RawPort, OpenError> {
    namespace.enter(|| raw::adopt(fds, 7, &wanted(queues))).unwrap()
}

fn check(host: &Namespace, port: &mut RawPort) {
    let mut far = FrameSocket::open(host, "eth0").unwrap();
    Flows::default().check(&mut port.rx, &mut port.tx, &mut far);
}

#[test]
fn flows_stay_on_their_queue_and_in_order() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &wanted(QUEUES));
    assert_eq!((port.rx.len(), port.tx.len()), (QUEUES, QUEUES));
    check(&host, &mut port);
}

/// Before Linux 6.13 such an interface has no group.
#[test]
fn an_interface_that_is_down_can_be_opened() {
    let (switch, host) = pair(1500);
    switch.ip("link set port down").unwrap();
    let opened = switch.enter(|| raw::open(&wanted(QUEUES))).unwrap();
    switch.ip("link set port up").unwrap();
    let mut port = match opened {
        Ok(port) => port,
        Err(error) => return assert!(error.to_string().contains("before Linux 6.13"), "{error}"),
    };
    check_once_up(&host, &mut port);
    switch.ip("link set port down").unwrap();
    switch.ip("link set port up").unwrap();
    check_once_up(&host, &mut port);
}

/// The first that each queue says is that the interface was down.
fn check_once_up(host: &Namespace, port: &mut RawPort) {
    port.rx.iter_mut().for_each(|rx| assert_eq!(drain(rx), (vec![], Drained::Down)));
    check(host, port);
}

#[test]
fn two_ports_do_not_share_frames() {
    let (switch, host) = pair(1500);
    veth(End::new(&switch, "second"), End::new(&host, "eth1")).unwrap();
    let mut port = open(&switch, &wanted(QUEUES));
    let mut second = open(&switch, &RawOptions { device: "second".into(), ..wanted(QUEUES) });
    check(&host, &mut port);
    second.rx.iter_mut().for_each(|rx| assert!(drain(rx).0.is_empty()));
}

#[test]
fn what_leaves_by_the_interface_is_not_received() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &wanted(QUEUES));
    let mut far = FrameSocket::open(&host, "eth0").unwrap();
    let mut of_the_host = FrameSocket::open(&switch, "port").unwrap();
    for flow in FLOWS {
        let ours = datagram(flow, true, 1, 60);
        for tx in &mut port.tx {
            send(tx, &ours);
            assert_eq!(far.receive(PATIENCE).unwrap(), ours);
        }
        let theirs = datagram(flow, true, 2, 60);
        of_the_host.send(&theirs).unwrap();
        assert_eq!(far.receive(PATIENCE).unwrap(), theirs);
    }
    // All have left, and none is here; the next that comes in is.
    far.send(&datagram(1, false, 3, 60)).unwrap();
    assert_eq!(receive_from_any(&mut port.rx, 1)[0].1, datagram(1, false, 3, 60));
    port.rx.iter_mut().for_each(|rx| assert!(drain(rx).0.is_empty()));
}

#[test]
fn tags_that_the_kernel_took_out_are_restored() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &wanted(QUEUES));
    let mut far = FrameSocket::open(&host, "eth0").unwrap();
    for flow in FLOWS {
        far.send(&datagram(flow, false, 0, 60)).unwrap();
        let at = receive_from_any(&mut port.rx, 1)[0].0;
        // A flow has the same queue with a tag.
        far.send(&tagged(flow)).unwrap();
        receive_each(&mut port.rx[at], 1, |frame| {
            assert_eq!((frame.tag(), frame.to_vec()), (Tag::from_bytes(TAG), tagged(flow)));
        });
    }
}

#[test]
fn sockets_of_before_go_on_in_any_order() {
    let (switch, host) = pair(1500);
    let port = open(&switch, &wanted(QUEUES));
    let fds = turned(sockets(&port));
    drop(port);
    let mut port = adopt(&switch, fds, QUEUES).unwrap();
    check(&host, &mut port);
    let drops: Vec<_> = port.rx.iter_mut().map(RxQueue::kernel_drops).collect();
    assert_eq!(drops, [7, 0, 0]);
}

#[test]
fn of_several_queues_one_goes_on() {
    let (switch, host) = pair(1500);
    let port = open(&switch, &wanted(QUEUES));
    let fds = turned(sockets(&port));
    drop(port);
    let mut port = adopt(&switch, fds, 1).unwrap();
    assert_eq!((port.rx.len(), port.tx.len()), (1, 1));
    check(&host, &mut port);
    let fds = sockets(&port);
    drop(port);
    let mut port = adopt(&switch, fds, QUEUES).unwrap();
    check(&host, &mut port);
}

#[test]
fn one_queue_becomes_several() {
    let (switch, host) = pair(1500);
    let port = open(&switch, &wanted(1));
    let fds = sockets(&port);
    drop(port);
    let mut port = adopt(&switch, fds, QUEUES).unwrap();
    assert_eq!((port.rx.len(), port.tx.len()), (QUEUES, QUEUES));
    check(&host, &mut port);
}

#[test]
fn sockets_that_do_not_share_frames_are_not_used_together() {
    let (switch, host) = pair(1500);
    let ports = [open(&switch, &wanted(2)), open(&switch, &wanted(1)), open(&switch, &wanted(2))];
    let fds = ports.iter().flat_map(sockets).collect();
    drop(ports);
    let mut port = adopt(&switch, fds, QUEUES).unwrap();
    check(&host, &mut port);
}

#[test]
fn sockets_of_another_interface_are_refused() {
    let (switch, host) = pair(1500);
    veth(End::new(&switch, "second"), End::new(&host, "eth1")).unwrap();
    let second = open(&switch, &RawOptions { device: "second".into(), ..wanted(1) });
    let fds = || [sockets(&open(&switch, &wanted(QUEUES))), sockets(&second)].into_iter().flatten().collect();
    let text = adopt(&switch, fds(), QUEUES).unwrap_err().to_string();
    assert!(text.contains("port: using the socket from before, which is on another interface"), "{text}");
    let text = adopt(&switch, vec![], QUEUES).unwrap_err().to_string();
    assert!(text.contains("of which there is none"), "{text}");
}

/// Also while it is opened and while it gets more queues.
#[test]
fn no_frame_comes_in_twice() {
    let (switch, host) = pair(1500);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut far = FrameSocket::open(&host, "eth0").unwrap();
            (0..).take_while(|_| !stop.told()).for_each(|number| {
                FLOWS.for_each(|flow| far.send(&datagram(flow, false, number, 60)).unwrap());
            });
        });
        let _end = stop.at_the_end();
        let mut seen = BTreeMap::new();
        for _ in 0..5 {
            for first in [1, 2] {
                let mut port = open(&switch, &wanted(first));
                count(&mut port, &mut seen);
                let fds = sockets(&port);
                drop(port);
                let mut port = adopt(&switch, fds, QUEUES).unwrap();
                count(&mut port, &mut seen);
                port.rx.iter_mut().for_each(|rx| drain(rx).0.iter().for_each(|bytes| note(bytes, &mut seen)));
                drop(port);
            }
        }
        assert!(seen.values().all(|count| *count == 1));
    });
}

fn count(port: &mut RawPort, seen: &mut BTreeMap<(u16, u32), u32>) {
    receive_from_any(&mut port.rx, 10).iter().for_each(|(_, bytes)| note(bytes, seen));
}

fn note(bytes: &[u8], seen: &mut BTreeMap<(u16, u32), u32>) {
    let (flow, back, number) = read_datagram(bytes).unwrap();
    assert!(!back);
    *seen.entry((flow, number)).or_default() += 1;
}
