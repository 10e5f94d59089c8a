//! Namespaces and the wires between them: they work, and nothing is left of them.

use std::time::Duration;

use testbed::link::move_device;
use testbed::{End, Namespace, command, kernel_bridge, ping, veth, wait_until};

#[test]
fn hosts_on_a_kernel_bridge_reach_each_other_by_ipv4_and_ipv6() {
    let (left, switch, right) = three();
    veth(
        End::new(&left, "eth0").mac("02:00:00:00:00:01").address("198.18.0.1/24").address("2001:db8::1/64"),
        End::new(&switch, "p1"),
    )
    .unwrap();
    veth(
        End::new(&right, "eth0").mtu(9000).address("198.18.0.2/24").address("2001:db8::2/64"),
        End::new(&switch, "p2"),
    )
    .unwrap();
    kernel_bridge(&switch, "br0", &["p1", "p2"]).unwrap();

    assert_eq!(ping(&left, "198.18.0.2", 3).unwrap().lost(), 0);
    assert_eq!(ping(&left, "2001:db8::2", 3).unwrap().lost(), 0);
    assert_eq!(ping(&left, "198.18.0.99", 1).unwrap().received, 0);
    let link = left.ip("link show eth0").unwrap();
    assert!(link.contains("02:00:00:00:00:01") && link.contains("mtu 1500"), "{link}");
    assert!(right.ip("link show eth0").unwrap().contains("mtu 9000"));
    assert!(left.statistic("eth0", "rx_packets").unwrap() >= 6);
}

#[test]
fn a_device_can_be_moved_while_it_is_in_use() {
    let (left, switch, right) = three();
    veth(End::new(&left, "eth0").address("198.18.0.1/24"), End::new(&switch, "p1")).unwrap();
    move_device(&switch, "p1", End::new(&right, "eth0").address("198.18.0.2/24")).unwrap();
    assert!(!switch.has_device("p1") && right.has_device("eth0"));
    assert_eq!(ping(&left, "198.18.0.2", 2).unwrap().lost(), 0);
}

#[test]
fn a_closure_runs_inside_and_brings_its_value_out() {
    let namespace = Namespace::new("enter").unwrap();
    let inside = namespace.enter(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
    assert_ne!(inside, std::fs::read_link("/proc/self/ns/net").unwrap());
    assert_eq!(inside.to_str(), Some(namespace.run("readlink /proc/self/ns/net").unwrap().trim()));
}

#[test]
fn nothing_is_left_after_a_panic() {
    let (tell, told) = std::sync::mpsc::channel();
    let ended = std::thread::spawn(move || {
        let namespace = Namespace::new("panic").unwrap();
        let process = namespace.spawn("sleep 1000").unwrap();
        assert!(command::run("ip netns list").unwrap().contains(namespace.name()));
        tell.send((namespace.name().to_owned(), process.id())).unwrap();
        panic!("on purpose");
    })
    .join();
    assert!(ended.is_err());
    let (name, pid) = told.recv().unwrap();
    assert!(!command::run("ip netns list").unwrap().contains(&name));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn what_a_killed_run_left_behind_is_removed() {
    // No process can have this id (pid_max is at most 2^22).
    let name = "swtest-4194999-0-stale";
    command::run(&format!("ip netns add {name}")).unwrap();
    let mut sleeper =
        std::process::Command::new("ip").args(["netns", "exec", name, "sleep", "1000"]).spawn().unwrap();
    // The cleaning is done once in a process, so let a new one do it: this test binary, with one test.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_closure_runs_inside_and_brings_its_value_out"])
        .output()
        .unwrap();
    assert!(status.status.success());
    assert!(!command::run("ip netns list").unwrap().contains(name));
    wait_until(Duration::from_secs(5), "the process inside is killed", || {
        sleeper.try_wait().unwrap().is_some()
    })
    .unwrap();
}

#[test]
fn a_process_tells_its_lines_and_its_end() {
    let namespace = Namespace::new("process").unwrap();
    let mut process = namespace.spawn("sh -c 'echo ready >&2; exec sleep 1000'").unwrap();
    process.wait_for_line(0, Duration::from_secs(5), |line| line == "ready").unwrap();
    assert!(process.is_running());
    assert!(process.wait(Duration::from_millis(10)).is_err());
    process.kill9().unwrap();
    assert!(!process.is_running());
    let mut process = namespace.spawn("sh -c 'echo gone; exit 3'").unwrap();
    let text = process.wait_for_line(0, Duration::from_secs(5), |_| false).unwrap_err().to_string();
    assert!(text.contains("ended with exit status: 3"), "{text}");
}

#[allow(clippy::unwrap_used, reason = "a test's own")]
fn three() -> (Namespace, Namespace, Namespace) {
    let new = |label| Namespace::new(label).unwrap();
    (new("left"), new("switch"), new("right"))
}
