//! QEMU guests on TAPs of a kernel bridge: they reach each other, and nothing is left of them.

use std::path::Path;
use std::time::Duration;

use testbed::guest::{guest_to_guest, guest_to_namespace, namespace_to_guest};
use testbed::{End, Guest, GuestOptions, Lab, Namespace, kernel_bridge, ping, veth};

#[allow(clippy::unwrap_used, reason = "a test's own")]
fn guest(namespace: &Namespace, number: u32) -> Guest {
    let options = GuestOptions {
        tap: format!("vnet{number}"),
        mac: format!("52:54:00:00:00:{number:02}"),
        addresses: vec![format!("198.18.0.{number}/24"), format!("2001:db8::{number}/64")],
        ..GuestOptions::default()
    };
    Guest::start(namespace, options).unwrap()
}

#[test]
fn two_guests_and_a_namespace_reach_each_other_and_nothing_is_left() {
    let switch = Namespace::new("switch").unwrap();
    let host = Namespace::new("host").unwrap();
    let end = End::new(&host, "eth0").address("198.18.0.3/24").address("2001:db8::3/64");
    veth(end, End::new(&switch, "p3")).unwrap();
    let (mut one, mut two) = (guest(&switch, 1), guest(&switch, 2));
    kernel_bridge(&switch, "br0", &["vnet1", "vnet2", "p3"]).unwrap();
    two.wait_ready().unwrap();

    for address in ["198.18.0.2", "2001:db8::2", "198.18.0.3", "2001:db8::3"] {
        let ping = one.ping(address, 2).unwrap();
        assert!(ping.received == 2 && ping.mean.is_some(), "{address} {ping:?}");
    }
    assert_eq!(ping(&host, "2001:db8::1", 2).unwrap().lost(), 0);
    for net in ["198.18.0.", "2001:db8::"] {
        let to = |number: u32| format!("{net}{number}");
        let transfer = guest_to_guest(&mut one, &mut two, &to(2), 10_000_000).unwrap();
        assert!(transfer.intact, "{net} {transfer:?}");
        let transfer = guest_to_namespace(&mut one, &host, &to(3), 10_000_000).unwrap();
        assert!(transfer.intact, "{net} {transfer:?}");
        let transfer = namespace_to_guest(&host, &mut two, &to(2), 10_000_000).unwrap();
        assert!(transfer.intact, "{net} {transfer:?}");
    }

    let pids = [one.id(), two.id()];
    drop((one, two));
    assert!(!switch.has_device("vnet1") && !switch.has_device("vnet2"));
    assert!(!pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()));
}

#[test]
fn a_guest_runs_commands_and_can_be_stopped() {
    let switch = Namespace::new("switch").unwrap();
    let mut guest = guest(&switch, 1);
    let soon = Duration::from_secs(5);
    let answer = guest.run("echo \"a  b\"; echo c >&2; exit 3", soon).unwrap();
    assert_eq!((answer.status, answer.output.as_str()), (3, "a  b\nc\n"));
    assert_eq!(guest.run("sleep 100", Duration::from_secs(1)).unwrap().status, 137);
    assert_eq!(guest.check("cat /sys/class/net/eth0/address").unwrap().trim(), "52:54:00:00:00:01");
    assert!(guest.check("modprobe 8021q && ip link add link eth0 name eth0.7 type vlan id 7").is_ok());
    if Path::new("/usr/bin/iperf3").exists() {
        assert!(guest.check("iperf3 --version").unwrap().starts_with("iperf 3"));
    }
    guest.stop().unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", guest.id())).unwrap();
    assert!(state.contains(") T "), "{state}");
    guest.cont().unwrap();
    assert_eq!(guest.check("echo awake").unwrap(), "awake\n");
}

#[test]
fn a_tap_that_cannot_be_opened_says_so() {
    let switch = Namespace::new("switch").unwrap();
    switch.ip("link add vnet1 type bridge").unwrap();
    let options = GuestOptions {
        tap: "vnet1".into(),
        mac: "52:54:00:00:00:01".into(),
        addresses: vec![],
        ..GuestOptions::default()
    };
    let error = Guest::start(&switch, options).unwrap_err().to_string();
    assert!(error.contains("vnet1"), "{error}");
}

#[test]
fn programs_of_this_machine_run_on_debians_kernel() {
    let mut lab = Lab::boot(&[&std::env::current_exe().unwrap(), Path::new("/etc/hostname")]).unwrap();
    assert!(lab.check("uname -r").unwrap().trim().ends_with("-cloud-amd64"));
    // What this machine's own kernel may not have.
    lab.check(
        "ip link add br0 type bridge vlan_filtering 1 && ip link add link br0 name br0.7 type vlan id 7",
    )
    .unwrap();
    assert!(lab.check("bridge vlan show").unwrap().contains("PVID Egress Untagged"));
    lab.check("[ -c /dev/net/tun ] && [ -c /dev/vhost-net ] && ip netns add a && ip netns exec a ip link")
        .unwrap();
    assert_eq!(lab.check("cat /lab/hostname").unwrap(), std::fs::read_to_string("/etc/hostname").unwrap());
    let me = std::env::current_exe().unwrap();
    let this = format!("/lab/{}", me.file_name().unwrap().to_str().unwrap());
    assert!(lab.check(&format!("{this} --list")).unwrap().contains("programs_of_this_machine_run_on"));
    let error = lab.check("echo so it is; exit 3").unwrap_err().to_string();
    assert!(error.contains("status 3") && error.contains("so it is"), "{error}");
    let error = lab.pass("echo begun; sleep 100", Duration::from_secs(1)).unwrap_err().to_string();
    assert!(error.contains("no end within 1s") && error.contains("begun"), "{error}");
}
