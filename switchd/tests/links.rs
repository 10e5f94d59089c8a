//! Devices that are missing, go, change and come back while the switch runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod picture;

use picture::{Picture, SOON, address, mac_text, quiet, rename, wait_for_ping, wire};
use ports::tap::{self, TapOptions};
use testbed::link::{add_address, move_device};
use testbed::ping::ping_with;
use testbed::{End, Namespace, Switchd, ping, wait_until};

/// A switch with a raw port for each of two hosts that have spoken to each other.
fn two_hosts() -> (Picture, Switchd) {
    let net = Picture::of(2);
    let daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
    wait_for_ping(net.host(1), &address(2));
    (net, daemon)
}

/// Does something and waits for a log line about it.
fn then(daemon: &mut Switchd, action: impl FnOnce(), line: &str) {
    let before = daemon.log().len();
    action();
    daemon.wait_for_log_after(before, line, SOON).unwrap();
}

fn state(daemon: &mut Switchd, port: &str) -> String {
    daemon.summary().unwrap().port(port).unwrap().text("state").unwrap().to_owned()
}

/// Host 2 is not reached, nothing is known of it, and the books are right.
fn assert_away(net: &Picture, daemon: &mut Switchd) {
    assert_eq!(ping(net.host(1), &address(2), 1).unwrap().received, 0);
    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port_of(&mac_text(2)), None);
    accounts::check(&summary);
}

fn assert_back(net: &Picture, daemon: &mut Switchd) {
    wait_for_ping(net.host(1), &address(2));
    assert_eq!(ping(net.host(2), &address(1), 3).unwrap().lost(), 0);
    assert_eq!(state(daemon, "p2"), "up");
    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port_of(&mac_text(2)), Some("p2"));
    accounts::check(&summary);
}

#[test]
fn a_device_that_is_missing_at_start_works_when_it_appears() {
    let net = Picture::of(1);
    let late = quiet("late");
    let config = net.raw_ports() + "[ports.late]\ntype = \"raw\"\ndevice = \"p9\"\n";
    let mut daemon = Switchd::start(&net.switch, &config).unwrap();
    daemon.wait_for_log("waiting for p9", SOON).unwrap();
    assert_eq!(state(&mut daemon, "late"), "waiting");
    then(&mut daemon, || wire(&net.switch, &late, 9), "port attached");
    wait_for_ping(net.host(1), &address(9));
    assert_eq!(state(&mut daemon, "late"), "up");
}

#[test]
fn a_device_set_down_forgets_its_stations_and_works_again_when_up() {
    let (net, mut daemon) = two_hosts();
    let set = |what| drop(net.switch.ip(&format!("link set p2 {what}")).unwrap());
    then(&mut daemon, || set("down"), "link is down port=\"p2\"");
    assert_eq!(state(&mut daemon, "p2"), "down");
    assert_away(&net, &mut daemon);
    then(&mut daemon, || set("up"), "link is up port=\"p2\"");
    assert_back(&net, &mut daemon);
}

#[test]
fn a_lost_carrier_is_down_too() {
    let (net, mut daemon) = two_hosts();
    let set = |what| drop(net.host(2).ip(&format!("link set eth0 {what}")).unwrap());
    then(&mut daemon, || set("down"), "link is down port=\"p2\"");
    assert_eq!(state(&mut daemon, "p2"), "down");
    assert_away(&net, &mut daemon);
    then(&mut daemon, || set("up"), "link is up port=\"p2\"");
    assert_back(&net, &mut daemon);
}

#[test]
fn a_device_deleted_and_made_again_works() {
    let (net, mut daemon) = two_hosts();
    for _ in 0..2 {
        then(
            &mut daemon,
            || drop(net.switch.ip("link del p2").unwrap()),
            "the port is down until there is a p2",
        );
        assert_eq!(state(&mut daemon, "p2"), "waiting");
        assert_away(&net, &mut daemon);
        then(&mut daemon, || wire(&net.switch, net.host(2), 2), "port attached");
        assert_back(&net, &mut daemon);
    }
    // As exclusive as the first one was.
    assert_eq!(net.switch.run("nft list tables").unwrap().matches("switchd_").count(), 2);
}

#[test]
fn a_device_that_is_renamed_is_let_go_until_it_has_its_name_again() {
    let (net, mut daemon) = two_hosts();
    let name = |from, to| rename(&net.switch, from, to);
    then(&mut daemon, || name("p2", "other"), "renamed to other");
    assert_eq!(state(&mut daemon, "p2"), "waiting");
    assert_away(&net, &mut daemon);
    assert_eq!(net.switch.run("nft list tables").unwrap().matches("switchd_").count(), 1);
    then(&mut daemon, || name("other", "p2"), "port attached");
    assert_back(&net, &mut daemon);
}

#[test]
fn a_device_made_a_member_of_a_bridge_is_let_go_until_it_leaves_it() {
    let (net, mut daemon) = two_hosts();
    net.switch.ip("link add br9 up type bridge").unwrap();
    let set = |what| drop(net.switch.ip(&format!("link set p2 {what}")).unwrap());
    then(&mut daemon, || set("master br9"), "made a member of a bridge");
    assert_away(&net, &mut daemon);
    then(&mut daemon, || set("nomaster"), "port attached");
    assert_back(&net, &mut daemon);
}

#[test]
fn a_raw_device_that_is_moved_away_and_back_works_again() {
    let (net, mut daemon) = two_hosts();
    let elsewhere = quiet("elsewhere");
    let go = format!("link set p2 netns {}", elsewhere.name());
    then(&mut daemon, || drop(net.switch.ip(&go).unwrap()), "the port is down until there is a p2");
    assert_away(&net, &mut daemon);
    let come = format!("link set p2 netns {}", net.switch.name());
    then(&mut daemon, || drop(elsewhere.ip(&come).unwrap()), "port attached, link down");
    then(&mut daemon, || drop(net.switch.ip("link set p2 up").unwrap()), "link is up port=\"p2\"");
    assert_back(&net, &mut daemon);
}

/// A `tap` port `tap0` beside host 1.
fn tap_and_host() -> (Picture, Switchd) {
    let net = Picture::of(1);
    let daemon = Switchd::start(&net.switch, &(net.raw_ports() + "[ports.tap0]\ntype = \"tap\"\n")).unwrap();
    (net, daemon)
}

/// The interface end of the TAP as host 2.
fn end(namespace: &Namespace) -> End<'_> {
    End::new(namespace, "tap0").mac(&mac_text(2)).address("198.18.0.2/24")
}

#[test]
fn a_tap_works_on_in_another_namespace_and_back() {
    let (net, mut daemon) = tap_and_host();
    let container = quiet("container");
    for _ in 0..2 {
        let away = || move_device(&net.switch, "tap0", end(&container)).unwrap();
        then(&mut daemon, away, "tap0 was moved to another network namespace");
        wait_for_ping(&container, &address(1));
        assert_eq!(ping(net.host(1), &address(2), 3).unwrap().lost(), 0);
        assert_eq!(state(&mut daemon, "tap0"), "up");

        let back = || move_device(&container, "tap0", end(&net.switch)).unwrap();
        then(&mut daemon, back, "tap0 is back");
        wait_for_ping(&net.switch, &address(1));
        assert_eq!(ping(net.host(1), &address(2), 3).unwrap().lost(), 0);
        assert_eq!(state(&mut daemon, "tap0"), "up");
    }
    // What happens to its link counts again.
    then(&mut daemon, || drop(net.switch.ip("link set tap0 down").unwrap()), "link is down port=\"tap0\"");
    accounts::check(&daemon.summary().unwrap());
}

#[test]
fn another_device_of_the_name_is_not_the_tap_that_was_moved() {
    let (net, mut daemon) = tap_and_host();
    let container = quiet("container");
    let away = || move_device(&net.switch, "tap0", end(&container)).unwrap();
    then(&mut daemon, away, "tap0 was moved to another network namespace");
    let before = daemon.log().len();
    net.switch.ip("link add tap0 type veth peer name peer0").unwrap();
    wait_for_ping(&container, &address(1));
    // A device that the switch does wait for, to know that it has heard of the other one.
    net.switch.ip("link set p1 down").unwrap();
    daemon.wait_for_log_after(before, "link is down port=\"p1\"", SOON).unwrap();
    assert!(!daemon.log()[before..].iter().any(|line| line.contains("is back")), "{:?}", daemon.log());
    assert_eq!(state(&mut daemon, "tap0"), "up");
}

#[test]
fn a_tap_that_is_renamed_works_on() {
    let (net, mut daemon) = tap_and_host();
    add_address(&net.switch, "tap0", "198.18.0.2/24").unwrap();
    wait_for_ping(net.host(1), &address(2));
    let name = |from, to| rename(&net.switch, from, to);
    then(&mut daemon, || name("tap0", "lan0"), "renamed to lan0");
    assert_eq!(ping(net.host(1), &address(2), 3).unwrap().lost(), 0);
    // It is watched as before.
    then(&mut daemon, || drop(net.switch.ip("link set lan0 down").unwrap()), "link is down port=\"tap0\"");
    then(&mut daemon, || drop(net.switch.ip("link set lan0 up").unwrap()), "link is up port=\"tap0\"");
    then(&mut daemon, || name("lan0", "tap0"), "renamed to tap0");
    assert!(daemon.terminate().unwrap().success());
    assert!(!net.switch.has_device("tap0"));
}

#[test]
fn a_tap_that_is_deleted_works_when_it_is_made_again() {
    let (net, mut daemon) = tap_and_host();
    for _ in 0..3 {
        then(
            &mut daemon,
            || drop(net.switch.ip("link del tap0").unwrap()),
            "the port is down until there is a tap0",
        );
        assert_eq!(state(&mut daemon, "tap0"), "waiting");
        then(&mut daemon, || drop(net.switch.ip("tuntap add tap0 mode tap").unwrap()), "port attached");
        // As the configuration has it: up.
        wait_until(SOON, "tap0 is up", || state(&mut daemon, "tap0") == "up").unwrap();
        add_address(&net.switch, "tap0", "198.18.0.2/24").unwrap();
        net.host(1).ip("neigh flush all").unwrap(); // It has another MAC address now.
        wait_for_ping(net.host(1), &address(2));
    }
}

#[test]
fn a_tap_deleted_in_the_namespace_it_was_moved_to_is_gone() {
    let (net, mut daemon) = tap_and_host();
    let container = quiet("container");
    move_device(&net.switch, "tap0", end(&container)).unwrap();
    wait_for_ping(&container, &address(1));
    then(&mut daemon, || drop(container), "the port is down until there is a tap0");
    then(&mut daemon, || drop(net.switch.ip("tuntap add tap0 mode tap").unwrap()), "port attached");
    add_address(&net.switch, "tap0", "198.18.0.2/24").unwrap();
    net.host(1).ip("neigh flush all").unwrap();
    wait_for_ping(net.host(1), &address(2));
}

#[test]
fn a_tap_that_another_process_holds_is_taken_when_it_lets_go() {
    let (net, mut daemon) = tap_and_host();
    let options = TapOptions { device: "tap0".into(), offload: true, persist: true, owner: None, queues: 1 };
    net.switch.ip("link del tap0").unwrap();
    daemon.wait_for_log("the port is down until there is a tap0", SOON).unwrap();
    let held = net.switch.enter(|| tap::open(&options)).unwrap().unwrap();
    daemon.wait_for_log("tap0 is busy", SOON).unwrap();
    then(&mut daemon, || drop(held), "port attached");
    add_address(&net.switch, "tap0", "198.18.0.2/24").unwrap();
    wait_for_ping(net.host(1), &address(2));
}

#[test]
fn a_changed_mtu_judges_what_leaves() {
    let (net, mut daemon) = two_hosts();
    let large = |from| {
        ping_with(net.host(from), &address(3 - from), 1, &["-M", "do", "-s", "1400"]).unwrap().received
    };
    assert_eq!(large(1), 1);
    net.switch.ip("link set p2 mtu 1000").unwrap();
    wait_until(SOON, "1400 bytes no longer pass", || large(1) == 0).unwrap();
    let summary = daemon.summary().unwrap();
    assert!(summary.port("p2").unwrap().drops()["mtu"] >= 1, "{summary:?}");
    accounts::check(&summary);
    net.switch.ip("link set p2 mtu 1500").unwrap();
    wait_until(SOON, "1400 bytes pass again", || large(1) == 1).unwrap();
}

#[test]
fn an_existing_tap_is_attached_to_and_left() {
    let net = Picture::of(1);
    net.switch.ip("tuntap add tap0 mode tap").unwrap();
    let mut daemon =
        Switchd::start(&net.switch, &(net.raw_ports() + "[ports.tap0]\ntype = \"tap\"\n")).unwrap();
    add_address(&net.switch, "tap0", "198.18.0.2/24").unwrap();
    wait_for_ping(net.host(1), &address(2));
    assert!(daemon.terminate().unwrap().success());
    assert!(net.switch.has_device("tap0"));
    // One that it made goes with it.
    let mut daemon = Switchd::start_with(&net.switch, &["--tap", "tap1"]).unwrap();
    assert!(net.switch.has_device("tap1"));
    assert!(daemon.terminate().unwrap().success());
    assert!(!net.switch.has_device("tap1"));
}

#[test]
fn the_options_of_a_tap_take_effect() {
    let switch = quiet("switch");
    let config = "[ports.tap0]\ntype = \"tap\"\npersist = true\nmtu = 1400\nowner = \"nobody\"\nup = false\n\
                  [ports.tap1]\ntype = \"tap\"\nowner = 12345\n";
    let mut daemon = Switchd::start(&switch, config).unwrap();
    let shown = |device: &str| switch.ip(&format!("-d link show dev {device}")).unwrap();
    let tap0 = shown("tap0");
    assert!(tap0.contains("mtu 1400") && tap0.contains("user nobody") && !tap0.contains(",UP"), "{tap0}");
    assert_eq!(state(&mut daemon, "tap0"), "down");
    let tap1 = shown("tap1");
    assert!(tap1.contains("mtu 1500") && tap1.contains("user 12345") && tap1.contains(",UP"), "{tap1}");
    assert_eq!(state(&mut daemon, "tap1"), "up");
    then(&mut daemon, || drop(switch.ip("link set tap0 up").unwrap()), "link is up port=\"tap0\"");

    assert!(daemon.terminate().unwrap().success());
    assert!(shown("tap0").contains("persist on") && !switch.has_device("tap1"));
    // And its owner may be told only once there is such a user.
    let config = "[ports.tap1]\ntype = \"tap\"\nowner = \"no-such-user\"\n";
    let error = format!("{:#}", Switchd::start(&switch, config).unwrap_err());
    assert!(error.contains("no user no-such-user"), "{error}");
}
