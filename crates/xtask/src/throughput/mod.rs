//! `cargo xtask throughput`: the switch against Linux Bridge and against a bare read/write loop, or against itself, with
//! VLAN filtering, looked at, or of another build, in one run. All of them stand ready all the time, idle but for the one whose turn it is: samples are short and
//! strictly in turn, and a ratio is the median of those of each round, so that it means something on a
//! machine whose speed changes from second to second.
//!
//! Traffic starts on core 0 and the switch runs on core 1. (Linux Bridge has no core of its own: it runs
//! where the sender does.) Frames are counted where they arrive.

mod bare_loop;
mod generator;
mod report;
mod rig;
mod sample;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use self::report::Report;
use self::rig::{Compared, Rig, Subject};
use self::sample::{Round, idle};

pub(crate) use self::bare_loop::{BareLoop, run as run_bare_loop};
pub(crate) use self::generator::{Generate, run as run_generator};

/// Which core the traffic starts on.
const SENDER_CORE: usize = 0;
/// Which core a userspace switch runs on.
const SWITCH_CORE: usize = 1;

/// Measures frames per second, TCP, latency, processor time and memory.
#[derive(Debug, Args)]
pub(crate) struct Throughput {
    /// Rounds; in each every subject is sampled once, and the medians of all rounds are shown
    #[arg(long, default_value_t = 11)]
    rounds: u32,
    /// Seconds of each frame-rate and TCP sample
    #[arg(long, default_value_t = 1)]
    seconds: u32,
    /// Compare switchd with VLAN filtering and without instead
    #[arg(long, conflicts_with_all = ["watched", "before"])]
    vlan: bool,
    /// Compare switchd that is looked at, by a capture that nobody reads and by a mirror, with itself instead
    #[arg(long, conflicts_with = "before")]
    watched: bool,
    /// Compare switchd with this other build of it instead
    #[arg(long, value_name = "SWITCHD")]
    before: Option<PathBuf>,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/throughput.json")]
    json: PathBuf,
}

/// Runs the comparison and shows its table.
pub(crate) fn run(options: &Throughput) -> Result<()> {
    let programs = build(options.before.clone())?;
    let compared = match options {
        Throughput { vlan: true, .. } => Compared::Vlans,
        Throughput { watched: true, .. } => Compared::Watched,
        Throughput { before: Some(_), .. } => Compared::Builds,
        _ => Compared::Peers,
    };
    let (subjects, ratios) = Subject::compared(compared);
    let rigs = subjects.iter().map(|subject| Rig::build(*subject, &programs));
    let mut rigs = rigs.collect::<Result<Vec<_>>>()?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        rounds.push(Round::take(&mut rigs, &programs, options.seconds, round as usize)?);
    }
    drop(rigs);
    eprintln!("idle for 10 seconds");
    let idle = idle(&mut Rig::build(Subject::Switchd, &programs)?)?;
    let report = Report::new(subjects, ratios, rounds, idle);
    report.print();
    report.write(&options.json)
}

/// The programs of a run, both built for speed: the switch, and this program, which is also the bare loop
/// and the generator.
#[derive(Debug)]
struct Programs {
    switchd: PathBuf,
    xtask: PathBuf,
    /// Another build of the switch.
    before: Option<PathBuf>,
}

fn build(before: Option<PathBuf>) -> Result<Programs> {
    testbed::command::run("cargo build --quiet --release --package switchd --package xtask")?;
    let release = testbed::target::target_directory().join("release");
    Ok(Programs { switchd: release.join("switchd"), xtask: release.join("xtask"), before })
}
