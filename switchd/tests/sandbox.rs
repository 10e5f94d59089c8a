//! The sandbox that switchd puts on by itself, as a service or not: which threads are in it, and what can't be done
//! from there. That everything else works in it is what all other tests show: none may make a call that it forbids.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use testbed::{Namespace, Signal, Switchd};

const SOON: Duration = Duration::from_secs(10);

/// A line of `/proc/PID/task/TID/status`, of each thread by its name.
fn of_threads(pid: u32, line: &str) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let read = |task: &Path, file: &str| fs::read_to_string(task.join(file)).unwrap();
    let value = |task: &Path| {
        let status = read(task, "status");
        status.lines().find_map(|found| found.strip_prefix(line)).unwrap().trim().to_owned()
    };
    tasks.map(|task| (read(&task, "comm").trim().to_owned(), value(&task))).collect()
}

#[test]
fn every_thread_is_confined_and_the_calls_of_those_that_forward_stay_fast() {
    let namespace = Namespace::new("sandbox").unwrap();
    let config = "[bridge]\nworkers = 2\n[ports.a]\ntype = \"tap\"\n";
    let switchd = Switchd::start(&namespace, config).unwrap();
    for (thread, filters) in of_threads(switchd.id(), "Seccomp_filters:") {
        let expected = if thread.starts_with("forward") { "0" } else { "1" };
        assert_eq!(filters, expected, "{thread}");
    }
    assert!(of_threads(switchd.id(), "NoNewPrivs:").iter().all(|(_, on)| on == "1"));
}

/// The file is read again from where it was, also another one in its place; what lies elsewhere is not for it.
#[test]
fn only_its_own_files_can_be_read() {
    let namespace = Namespace::new("files").unwrap();
    let config = "[ports.a]\ntype = \"tap\"\n";
    let mut switchd = Switchd::start(&namespace, config).unwrap();
    let file = switchd.directory().join("switchd.toml");
    let replace = |make: &dyn Fn(&Path)| {
        let new = file.with_extension("new");
        make(&new);
        fs::rename(new, &file).unwrap();
    };
    replace(&|new| fs::write(new, format!("{config}hairpin = true\n")).unwrap());
    switchd.signal(Signal::HUP).unwrap();
    switchd.wait_for_log("hairpin", SOON).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("switchd.toml");
    fs::write(&secret, config).unwrap();
    replace(&|new| std::os::unix::fs::symlink(&secret, new).unwrap());
    switchd.signal(Signal::HUP).unwrap();
    switchd.wait_for_log("Permission denied", SOON).unwrap();
}
