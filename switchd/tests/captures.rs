//! Captures whose clients do not read, or never say that they end: they cost others nothing, and what they miss is
//! counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::fs;
use std::io::Read;

use control::capture::Capture;
use control::pcapng::{self, Block, Tally};
use control::types::CaptureOptions;
use control::{CallError, ClientError};
use picture::{BROADCAST, Picture, SOON, mac};
use serde_json::json;
use testbed::{FrameSocket, Switchd, wait_until};

/// More than a capture's ring and its socket hold.
const MANY: u64 = 6000;

fn start() -> (Picture, Switchd) {
    let picture = Picture::of(2);
    let switchd = Switchd::start(&picture.switch, &picture.raw_ports()).unwrap();
    (picture, switchd)
}

fn begin(switchd: &Switchd) -> Result<Capture, ClientError> {
    let options = CaptureOptions { ports: vec!["p1".into()], ..CaptureOptions::default() };
    switchd.control().unwrap().capture(&options)
}

/// Sends long frames, waiting until each few are handled: none is lost for want of room in a socket.
fn send_many(switchd: &Switchd, socket: &mut FrameSocket, frames: u64) {
    let mut frame = [&BROADCAST[..], &mac(1), &[0x88, 0xb5]].concat();
    frame.resize(1514, 7);
    let mut client = switchd.control().unwrap();
    let mut handled = || client.show_port("p1").unwrap().counters.rx_frames;
    let before = handled();
    for n in 1..=frames {
        socket.send(&frame).unwrap();
        if n.is_multiple_of(100) {
            wait_until(SOON, "the frames are handled", || handled() >= before + n).unwrap();
        }
    }
}

/// Memory of the daemon in KiB.
fn memory(switchd: &Switchd) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", switchd.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Reads a capture that was stopped to its end: its frames, and what it has to say of them.
fn read(mut capture: Capture) -> (u64, Tally) {
    capture.stopper().unwrap().stop();
    let mut bytes = Vec::new();
    capture.read_to_end(&mut bytes).unwrap();
    let (mut rest, mut packets, mut tally) = (&bytes[..], 0, Tally::default());
    while let Some((block, length)) = pcapng::first(rest).unwrap() {
        match block {
            Block::Packet => packets += 1,
            Block::Statistics(seen) => tally = seen,
            Block::Other => {}
        }
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    (packets, tally)
}

#[test]
fn who_does_not_read_misses_frames_which_are_counted_and_nobody_waits() {
    let (picture, switchd) = start();
    let mut socket = picture.socket(1);
    let before = memory(&switchd);
    let deaf = begin(&switchd).unwrap();
    let few = begin(&switchd).unwrap();
    send_many(&switchd, &mut socket, 100);
    assert_eq!(read(few), (100, Tally { received: 100, missed: 0 }));
    send_many(&switchd, &mut socket, MANY - 100);
    let ports = switchd.control().unwrap().show_ports(None).unwrap();
    assert_eq!((ports[0].counters.forwarded, ports[1].counters.tx_frames), (MANY, MANY));
    assert!(memory(&switchd) < before + 10 * 1024, "{before} KiB, then {}", memory(&switchd));
    let (packets, tally) = read(deaf);
    assert_eq!((tally.received, tally.missed), (MANY, MANY - packets));
    assert!(packets > 2000 && tally.missed > 1000, "{packets} of {tally:?}");
}

#[test]
fn one_that_goes_without_a_word_is_forgotten_and_there_are_only_so_many() {
    let (picture, switchd) = start();
    let mut all: Vec<_> = (0..8).map(|_| begin(&switchd).unwrap()).collect();
    let refused = begin(&switchd);
    assert!(
        matches!(&refused, Err(ClientError::Refused(CallError::Refused(message))) if message.contains("8 captures")),
        "{refused:?}"
    );
    send_many(&switchd, &mut picture.socket(1), 100);
    drop(all.pop());
    let mut again = None;
    wait_until(SOON, "there is room again", || {
        again = begin(&switchd).ok();
        again.is_some()
    })
    .unwrap();
    for capture in all {
        assert_eq!(read(capture), (100, Tally { received: 100, missed: 0 }));
    }
    assert_eq!(read(again.unwrap()), (0, Tally::default()));
}

#[test]
fn it_is_an_upgrade_or_nothing() {
    let (_picture, switchd) = start();
    let mut client = switchd.control().unwrap();
    let plain = client.call::<serde_json::Value>("Capture", &json!({}));
    assert!(matches!(plain, Err(ClientError::Refused(CallError::InvalidParameter(_)))), "{plain:?}");
    assert!(client.version().is_ok());
}
