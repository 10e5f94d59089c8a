//! A namespace for the switch, hosts on veths, and small steps that the tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::{Duration, Instant};

use frame::Frame;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use ports::raw::{self, RawOptions, RawPort};
use ports::{Batch, Drained, RxQueue};
use testbed::{End, Namespace, veth};

/// Local experimental EtherType (IEEE 802): nobody else sends it.
pub(crate) const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A namespace where IPv6 says nothing of its own.
pub(crate) fn quiet(label: &str) -> Namespace {
    let namespace = Namespace::new(label).unwrap();
    namespace
        .run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        .unwrap();
    namespace
}

/// A switch and a host: `port` there is the other end of `eth0` here.
pub(crate) fn pair(mtu: u32) -> (Namespace, Namespace) {
    let (switch, host) = (quiet("switch"), quiet("host"));
    veth(End::new(&switch, "port").mtu(mtu), End::new(&host, "eth0").mtu(mtu)).unwrap();
    (switch, host)
}

pub(crate) fn options(device: &str) -> RawOptions {
    RawOptions { device: device.into(), offload: true, qdisc_bypass: false, mark: None, short_header: false }
}

pub(crate) fn open(namespace: &Namespace, options: &RawOptions) -> RawPort {
    namespace.enter(|| raw::open(options)).unwrap().unwrap()
}

/// A frame of the experimental type with `len` bytes behind the two addresses and `tags`.
pub(crate) fn frame(tags: &[[u8; 4]], len: usize) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(tags.concat());
    bytes.extend(EXPERIMENT);
    bytes.extend((2..len).map(|at| at as u8));
    bytes
}

/// Whether a descriptor becomes readable, or says that something is wrong with it.
pub(crate) fn wait(fd: i32, timeout: Duration) -> bool {
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, Some(timeout)).unwrap();
    !events.is_empty()
}

/// Receives until `wanted` frames came or the patience ends; each as it goes on.
pub(crate) fn receive(rx: &mut dyn RxQueue, wanted: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    receive_each(rx, wanted, |frame| frames.push(frame.to_vec()));
    frames
}

/// The same with the frames themselves.
pub(crate) fn receive_each(rx: &mut dyn RxQueue, wanted: usize, mut each: impl FnMut(&Frame<'_>)) {
    let deadline = Instant::now() + PATIENCE;
    let mut batch = Batch::new();
    let mut count = 0;
    while count < wanted && Instant::now() < deadline {
        batch.clear();
        let drained = rx.receive(&mut batch, wanted - count);
        for index in 0..batch.len() {
            each(&batch.frame(index).unwrap());
        }
        count += batch.len();
        assert!(matches!(drained, Drained::Empty | Drained::More), "{drained:?}");
        if drained == Drained::Empty && count < wanted {
            wait(rx.fd(), deadline - Instant::now());
        }
    }
    assert_eq!(count, wanted, "frames received");
}

/// What is there now, without waiting.
pub(crate) fn drain(rx: &mut dyn RxQueue) -> (Vec<Vec<u8>>, Drained) {
    let mut frames = Vec::new();
    let mut batch = Batch::new();
    loop {
        batch.clear();
        let drained = rx.receive(&mut batch, 64);
        frames.extend((0..batch.len()).map(|index| batch.frame(index).unwrap().to_vec()));
        if drained != Drained::More {
            return (frames, drained);
        }
    }
}
