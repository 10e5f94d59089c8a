//! `cargo xtask conformance`: Linux Bridge and switchd with the same random frames and commands.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use conformance::script;
use conformance::suite::{FRAMES, Suite, fresh_seed};

use crate::run::{cargo, run as run_command};

/// What to compare.
#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// Where the random numbers start; without it, somewhere new
    #[arg(long)]
    seed: Option<u64>,
    /// How many times to begin with new bridges; each case has 200 frames
    #[arg(long, default_value_t = 20)]
    cases: usize,
    /// Take both through the steps of this file instead
    #[arg(long, conflicts_with_all = ["seed", "cases"])]
    replay: Option<PathBuf>,
}

/// Builds switchd and compares.
pub(crate) fn run(options: &Conformance) -> Result<()> {
    run_command(&mut cargo(&["build", "--locked", "--quiet", "--package", "switchd"]))?;
    let mut suite = Suite::new()?;
    match &options.replay {
        Some(file) => replay(&mut suite, file),
        None => compare(&mut suite, options),
    }
}

fn replay(suite: &mut Suite, file: &PathBuf) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let steps = script::read(&text)?;
    let outcome = suite.replay(&steps)?;
    for (name, count) in &outcome.left_out {
        println!("{count} left out: {name}");
    }
    match outcome.difference {
        Some(difference) => bail!("{difference}"),
        None => println!("{} steps, {} of them frames: no difference", outcome.steps, outcome.frames),
    }
    Ok(())
}

fn compare(suite: &mut Suite, options: &Conformance) -> Result<()> {
    let seed = options.seed.map_or_else(fresh_seed, Ok)?;
    println!("seed {seed}, {} cases of {FRAMES} frames", options.cases);
    let started = Instant::now();
    let report = suite.compare(seed, options.cases)?;
    for (name, count) in &report.left_out {
        println!("{count:6} left out: {name}");
    }
    if let Some(difference) = report.difference {
        bail!("{difference}");
    }
    println!(
        "{} frames and {} commands in {:.0} s: no difference",
        report.frames,
        report.steps - report.frames,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
