//! Containers as docs/machines.md has them, by its own commands: one on a TAP whose interface end is its own, one on a veth.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use picture::{quiet, wait_for_ping};
use testbed::{Namespace, Process, Switchd, page, ping};

const PAGE: &str = include_str!("../../docs/machines.md");

/// A process that is alone in a namespace.
fn container() -> (Namespace, Process) {
    let namespace = quiet("container");
    let process = namespace.spawn("sleep infinity").unwrap();
    (namespace, process)
}

#[test]
fn the_commands_of_the_page_put_containers_on_the_switch() {
    let section = page::section(PAGE, "Containers and namespaces").unwrap();
    let block = |language, number| page::block(section, language, number).unwrap();
    let host = quiet("host");
    let daemon = Switchd::start(&host, &(block("toml", 0).to_owned() + block("toml", 1))).unwrap();
    let containers = [0, 1].map(|number| {
        let (namespace, process) = container();
        let script = block("sh", number);
        // `ip netns exec` is the process by then, once it is where it is to be.
        let there = || std::fs::read_to_string(format!("/proc/{}/comm", process.id())).unwrap() == "sleep\n";
        testbed::wait_until(picture::SOON, "the container runs", there).unwrap();
        host.run(&format!("env PID={} sh -e -c '{script}'", process.id())).unwrap();
        (namespace, process)
    });
    let [(tap, _), (veth, _)] = &containers;
    wait_for_ping(tap, "198.18.0.11");
    for (from, to) in [(tap, "198.18.0.11"), (veth, "198.18.0.10")] {
        assert_eq!(ping(from, to, 3).unwrap().lost(), 0);
    }
    let ports = daemon.control().unwrap().show_ports(None).unwrap();
    let names: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["web", "veth-web"]);
}
