//! What `cargo xtask restart-loss` and `cargo xtask libvirt` show in full, in short.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn xtask(task: &str, arguments: &[&str]) -> String {
    let switchd = testbed::switchd::binary().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg(task).arg("--switchd").arg(switchd).args(arguments);
    testbed::command::output(&mut command).unwrap()
}

/// A restart, a takeover, a SIGKILL, and an upgrade with a changed configuration.
#[test]
fn a_virtual_machine_loses_no_ping_while_the_process_changes() {
    let said = xtask("restart-loss", &["--guest", "4"]);
    assert!(said.contains("over 4 changes"), "{said}");
}

#[test]
fn restarts_in_a_row_leave_nothing_over() {
    let said = xtask("restart-loss", &["--times", "0", "--restarts", "12"]);
    assert!(said.contains("before 12 restarts in a row"), "{said}");
}

#[test]
fn a_virtual_machine_of_libvirt_comes_and_goes_and_leaves_nothing_over() {
    let said = xtask("libvirt", &["--cycles", "2"]);
    assert!(said.contains("2 starts, reboots and ends of a virtual machine left nothing over"), "{said}");
}
