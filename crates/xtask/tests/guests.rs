//! What `cargo xtask restart-loss` shows in full, in short.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn restart_loss(arguments: &[&str]) -> String {
    let switchd = testbed::switchd::binary().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("restart-loss").arg("--switchd").arg(switchd).args(arguments);
    testbed::command::output(&mut command).unwrap()
}

/// A restart, a takeover, a SIGKILL, and an upgrade with a changed configuration.
#[test]
fn a_virtual_machine_loses_no_ping_while_the_process_changes() {
    let said = restart_loss(&["--guest", "4"]);
    assert!(said.contains("over 4 changes"), "{said}");
}

#[test]
fn restarts_in_a_row_leave_nothing_over() {
    let said = restart_loss(&["--times", "0", "--restarts", "12"]);
    assert!(said.contains("before 12 restarts in a row"), "{said}");
}
