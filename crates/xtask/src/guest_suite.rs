//! `cargo xtask guest-suite`: the end-to-end tests of switchd on Debian's own kernel, in a guest. That kernel has
//! offload headers of 10 bytes on packet sockets, and no segmentation of UDP or of tunnels for TAPs.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;
use testbed::Lab;

use crate::run::{cargo, run as run_command};

/// Tests that need no guest, service manager or second program themselves. Not `segments`, which compares what we cut
/// with what the kernel cuts, UDP among it, without a switch: that kernel cuts no UDP.
const TESTS: [&str; 16] = [
    "frames",
    "malformed",
    "links",
    "host_port",
    "stopped_reader",
    "stations",
    "exclusive",
    "put_back",
    "reload",
    "running",
    "explain",
    "control",
    "tunnels",
    "tcp",
    "vlans",
    "workers",
];

/// An emulated processor is some twenty times slower.
const LONGEST: Duration = Duration::from_secs(1500);

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct GuestSuite {
    /// Which test programs of switchd, for instance frames; all if none is named
    tests: Vec<String>,
    /// Only tests with this in their name
    #[arg(long)]
    filter: Option<String>,
    /// Leave out tests with this in their name
    #[arg(long)]
    skip: Vec<String>,
}

/// Builds the test programs and runs one after the other, each in a guest of its own.
pub(crate) fn run(options: &GuestSuite) -> Result<()> {
    run_command(&mut cargo(&["build", "--locked", "--quiet", "--package", "switchd"]))?;
    let named = options.tests.iter().map(String::as_str);
    let tests: Vec<&str> = if options.tests.is_empty() { TESTS.to_vec() } else { named.collect() };
    let mut failed = Vec::new();
    for (name, program) in build(&tests)? {
        let started = Instant::now();
        let said = in_guest(&program, options).with_context(|| name.clone());
        println!("── {name}, {:.0?}", started.elapsed());
        match said {
            Ok(said) => println!("{}", outcome(&said)),
            Err(error) => {
                println!("{error:#}");
                failed.push(name);
            }
        }
    }
    ensure!(failed.is_empty(), "failed on Debian's kernel: {}", failed.join(", "));
    Ok(())
}

/// The test programs of these names, in that order.
fn build(tests: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut command =
        cargo(&["test", "--locked", "--no-run", "--message-format=json", "--package", "switchd"]);
    command.args(tests.iter().flat_map(|test| ["--test", test])).stderr(Stdio::inherit());
    let output = command.output().context("can't start cargo")?;
    ensure!(output.status.success(), "cargo test --no-run: {}", output.status);
    let messages: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let program = |test: &&str| {
        // Libraries of the same name have no program.
        let mut named = messages.iter().filter(|message| message["target"]["name"] == **test);
        let path = named.find_map(|message| message["executable"].as_str());
        Ok(((*test).to_owned(), path.with_context(|| format!("no test program {test}"))?.into()))
    };
    tests.iter().map(program).collect()
}

/// One test at a time: the guest has two processors, one of which is the switch's.
fn in_guest(program: &std::path::Path, options: &GuestSuite) -> Result<String> {
    let switchd = testbed::switchd::binary()?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let filter = options.filter.as_deref().unwrap_or_default();
    let skip: String = options.skip.iter().map(|skip| format!(" --skip {skip}")).collect();
    let mut lab = Lab::boot(&[program, &switchd])?;
    let environment = "CARGO_BIN_EXE_switchd=/lab/switchd RUST_BACKTRACE=0";
    lab.pass(&format!("{environment} /lab/{name} --test-threads=1 {filter}{skip}"), LONGEST)
}

/// The lines that say what became of each test.
fn outcome(said: &str) -> String {
    let lines = said.lines().filter(|line| line.starts_with("test "));
    lines.collect::<Vec<_>>().join("\n")
}
