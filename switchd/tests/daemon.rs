//! The daemon starts, tells what it did, survives being killed, and says what is wrong.

use testbed::{End, Namespace, Signal, Switchd, ping, veth};

#[test]
fn a_daemon_is_started_asked_killed_and_started_again() {
    let new = |label| Namespace::new(label).unwrap();
    let (left, switch, right) = (new("left"), new("switch"), new("right"));
    veth(End::new(&left, "eth0").address("198.18.0.1/24").mac("02:00:00:00:00:01"), End::new(&switch, "p1"))
        .unwrap();
    veth(End::new(&right, "eth0").address("198.18.0.2/24"), End::new(&switch, "p2")).unwrap();
    let config = "[ports.p1]\ntype = \"raw\"\n[ports.right]\ntype = \"raw\"\ndevice = \"p2\"\n";

    let mut daemon = Switchd::start(&switch, config).unwrap();
    assert_eq!(ping(&left, "198.18.0.2", 2).unwrap().lost(), 0);
    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port_of("02:00:00:00:00:01"), Some("p1"));
    assert!(summary.port("right").unwrap().number("rx_frames").unwrap() >= 3);

    daemon.kill9().unwrap();
    assert_eq!(ping(&left, "198.18.0.2", 1).unwrap().received, 0);
    let mut daemon = daemon.start_again().unwrap();
    assert_eq!(ping(&left, "198.18.0.2", 2).unwrap().lost(), 0);
    assert!(daemon.terminate().unwrap().success());
    assert!(daemon.signal(Signal::USR1).is_err() || !daemon.process().is_running());
}

#[test]
fn a_start_that_fails_shows_why() {
    let switch = Namespace::new("switch").unwrap();
    let error = format!("{:#}", Switchd::start(&switch, "[ports.a]\ntype = \"nonsense\"\n").unwrap_err());
    assert!(error.contains("nonsense"), "{error}");
}
