//! A guest that has stopped reading: what is sent to it is accounted for, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod accounts;
mod cable;
mod lan;

use cable::Cable;
use frame::Offload;
use lan::{Lan, Plan, RAW, SOON, TAP, mac};
use testbed::{FrameSocket, ping, wait_until};

const FRAMES: u64 = 5000;

/// As many as every queue on the way to switchd holds.
const BURST: u64 = 100;

/// Frames that wait in a TAP for its reader, at most (its `txqueuelen`, by default).
const QUEUE: u64 = 1000;

#[test]
fn a_reader_that_is_stopped_is_accounted_for_and_slows_nobody() {
    let mut lan = Lan::build(&Plan { further: &["guest"], ..Plan::of(&[TAP, RAW, RAW]) });
    let mut guest = Cable::tap(&lan.switch, "guest", true);
    // The guest is heard and never reads.
    let hello = [&[0xff; 6][..], &mac(9), &[0x88, 0xb5], &[0; 46]].concat();
    wait_until(SOON, "the guest is known", || {
        guest.write(&hello, Offload::default()).unwrap();
        lan.switchd().summary().unwrap().port_of("02:00:00:00:00:09") == Some("guest")
    })
    .unwrap();
    let quiet = ping(lan.host(1), "198.18.0.2", 20).unwrap();
    assert_eq!(quiet.lost(), 0);
    let before = lan.switchd().summary().unwrap();

    let frame = [&mac(9)[..], &mac(3), &[0x88, 0xb5], &[0x55; 986]].concat();
    let mut sender = FrameSocket::open(lan.host(3), "eth0").unwrap();
    let (hosts, switchd) = lan.hosts_and_switchd();
    let meanwhile = std::thread::scope(|scope| {
        let pinging = scope.spawn(|| ping(&hosts[0], "198.18.0.2", 20).unwrap());
        for number in 1..=FRAMES {
            sender.send(&frame).unwrap();
            if number % BURST == 0 {
                // It answers when it has forwarded what came before.
                switchd.summary().unwrap();
            }
        }
        pinging.join().unwrap()
    });
    assert_eq!(meanwhile.lost(), 0);
    let slower = meanwhile.mean.unwrap().saturating_sub(quiet.mean.unwrap());
    assert!(slower.as_millis() < 20, "{:?} became {:?}", quiet.mean, meanwhile.mean);

    let summary = switchd.summary().unwrap();
    accounts::check(&summary);
    let growth = |port: &str, key| {
        let count = |summary: &testbed::switchd::Summary| summary.port(port).unwrap().number(key).unwrap();
        count(&summary) - count(&before)
    };
    let full = summary.port("guest").unwrap().drops().get("tx_full").copied().unwrap_or(0);
    let (handed, dropped) = (growth("guest", "tx_frames"), growth("guest", "device_tx_dropped"));
    println!("of {FRAMES} frames {handed} were handed over, {dropped} of them dropped; {full} tx_full");
    assert!(growth("p3", "rx_frames") >= FRAMES && handed + full >= FRAMES, "{summary:?}");
    let held = handed - dropped;
    assert!((1..=QUEUE).contains(&held), "{held} frames are neither dropped nor in the queue: {summary:?}");
}
