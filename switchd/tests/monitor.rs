//! Whoever watches is told what happens, and whoever does not read disturbs nobody.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use control::types::{EntryKind, Event, NewFdbEntry, PortChange};
use control::{CallError, Client, ClientError};
use picture::{BROADCAST, Picture, SOON, frame, mac, mac_text};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testbed::{Switchd, wait_until};

fn start() -> (Picture, Switchd, Client) {
    let picture = Picture::of(2);
    let switchd = Switchd::start(&picture.switch, &picture.raw_ports()).unwrap();
    let client = switchd.control().unwrap();
    (picture, switchd, client)
}

/// Watches on a thread of its own, from now on.
fn watch(switchd: &Switchd) -> Receiver<Event> {
    let client = switchd.control().unwrap();
    let (events, watched) = channel();
    let (begun, begins) = channel();
    std::thread::spawn(move || {
        // The end of the switch, or of the test, ends it.
        let _ = client.monitor(|told| {
            let _ = begun.send(());
            told.into_iter().all(|event| events.send(event).is_ok())
        });
    });
    begins.recv_timeout(SOON).unwrap();
    watched
}

/// Waits for an event for which `wanted` holds; others before it are passed over.
fn wait_for(watched: &Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = watched.recv_timeout(SOON).unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

fn of_station(event: &Event, mac: &str, what: &str) -> bool {
    (event.mac.as_deref(), event.what.as_deref()) == (Some(mac), Some(what))
}

/// Whether the other end has closed.
fn hung_up(stream: &UnixStream) -> bool {
    let mut asked = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut asked, Some(&Timespec::default())).unwrap();
    asked[0].revents().contains(PollFlags::HUP)
}

#[test]
fn where_vlans_are_told_apart_so_are_stations() {
    let picture = Picture::of(2);
    let filtering = format!("[bridge]\nvlan_filtering = true\n{}", picture.raw_ports());
    let switchd = Switchd::start(&picture.switch, &filtering).unwrap();
    let watched = watch(&switchd);
    picture.socket(1).send(&frame(BROADCAST, mac(7), "hello")).unwrap();
    let event = wait_for(&watched, |event| of_station(event, &mac_text(7), "added"));
    assert_eq!(event.vlan, Some(1));
}

#[test]
fn stations_ports_and_configuration_are_told_as_they_change() {
    let (picture, switchd, mut client) = start();
    let watched = watch(&switchd);
    picture.socket(1).send(&frame(BROADCAST, mac(7), "hello")).unwrap();
    let event = wait_for(&watched, |event| of_station(event, &mac_text(7), "added"));
    assert_eq!((event.port.as_deref(), event.kind), (Some("p1"), Some(EntryKind::Dynamic)));
    picture.socket(2).send(&frame(BROADCAST, mac(7), "hello")).unwrap();
    let event = wait_for(&watched, |event| of_station(event, &mac_text(7), "moved"));
    assert_eq!(event.port.as_deref(), Some("p2"));
    client.flush_fdb(None, None, None).unwrap();
    wait_for(&watched, |event| of_station(event, &mac_text(7), "removed"));
    let entry =
        NewFdbEntry { mac: mac_text(8), port: Some("p1".into()), kind: EntryKind::Static, vlan: None };
    client.add_fdb(&entry).unwrap();
    let event = wait_for(&watched, |event| of_station(event, &mac_text(8), "added"));
    assert_eq!(event.kind, Some(EntryKind::Static));

    client.set_port("p1", &PortChange { isolated: Some(true), ..PortChange::default() }).unwrap();
    let says = |event: &Event, words: &str| event.words.as_deref().is_some_and(|said| said.contains(words));
    wait_for(&watched, |event| event.topic == "port" && says(event, "isolated true"));
    picture.host(2).run("ip link set eth0 down").unwrap();
    let event = wait_for(&watched, |event| says(event, "link is down"));
    assert_eq!(event.port.as_deref(), Some("p2"));
    client.delete_port("p2").unwrap();
    wait_for(&watched, |event| event.topic == "config" && says(event, "port p2 removed"));

    let single = client.call::<serde_json::Value>("Monitor", &serde_json::json!({}));
    assert!(matches!(single, Err(ClientError::Refused(CallError::ExpectedMore))), "{single:?}");
}

#[test]
fn who_watches_and_does_not_read_is_cut_off_and_nobody_else_notices() {
    let (picture, switchd, mut client) = start();
    let mut deaf = UnixStream::connect(switchd.control_socket()).unwrap();
    deaf.write_all(b"{\"method\":\"io.switchd.Monitor\",\"more\":true}\0").unwrap();
    let watched = watch(&switchd);
    let mut socket = picture.socket(1);
    let mut told = 0;
    let mut n = 0_u32;
    wait_until(Duration::from_secs(30), "the deaf one is cut off", || {
        for _ in 0..500 {
            let [_, b, c, d] = n.to_be_bytes();
            socket.send(&frame(BROADCAST, [2, 1, 0, b, c, d], "one of many")).unwrap();
            n += 1;
        }
        told += watched.try_iter().filter(|event| event.topic == "fdb").count();
        client.version().unwrap();
        hung_up(&deaf)
    })
    .unwrap();
    told += watched.recv_timeout(SOON).map_or(0, |_| 1);
    assert!(told > 1000, "{told} events");
}
