//! The link watcher: everything is told once at first, then as it happens, and nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::cell::Cell;

use mio::{Events, Interest, Poll, Token};
use ports::links::{LinkEvent, LinkWatcher};
use rig::{PATIENCE, pair, quiet};
use testbed::{Namespace, kernel_bridge};

/// A watcher in `namespace`, with the poll that wakes it.
struct Watch {
    watcher: LinkWatcher,
    poll: Poll,
    events: Vec<LinkEvent>,
}

impl Watch {
    fn new(namespace: &Namespace) -> Self {
        let mut watcher = namespace.enter(LinkWatcher::new).unwrap().unwrap();
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut watcher, Token(0), Interest::READABLE).unwrap();
        Self { watcher, poll, events: Vec::new() }
    }

    /// Reads, driven by readiness alone, until an event fits.
    fn until(&mut self, fits: impl Fn(&LinkEvent) -> bool) -> LinkEvent {
        loop {
            while !self.events.is_empty() {
                let event = self.events.remove(0);
                if fits(&event) {
                    return event;
                }
            }
            let mut ready = Events::with_capacity(1);
            self.poll.poll(&mut ready, Some(PATIENCE)).unwrap();
            assert!(!ready.is_empty(), "no such event");
            self.watcher.read(&mut self.events).unwrap();
        }
    }

    fn link(&mut self, wanted: &str, fits: impl Fn(bool, bool) -> bool) -> LinkEvent {
        self.until(|event| {
            matches!(event, LinkEvent::Link { name, up, running, .. } if name == wanted && fits(*up, *running))
        })
    }

    fn gone(&mut self, wanted: &str) -> u32 {
        let event = self.until(|event| matches!(event, LinkEvent::Gone { name, .. } if name == wanted));
        let LinkEvent::Gone { ifindex, .. } = event else { unreachable!() };
        ifindex
    }
}

#[test]
fn links_are_told_first_and_then_what_becomes_of_them() {
    let (switch, host) = pair(1400);
    let mut watch = Watch::new(&switch);
    let LinkEvent::Link { ifindex, mac, mtu, master, .. } = watch.link("port", |up, running| up && running)
    else {
        unreachable!()
    };
    let shown = switch.ip("-o link show dev port").unwrap();
    assert!(shown.starts_with(&format!("{ifindex}: ")) && shown.contains(&mac.to_string()), "{shown}");
    assert_eq!((mtu, master), (1400, None));

    host.ip("link set eth0 down").unwrap();
    watch.link("port", |up, running| up && !running);
    host.ip("link set eth0 up").unwrap();
    watch.link("port", |up, running| up && running);
    switch.ip("link set port down").unwrap();
    watch.link("port", |up, _| !up);

    switch.ip("link del port").unwrap();
    assert_eq!(watch.gone("port"), ifindex);
    switch.ip("link add port type veth peer name other").unwrap();
    let LinkEvent::Link { ifindex: later, .. } = watch.link("port", |_, _| true) else { unreachable!() };
    assert_ne!(later, ifindex);
}

#[test]
fn a_renamed_link_keeps_its_index() {
    let (switch, _host) = pair(1500);
    let mut watch = Watch::new(&switch);
    let LinkEvent::Link { ifindex, .. } = watch.link("port", |_, _| true) else { unreachable!() };
    switch.ip("link set port down").unwrap();
    switch.ip("link set port name uplink").unwrap();
    let event = watch.link("uplink", |_, _| true);
    assert!(matches!(event, LinkEvent::Link { ifindex: same, .. } if same == ifindex));
    switch.ip("link del uplink").unwrap();
    assert_eq!(watch.gone("uplink"), ifindex);
}

#[test]
fn a_link_that_moves_to_another_namespace_is_gone_from_here() {
    let (switch, host) = pair(1500);
    let mut watch = Watch::new(&switch);
    watch.link("port", |_, _| true);
    switch.ip(&format!("link set port netns {} name moved", host.name())).unwrap();
    watch.gone("port");
}

#[test]
fn leaving_a_bridge_is_not_leaving_the_world() {
    let (switch, _host) = pair(1500);
    let mut watch = Watch::new(&switch);
    kernel_bridge(&switch, "br0", &["port"]).unwrap();
    let has_master = |event: &LinkEvent, wanted: bool| matches!(event, LinkEvent::Link { name, master, .. } if name == "port" && master.is_some() == wanted);
    watch.until(|event| has_master(event, true));
    switch.ip("link set port nomaster").unwrap();
    watch.until(|event| {
        assert!(!matches!(event, LinkEvent::Gone { .. }), "{event:?}");
        has_master(event, false)
    });
}

/// More happens than the socket's buffer holds while nobody reads: what is there in the end is known.
#[test]
fn lost_messages_are_made_up_for() {
    let switch = quiet("switch");
    switch.ip("link add keep type veth peer name keep2").unwrap();
    switch.ip("link add lose type veth peer name lose2").unwrap();
    let mut watch = Watch::new(&switch);
    watch.link("keep", |_, _| true);
    watch.link("lose", |_, _| true);
    // Each line makes an event of about 1.5 KiB (2 KiB with its bookkeeping); the buffer has 2 MiB.
    let storm: String = (0..3000).map(|n| format!("link set keep mtu {}\n", 1000 + n % 500)).collect();
    let script = format!("{storm}link del lose\nlink set keep mtu 1234\n{storm}link set keep mtu 1235\n");
    let file = std::env::temp_dir().join(format!("switchd-links-{}", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let done = switch.run(&format!("ip -batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    done.unwrap();
    let (last, gone, seen) = (Cell::new(false), Cell::new(false), Cell::new(0));
    watch.until(|event| {
        seen.set(seen.get() + 1);
        match event {
            LinkEvent::Gone { name, .. } => gone.set(gone.get() || name == "lose"),
            LinkEvent::Link { name, mtu, .. } => last.set(last.get() || (name == "keep" && *mtu == 1235)),
        }
        last.get() && gone.get()
    });
    assert!(seen.get() < 6000, "nothing was lost, so nothing was tested");
}
