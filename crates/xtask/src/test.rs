//! `cargo xtask test`: every check and test, in the order in which they fail soonest.

use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, run as run_command};
use crate::{arrows, setup};

/// One step: what it is for, and the cargo command that does it.
const CARGO_STEPS: &[(&str, &[&str])] = &[
    ("Formatting", &["fmt", "--all", "--check"]),
    ("Lints", &["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    ("Licences and sources of dependencies", &["deny", "check", "licenses", "bans", "sources"]),
    ("Documentation", &["doc", "--locked", "--workspace", "--no-deps", "--quiet"]),
    ("Examples in the documentation", &["test", "--locked", "--workspace", "--doc", "--quiet"]),
    ("Unit, property and end-to-end tests", &["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]),
];

/// Runs all steps; the last output is the test runner's summary.
pub(crate) fn run() -> Result<()> {
    title("What this machine needs");
    setup::run(setup::Use::Everything)?;
    title("Arrows between crates");
    arrows::check()?;
    for (name, arguments) in CARGO_STEPS {
        title(name);
        run_command(&mut step(arguments))
            .with_context(|| format!("{name}: cargo {}", arguments.join(" ")))?;
    }
    Ok(())
}

fn step(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

fn title(name: &str) {
    println!("\n── {name}");
}
