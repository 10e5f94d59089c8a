//! `cargo xtask conformance`: Linux Bridge and switchd with the same random frames and commands.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use conformance::script;
use conformance::step::Tags;
use conformance::suite::{FRAMES, Suite, fresh_seed};
use testbed::Lab;

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
    /// With VLANs, in a guest: the bridge of this machine's kernel may not tell them apart
    #[arg(long)]
    vlan: bool,
    #[arg(long, hide = true, requires = "vlan")]
    here: bool,
}

/// Ample time for a case in a guest on a busy machine.
const CASE: Duration = Duration::from_secs(120);

/// Builds switchd and compares.
pub(crate) fn run(options: &Conformance) -> Result<()> {
    if !options.here {
        run_command(&mut cargo(&["build", "--locked", "--quiet", "--package", "switchd"]))?;
        if options.vlan {
            return in_guest(options);
        }
    }
    let mut suite = Suite::new(if options.vlan { Tags::Vlans } else { Tags::Opaque })?;
    match &options.replay {
        Some(file) => replay(&mut suite, file),
        None => compare(&mut suite, options),
    }
}

/// Runs this very program in a guest.
fn in_guest(options: &Conformance) -> Result<()> {
    let (me, switchd) = (std::env::current_exe()?, testbed::switchd::binary()?);
    let mut files = vec![me.as_path(), switchd.as_path()];
    let what = match &options.replay {
        Some(file) => {
            files.push(file);
            format!("--replay '/lab/{}'", file.file_name().unwrap_or_default().to_string_lossy())
        }
        None => {
            let seed = options.seed.map_or_else(fresh_seed, Ok)?;
            println!("seed {seed}, in a guest, which shows what it did at its end");
            format!("--seed {seed} --cases {}", options.cases)
        }
    };
    let name = me.file_name().unwrap_or_default().to_string_lossy();
    let command = format!("CARGO_BIN_EXE_switchd=/lab/switchd /lab/{name} conformance --vlan --here {what}");
    let time = CASE * u32::try_from(options.cases + 2)?;
    print!("{}", Lab::boot(&files)?.pass(&command, time)?);
    Ok(())
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
