//! A namespace for the switch, hosts on veths, and small steps that the tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod flows;

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
    RawOptions {
        device: device.into(),
        offload: true,
        qdisc_bypass: false,
        mark: None,
        short_header: false,
        queues: 1,
    }
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

/// A datagram of IPv4 with `len` bytes behind the two addresses, of the flow that `port` names or of its other direction;
/// `number` is in it. Without a checksum, which UDP need not have.
pub(crate) fn datagram(port: u16, back: bool, number: u32, len: usize) -> Vec<u8> {
    let mut ends = [([198, 18, 0, 1], port), ([198, 18, 0, 2], 7)];
    let mut macs = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    if back {
        ends.reverse();
        macs.reverse();
    }
    let [(from, from_port), (to, to_port)] = ends;
    let be = |value: usize| u16::try_from(value).unwrap().to_be_bytes();
    let mut ip = [&[0x45, 0][..], &be(len - 2), &[0, 0, 0x40, 0, 64, 17, 0, 0], &from, &to].concat();
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = [&macs[1][..], &macs[0], &[0x08, 0x00], &ip].concat();
    bytes.extend([from_port.to_be_bytes(), to_port.to_be_bytes(), be(len - 22), [0, 0]].concat());
    bytes.extend(number.to_be_bytes());
    bytes.resize(12 + len, 0xab);
    bytes
}

/// What [`datagram`] was given: the flow's port, whether it is of the other direction, the number. `None` for any other
/// frame.
pub(crate) fn read_datagram(bytes: &[u8]) -> Option<(u16, bool, u32)> {
    let bytes = if bytes.get(12..14)? == [0x81, 0x00] { bytes.get(16..)? } else { bytes.get(12..)? };
    let back = match bytes.get(14..22)? {
        [198, 18, 0, 1, 198, 18, 0, 2] => false,
        [198, 18, 0, 2, 198, 18, 0, 1] => true,
        _ => return None,
    };
    let port = bytes.get(if back { 24..26 } else { 22..24 })?;
    let number = bytes.get(30..34)?;
    Some((u16::from_be_bytes(port.try_into().unwrap()), back, u32::from_be_bytes(number.try_into().unwrap())))
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

/// Receives from whichever queue has something until `wanted` frames came; each with the number of its queue.
pub(crate) fn receive_from_any<Q: RxQueue>(queues: &mut [Q], wanted: usize) -> Vec<(usize, Vec<u8>)> {
    let mut poll = Poll::new().unwrap();
    for (at, queue) in queues.iter().enumerate() {
        poll.registry().register(&mut SourceFd(&queue.fd()), Token(at), Interest::READABLE).unwrap();
    }
    let (mut events, mut got) = (Events::with_capacity(queues.len()), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while got.len() < wanted {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{} of {wanted} frames came", got.len());
        poll.poll(&mut events, Some(left)).unwrap();
        for event in &events {
            let Token(at) = event.token();
            let (frames, drained) = drain(&mut queues[at]);
            assert_eq!(drained, Drained::Empty);
            got.extend(frames.into_iter().map(|frame| (at, frame)));
        }
    }
    got
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
