//! The comparison of Linux and switchd as a whole: cases from a seed, and of the first difference a short
//! script.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::daemon::Daemon;
use crate::generator::Generator;
use crate::kernel::Kernel;
use crate::run::{Mode, Outcome, run};
use crate::script;
use crate::shrink::shrink;
use crate::step::Step;
use crate::subject::Subject;
use crate::wrong::{Spoilt, Wrong};

/// Frames of one case, each of which begins with new bridges.
pub const FRAMES: usize = 200;

/// On a busy machine switchd may be slow to answer once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where a difference is expected there is no need to wait for long.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Both bridges, in namespaces of their own.
#[derive(Debug)]
pub struct Suite {
    kernel: Kernel,
    daemon: Daemon,
}

/// What a number of cases came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Frames that were sent into both.
    pub frames: usize,
    /// Steps that were carried out, frames among them.
    pub steps: usize,
    /// Steps that were left out, by the name of the deliberate difference.
    pub left_out: BTreeMap<&'static str, usize>,
    /// The first difference, and how to see it again.
    pub difference: Option<String>,
}

impl Suite {
    /// Makes both.
    ///
    /// # Errors
    /// The kernel refuses something, most likely for want of root, or switchd does not start.
    pub fn new() -> Result<Self> {
        Ok(Self { kernel: Kernel::new()?, daemon: Daemon::new()? })
    }

    /// Both, Linux first, for scenarios that are written out.
    pub fn subjects(&mut self) -> [&mut dyn Subject; 2] {
        [&mut self.kernel, &mut self.daemon]
    }

    /// Takes new bridges through these steps.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn replay(&mut self, steps: &[Step]) -> Result<Outcome> {
        self.take_through(steps, PATIENCE)
    }

    fn take_through(&mut self, steps: &[Step], patience: Duration) -> Result<Outcome> {
        self.kernel.renew()?;
        self.daemon.renew()?;
        run(steps, &mut self.kernel, &mut self.daemon, Mode::Linux(patience))
    }

    /// Takes new bridges through so many cases of a seed, up to the first difference, which is then made short.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn compare(&mut self, seed: u64, cases: usize) -> Result<Report> {
        let mut generator = Generator::new(seed);
        let mut report = Report::default();
        for case in 1..=cases {
            let steps = generator.case(FRAMES);
            let outcome = self.replay(&steps)?;
            report.frames += outcome.frames;
            report.steps += outcome.steps;
            for (name, count) in outcome.left_out {
                *report.left_out.entry(name).or_default() += count;
            }
            if let Some(difference) = outcome.difference {
                let mut words = format!("seed {seed}, case {case}, {difference}\n");
                let steps = steps.get(..=difference.at).unwrap_or(&steps).to_vec();
                words += &self.shorten(steps)?;
                report.difference = Some(words);
                break;
            }
        }
        Ok(report)
    }

    fn shorten(&mut self, steps: Vec<Step>) -> Result<String> {
        let short = shrink(steps, |steps| Ok(self.take_through(steps, IMPATIENCE)?.difference.is_some()))?;
        let mut words = String::new();
        match self.replay(&short)?.difference {
            Some(difference) => writeln!(words, "In short: {difference}")?,
            None => writeln!(words, "It does not show every time.")?,
        }
        words += "Replay it with `cargo xtask conformance --replay FILE`, where FILE holds:\n\n";
        Ok(words + &script::write(&short))
    }

    /// Whether the comparison finds switchd with this wrong rule within so many frames.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn finds(&mut self, wrong: Wrong, seed: u64, frames: usize) -> Result<Option<usize>> {
        let mut generator = Generator::new(seed);
        let mut sent = 0;
        while sent < frames {
            let steps = generator.case(FRAMES.min(frames - sent));
            self.kernel.renew()?;
            self.daemon.renew()?;
            let mut spoilt = Spoilt { subject: &mut self.daemon, wrong };
            let outcome = run(&steps, &mut self.kernel, &mut spoilt, Mode::Linux(IMPATIENCE))?;
            sent += outcome.frames;
            if outcome.difference.is_some() {
                return Ok(Some(sent));
            }
        }
        Ok(None)
    }
}

/// A seed that no run had before.
///
/// # Errors
/// The kernel gives no random number.
pub fn fresh_seed() -> Result<u64> {
    let text = std::fs::read("/proc/sys/kernel/random/uuid")?;
    Ok(text.iter().fold(0_u64, |seed, byte| seed.wrapping_mul(257).wrapping_add(u64::from(*byte)))
        % 1_000_000_000)
}
