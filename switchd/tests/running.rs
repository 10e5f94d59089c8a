//! Starting the daemon, asking it, ending it; and the starts that it refuses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod picture;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use picture::{Picture, SOON, address, mac_text, quiet, wait_for_ping};
use ports::tap::{self, TapOptions};
use serde_json::{Map, Value};
use testbed::link::move_device;
use testbed::switchd::{Fields, binary};
use testbed::{End, Namespace, Signal, Switchd, kernel_bridge, ping, wait_until};

/// Runs a daemon that is meant to end at once: its exit status, and all that it said.
fn ends(namespace: &Namespace, before: &[&str], arguments: &[&str]) -> (Option<i32>, String) {
    ends_of(&binary().unwrap(), namespace, before, arguments)
}

fn ends_of(
    program: &Path,
    namespace: &Namespace,
    before: &[&str],
    arguments: &[&str],
) -> (Option<i32>, String) {
    let directory = tempfile::TempDir::with_prefix("switchd-refused-").unwrap();
    let directory = format!("RUNTIME_DIRECTORY={}", directory.path().display());
    let program = [program.to_str().unwrap()];
    let words = [&["10", "env", &directory][..], before, &program, arguments].concat();
    let output = namespace.exec("timeout", &words).unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Runs a daemon that is meant to refuse to start, and returns why.
fn refusal(namespace: &Namespace, arguments: &[&str]) -> String {
    let (status, said) = ends(namespace, &[], arguments);
    // 78 where trying again is of no use.
    assert!(matches!(status, Some(1 | 78)), "{status:?} {said}");
    said
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}

fn write(directory: &Path, text: &str) -> String {
    let file = directory.join("switchd.toml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_configuration_can_be_checked_without_a_change() {
    let switch = quiet("switch");
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "[ports.a]\ntype = \"tap\"\n[ports.b]\ntype = \"tap\"\n");
    let (status, said) = ends(&switch, &[], &["--check", "--config", &file]);
    assert_eq!(status, Some(0), "{said}");
    assert_says(&said, &["correct", "2 ports"]);
    assert!(!switch.has_device("a"));

    let file = write(directory.path(), "[ports.a]\ntype = \"tap\"\nmtu = 9\n");
    assert_says(&refusal(&switch, &["--check", "--config", &file]), &["switchd.toml:3", "mtu", "68"]);
    assert_says(&refusal(&switch, &["--check", "--config", "/no/such/file"]), &["/no/such/file"]);
}

#[test]
fn a_wrong_file_shows_all_mistakes_and_makes_nothing() {
    let switch = quiet("switch");
    let directory = tempfile::tempdir().unwrap();
    let text = "[bridge]\nagein_time = \"3s\"\n[ports.a]\ntype = \"tap\"\n[ports.b]\ntype = \"rau\"\n\
                [[fdb]]\nmac = \"02:00\"\nport = \"a\"\n[[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"z\"\n";
    let file = write(directory.path(), text);
    let said = refusal(&switch, &["--config", &file]);
    assert_says(&said, &["toml:2", "`ageing_time`", "toml:6", "\"raw\"", "toml:8", "02:00", "toml:12", "z"]);
    assert!(!switch.has_device("a"), "{said}");
}

#[test]
fn without_a_file_taps_and_an_uplink_join_three_networks() {
    let net = Picture::of(1);
    let (left, right) = (quiet("left"), quiet("right"));
    let arguments = ["--tap", "tap0", "--tap", "tap1", "--raw", "p1"];
    let mut daemon = Switchd::start_with(&net.switch, &arguments).unwrap();
    for (device, namespace, number) in [("tap0", &left, 2), ("tap1", &right, 3)] {
        let end =
            End::new(namespace, "eth0").mac(&mac_text(number)).address(&format!("198.18.0.{number}/24"));
        move_device(&net.switch, device, end).unwrap();
    }
    for (from, to) in [(&left, 1), (&left, 3), (&right, 1), (&right, 2), (net.host(1), 2), (net.host(1), 3)] {
        wait_for_ping(from, &address(to));
        assert_eq!(ping(from, &address(to), 3).unwrap().lost(), 0);
    }
    accounts::check(&daemon.summary().unwrap());
    assert!(daemon.terminate().unwrap().success());
    assert!(!left.has_device("eth0") && !right.has_device("eth0"));
}

#[test]
fn a_missing_privilege_is_named_with_the_way_to_grant_it() {
    let net = Picture::of(1);
    let without = |capabilities: &str, arguments: &[&str]| {
        let set = format!("--bounding-set={capabilities}");
        let (status, said) = ends(&net.switch, &["setpriv", &set, "--"], arguments);
        assert_eq!(status, Some(1), "{said}");
        said
    };
    let said = without("-net_admin", &["--tap", "a"]);
    assert_says(&said, &["TAP a", "CAP_NET_ADMIN", "setcap cap_net_admin,cap_net_raw+ep"]);
    let said = without("-net_raw", &["--raw", "p1"]);
    assert_says(&said, &["p1", "CAP_NET_RAW", "setcap cap_net_admin,cap_net_raw+ep"]);
    // Both at once: every refused port says why.
    let said = without("-net_admin,-net_raw", &["--tap", "a", "--raw", "p1"]);
    assert_says(&said, &["CAP_NET_ADMIN is missing", "CAP_NET_RAW is missing", "2 port(s) refused"]);

    // Another user has no directory under /run either.
    let user = ["setpriv", "--reuid=65534", "--clear-groups", "--", "env", "-u", "RUNTIME_DIRECTORY"];
    // It may have no way to this checkout, as where that is in the home of root.
    let public = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let program = public.path().join("switchd");
    fs::copy(binary().unwrap(), &program).unwrap();
    let (status, said) = ends_of(&program, &net.switch, &user, &["--name", "unprivileged", "--tap", "a"]);
    assert_eq!(status, Some(1), "{said}");
    assert_says(&said, &["/run/switchd", "RUNTIME_DIRECTORY"]);
}

#[test]
fn a_tap_that_another_process_holds_is_one_for_a_raw_port() {
    let switch = quiet("switch");
    let options =
        TapOptions { device: "vnet0".into(), offload: true, persist: false, owner: None, queues: 1 };
    let held = switch.enter(|| tap::open(&options)).unwrap().unwrap();
    let said = refusal(&switch, &["--tap", "a", "--tap", "vnet0"]);
    assert_says(&said, &["vnet0", "busy", "QEMU", "type = \"raw\""]);
    assert!(!switch.has_device("a"), "a is left behind by a start that failed");
    let mut daemon = Switchd::start_with(&switch, &["--raw", "vnet0"]).unwrap();
    assert!(daemon.terminate().unwrap().success());
    drop(held);
}

#[test]
fn the_holder_of_a_tap_is_told_which_port_a_vm_wants() {
    let switch = quiet("switch");
    let daemon = Switchd::start_with(&switch, &["--tap", "vnet0"]).unwrap();
    let told = daemon.log().into_iter().find(|line| line.contains("QEMU"));
    assert_says(&told.unwrap(), &["vnet0", "type = \"raw\""]);
}

#[test]
fn devices_that_can_not_be_ports_are_refused_with_the_reason() {
    let net = Picture::of(2);
    assert_says(
        &refusal(&net.switch, &["--raw", "p1", "--raw", "p1"]),
        &["p1", "another port is on this device"],
    );
    let directory = tempfile::tempdir().unwrap();
    let text = "[ports.x]\ntype = \"raw\"\ndevice = \"p1\"\n[ports.y]\ntype = \"tap\"\ndevice = \"p1\"\n";
    let file = write(directory.path(), text);
    assert_says(&refusal(&net.switch, &["--config", &file]), &["`x`", "`y`", "both on the device", "p1"]);

    assert_says(&refusal(&net.switch, &["--raw", "lo"]), &["lo", "loopback", "Ethernet"]);
    assert_says(&refusal(&net.switch, &["--tap", "p2"]), &["p2", "not a TAP", "type = \"raw\""]);

    kernel_bridge(&net.switch, "br0", &["p1"]).unwrap();
    let said = refusal(&net.switch, &["--raw", "p2", "--raw", "p1", "--raw", "br0"]);
    assert_says(
        &said,
        &["p1 belongs to bridge br0", "nomaster", "br0 is itself a bridge", "2 port(s) refused"],
    );
    assert_eq!(net.switch.run("nft list ruleset").unwrap(), "", "p2 is still held");
}

#[test]
fn a_name_is_used_once_at_a_time() {
    let switch = quiet("switch");
    let mut first = Switchd::start_with(&switch, &["--name", "one", "--tap", "a"]).unwrap();
    let directory = format!("RUNTIME_DIRECTORY={}", first.directory().display());
    let (status, said) = ends(&switch, &["env", &directory], &["--name", "one", "--tap", "b"]);
    assert_eq!(status, Some(1), "{said}");
    let pid = first.process().id().to_string();
    assert_says(&said, &["bridge named one runs already", &pid, "--name"]);
    assert!(!switch.has_device("b"));
    // SIGKILL frees the name.
    let mut again = first.start_again().unwrap();
    assert!(again.terminate().unwrap().success());
}

#[test]
fn sigint_and_sigterm_end_it_within_a_second_under_load() {
    let net = Picture::of(2);
    for signal in [Signal::INT, Signal::TERM] {
        let mut daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
        wait_for_ping(net.host(1), &address(2));
        let flood = net.host(1).spawn(&format!("ping -q -f {}", address(2))).unwrap();
        daemon.signal(signal).unwrap();
        let status = daemon.process().wait(Duration::from_secs(1)).unwrap();
        assert!(status.success(), "{status}");
        assert_eq!(net.switch.run("nft list ruleset").unwrap(), "");
        drop(flood);
    }
}

#[test]
fn the_summary_counts_every_frame() {
    let net = Picture::of(3);
    let mut daemon = Switchd::start(&net.switch, &net.raw_ports()).unwrap();
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        assert_eq!(ping(net.host(from), &address(to), 5).unwrap().lost(), 0);
    }
    let mut socket = net.socket(1);
    let zero = picture::frame(picture::mac(2), [0; 6], "zero");
    for _ in 0..7 {
        socket.send(&zero).unwrap();
    }
    let dropped = |daemon: &mut Switchd| {
        let drops = daemon.summary().unwrap().port("p1").unwrap().drops();
        drops.get("source_zero").copied().unwrap_or(0)
    };
    wait_until(SOON, "7 frames are dropped for their source", || dropped(&mut daemon) == 7).unwrap();

    let summary = daemon.summary().unwrap();
    accounts::check(&summary);
    assert_eq!(summary.ports.len(), 3);
    for number in 1..=3 {
        let port = summary.port(&format!("p{number}")).unwrap();
        assert_eq!((port.text("state"), port.text("kind")), (Some("up"), Some("raw")));
        assert!(port.number("rx_frames").unwrap() >= 10 && port.number("tx_frames").unwrap() >= 10);
        assert_eq!((port.number("device_tx_dropped").unwrap(), port.number("socket_lost").unwrap()), (0, 0));
        assert_eq!(summary.port_of(&mac_text(number)), Some(format!("p{number}").as_str()));
    }
    assert_eq!((summary.fdb.number("entries").unwrap(), summary.fdb.number("learned").unwrap()), (3, 3));
}

fn json(line: &str) -> Map<String, Value> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        other => panic!("{other:?}: {line}"),
    }
}

#[test]
fn json_has_one_object_a_line_with_the_same_fields() {
    let net = Picture::of(1);
    let names_of = |text: &Fields| text.names().map(str::to_owned).collect::<BTreeSet<_>>();
    let mut daemon = Switchd::start_with(&net.switch, &["--tap", "a", "--raw", "p1"]).unwrap();
    let human = names_of(daemon.summary().unwrap().port("p1").unwrap());
    assert!(daemon.terminate().unwrap().success());

    let arguments = ["--log-format", "json", "--tap", "a", "--raw", "p1"];
    let mut daemon = Switchd::start_with(&net.switch, &arguments).unwrap();
    daemon.signal(Signal::USR1).unwrap();
    daemon.wait_for_log("\"learned\"", SOON).unwrap();
    assert!(daemon.terminate().unwrap().success());
    let lines: Vec<_> = daemon.log().iter().map(|line| json(line)).collect();
    let fields = |line: &Map<String, Value>| line["fields"].as_object().unwrap().clone();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()));
    let port = lines.iter().map(fields).find(|fields| fields.contains_key("tx_segments")).unwrap();
    assert_eq!(port["rx_frames"], 0);
    let names: BTreeSet<_> = port.keys().filter(|name| *name != "message").cloned().collect();
    assert_eq!(names, human);

    // What can't be started says so in the same form.
    let said = refusal(&net.switch, &["--log-format", "json", "--tap", "a", "--raw", "lo"]);
    let lines: Vec<_> = said.lines().map(json).collect();
    assert!(
        lines.iter().any(|line| fields(line)["message"].as_str().unwrap().contains("loopback")),
        "{said}"
    );
    assert_eq!(lines.last().unwrap()["level"], "ERROR", "{said}");
}

#[test]
fn the_level_comes_from_the_option_then_the_environment() {
    let net = Picture::of(1);
    net.switch.run("tc qdisc add dev p1 clsact").unwrap();
    let guard = "table netdev guard { chain in { type filter hook ingress device p1 priority 0; }; }";
    net.switch.run(&format!("nft '{guard}'")).unwrap();
    let binary = binary().unwrap();
    let levels = |environment: &str, options: &[&str]| {
        let arguments = [&[environment, binary.to_str().unwrap(), "--raw", "p1"], options].concat();
        let mut daemon = Switchd::launch(Path::new("env"), &net.switch, None, &arguments).unwrap();
        // Without a log line to wait for: the last thing that a start does is to hold the device.
        wait_until(SOON, "the daemon holds p1", || {
            daemon.process().is_running() && net.switch.run("nft list tables").unwrap().contains("switchd_")
        })
        .unwrap();
        assert!(daemon.terminate().unwrap().success());
        let known = ["ERROR", "WARN", "INFO", "DEBUG"];
        let lines = daemon.log();
        known.into_iter().filter(|level| lines.iter().any(|line| line.contains(level))).collect::<Vec<_>>()
    };
    assert_eq!(levels("RUST_LOG=", &[]), ["WARN", "INFO"]);
    assert_eq!(levels("RUST_LOG=error", &[]), [""; 0]);
    assert_eq!(levels("RUST_LOG=error", &["--log", "warn"]), ["WARN"]);
    let said = refusal(&net.switch, &["--log", "=loud=", "--raw", "p1"]);
    assert_says(&said, &["`=loud=`", "is not a log filter", "debug"]);
}

#[test]
fn an_idle_switch_does_nothing() {
    let net = Picture::of(2);
    let mut daemon = Switchd::start_with(&net.switch, &["--tap", "a", "--raw", "p1", "--raw", "p2"]).unwrap();
    assert_eq!(ping(net.host(1), &address(2), 3).unwrap().lost(), 0);
    let switches = |daemon: &mut Switchd| {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.process().id())).unwrap();
        tasks.map(|task| context_switches(&task.unwrap().path().join("status"))).sum::<u64>()
    };
    // The hosts verify their neighbours 5 s after the last ping; that is traffic.
    for number in [1, 2] {
        net.host(number).ip("neigh flush all").unwrap();
    }
    // What came last is noted within a second.
    wait_until(SOON, "nothing is left to be noted", || {
        let before = switches(&mut daemon);
        std::thread::sleep(Duration::from_secs(1));
        switches(&mut daemon) == before
    })
    .unwrap();
    let before = (switches(&mut daemon), daemon.process().processor_time().unwrap());
    std::thread::sleep(Duration::from_secs(2)); // What is measured is this time.
    let after = (switches(&mut daemon), daemon.process().processor_time().unwrap());
    assert_eq!(before, after, "it woke up without a reason");
}

fn context_switches(status: &Path) -> u64 {
    let text = fs::read_to_string(status).unwrap();
    let count = |line: &str| line.split_whitespace().last().unwrap().parse::<u64>().unwrap();
    text.lines().filter(|line| line.contains("ctxt_switches")).map(count).sum()
}
