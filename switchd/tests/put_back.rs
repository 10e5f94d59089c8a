//! What an interface was like before, it is like afterwards: after SIGTERM, and after SIGKILL once the switch
//! was started again and ended.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::collections::BTreeMap;
use std::time::Duration;

use picture::{Picture, SOON, quiet, rename, wait_for_ping};
use testbed::link::add_address;
use testbed::{Namespace, Switchd, wait_until};

/// Everything that a user can see of the devices of a namespace, by the command that shows it.
fn look(namespace: &Namespace) -> BTreeMap<String, String> {
    let links = namespace.ip("-br link").unwrap();
    let names: Vec<_> = links.lines().map(|line| line.split([' ', '@']).next().unwrap()).collect();
    let mut commands: Vec<String> =
        ["ip -d link", "ip address", "ip route", "ip -6 route", "tc qdisc", "nft list ruleset"]
            .map(str::to_owned)
            .to_vec();
    for name in names.iter().filter(|name| **name != "lo") {
        commands.push(format!("ethtool -k {name}"));
        commands.push(format!("tc filter show dev {name} ingress"));
        commands.push(format!("bridge fdb show dev {name}"));
    }
    commands
        .into_iter()
        .map(|command| {
            let shown = namespace.run(&command).unwrap();
            (command, shown)
        })
        .collect()
}

/// The kernel notes a lost carrier up to a second later. What differs after that is shown by line.
fn assert_back(before: &BTreeMap<String, String>, namespace: &Namespace) {
    let same = wait_until(Duration::from_secs(3), "all is as it was", || look(namespace) == *before);
    if same.is_err() {
        assert_same(before, &look(namespace));
    }
}

fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (command, was) in before {
        let is = &after[command];
        let differences: Vec<_> = was.lines().zip(is.lines()).filter(|(was, is)| was != is).collect();
        assert!(was == is, "{command}: (before, after) {differences:#?}");
    }
}

/// A NIC in use with filters and settings of its own, one without, and a persistent TAP.
fn host() -> (Picture, String) {
    let net = Picture::of(2);
    let switch = &net.switch;
    for command in [
        "ip address add 198.18.0.9/24 dev p1",
        "ip route add 198.18.99.0/24 via 198.18.0.1 dev p1",
        "ip link set p1 mtu 1400 txqueuelen 77",
        "ethtool -K p1 gro off tx off",
        "ethtool -K p2 gro on tso off",
        "tc qdisc add dev p1 clsact",
        "tc filter add dev p1 ingress protocol all u32 match u32 0 0 flowid 1:1",
        "tc qdisc add dev p2 root pfifo limit 55",
        "nft 'table netdev guard { chain in { type filter hook ingress device p2 priority 0; }; }'",
        "nft 'table inet wall { chain in { type filter hook input priority 0; }; }'",
        "ip tuntap add tap0 mode tap user nobody",
        "ip link set tap0 up txqueuelen 500 mtu 1300",
    ] {
        switch.run(command).unwrap();
    }
    let tap = "[ports.tap0]\ntype = \"tap\"\nmtu = 1450\n[ports.new]\ntype = \"tap\"\ndevice = \"tap1\"\n";
    let config = net.raw_ports() + tap;
    (net, config)
}

#[test]
fn after_sigterm_all_is_as_it_was() {
    let (net, config) = host();
    let before = look(&net.switch);
    for _ in 0..2 {
        let mut daemon = Switchd::start(&net.switch, &config).unwrap();
        wait_for_ping(net.host(2), "198.18.0.1");
        let during = look(&net.switch);
        assert!(
            before["ip -d link"] != during["ip -d link"] && during["nft list ruleset"].contains("switchd_")
        );
        assert!(during["ethtool -k p1"].contains("generic-receive-offload: on"));
        assert!(daemon.terminate().unwrap().success());
        assert_back(&before, &net.switch);
    }
}

#[test]
fn after_sigkill_all_is_as_it_was_once_it_was_started_again_and_ended() {
    let (net, config) = host();
    let before = look(&net.switch);
    let mut daemon = Switchd::start(&net.switch, &config).unwrap();
    // Killed twice: what the second start finds is not what there was.
    for _ in 0..2 {
        daemon.kill9().unwrap();
        let left = look(&net.switch);
        assert_eq!(left["nft list ruleset"], before["nft list ruleset"]);
        assert!(left["ethtool -k p1"].contains("generic-receive-offload: on"));
        daemon = daemon.start_again().unwrap();
    }
    wait_for_ping(net.host(2), "198.18.0.1");
    assert!(daemon.terminate().unwrap().success());
    assert_back(&before, &net.switch);
}

#[test]
fn a_start_that_is_refused_changes_nothing() {
    let (net, config) = host();
    let before = look(&net.switch);
    let config = config + "[ports.wrong]\ntype = \"raw\"\ndevice = \"lo\"\n";
    let error = format!("{:#}", Switchd::start(&net.switch, &config).unwrap_err());
    assert!(error.contains("loopback"), "{error}");
    assert_back(&before, &net.switch);
}

#[test]
fn a_device_that_is_renamed_gets_back_what_it_had() {
    let net = Picture::of(1);
    net.switch.run("ethtool -K p1 gro off").unwrap();
    let mut daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
    let gro = |name: &str| net.switch.run(&format!("ethtool -k {name}")).unwrap();
    assert!(gro("p1").contains("generic-receive-offload: on"));
    rename(&net.switch, "p1", "other");
    wait_until(SOON, "it has its own setting back", || gro("other").contains("generic-receive-offload: off"))
        .unwrap();
    assert!(daemon.terminate().unwrap().success());
}

#[test]
fn a_tap_of_several_queues_or_with_a_header_of_its_own_is_left_so() {
    let switch = quiet("switch");
    for (name, options) in [("tap0", "multi_queue"), ("tap1", "vnet_hdr"), ("tap2", "pi"), ("tap3", "")] {
        switch.ip(&format!("tuntap add {name} mode tap {options}")).unwrap();
        switch.ip(&format!("link set {name} up")).unwrap();
    }
    let without_carrier = || switch.ip("-br link").unwrap().matches("NO-CARRIER").count() == 4;
    wait_until(SOON, "the kernel has noticed that nobody holds them", without_carrier).unwrap();
    add_address(&switch, "tap0", "198.18.0.1/24").unwrap();
    let before = look(&switch);
    assert!(
        before["ip -d link"].contains("pi on") && before["ip -d link"].contains("multi_queue"),
        "{before:?}"
    );
    let ports = |options: &str| {
        let port = |name| format!("[ports.{name}]\ntype = \"tap\"\n{options}\n");
        ["tap0", "tap1", "tap2", "tap3"].map(port).concat()
    };
    for options in ["", "offload = false"] {
        let mut daemon = Switchd::start(&switch, &ports(options)).unwrap();
        daemon.summary().unwrap();
        assert!(daemon.terminate().unwrap().success());
        assert_back(&before, &switch);
    }
}
