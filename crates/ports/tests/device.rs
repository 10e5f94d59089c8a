//! What is said of an interface, and what is put back on it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::fs;
use std::path::PathBuf;

use ports::bypass::bypassed_rules;
use ports::device::{self, Device, WhyNot, default_exclusive};
use ports::features::Setting;
use ports::restore::Restore;
use rig::{open, options, pair, quiet};
use testbed::{FrameSocket, Namespace};

fn look(namespace: &Namespace, name: &str) -> Device {
    namespace.enter(|| device::find(name)).unwrap().unwrap()
}

fn why_not(namespace: &Namespace) -> WhyNot {
    default_exclusive(&look(namespace, "port")).unwrap_err()
}

#[test]
fn an_interface_is_exclusive_by_default_where_nobody_else_uses_it() {
    let (switch, _host) = pair(1500);
    switch.run("sysctl -qw net.ipv6.conf.port.disable_ipv6=0").unwrap();
    switch.ip("address add fe80::99/64 dev port nodad").unwrap();
    let device = look(&switch, "port");
    assert_eq!((device.mtu, device.up, device.kind.as_deref()), (1500, true, Some("veth")));
    assert_eq!(default_exclusive(&device), Ok(()));

    switch.ip("address add 2001:db8::1/64 dev port nodad").unwrap();
    switch.ip("address add 198.18.0.1/32 dev port").unwrap();
    let WhyNot::Addressed(mut addresses) = why_not(&switch) else { panic!() };
    addresses.sort();
    assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["198.18.0.1", "2001:db8::1"]);
    switch.ip("address flush dev port").unwrap();
    assert_eq!(default_exclusive(&look(&switch, "port")), Ok(()));

    switch.ip("link add link port name mv0 type macvlan").unwrap();
    assert_eq!(why_not(&switch).to_string(), "macvlan mv0 stands on it");
}

#[test]
fn a_macvlan_in_a_container_is_noticed() {
    let (switch, _host) = pair(1500);
    let container = quiet("container");
    switch.ip("link add link port name mv0 address 02:00:00:00:00:77 type macvlan").unwrap();
    switch.ip(&format!("link set mv0 netns {} up", container.name())).unwrap();
    container.ip("link set mv0 up").unwrap();
    let why = why_not(&switch);
    assert_eq!(why, WhyNot::ForeignMacs(vec!["02:00:00:00:00:77".parse().unwrap()]));
    assert!(why.to_string().contains("02:00:00:00:00:77"), "{why}");
}

#[test]
fn the_other_end_of_a_pair_does_not_stand_on_it() {
    let switch = quiet("switch");
    switch.ip("link add port type veth peer name other").unwrap();
    assert_eq!(default_exclusive(&look(&switch, "port")), Ok(()));
}

#[test]
fn rules_that_a_packet_socket_passes_by_are_listed() {
    let (switch, _host) = pair(1500);
    let listed = || switch.enter(|| bypassed_rules(&device::find("port").unwrap())).unwrap();
    assert_eq!(listed(), [""; 0]);
    switch
        .run(
            "nft 'table netdev guard { chain in { type filter hook ingress device port priority 0; }; \
              chain out { type filter hook egress device port priority 0; }; }'",
        )
        .unwrap();
    switch
        .run("nft 'table inet wall { chain early { type filter hook ingress devices = { port, lo } priority 0; }; \
              chain in { type filter hook input priority 0; }; }'")
        .unwrap();
    switch.run("tc qdisc add dev port clsact").unwrap();
    switch.run("tc filter add dev port ingress protocol all u32 match u32 0 0 flowid 1:1").unwrap();
    let mut all = listed();
    all.sort();
    let expected = [
        "nft chain inet wall early (hook ingress)",
        "nft chain netdev guard in (hook ingress)",
        "tc filters (u32) at the clsact qdisc",
    ];
    assert_eq!(all, expected);
}

#[test]
fn an_ingress_qdisc_matters_only_with_filters() {
    let (switch, _host) = pair(1500);
    let listed = || switch.enter(|| bypassed_rules(&device::find("port").unwrap())).unwrap();
    switch.run("tc qdisc add dev port ingress").unwrap();
    assert_eq!(listed(), [""; 0]);
    switch.run("tc filter add dev port parent ffff: protocol ip u32 match u32 0 0 flowid 1:1").unwrap();
    assert_eq!(listed(), ["tc filters (u32) at the ingress qdisc"]);
}

#[test]
fn counters_count() {
    let (switch, host) = pair(1500);
    let port = look(&switch, "port");
    let before = switch.enter(|| device::counters(port.ifindex)).unwrap().unwrap().unwrap();
    let mut socket = FrameSocket::open(&host, "eth0").unwrap();
    for _ in 0..5 {
        socket.send(&rig::frame(&[], 46)).unwrap();
    }
    let after = switch.enter(|| device::counters(port.ifindex)).unwrap().unwrap().unwrap();
    assert_eq!(after.rx_packets - before.rx_packets, 5);
    switch.ip("link del port").unwrap();
    assert_eq!(switch.enter(|| device::counters(port.ifindex)).unwrap().unwrap(), None);
}

/// A state file of this test's own, removed at the end.
struct StateFile(PathBuf);

impl StateFile {
    fn new(label: &str) -> Self {
        Self(std::env::temp_dir().join(format!("switchd-{label}-{}.json", std::process::id())))
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        for suffix in ["", ".new", ".corrupt"] {
            let _ = fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

/// Everything that a record can hold, as the system's own tools show it.
fn state(namespace: &Namespace) -> [String; 2] {
    let link = namespace.ip("-o link show dev port").unwrap();
    let gro = namespace.run("ethtool -k port").unwrap();
    let gro = gro.lines().find(|line| line.starts_with("generic-receive-offload")).unwrap().to_owned();
    [link.split("link/ether").next().unwrap().to_owned(), gro]
}

#[test]
fn what_was_changed_is_put_back_also_after_a_kill() {
    let (switch, _host) = pair(1500);
    let file = StateFile::new("restore");
    let ifindex = look(&switch, "port").ifindex;
    switch.run("ethtool -K port gro off").unwrap();
    switch.ip("link set port down").unwrap();
    let before = state(&switch);
    let wanted = [
        Setting::Gro(true),
        Setting::Lro(false),
        Setting::Mtu(9000),
        Setting::TxQueueLen(77),
        Setting::Up(true),
    ];
    switch
        .enter(|| {
            let (mut restore, warning) = Restore::open(&file.0);
            assert_eq!(warning, None);
            let changed = wanted.map(|to| restore.change("port", ifindex, to).unwrap());
            assert_eq!(changed, [true, false, true, true, true]);
            // Killed here: the next run changes again, and only the first values count.
        })
        .unwrap();
    let [link, gro] = state(&switch);
    assert!(link.contains("mtu 9000") && link.contains("qlen 77") && link.contains(",UP"), "{link}");
    assert_eq!(gro, "generic-receive-offload: on");
    switch
        .enter(|| {
            let (mut restore, warning) = Restore::open(&file.0);
            assert_eq!(warning, None);
            assert_eq!(restore.saved().len(), 4);
            assert!(restore.change("port", ifindex, Setting::Mtu(2000)).unwrap());
            assert_eq!(restore.put_back_all(), [""; 0]);
        })
        .unwrap();
    assert_eq!(state(&switch), before);
    assert!(!file.0.exists());
}

#[test]
fn a_later_interface_of_the_same_name_is_left_alone() {
    let (switch, host) = pair(1500);
    let file = StateFile::new("later");
    let ifindex = look(&switch, "port").ifindex;
    let (mut restore, _) = Restore::open(&file.0);
    switch.enter(|| restore.change("port", ifindex, Setting::Mtu(1400)).unwrap()).unwrap();
    switch.ip("link del port").unwrap();
    switch.ip(&format!("link add port mtu 1300 type veth peer name eth0 netns {}", host.name())).unwrap();
    assert_eq!(switch.enter(|| restore.put_back_device("port")).unwrap(), [""; 0]);
    assert_eq!(look(&switch, "port").mtu, 1300);
    assert!(!file.0.exists());
}

#[test]
fn what_cannot_be_put_back_is_said_and_kept() {
    let (switch, _host) = pair(1500);
    let file = StateFile::new("kept");
    let ifindex = look(&switch, "port").ifindex;
    let (mut restore, _) = Restore::open(&file.0);
    restore.record("port", ifindex, Setting::Mtu(1)).unwrap();
    let problems = switch.enter(|| restore.put_back_all()).unwrap();
    assert!(
        problems.len() == 1 && problems[0].contains("port") && problems[0].contains("MTU 1:"),
        "{problems:?}"
    );
    assert_eq!(Restore::open(&file.0).0.saved(), restore.saved());
}

#[test]
fn a_spoilt_file_is_set_aside_with_a_warning() {
    let file = StateFile::new("spoilt");
    fs::write(&file.0, "[{\"device\": ").unwrap();
    let (restore, warning) = Restore::open(&file.0);
    assert!(restore.saved().is_empty());
    assert!(warning.unwrap().contains(".corrupt"));
    assert!(!file.0.exists());
}

#[test]
fn opening_a_port_leaves_no_trace_on_the_interface() {
    let (switch, _host) = pair(1500);
    let details = || switch.ip("-d -o link show dev port").unwrap();
    let before = details();
    let port = open(&switch, &options("port"));
    assert!(details().contains("promiscuity 1"), "{}", details());
    drop(port);
    assert_eq!(details(), before);
}
