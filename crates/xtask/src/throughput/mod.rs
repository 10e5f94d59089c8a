//! `cargo xtask throughput`: switchd against the switches that could be had in its place, and against a bare loop
//! that no switch can beat, in one run. All of them stand ready all the time, idle but for the one whose turn it is:
//! samples are short and strictly in turn, and a ratio is the median of those of each round, so that it means
//! something on a machine whose speed changes from second to second.
//!
//! Traffic starts on core 0 and the switch runs on core 1. (Linux Bridge has no core of its own: it runs
//! where the sender does.) Frames are counted where they arrive.

mod bench;
mod chapter;
mod hugepages;
mod processor;
mod report;
mod results;
mod scale;
mod search;
mod statistics;
mod subject;
mod traffic;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use self::bench::Bench;
use self::chapter::Chapter;
use self::report::Report;
use self::scale::{FULL, QUICK, Scale, TINY};
use self::subject::{Subject, Wiring};
use crate::interrupt::Interrupt;

pub(crate) use self::subject::{BareLoop, run_bare_loop};

/// Which core the traffic starts on.
const SENDER_CORE: usize = 0;
/// Which core a userspace switch runs on.
const SWITCH_CORE: usize = 1;

/// Rounds where switchd is compared with itself, each with other processes.
const WITH_ITSELF: usize = 9;

/// Measures frames per second, loss, latency, TCP, learning, processor time and memory.
#[derive(Debug, Args)]
pub(crate) struct Throughput {
    /// The most important of it, in two minutes
    #[arg(long)]
    quick: bool,
    /// Whether it works at all; the figures mean nothing
    #[arg(long, hide = true, conflicts_with = "quick")]
    tiny: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Chapter>,
    /// Only these wirings, of the parts that have several
    #[arg(long, value_enum, value_delimiter = ',')]
    wiring: Vec<Wiring>,
    /// Only these switches
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// Samples of each figure of each switch [default: 5, or 9 where switchd is compared with itself]
    #[arg(long)]
    rounds: Option<usize>,
    /// Compare switchd with VLAN filtering and without instead
    #[arg(long, conflicts_with_all = ["subjects", "workers", "watched", "before"])]
    vlan: bool,
    /// Compare switchd with two workers, which run on both cores, with one instead
    #[arg(long, conflicts_with_all = ["subjects", "watched", "before"])]
    workers: bool,
    /// Compare switchd that is looked at, by a capture that nobody reads and by a mirror, with itself instead
    #[arg(long, conflicts_with_all = ["subjects", "before"])]
    watched: bool,
    /// Compare ports on the memory of virtual machines instead, with DPDK's dpdk-testpmd as two of them
    #[arg(long, conflicts_with_all = ["subjects", "only", "wiring", "vlan", "workers", "watched"])]
    vhost_user: bool,
    /// Compare switchd with this other build of it instead
    #[arg(long, value_name = "SWITCHD", conflicts_with = "subjects")]
    before: Option<PathBuf>,
    /// Where the figures go, as throughput.json, and the report, as throughput.html [default: target/]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Measure this switchd, with this program as it was built [default: release builds of this workspace]
    #[arg(long)]
    switchd: Option<PathBuf>,
}

/// The programs of a run: the switch, and this one, which is also the bare loop.
#[derive(Debug)]
pub(crate) struct Programs {
    switchd: PathBuf,
    xtask: PathBuf,
    /// Another build of the switch.
    before: Option<PathBuf>,
}

impl Programs {
    /// The build of switchd that a subject is.
    pub(crate) fn switchd(&self, subject: Subject) -> &Path {
        match &self.before {
            Some(before) if subject == Subject::Before => before,
            _ => &self.switchd,
        }
    }
}

/// Runs the comparison, shows its tables and writes its report.
pub(crate) fn run(options: &Throughput) -> Result<()> {
    let Some(switchd) = &options.switchd else { return again_built_for_speed() };
    ensure!(rustix::process::geteuid().is_root(), "namespaces and TAPs need root: run this as root");
    let programs = Programs {
        switchd: switchd.clone(),
        xtask: std::env::current_exe()?,
        before: options.before.clone(),
    };
    let subjects = options.subjects();
    ensure!(
        !options.vhost_user || Subject::DpdkLoop.missing().is_none(),
        "--vhost-user needs dpdk-testpmd for its guests: install the package dpdk-dev"
    );
    let mut bench = Bench {
        programs,
        scale: options.scale(),
        interrupt: Interrupt::watch()?,
        subjects,
        results: results::Results::default(),
        began: Instant::now(),
    };
    processor::stay_on(SENDER_CORE)?;
    let measured =
        if options.vhost_user { chapter::run_vhost_user(&mut bench) } else { measure(&mut bench, options) };
    eprintln!();
    bench.interrupt.or(measured)?;
    let report = Report::new(&bench, options.words());
    report.print();
    let directory = match &options.output {
        Some(directory) => directory.clone(),
        None => testbed::target::target_directory(),
    };
    report.write(&directory)
}

/// Where switchd is compared with itself each round has processes of its own, in another order: two processes of one
/// program differ by as much as what is looked for.
fn measure(bench: &mut Bench, options: &Throughput) -> Result<()> {
    let (chapters, wirings) = (options.chapters(), options.wirings());
    if !options.with_itself() {
        return chapter::run(bench, &chapters, &wirings);
    }
    let (scale, subjects) = (bench.scale, bench.subjects.clone());
    bench.scale = Scale { rounds: 1, tcp: (scale.tcp.0, 1), ..scale };
    for _ in 0..scale.rounds {
        chapter::run(bench, &chapters, &wirings)?;
        bench.subjects.reverse();
    }
    bench.subjects = subjects;
    Ok(())
}

impl Throughput {
    fn scale(&self) -> Scale {
        let scale = if self.tiny {
            TINY
        } else if self.quick {
            QUICK
        } else {
            FULL
        };
        let rounds = if self.with_itself() && !self.tiny { WITH_ITSELF } else { scale.rounds };
        Scale { rounds: self.rounds.unwrap_or(rounds), ..scale }
    }

    /// Those that are wanted and here; says which are not.
    fn subjects(&self) -> Vec<Subject> {
        let wanted = match self.subjects.as_slice() {
            _ if self.vhost_user && self.before.is_none() => &subject::ON_SHARED_MEMORY[..],
            _ if self.vlan => &[Subject::Switchd, Subject::Filtering][..],
            _ if self.workers => &[Subject::Switchd, Subject::Workers],
            _ if self.watched => &[Subject::Switchd, Subject::Captured, Subject::Mirrored],
            _ if self.before.is_some() => &[Subject::Switchd, Subject::Before],
            [] => &subject::ALL[..],
            named => named,
        };
        let there = |subject: &&Subject| match subject.missing() {
            None => true,
            Some(what) => {
                eprintln!("left out, as it is not installed: {what}");
                false
            }
        };
        wanted.iter().filter(there).copied().collect()
    }

    /// Whether switchd is compared with itself.
    fn with_itself(&self) -> bool {
        self.vlan || self.workers || self.watched || self.before.is_some()
    }

    fn chapters(&self) -> Vec<Chapter> {
        match (self.only.as_slice(), self.with_itself()) {
            ([], false) => Chapter::value_variants().to_vec(),
            ([], true) => vec![Chapter::Rates, Chapter::Tcp, Chapter::RoundTrips],
            (some, _) => some.to_vec(),
        }
    }

    fn wirings(&self) -> Vec<Wiring> {
        match (self.wiring.as_slice(), self.with_itself()) {
            ([], false) => Wiring::value_variants().to_vec(),
            ([], true) => vec![Wiring::Tap],
            (some, _) => some.to_vec(),
        }
    }

    /// The command that does the same again.
    fn words(&self) -> String {
        let own = std::env::args().skip(1);
        let mut words = vec!["cargo xtask".to_owned()];
        let mut skip = false;
        for word in own {
            skip = if skip { false } else { word == "--switchd" || word == "--output" };
            if !skip && !self.is_place(&word) {
                words.push(word);
            }
        }
        words.join(" ")
    }

    fn is_place(&self, word: &str) -> bool {
        [&self.switchd, &self.output].into_iter().flatten().any(|place| place == Path::new(word))
    }
}

/// Builds switchd and this program for speed, and becomes the latter.
fn again_built_for_speed() -> Result<()> {
    testbed::command::run("cargo build --quiet --release --package switchd --package xtask")?;
    let release = testbed::target::target_directory().join("release");
    let mut command = Command::new(release.join("xtask"));
    command.args(std::env::args_os().skip(1)).arg("--switchd").arg(release.join("switchd"));
    Err(command.exec()).context("can't start the program that was just built")
}
