//! Where stations are: learned, moved, aged, configured; and that nobody else gets their frames.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod picture;

use std::time::{Duration, Instant};

use picture::{BROADCAST, Picture, SOON, address, frame, mac, mac_text, quiet, says};
use testbed::{Capture, FrameSocket, Switchd, ping, tcp_transfer, wait_until};

/// A station that no host is.
const X: [u8; 6] = [2, 0, 0, 0, 0, 0x58];

/// Three hosts, their packet sockets, and a switch with this before its ports.
fn three(before: &str) -> (Picture, Switchd, [FrameSocket; 3]) {
    let net = Picture::of(3);
    let daemon = Switchd::start(&net.switch, &(before.to_owned() + &net.raw_ports())).unwrap();
    let sockets = [1, 2, 3].map(|number| net.socket(number));
    (net, daemon, sockets)
}

/// Has a host broadcast a frame, and waits until it is seen by another: then whatever was sent before it
/// has been forwarded too.
fn announce(from: &mut FrameSocket, source: [u8; 6], by: &mut FrameSocket, word: &str) -> Vec<Vec<u8>> {
    from.send(&frame(BROADCAST, source, word)).unwrap();
    everything_until(by, word)
}

/// What comes in up to the broadcast that says `word`.
fn everything_until(socket: &mut FrameSocket, word: &str) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        let next = socket.receive(SOON).unwrap();
        if says(&next, word) {
            return seen;
        }
        seen.push(next);
    }
}

#[test]
fn what_two_hosts_say_to_each_other_is_not_seen_by_the_third() {
    let (net, mut daemon, [mut one, _, mut three]) = three("");
    let bystander = Capture::start(net.host(3), "eth0", &["-Q", "in"]).unwrap();
    let speaker = Capture::start(net.host(1), "eth0", &["-Q", "in"]).unwrap();
    assert_eq!(ping(net.host(1), &address(2), 10).unwrap().lost(), 0);
    assert!(tcp_transfer(net.host(1), net.host(2), &address(2), 1_000_000).unwrap().intact);
    announce(&mut one, mac(1), &mut three, "end");

    let seen = bystander.stop().unwrap();
    let unicast: Vec<_> = seen.iter().filter(|frame| frame.bytes[0] & 1 == 0).collect();
    assert!(unicast.is_empty(), "{unicast:?}");
    assert!(seen.iter().any(|frame| says(&frame.bytes, "end")));
    // Nor does anything come back to who sent it.
    let back = speaker.stop().unwrap();
    assert!(back.len() > 10 && back.iter().all(|frame| frame.bytes[6..12] != mac(1)), "{back:?}");
    accounts::check(&daemon.summary().unwrap());
}

#[test]
fn a_station_moves_with_its_first_frame() {
    let (_net, mut daemon, [mut one, mut two, mut three]) = three("");
    announce(&mut one, X, &mut three, "here");
    three.send(&frame(X, mac(3), "first")).unwrap();
    one.receive_where(SOON, |seen| says(seen, "first")).unwrap();

    announce(&mut two, X, &mut three, "there");
    three.send(&frame(X, mac(3), "second")).unwrap();
    two.receive_where(SOON, |seen| says(seen, "second")).unwrap();
    let seen = announce(&mut three, mac(3), &mut one, "end");
    assert!(!seen.iter().any(|frame| says(frame, "second")), "{seen:?}");

    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port_of("02:00:00:00:00:58"), Some("p2"));
    assert_eq!(summary.port("p2").unwrap().number("moved").unwrap(), 1);
    assert_eq!(summary.fdb.number("moved").unwrap(), 1);
    accounts::check(&summary);
}

#[test]
fn a_silent_station_is_forgotten_and_flooded_to() {
    let (_net, mut daemon, [mut one, mut two, mut three]) = three("[bridge]\nageing_time = \"2s\"\n");
    let known = |daemon: &mut Switchd| daemon.summary().unwrap().port_of("02:00:00:00:00:58").is_some();
    let spoke = Instant::now();
    announce(&mut one, X, &mut two, "here");
    assert!(known(&mut daemon));
    two.send(&frame(X, mac(2), "known")).unwrap();
    let seen = announce(&mut two, mac(2), &mut three, "then");
    assert!(!seen.iter().any(|frame| says(frame, "known")), "{seen:?}");

    // It speaks again: from now on it counts.
    let spoke_again = Instant::now();
    announce(&mut one, X, &mut two, "again");
    wait_until(SOON, "X is forgotten", || !known(&mut daemon)).unwrap();
    let silent = spoke_again.elapsed();
    assert!(silent >= Duration::from_millis(1990), "forgotten after {silent:?}");
    assert!(silent < Duration::from_secs(4), "forgotten after {silent:?}, {:?} in all", spoke.elapsed());
    two.send(&frame(X, mac(2), "unknown")).unwrap();
    for socket in [&mut one, &mut three] {
        socket.receive_where(SOON, |seen| says(seen, "unknown")).unwrap();
    }
    assert!(daemon.summary().unwrap().fdb.number("aged").unwrap() >= 1);
}

#[test]
fn a_static_entry_needs_no_word_of_its_station() {
    let entry = "[[fdb]]\nmac = \"02:00:00:00:00:58\"\nport = \"p2\"\n";
    let net = Picture::of(3);
    let mut daemon = Switchd::start(&net.switch, &(net.raw_ports() + entry)).unwrap();
    let [mut one, mut two, mut three] = [1, 2, 3].map(|number| net.socket(number));
    one.send(&frame(X, mac(1), "to it")).unwrap();
    two.receive_where(SOON, |seen| says(seen, "to it")).unwrap();
    let seen = announce(&mut one, mac(1), &mut three, "end");
    assert!(!seen.iter().any(|frame| says(frame, "to it")), "{seen:?}");

    let summary = daemon.summary().unwrap();
    let is_it = |line: &&testbed::switchd::Fields| line.text("mac") == Some("02:00:00:00:00:58");
    assert_eq!(summary.entries.iter().find(is_it).unwrap().text("entry"), Some("static"));
    // It stays when the port's link goes; the port's dynamic entries do not.
    net.switch.ip("link set p2 down").unwrap();
    daemon.wait_for_log("link is down", SOON).unwrap();
    daemon.summary().unwrap(); // The worker answers in turn, so it has heard of the link by now.
    one.send(&frame(X, mac(1), "to nobody")).unwrap();
    announce(&mut one, mac(1), &mut three, "end");
    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port_of("02:00:00:00:00:58"), Some("p2"));
    assert_eq!(summary.port("p1").unwrap().drops().get("egress_down"), Some(&1), "{summary:?}");
    accounts::check(&summary);
}

#[test]
fn a_frame_to_a_station_on_its_own_port_stays_there() {
    let (_net, mut daemon, [mut one, mut two, mut three]) = three("");
    announce(&mut one, X, &mut two, "behind a hub");
    one.send(&frame(X, mac(1), "to a neighbour")).unwrap();
    for by in [&mut two, &mut three] {
        let seen = announce(&mut one, mac(1), by, "end");
        assert!(!seen.iter().any(|frame| says(frame, "to a neighbour")), "{seen:?}");
    }
    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port("p1").unwrap().drops()["same_port"], 1);
    accounts::check(&summary);
}

#[test]
fn the_host_port_gets_what_is_for_all_and_for_it_and_nothing_unknown() {
    let net = Picture::of(2);
    let config = net.raw_ports() + "[ports.host]\ntype = \"tap\"\ndevice = \"tap0\"\nhost = true\n";
    let mut daemon = Switchd::start(&net.switch, &config).unwrap();
    let [mut one, mut two] = [1, 2].map(|number| net.socket(number));
    let mut host = FrameSocket::open(&net.switch, "tap0").unwrap();
    let text = net.switch.run("cat /sys/class/net/tap0/address").unwrap();
    let own = picture::address_of(text.trim());

    one.send(&frame(X, mac(1), "unknown")).unwrap();
    one.send(&frame([0x01, 0, 0x5e, 1, 2, 3], mac(1), "multicast")).unwrap();
    one.send(&frame(own, mac(1), "its own")).unwrap();
    let seen = announce(&mut one, mac(1), &mut host, "broadcast");
    for (word, is_there) in [("unknown", false), ("multicast", true), ("its own", true)] {
        assert_eq!(seen.iter().any(|frame| says(frame, word)), is_there, "{word}: {seen:?}");
    }
    // The other host gets the rest, but not what is the host's, although that has not said a word.
    let seen = everything_until(&mut two, "broadcast");
    for (word, is_there) in [("unknown", true), ("multicast", true), ("its own", false)] {
        assert_eq!(seen.iter().any(|frame| says(frame, word)), is_there, "{word}: {seen:?}");
    }

    // With another address it is known by that.
    net.switch.ip(&format!("link set tap0 address {}", picture::text_of(&X))).unwrap();
    wait_until(SOON, "the new address is known", || {
        daemon.summary().unwrap().port_of("02:00:00:00:00:58") == Some("host")
    })
    .unwrap();
    assert_eq!(daemon.summary().unwrap().port_of(text.trim()), None);
    one.send(&frame(X, mac(1), "its new one")).unwrap();
    host.receive_where(SOON, |seen| says(seen, "its new one")).unwrap();
    accounts::check(&daemon.summary().unwrap());
}

#[test]
fn several_switches_run_side_by_side() {
    let (first, second) = (Picture::of(2), quiet("second"));
    let hosts = [picture::host(&second, 1), picture::host(&second, 2)];
    let ports = first.raw_ports();
    let mut daemons = [&first.switch, &second].map(|switch| Switchd::start(switch, &ports).unwrap());
    assert_eq!(ping(first.host(1), &address(2), 3).unwrap().lost(), 0);
    assert_eq!(ping(&hosts[0], &address(2), 3).unwrap().lost(), 0);
    for daemon in &mut daemons {
        assert_eq!(daemon.summary().unwrap().port_of(&mac_text(1)), Some("p1"));
        assert!(daemon.terminate().unwrap().success());
    }
}
