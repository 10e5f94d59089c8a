//! Exclusive ports: the host's stack is off the interface both ways, the port is not, and nothing is
//! left behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::process::{Command, Stdio};
use std::time::Duration;

use ports::TxQueue;
use ports::exclusive::Exclusive;
use ports::raw::RawOptions;
use rig::{PATIENCE, drain, frame, open, options, pair, receive};
use testbed::{FrameSocket, Namespace, ping, wait_until};

const MARK: u32 = 0x5357_4954;

/// A host and the machine that we run on, both with an address.
fn addressed() -> (Namespace, Namespace) {
    let (switch, host) = pair(1500);
    switch.ip("address add 198.18.0.1/24 dev port").unwrap();
    host.ip("address add 198.18.0.2/24 dev eth0").unwrap();
    (switch, host)
}

fn ifindex(namespace: &Namespace, device: &str) -> u32 {
    namespace.enter(|| ports::device::find(device)).unwrap().unwrap().ifindex
}

fn rules(namespace: &Namespace) -> String {
    namespace.run("nft list ruleset").unwrap()
}

/// Whether the two reach each other, tried both ways as neither knows the other's address yet.
fn reachable(a: &Namespace, b: &Namespace) -> bool {
    for (namespace, device) in [(a, "port"), (b, "eth0")] {
        namespace.ip(&format!("neighbour flush dev {device}")).unwrap();
    }
    ping(a, "198.18.0.2", 1).is_ok_and(|p| p.lost() == 0)
        || ping(b, "198.18.0.1", 1).is_ok_and(|p| p.lost() == 0)
}

#[test]
fn the_host_is_mute_and_deaf_and_the_port_is_not() {
    let (switch, host) = addressed();
    assert!(reachable(&switch, &host));
    let before = rules(&switch);
    let index = ifindex(&switch, "port");
    let mut exclusive = switch.enter(|| Exclusive::new(MARK)).unwrap().unwrap();
    exclusive.hold("port", index).unwrap();
    exclusive.hold("port", index).unwrap();
    assert_eq!(exclusive.held().collect::<Vec<_>>(), ["port"]);
    let held = rules(&switch);
    assert!(
        held.contains(&format!("table netdev switchd_{index}")) && held.contains("flags owner"),
        "{held}"
    );

    let mut far = FrameSocket::open(&host, "eth0").unwrap();
    let mut port = open(&switch, &RawOptions { mark: Some(MARK), ..options("port") });
    let mut unmarked = open(&switch, &options("port"));
    // What arrives, the port receives and the host does not answer.
    assert!(!reachable(&switch, &host));
    let bytes = frame(&[], 46);
    drain(&mut port.rx[0]);
    far.send(&bytes).unwrap();
    assert_eq!(receive(&mut port.rx[0], 1), [bytes]);
    // Of what is sent, only what the port sends comes out. Nothing of the host's did so far either.
    let (ours, others) = (frame(&[], 50), frame(&[], 60));
    let _ = unmarked.tx[0].send(&frame::Frame::parse(&others, 0, None, frame::Offload::default()).unwrap());
    port.tx[0].send(&frame::Frame::parse(&ours, 0, None, frame::Offload::default()).unwrap()).unwrap();
    let local = |bytes: &[u8]| bytes[6..12] != [2, 0, 0, 0, 0, 1];
    assert_eq!(far.receive_where(PATIENCE, local).unwrap(), ours);

    exclusive.release("port").unwrap();
    assert_eq!(rules(&switch), before);
    assert!(reachable(&switch, &host));
    exclusive.hold("port", index).unwrap();
    assert!(!reachable(&switch, &host));
    drop(exclusive);
    wait_until(PATIENCE, "the tables are gone", || rules(&switch) == before).unwrap();
    assert!(reachable(&switch, &host));
}

#[test]
fn an_interface_that_was_made_again_is_held_again() {
    let (switch, host) = addressed();
    let mut exclusive = switch.enter(|| Exclusive::new(MARK)).unwrap().unwrap();
    exclusive.hold("port", ifindex(&switch, "port")).unwrap();
    switch.ip("link del port").unwrap();
    switch.ip(&format!("link add port type veth peer name eth0 netns {}", host.name())).unwrap();
    switch.ip("link set port up").unwrap();
    switch.ip("address add 198.18.0.1/24 dev port").unwrap();
    host.ip("link set eth0 up").unwrap();
    host.ip("address add 198.18.0.2/24 dev eth0").unwrap();
    exclusive.hold("port", ifindex(&switch, "port")).unwrap();
    assert!(!reachable(&switch, &host));
    assert_eq!(rules(&switch).matches("table netdev").count(), 1);
    switch.ip("link del port").unwrap();
    exclusive.release("port").unwrap();
    assert_eq!(rules(&switch), "");
}

/// The process that holds the interface is this test binary again, see [`hold_until_killed`].
#[test]
fn a_killed_process_leaves_nothing() {
    let (switch, host) = addressed();
    let mut holder = Command::new("ip")
        .args(["netns", "exec", switch.name()])
        .arg(std::env::current_exe().unwrap())
        .args(["hold_until_killed", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(PATIENCE, "the table", || rules(&switch).contains("flags owner")).unwrap();
    assert!(!reachable(&switch, &host));
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until(PATIENCE, "the table is gone", || rules(&switch).is_empty()).unwrap();
    assert!(reachable(&switch, &host));
}

#[test]
#[ignore = "the part of the killed process in another test"]
fn hold_until_killed() {
    let Ok(device) = ports::device::find("port") else { return };
    let mut exclusive = Exclusive::new(MARK).unwrap();
    exclusive.hold("port", device.ifindex).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_missing_capability_is_named() {
    let (switch, _host) = addressed();
    let index = ifindex(&switch, "port");
    let error = switch.enter(|| {
        let none = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none).unwrap();
        Exclusive::new(MARK).unwrap().hold("port", index).unwrap_err().to_string()
    });
    assert!(error.unwrap().contains("CAP_NET_ADMIN is missing"));
}
