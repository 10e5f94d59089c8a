//! Traffic, capture and injection, over a bridge of the kernel's.

use std::time::Duration;

use testbed::checksum::{self, Verdict};
use testbed::{Capture, End, FrameSocket, Namespace, kernel_bridge, tcp_transfer, udp_exchange, veth};

const SOON: Duration = Duration::from_secs(5);

/// Two hosts, each with its own MAC and addresses .1 and .2, on a bridge.
struct Picture {
    left: Namespace,
    _switch: Namespace,
    right: Namespace,
}

#[allow(clippy::unwrap_used, reason = "a test's own")]
fn picture() -> Picture {
    let new = |label| Namespace::new(label).unwrap();
    let (left, switch, right) = (new("left"), new("switch"), new("right"));
    for (number, host) in [(1, &left), (2, &right)] {
        let end = End::new(host, "eth0")
            .mac(&format!("02:00:00:00:00:0{number}"))
            .address(&format!("198.18.0.{number}/24"))
            .address(&format!("2001:db8::{number}/64"));
        veth(end, End::new(&switch, &format!("p{number}"))).unwrap();
    }
    kernel_bridge(&switch, "br0", &["p1", "p2"]).unwrap();
    Picture { left, _switch: switch, right }
}

#[test]
fn tcp_arrives_intact_over_ipv4_and_ipv6() {
    let net = picture();
    for address in ["198.18.0.2", "2001:db8::2"] {
        let transfer = tcp_transfer(&net.left, &net.right, address, 100_000_000).unwrap();
        assert!(transfer.intact && transfer.bytes == 100_000_000, "{transfer:?}");
        assert!(transfer.bytes_per_second() > 1e6, "{transfer:?}");
    }
}

#[test]
fn udp_arrives_whole_and_in_fragments() {
    let net = picture();
    for (address, size) in [("198.18.0.2", 1), ("2001:db8::2", 1400), ("198.18.0.2", 20_000)] {
        let result = udp_exchange(&net.left, &net.right, address, 100, size).unwrap();
        assert_eq!((result.received, result.damaged), (100, 0), "{address} {size}");
    }
}

#[test]
fn a_capture_has_every_frame_and_tells_finished_sums_from_unfinished() {
    let net = picture();
    let capture = Capture::start(&net.right, "eth0", &["tcp"]).unwrap();
    assert!(tcp_transfer(&net.left, &net.right, "198.18.0.2", 1_000_000).unwrap().intact);
    let frames = capture.stop().unwrap();
    let payload: usize = frames.iter().map(|frame| frame.bytes.len() - 14).sum();
    assert!(payload > 1_000_000, "{payload} in {} frames", frames.len());
    let verdicts: Vec<_> = frames.iter().map(|frame| checksum::check(&frame.bytes)).collect();
    // All but the last acknowledgement, which the kernel sends without a socket, finished.
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    assert!(count(Verdict::Right) <= 2, "{verdicts:?}");
    assert_eq!(count(Verdict::Right) + count(Verdict::Unfinished), verdicts.len(), "{verdicts:?}");
}

#[test]
fn a_frame_sent_by_hand_comes_in_on_the_other_side() {
    let net = picture();
    let mut left = FrameSocket::open(&net.left, "eth0").unwrap();
    let mut right = FrameSocket::open(&net.right, "eth0").unwrap();
    let capture = Capture::start(&net.right, "eth0", &["-Q", "in"]).unwrap();
    let plain = frame(&[0x88, 0xB5]);
    left.send(&plain).unwrap();
    assert_eq!(right.receive_where(SOON, |f| f[12..14] == [0x88, 0xB5]).unwrap(), plain);
    let tagged = frame(&[0x81, 0x00, 0x00, 0x07, 0x88, 0xB6]);
    left.send(&tagged).unwrap();
    let seen =
        capture.wait_for(SOON, "the tagged frame", |f| f.ends_with(&tagged[18..]) && f[12] == 0x81).unwrap();
    assert_eq!(seen.bytes, tagged);
    // A host does not see what it sends itself.
    assert!(left.receive_where(Duration::from_millis(100), |f| f[12..14] == [0x88, 0xB5]).is_err());
}

#[test]
fn a_wire_that_is_cut_is_an_error_not_a_wait() {
    let net = picture();
    net.right.ip("link set eth0 down").unwrap();
    assert!(tcp_transfer(&net.left, &net.right, "198.18.0.2", 1000).is_err());
    let result = udp_exchange(&net.left, &net.right, "198.18.0.2", 20, 100);
    assert!(result.is_err() || result.unwrap().received == 0);
}

fn frame(middle: &[u8]) -> Vec<u8> {
    let addresses = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    [&addresses[..], middle, &[0xA5; 60]].concat()
}
