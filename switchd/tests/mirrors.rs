//! Mirrors of a running switch: an analyser on its own port sees what passes others, and takes no other part.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::fs;

use control::{CallError, ClientError};
use picture::{BROADCAST, Picture, SOON, address, frame, host, mac, says, wait_for_ping};
use testbed::{Capture, FrameSocket, Switchd, ping, wait_until};

/// Three hosts and an analyser on the fourth port, which sees what passes the first.
fn start(mirror: &str) -> (Picture, Switchd) {
    let picture = Picture::of(4);
    let config = picture.raw_ports() + "[[mirror]]\nto = \"p4\"\n" + mirror;
    let switchd = Switchd::start(&picture.switch, &config).unwrap();
    (picture, switchd)
}

fn handled(switchd: &Switchd, port: &str, frames: u64) {
    let mut client = switchd.control().unwrap();
    wait_until(SOON, "the frames are handled", || {
        client.show_port(port).unwrap().counters.rx_frames >= frames
    })
    .unwrap();
}

#[test]
fn an_analyser_sees_both_sides_of_a_conversation_each_frame_once() {
    let (picture, switchd) = start("from = [\"p1\"]\n");
    let seen = Capture::start(picture.host(4), "eth0", &["icmp"]).unwrap();
    assert_eq!(ping(picture.host(1), &address(2), 5).unwrap().lost(), 0);
    assert_eq!(ping(picture.host(2), &address(3), 5).unwrap().lost(), 0, "this is none of its business");
    let frames = seen.stop().unwrap();
    let sides: Vec<u8> = frames.iter().map(|frame| frame.bytes[11]).collect();
    assert_eq!(sides.iter().filter(|side| **side == 1).count(), 5, "{sides:?}");
    assert_eq!((sides.iter().filter(|side| **side == 2).count(), sides.len()), (5, 10));
    assert!(ping(picture.host(4), &address(1), 1).unwrap().lost() == 1, "it is not to speak");

    let mut client = switchd.control().unwrap();
    let mirror = client.show_mirrors().unwrap().remove(0);
    assert_eq!(
        (mirror.from, mirror.to.as_str(), mirror.direction.as_str()),
        (vec!["p1".into()], "p4", "both")
    );
    let analyser = client.show_port("p4").unwrap();
    // With the ARP before.
    assert!(mirror.frames >= 12 && mirror.missed == 0, "{}", mirror.frames);
    assert_eq!(analyser.counters.tx_frames, mirror.frames);
    assert!(analyser.drops.iter().any(|drop| drop.reason == "mirror_destination"), "{:?}", analyser.drops);

    let explained = client.explain("p2", &frame(mac(1), mac(2), "hello")).unwrap();
    let last = explained.steps.last().unwrap();
    assert_eq!((last.stage.as_str(), last.words.as_str()), ("mirror", "p4 gets a copy, as p1 sends it"));
    assert_eq!(explained.ports, ["p1"]);
}

#[test]
fn one_way_and_one_vlan_and_what_is_dropped() {
    let (picture, switchd) = start("from = [\"p1\", \"p2\"]\ndirection = \"ingress\"\nvlan = 7\n");
    let seen = Capture::start(picture.host(4), "eth0", &["-Q", "in"]).unwrap();
    let tagged = |word: &str, vid: u8, from| {
        let plain = frame(BROADCAST, from, word);
        [&plain[..12], &[0x81, 0, 0, vid], &plain[12..60]].concat()
    };
    let (mut one, mut three) = (picture.socket(1), picture.socket(3));
    one.send(&tagged("seven", 7, mac(1))).unwrap();
    one.send(&tagged("eight", 8, mac(1))).unwrap();
    one.send(&frame(BROADCAST, mac(1), "none")).unwrap();
    three.send(&tagged("three", 7, mac(3))).unwrap();
    // It is dropped, and came in all the same.
    one.send(&tagged("group", 7, [1, 0, 0, 0, 0, 9])).unwrap();
    handled(&switchd, "p1", 4);
    handled(&switchd, "p3", 1);
    let frames: Vec<_> = seen.stop().unwrap().into_iter().map(|frame| frame.bytes).collect();
    assert_eq!(frames, [tagged("seven", 7, mac(1)), tagged("group", 7, [1, 0, 0, 0, 0, 9])]);
}

#[test]
fn a_reload_begins_turns_and_ends_a_mirror() {
    let (picture, switchd) = start("from = [\"p1\"]\n");
    let mut client = switchd.control().unwrap();
    let file = switchd.directory().join("switchd.toml");
    let write = |mirror: &str| fs::write(&file, picture.raw_ports() + mirror).unwrap();
    let shown = client.show_config().unwrap();
    assert!(shown.ends_with("[[mirror]]\nfrom = [\"p1\"]\nto = \"p4\"\n"), "{shown}");
    let refused = client.delete_port("p4");
    let message = "port p4 is part of the mirror to p4: change that first";
    assert!(
        matches!(&refused, Err(ClientError::Refused(CallError::Refused(said))) if said == message),
        "{refused:?}"
    );

    let wrong = "[[mirror]]\nfrom = [\"p1\"]\nto = \"p1\"\n";
    write(wrong);
    let refused = client.reload();
    assert!(
        matches!(&refused, Err(ClientError::Refused(CallError::Refused(said))) if said.contains("mirrored itself")),
        "{refused:?}"
    );
    assert_eq!(client.show_mirrors().unwrap().len(), 1);

    write("[[mirror]]\nfrom = [\"p2\"]\nto = \"p3\"\n");
    let turned = ["mirror to p4 removed", "mirror to p3 added, from p2"];
    assert_eq!(client.diff_config().unwrap().changes, turned);
    assert_eq!(client.reload().unwrap().changes, turned);
    let (mut two, mut three, mut four) = (picture.socket(2), picture.socket(3), picture.socket(4));
    let other = frame(mac(8), mac(4), "four is a host again");
    four.send(&other).unwrap();
    handled(&switchd, "p4", 1);
    two.send(&frame(mac(4), mac(2), "from two to four")).unwrap();
    four.receive_where(SOON, |frame| says(frame, "from two to four")).unwrap();
    let got = three.receive_where(SOON, |frame| says(frame, "f")).unwrap();
    // What four sent to a station that nobody knows went out on p2 too, so three got it for that.
    assert!(says(&got, "four is a host again"));
    three.receive_where(SOON, |frame| says(frame, "from two to four")).unwrap();

    write("");
    assert_eq!(client.reload().unwrap().changes, ["mirror to p3 removed"]);
    assert!(client.show_mirrors().unwrap().is_empty());
    three.send(&frame(mac(4), mac(3), "three is a host again")).unwrap();
    four.receive_where(SOON, |frame| says(frame, "three is a host again")).unwrap();
}

#[test]
fn ports_that_a_pattern_makes_are_looked_at_as_they_come_and_one_may_get_the_copies() {
    let picture = Picture::of(2);
    let file = |mirror: &str| {
        format!(
            "[ports.p1]\ntype = \"raw\"\n[ports.guests]\ntype = \"raw\"\ndevice = \"p*\"\n[[mirror]]\n{mirror}"
        )
    };
    let switchd = Switchd::start(&picture.switch, &file("from = [\"guests\"]\nto = \"p9\"\n")).unwrap();
    let mut client = switchd.control().unwrap();
    let mut shown = move || client.show_mirrors().unwrap().remove(0);
    let mirror = shown();
    assert_eq!((mirror.from, mirror.to.as_str(), mirror.waits), (vec!["p2".to_owned()], "p9", true));

    // The analyser comes, and then one more to be looked at.
    let analyser = host(&picture.switch, 9);
    wait_until(SOON, "the mirror has its port", || !shown().waits).unwrap();
    let third = host(&picture.switch, 3);
    wait_until(SOON, "p3 is looked at", || shown().from == ["p2", "p3"]).unwrap();
    let seen = Capture::start(&analyser, "eth0", &["icmp"]).unwrap();
    wait_for_ping(&third, &address(1));
    assert_eq!(ping(&third, &address(1), 5).unwrap().lost(), 0);
    // Each request and each answer once.
    let frames = seen.stop().unwrap().len();
    assert!(frames >= 12 && frames.is_multiple_of(2), "{frames}");
    assert_eq!(ping(&analyser, &address(1), 1).unwrap().lost(), 1, "it is not to speak");

    // Where it goes the mirror waits again, and nothing else has happened.
    picture.switch.ip("link del p9").unwrap();
    wait_until(SOON, "the mirror waits", || shown().waits).unwrap();
    assert_eq!(ping(&third, &address(1), 2).unwrap().lost(), 0);

    // One of them alone, by its name, before it is there.
    let mut client = switchd.control().unwrap();
    let refused = client.delete_port("guests");
    let message = "ports of guests are part of the mirror to p9: change that first";
    assert!(
        matches!(&refused, Err(ClientError::Refused(CallError::Refused(said))) if said == message),
        "{refused:?}"
    );
    let one = file("from = [\"p1\", \"p7\"]\nto = \"p2\"\n");
    fs::write(switchd.directory().join("switchd.toml"), &one).unwrap();
    assert_eq!(client.reload().unwrap().changes, ["mirror to p9 removed", "mirror to p2 added, from p1, p7"]);
    assert_eq!(shown().from, ["p1"]);
    let seventh = host(&picture.switch, 7);
    wait_until(SOON, "p7 is looked at", || shown().from == ["p1", "p7"]).unwrap();
    let mut two = picture.socket(2);
    let mut seven = FrameSocket::open(&seventh, "eth0").unwrap();
    seven.send(&frame(mac(8), mac(7), "seven")).unwrap();
    two.receive_where(SOON, |frame| says(frame, "seven")).unwrap();
    assert!(client.show_config().unwrap().ends_with("from = [\"p1\", \"p7\"]\nto = \"p2\"\n"));
}
