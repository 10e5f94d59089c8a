//! Who has an interface while a raw port is on it: the switch alone, or the host's own stack too.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod picture;

use picture::{Picture, SOON, address, host, mac_text, quiet, wait_for_ping};
use testbed::link::add_address;
use testbed::ping::ping_with;
use testbed::{Capture, End, Namespace, Switchd, ping, veth};

/// The host's own address on its NIC, `p1`.
const HOST: &str = "198.18.0.9";

fn answers(from: &Namespace, to: &str) -> bool {
    ping(from, to, 1).unwrap().received == 1
}

fn log_of(daemon: &Switchd, part: &str) -> String {
    let line = daemon.log().into_iter().find(|line| line.contains(part));
    line.unwrap_or_else(|| panic!("no {part:?} in {:#?}", daemon.log()))
}

fn mac_of(namespace: &Namespace, device: &str) -> String {
    namespace.run(&format!("cat /sys/class/net/{device}/address")).unwrap().trim().to_owned()
}

#[test]
fn the_default_depends_on_who_uses_the_interface() {
    let net = Picture::of(3);
    add_address(&net.switch, "p2", "198.18.0.9/24").unwrap();
    net.switch.ip("link add link p3 name mv0 type macvlan").unwrap();
    let config = net.raw_ports() + "exclusive = true\n";
    let mut daemon = Switchd::start(&net.switch, &config).unwrap();
    assert!(log_of(&daemon, "device=\"p1\"").contains("exclusive=true"));
    assert!(log_of(&daemon, "device=\"p2\"").contains("exclusive=false"));
    let why = log_of(&daemon, "p2 is shared with this host's own stack");
    assert!(why.contains("it has the address 198.18.0.9") && why.contains("can't reach each other"), "{why}");
    assert!(why.contains("host = true"), "{why}");
    // As it is told to be, and with a warning of what is cut off.
    assert!(log_of(&daemon, "device=\"p3\"").contains("exclusive=true"));
    let warning = log_of(&daemon, "p3 is exclusive although");
    assert!(warning.contains("WARN") && warning.contains("macvlan mv0 stands on it"), "{warning}");
    assert!(daemon.terminate().unwrap().success());

    let config = net.raw_ports().replace("raw\"", "raw\"\nexclusive = false");
    let daemon = Switchd::start(&net.switch, &config).unwrap();
    assert!(log_of(&daemon, "device=\"p1\"").contains("exclusive=false"));
    assert!(log_of(&daemon, "p1 is shared").contains("the configuration says so"));
}

#[test]
fn what_is_for_the_host_on_a_shared_uplink_is_not_flooded_to_the_guests() {
    let net = Picture::of(3);
    add_address(&net.switch, "p1", &format!("{HOST}/24")).unwrap();
    let mut daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
    let guest = Capture::start(net.host(2), "eth0", &["-Q", "in", "icmp"]).unwrap();
    assert_eq!(ping(net.host(1), HOST, 10).unwrap().lost(), 0);
    let summary = daemon.summary().unwrap();
    assert!(summary.port("p1").unwrap().drops()["to_host"] >= 10, "{summary:?}");
    let own = mac_of(&net.switch, "p1");
    let entry = summary.entries.iter().find(|entry| entry.text("mac") == Some(&own)).unwrap();
    assert_eq!((entry.text("port"), entry.text("entry")), (Some("p1"), Some("local")));
    accounts::check(&summary);

    // Guests and the outside reach each other, but not the host; nor does it answer in their network.
    for to in [1, 3] {
        assert_eq!(ping(net.host(2), &address(to), 3).unwrap().lost(), 0);
    }
    assert!(!answers(net.host(2), HOST));
    let seen = guest.stop().unwrap();
    let for_host = |ip: &[u8]| ip[16..20] == [198, 18, 0, 9];
    assert!(!seen.is_empty() && !seen.iter().any(|frame| for_host(&frame.bytes[14..])), "{seen:?}");
}

/// Brings the NIC down and up, and adds an address: the host says so to everybody on the wire.
fn provoke(switch: &Namespace) {
    switch.ip("link set p1 down").unwrap();
    switch.ip("link set p1 up").unwrap();
    switch.ip("address replace 2001:db8::99/64 dev p1").unwrap();
    switch.run("ping -c 1 -W 1 198.18.0.1").ok();
}

#[test]
fn nothing_of_the_hosts_is_on_an_exclusive_wire_and_nothing_is_answered() {
    let (switch, outside) = (Namespace::new("switch").unwrap(), quiet("outside"));
    let end = End::new(&switch, "p1").address("198.18.0.9/24");
    veth(end, End::new(&outside, "eth0").address("198.18.0.1/24")).unwrap();
    let vm = host(&switch, 2);
    switch.run("sysctl -qw net.ipv6.conf.p2.disable_ipv6=1").unwrap();
    let config = "[ports.p1]\ntype = \"raw\"\nexclusive = true\n[ports.p2]\ntype = \"raw\"\n";

    // What there would be to see.
    let capture = Capture::start(&outside, "eth0", &["-Q", "in"]).unwrap();
    provoke(&switch);
    let own = picture::address_of(&mac_of(&switch, "p1"));
    for (what, ethertype) in [("IPv6", [0x86, 0xdd]), ("ARP", [8, 6])] {
        capture.wait_for(SOON, what, |frame| frame[6..12] == own && frame[12..14] == ethertype).unwrap();
    }
    wait_for_ping(&outside, HOST);

    let mut daemon = Switchd::start(&switch, config).unwrap();
    wait_for_ping(&vm, &address(1));
    drop(capture);
    let capture = Capture::start(&outside, "eth0", &["-Q", "in"]).unwrap();
    provoke(&switch);
    outside.ip("neigh flush all").unwrap();
    // It is up, has its link-local address, and says nothing for 10 s.
    let asked = ping_with(&outside, HOST, 20, &["-i", "0.5"]).unwrap();
    assert_eq!((asked.sent, asked.received), (20, 0));
    assert!(switch.ip("address show dev p1").unwrap().contains("inet6 fe80::"));
    let seen = capture.stop().unwrap();
    let of_host: Vec<_> = seen.iter().filter(|frame| frame.bytes[6..12] == own).collect();
    assert!(of_host.is_empty(), "{of_host:?}");
    wait_for_ping(&vm, &address(1));
    accounts::check(&daemon.summary().unwrap());
}

#[test]
fn the_host_does_not_answer_guests_at_its_end_of_their_wires() {
    let net = Picture::of(2);
    // Linux answers for any address of the host on any interface, unless it does not see the question.
    add_address(&net.switch, "lo", &format!("{HOST}/32")).unwrap();
    net.switch.ip("route add 198.18.0.2/32 dev p2").unwrap();
    wait_for_ping(net.host(2), HOST);
    let mut daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
    net.host(2).ip("neigh flush all").unwrap();
    assert!(!answers(net.host(2), HOST));
    wait_for_ping(net.host(2), &address(1));
    assert!(daemon.terminate().unwrap().success());
    // The question that found no answer is asked again after a second.
    wait_for_ping(net.host(2), HOST);
}

#[test]
fn sigkill_gives_the_interface_back_within_a_second() {
    let net = Picture::of(2);
    add_address(&net.switch, "p1", &format!("{HOST}/24")).unwrap();
    let config = net.raw_ports().replacen("raw\"", "raw\"\nexclusive = true", 1);
    let mut daemon = Switchd::start(&net.switch, &config).unwrap();
    wait_for_ping(net.host(2), &address(1));
    // Without ARP, which a host that got no answer asks again only after a second.
    let mac = net.switch.run("cat /sys/class/net/p1/address").unwrap();
    net.host(1).ip(&format!("neigh replace {HOST} lladdr {} dev eth0 nud permanent", mac.trim())).unwrap();
    let peer = format!("neigh replace {} lladdr {} dev p1 nud permanent", address(1), mac_text(1));
    net.switch.ip(&peer).unwrap();
    assert!(!answers(net.host(1), HOST));
    daemon.kill9().unwrap();
    let second = ping(net.host(1), HOST, 20).unwrap();
    assert!(second.received > 0, "the host does not answer within a second: {second:?}");
    assert_eq!(net.switch.run("nft list ruleset").unwrap(), "");
}

#[test]
fn a_macvlan_on_the_uplink_survives() {
    let net = Picture::of(2);
    let container = quiet("container");
    let inside = "link add link p1 name mv0 address 02:00:00:00:00:07 type macvlan mode bridge";
    net.switch.ip(inside).unwrap();
    net.switch.ip(&format!("link set mv0 netns {} name eth0", container.name())).unwrap();
    add_address(&container, "eth0", "198.18.0.7/24").unwrap();
    container.ip("link set eth0 up").unwrap();
    // It has frames of its own both ways, from the wire and to it.
    let works = |when: &str| {
        assert_eq!(ping(net.host(1), &address(7), 3).unwrap().lost(), 0, "{when}");
        assert_eq!(ping(&container, &address(1), 3).unwrap().lost(), 0, "{when}");
    };
    works("before");
    let mut daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
    assert!(log_of(&daemon, "p1 is shared").contains("02:00:00:00:00:07"), "{:?}", daemon.log());
    wait_for_ping(net.host(2), &address(1));
    works("during");
    assert_eq!(daemon.summary().unwrap().port_of(&mac_text(2)), Some("p2"));
    assert!(daemon.terminate().unwrap().success());
    works("after");
}

#[test]
fn guests_and_the_host_reach_each_other_through_a_host_port() {
    let net = Picture::of(2);
    let port = "[ports.host]\ntype = \"tap\"\ndevice = \"br0\"\nhost = true\n";
    let mut daemon = Switchd::start(&net.switch, &(net.raw_ports() + port)).unwrap();
    add_address(&net.switch, "br0", &format!("{HOST}/24")).unwrap();
    for number in [1, 2] {
        assert_eq!(ping(net.host(number), HOST, 3).unwrap().lost(), 0);
        assert_eq!(ping(&net.switch, &address(number), 3).unwrap().lost(), 0);
    }
    assert_eq!(ping(net.host(2), &address(1), 3).unwrap().lost(), 0);
    // Each question is answered once.
    let twice = net.host(1).run(&format!("ping -c 5 -i 0.05 {HOST}")).unwrap();
    assert!(!twice.contains("DUP!") && !twice.contains("duplicates"), "{twice}");
    let summary = daemon.summary().unwrap();
    assert_eq!(summary.port_of(&mac_of(&net.switch, "br0")), Some("host"));
    accounts::check(&summary);
}
