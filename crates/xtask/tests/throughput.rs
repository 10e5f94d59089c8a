//! The comparison with other switches works: a run of seconds, whose figures mean nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testbed::{Process, Signal};

/// A run of these parts with a debug build of the switch.
fn throughput(output: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["throughput", "--tiny", "--switchd"]).arg(testbed::switchd::binary().unwrap());
    command.arg("--output").arg(output).args(arguments.split(' '));
    command
}

/// Namespaces that a process has made and that are still there.
fn namespaces(process: u32) -> Vec<String> {
    let prefix = format!("swtest-{process}-");
    let all = testbed::command::run("ip netns list").unwrap();
    all.lines().filter(|line| line.starts_with(&prefix)).map(str::to_owned).collect()
}

#[test]
fn every_figure_is_measured_of_every_switch_that_is_always_there() {
    let output = tempfile::TempDir::with_prefix("throughput-test-").unwrap();
    let subjects = ["switchd", "bare loop", "Linux Bridge"];
    let arguments = "--subjects switchd,bare-loop,linux-bridge";
    let process = Process::start(throughput(output.path(), arguments)).unwrap();
    let id = process.id();
    let mut process = process;
    let status = process.wait(Duration::from_secs(150)).unwrap();
    let said = process.lines().join("\n");
    assert!(status.success(), "{said}");
    assert_eq!(namespaces(id), [""; 0]);

    let text = std::fs::read_to_string(output.path().join("throughput.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let measurements = report["results"]["measurements"].as_array().unwrap();
    let of =
        |key: &str| -> BTreeSet<&str> { measurements.iter().map(|m| m[key].as_str().unwrap()).collect() };
    assert_eq!(of("subject"), subjects.into());
    assert_eq!(of("wiring").len(), 3, "{said}");
    for figure in [
        "Frames",
        "FramesPerProcessorSecond",
        "Throughput",
        "Tcp",
        "RoundTripMean",
        "RoundTrip99",
        "LatencyMean",
        "Latency99",
        "Loss",
        "BackToBack",
        "Addresses",
        "Learning",
        "Idle",
        "WakeUps",
        "Memory",
    ] {
        assert!(of("figure").contains(figure), "no {figure}: {said}");
    }
    // Frames came through, whatever the machine is worth.
    for measurement in measurements.iter().filter(|m| m["figure"] == "Frames" || m["figure"] == "Tcp") {
        assert!(measurement["median"].as_f64().unwrap() > 0.0, "{measurement}");
    }
    let page = std::fs::read_to_string(output.path().join("throughput.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("http"), "{page}");
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_behind() {
    let output = tempfile::TempDir::with_prefix("throughput-test-").unwrap();
    let mut process =
        Process::start(throughput(output.path(), "--subjects switchd --rounds 100000 --only rates")).unwrap();
    process.wait_for_line(0, Duration::from_secs(60), |line| line.contains("frames")).unwrap();
    assert!(!namespaces(process.id()).is_empty());
    process.signal(Signal::INT).unwrap();
    let status = process.wait(Duration::from_secs(20)).unwrap();
    assert_eq!(status.code(), Some(130), "{:?}", process.lines());
    assert_eq!(namespaces(process.id()), [""; 0]);
    assert!(!output.path().join("throughput.json").exists());
}
