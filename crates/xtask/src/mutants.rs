//! `cargo xtask mutants`: builds of the core in each of which one thing is wrong, made by cargo-mutants. The
//! core's own tests and the pure half of the conformance suite must find each, unless
//! `crates/bridge/mutants.txt` says why it can't be found.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::run::{cargo, root, run as run_command};
use crate::setup;

/// Tests that look for mutants: fast ones, of all rules.
const TESTS: [&str; 12] = [
    "pure",
    "rules",
    "learning",
    "model",
    "reasons",
    "properties",
    "explain",
    "vlans",
    "vlan_model",
    "private_vlans",
    "replicas",
    "order",
];

/// What to mutate.
#[derive(Debug, Args)]
pub(crate) struct Mutants {
    /// Files of crates/bridge/src; without any, all of them, which takes hours
    files: Vec<PathBuf>,
}

/// Runs cargo-mutants and judges what survived.
pub(crate) fn run(options: &Mutants) -> Result<()> {
    setup::mutants()?;
    let output = root().join("target/mutants");
    fs::create_dir_all(&output)?;
    let mut command = cargo(&["mutants", "--package", "bridge", "--test-package", "bridge,conformance"]);
    // Of the conformance suite only what runs without Linux: it builds in seconds.
    command.arg("--no-default-features");
    command.args(["--test-tool", "nextest", "--profile", "mutants", "--baseline", "skip", "--timeout", "60"]);
    command.arg("--output").arg(&output);
    for file in &options.files {
        command.arg("--file").arg(file);
    }
    command.args(["--", "--lib"]);
    for test in TESTS {
        command.args(["--test", test]);
    }
    // It fails where mutants survive; which of them may is for us to say.
    let failed = run_command(&mut command).err();
    let found = output.join("mutants.out");
    let read = |name: &str| fs::read_to_string(found.join(name)).unwrap_or_default();
    let survivors: BTreeSet<String> =
        (read("missed.txt") + &read("timeout.txt")).lines().map(plain).collect();
    if survivors.is_empty()
        && let Some(error) = failed
    {
        return Err(error);
    }
    judge(&survivors)
}

fn judge(survivors: &BTreeSet<String>) -> Result<()> {
    let path = root().join("crates/bridge/mutants.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let accepted: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("crates/")).collect();
    let unknown: Vec<&String> =
        survivors.iter().filter(|survivor| !accepted.contains(survivor.as_str())).collect();
    println!(
        "{} survived, {} of them for a reason that is known",
        survivors.len(),
        survivors.len() - unknown.len()
    );
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.iter().for_each(|survivor| println!("{survivor}"));
    bail!(
        "{} mutants are not found: test what they break, or say in {} why not",
        unknown.len(),
        path.display()
    )
}

/// `PATH: CHANGE`, without the line and column, which move.
fn plain(line: &str) -> String {
    let (place, change) = line.split_once(": ").unwrap_or((line, ""));
    let path = place.split(':').next().unwrap_or_default();
    format!("{path}: {change}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_known_wherever_it_stands() {
        let line = "crates/bridge/src/fdb.rs:226:9: replace Fdb::expired -> bool with true";
        assert_eq!(plain(line), "crates/bridge/src/fdb.rs: replace Fdb::expired -> bool with true");
        let operator = "crates/bridge/src/fdb.rs:118:34: replace / with % in granule";
        assert_eq!(plain(operator), "crates/bridge/src/fdb.rs: replace / with % in granule");
    }
}
