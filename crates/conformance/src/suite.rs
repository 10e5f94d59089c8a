//! The comparison of Linux and switchd as a whole: cases from a seed, and of the first difference a short
//! script.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::core::Core;
use crate::daemon::{Daemon, First, Shape};
use crate::differences;
use crate::generator::Generator;
use crate::kernel::Kernel;
use crate::run::{Mode, Outcome, run};
use crate::script;
use crate::shrink::shrink;
use crate::step::{Step, Tags};
use crate::subject::Subject;
use crate::wrong::{Covered, Spoilt, Wrong};

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
    switchd: Compared,
    tags: Tags,
}

/// What is compared with Linux.
#[derive(Debug)]
enum Compared {
    /// What ships.
    Daemon(Box<Daemon>),
    /// What decides, which can do more than there are commands for.
    Core(Box<Core>),
}

impl Compared {
    fn subject(&mut self) -> &mut dyn Subject {
        match self {
            Self::Daemon(daemon) => &mut **daemon,
            Self::Core(core) => &mut **core,
        }
    }

    /// Whether all of its ports have an MTU.
    fn has_mtus(&self) -> bool {
        match self {
            Self::Daemon(daemon) => daemon.first() == First::Veths,
            Self::Core(_) => true,
        }
    }

    fn renew(&mut self, tags: Tags) -> Result<()> {
        match self {
            Self::Daemon(daemon) => daemon.renew(),
            Self::Core(core) => {
                **core = Core::in_real_time(tags);
                Ok(())
            }
        }
    }
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
    pub fn new(tags: Tags) -> Result<Self> {
        Self::with(Shape { tags, first: First::Veths, workers: 1 })
    }

    /// Linux, and such a switchd.
    ///
    /// # Errors
    /// As [`Suite::new`].
    pub fn with(shape: Shape) -> Result<Self> {
        let (tags, daemon) = (shape.tags, Box::new(Daemon::new(shape)?));
        Ok(Self { kernel: Kernel::new(tags)?, switchd: Compared::Daemon(daemon), tags })
    }

    /// Linux and the core alone, where VLANs are told apart; their states are set too.
    ///
    /// # Errors
    /// As [`Suite::new`].
    pub fn of_core() -> Result<Self> {
        let tags = Tags::Vlans;
        let core = Box::new(Core::in_real_time(tags));
        Ok(Self { kernel: Kernel::new(tags)?, switchd: Compared::Core(core), tags })
    }

    fn generator(&self, seed: u64) -> Generator {
        match self.switchd {
            Compared::Daemon(_) => Generator::new(seed, self.tags),
            Compared::Core(_) => Generator::with_states(seed),
        }
    }

    /// Both, Linux first, for scenarios that are written out.
    pub fn subjects(&mut self) -> [&mut dyn Subject; 2] {
        [&mut self.kernel, self.switchd.subject()]
    }

    /// Takes new bridges through these steps.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn replay(&mut self, steps: &[Step]) -> Result<Outcome> {
        self.take_through(steps, PATIENCE)
    }

    fn renew(&mut self) -> Result<()> {
        self.kernel.renew()?;
        self.switchd.renew(self.tags)
    }

    fn take_through(&mut self, steps: &[Step], patience: Duration) -> Result<Outcome> {
        self.renew()?;
        run(steps, self.tags, &mut self.kernel, self.switchd.subject(), Mode::Linux(patience))
    }

    /// Takes new bridges through so many cases of a seed, up to the first difference, which is then made short.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn compare(&mut self, seed: u64, cases: usize) -> Result<Report> {
        let mut generator = self.generator(seed);
        let mut report = Report::default();
        for case in 1..=cases {
            let mut steps = generator.case(FRAMES);
            if !self.switchd.has_mtus() {
                steps.retain(|step| !differences::needs_mtu(step));
            }
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
        let vlan = if self.tags == Tags::Vlans { "--vlan " } else { "" };
        writeln!(words, "Replay it with `cargo xtask conformance {vlan}--replay FILE`, where FILE holds:\n")?;
        Ok(words + &script::write(&short))
    }

    /// Whether the comparison finds switchd with this wrong rule within so many frames.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn finds(&mut self, wrong: Wrong, seed: u64, frames: usize) -> Result<Option<usize>> {
        self.notices(seed, frames, |linux, switchd| (linux, Box::new(Spoilt { subject: switchd, wrong })))
    }

    /// The same where it is Linux that has this wrong rule.
    ///
    /// # Errors
    /// The test itself failed.
    pub fn finds_in_linux(&mut self, wrong: Wrong, seed: u64, frames: usize) -> Result<Option<usize>> {
        self.notices(seed, frames, |linux, switchd| (Box::new(Spoilt { subject: linux, wrong }), switchd))
    }

    /// How many frames it takes until both differ, once something has been made of them.
    fn notices(
        &mut self,
        seed: u64,
        frames: usize,
        spoil: impl for<'s> Fn(Bridge<'s>, Bridge<'s>) -> (Bridge<'s>, Bridge<'s>),
    ) -> Result<Option<usize>> {
        let mut generator = self.generator(seed);
        let mut sent = 0;
        while sent < frames {
            let steps = generator.case(FRAMES.min(frames - sent));
            self.renew()?;
            let tags = self.tags;
            let [linux, switchd] = self.subjects();
            let (linux, switchd) = spoil(Box::new(linux), Box::new(switchd));
            let (mut linux, mut switchd) = (Covered(linux), Covered(switchd));
            let outcome = run(&steps, tags, &mut linux, &mut switchd, Mode::Linux(IMPATIENCE))?;
            sent += outcome.frames;
            if outcome.difference.is_some() {
                return Ok(Some(sent));
            }
        }
        Ok(None)
    }
}

/// One of both, or what was made of it.
type Bridge<'s> = Box<dyn Subject + 's>;

/// A seed that no run had before.
///
/// # Errors
/// The kernel gives no random number.
pub fn fresh_seed() -> Result<u64> {
    let text = std::fs::read("/proc/sys/kernel/random/uuid")?;
    Ok(text.iter().fold(0_u64, |seed, byte| seed.wrapping_mul(257).wrapping_add(u64::from(*byte)))
        % 1_000_000_000)
}
