//! The service under a real systemd: start, readiness, what it says of itself, reload, a stuck worker, the sandbox.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use nix::sys::ptrace::Options;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use testbed::service::{CONFIG, Service, shipped};
use testbed::switchd::binary;
use testbed::{FrameSocket, wait_until};

const SOON: Duration = Duration::from_secs(15);

fn installed(label: &str) -> Service {
    Service::installed(label, &binary().unwrap()).unwrap()
}

fn start(label: &str, config: &str) -> Service {
    Service::start(label, &binary().unwrap(), config).unwrap()
}

#[test]
fn it_is_ready_when_its_ports_forward_and_says_how_many_ports_and_macs_there_are() {
    let service = start("ready", CONFIG);
    assert_eq!(service.property("ActiveState"), "active");
    let status = || service.property("StatusText");
    wait_until(SOON, "two ports", || status().starts_with("2 of 2 ports up, ")).unwrap();
    wait_until(SOON, "the MACs of both hosts", || service.macs() >= 2).unwrap();
    service.host2.ip("link set eth0 down").unwrap();
    wait_until(SOON, "one port", || status().starts_with("1 of 2 ports up, ")).unwrap();
    let by_port = service.machine.run("journalctl --no-pager -o cat -u switchd PORT=wire").unwrap();
    assert!(by_port.contains("port attached") && by_port.contains("link is down"), "{by_port}");
    service.systemctl("stop switchd").unwrap();
    assert_eq!(service.property("Result"), "success");
}

#[test]
fn a_reload_reads_the_file_and_a_wrong_one_changes_nothing() {
    let service = start("reload", CONFIG);
    service.systemctl("reload switchd").unwrap();
    service.wait_for_log("the configuration was read again").unwrap();
    service.machine.write("/etc/switchd/switchd.toml", "[ports.lan]\ntype = \"tab\"\n").unwrap();
    let pid = service.property("MainPID");
    service.systemctl("reload switchd").unwrap();
    service.wait_for_log("nothing was changed").unwrap();
    assert!(service.journal().contains("unknown type"), "{}", service.journal());
    assert_eq!((service.property("ActiveState").as_str(), service.property("MainPID")), ("active", pid));
    service.pings().unwrap();
}

#[test]
fn a_wrong_configuration_is_told_and_not_tried_again() {
    let service = installed("wrong");
    service.machine.write("/etc/switchd/switchd.toml", "[ports.lan]\ntype = \"tab\"\n").unwrap();
    assert!(!service.machine.exec("systemctl start switchd").unwrap().status.success());
    assert_eq!(service.property("ExecMainStatus"), "78");
    assert_eq!(
        (service.property("ActiveState").as_str(), service.property("NRestarts").as_str()),
        ("failed", "0")
    );
}

#[test]
fn the_journal_can_be_asked_for_a_station_a_port_or_a_vlan() {
    let service = start("fields", &format!("[bridge]\nvlan_filtering = true\n{CONFIG}"));
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[0x88, 0xb5], &[0; 46]].concat();
    for host in [&service.host1, &service.host2] {
        FrameSocket::open(host, "eth0").unwrap().send(&frame).unwrap();
        wait_until(SOON, "it is learned", || service.macs() >= 3).unwrap();
    }
    for field in ["MAC=02:00:00:00:00:09", "PORT=wire", "VID=1"] {
        let ask = format!("journalctl --no-pager -o cat -u switchd {field}");
        wait_until(SOON, field, || {
            service.machine.run(&ask).is_ok_and(|lines| lines.contains("spoke on another port"))
        })
        .unwrap();
    }
}

/// A thread that does not run can't feed the watchdog, whatever the others do.
#[test]
fn a_worker_that_is_stuck_is_started_again() {
    let service = installed("stuck");
    service
        .machine
        .write("/etc/systemd/system/switchd.service.d/quick.conf", "[Service]\nWatchdogSec=1\n")
        .unwrap();
    service.machine.write("/etc/switchd/switchd.toml", CONFIG).unwrap();
    service.systemctl("daemon-reload").unwrap();
    service.systemctl("start switchd").unwrap();
    let pid = service.property("MainPID");
    let threads = service.machine.threads("switchd.service").unwrap();
    let worker = threads.iter().find(|(_, name)| name == "forward").unwrap().0;
    // As a debugger stops it; it is stopped for as long as this thread lives.
    nix::sys::ptrace::seize(Pid::from_raw(worker), Options::empty()).unwrap();
    nix::sys::ptrace::interrupt(Pid::from_raw(worker)).unwrap();
    let restarted = wait_until(SOON, "another process", || {
        // Its tracer must take notice of its end, or it stays.
        let _ = waitpid(Pid::from_raw(worker), Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
        let now = service.property("MainPID");
        now != pid && now != "0"
    });
    assert!(restarted.is_ok(), "{}", service.journal());
    assert!(service.journal().contains("Watchdog timeout"), "{}", service.journal());
    assert_eq!(service.property("NRestarts"), "1");
}

#[test]
fn the_units_are_known_to_systemd_and_expose_little() {
    for unit in ["switchd.service", "switchd@.service"] {
        let rating = Command::new("systemd-analyze")
            .args(["--offline=true", "--threshold=20", "security"])
            .arg(shipped(unit))
            .output()
            .unwrap();
        assert!(rating.status.success(), "{unit}: {}", String::from_utf8_lossy(&rating.stdout));
    }
    let service = installed("verify");
    for unit in ["switchd.service", "switchd@a.service"] {
        let verified = service.machine.exec(&format!("systemd-analyze verify --man=no {unit}")).unwrap();
        // It succeeds also where it does not know a key.
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        let said: Vec<_> = said.lines().filter(|line| line.contains("switchd")).collect();
        assert!(verified.status.success() && said.is_empty(), "{said:?}");
    }
}

#[test]
fn the_thread_that_reads_what_guests_send_has_no_capability() {
    let service = start("rights", CONFIG);
    let threads = service.machine.threads("switchd.service").unwrap();
    assert!(threads.len() >= 2, "{threads:?}");
    for (thread, name) in threads {
        let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
        let held = |set: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        // CAP_NET_ADMIN is 12, CAP_NET_RAW 13.
        let expected = if name.starts_with("forward") { 0 } else { 1 << 12 | 1 << 13 };
        assert_eq!(
            (held("CapEff:"), held("CapPrm:"), held("CapAmb:")),
            (expected, expected, expected),
            "{name}"
        );
    }
}
