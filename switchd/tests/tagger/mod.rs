//! A host all of whose traffic is tagged: what VLAN devices do, which not every kernel has. The host's
//! addresses are on a TAP with offloads, and a thread carries its frames to and from `eth0`, pushing and
//! popping the tags. So the host's 64 KiB segments stay whole and get their tags in line.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::os::fd::RawFd;
use std::thread::JoinHandle;

use frame::{EtherType, Frame, Tag};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use ports::batch::MAX_BATCH;
use ports::raw::{RawOptions, RawPort};
use ports::tap::{TapOptions, TapPort};
use ports::{Batch, Drained, RxQueue, TxQueue};
use testbed::Namespace;
use testbed::link::add_address;

/// The device with the host's addresses.
const DEVICE: &str = "vlan0";

/// Priority 5 and "drop eligible", so that it shows if anything but the VID is lost.
const PRIORITY: u16 = 5 << 13 | 1 << 12;

/// Tags by their usual name, outermost first.
pub(crate) fn stacks() -> [(&'static str, Vec<Tag>); 3] {
    let customer = Tag { tpid: EtherType::VLAN, tci: PRIORITY | 42 };
    let service = Tag { tpid: EtherType::SERVICE_VLAN, tci: PRIORITY | 77 };
    [("802.1Q", vec![customer]), ("802.1ad", vec![service]), ("QinQ", vec![service, customer])]
}

/// The thread; dropping it ends it. The devices go with their namespace.
pub(crate) struct Tagger {
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Tagger {
    /// Gives `host` a device with `addresses` behind which frames carry `tags` (one or two), outermost first.
    pub(crate) fn start(host: &Namespace, tags: &[Tag], addresses: &[String]) -> Self {
        Self::start_with(host, tags, tags, addresses)
    }

    /// The same where what comes in carries other tags than what goes out.
    pub(crate) fn start_with(host: &Namespace, out: &[Tag], into: &[Tag], addresses: &[String]) -> Self {
        let tap =
            TapOptions { device: DEVICE.to_owned(), offload: true, persist: false, owner: None, queues: 1 };
        let raw = RawOptions {
            queues: 1,
            device: "eth0".to_owned(),
            offload: true,
            qdisc_bypass: false,
            mark: None,
            short_header: false,
        };
        let tap = host.enter(|| ports::tap::open(&tap)).unwrap().unwrap();
        let raw = host.enter(|| ports::raw::open(&raw)).unwrap().unwrap();
        // Hosts that are silent on eth0 have IPv6 off.
        host.run(&format!("sysctl -q -w net.ipv6.conf.{DEVICE}.disable_ipv6=0")).unwrap();
        for address in addresses {
            add_address(host, DEVICE, address).unwrap();
        }
        host.ip(&format!("link set {DEVICE} up")).unwrap();
        let poll = Poll::new().unwrap();
        let stop = Waker::new(poll.registry(), Token(2)).unwrap();
        let (out, into) = (out.to_vec(), into.to_vec());
        let thread = std::thread::spawn(move || carry(poll, tap, raw, &out, &into));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Tagger {
    fn drop(&mut self) {
        self.stop.wake().unwrap();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn carry(mut poll: Poll, mut tap: TapPort, mut raw: RawPort, out: &[Tag], into: &[Tag]) {
    let watch = |fd: RawFd, token| {
        poll.registry().register(&mut SourceFd(&fd), Token(token), Interest::READABLE).unwrap();
    };
    watch(tap.rx[0].fd(), 0);
    watch(raw.rx[0].fd(), 1);
    let mut events = Events::with_capacity(4);
    let mut batch = Batch::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.unwrap(),
        }
        for event in events.iter() {
            match event.token() {
                Token(0) => drain(&mut tap.rx[0], &mut batch, |frame| push(frame, out, &mut raw.tx[0])),
                Token(1) => drain(&mut raw.rx[0], &mut batch, |frame| pop(frame, into, &mut tap.tx)),
                _ => return,
            }
        }
    }
}

fn drain(rx: &mut impl RxQueue, batch: &mut Batch, mut each: impl FnMut(Frame<'_>)) {
    loop {
        batch.clear();
        let drained = rx.receive(batch, MAX_BATCH);
        for index in 0..batch.len() {
            each(batch.frame(index).unwrap());
        }
        if drained != Drained::More {
            return;
        }
    }
}

/// A frame that the other side refuses is lost, as on any wire.
fn push(mut frame: Frame<'_>, tags: &[Tag], tx: &mut impl TxQueue) {
    let inner = tags.last().copied();
    frame.set_tag(inner);
    if let [outer, _] = *tags {
        let (bytes, offload) = (frame.to_vec(), frame.pieces().offload);
        let _ = tx.send(&Frame::parse(&bytes, 0, Some(outer), offload).unwrap());
    } else {
        let _ = tx.send(&frame);
    }
}

/// Frames without these very tags are not for this host.
fn pop(mut frame: Frame<'_>, tags: &[Tag], tx: &mut impl TxQueue) {
    if frame.tag() != tags.first().copied() {
        return;
    }
    frame.set_tag(None);
    let rest = tags.get(1..).unwrap_or_default();
    if rest.is_empty() {
        let _ = tx.send(&frame);
    } else {
        let (bytes, offload) = (frame.to_vec(), frame.pieces().offload);
        pop(Frame::parse(&bytes, 0, None, offload).unwrap(), rest, tx);
    }
}
