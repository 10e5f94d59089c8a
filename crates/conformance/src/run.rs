//! Two subjects side by side: every step goes into both, and after it both must show the same.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use bridge::{BridgeSettings, PortSettings};

use crate::core::{bridge_settings, changed_bridge, changed_port, port_of};
use crate::differences;
use crate::generator::MTU;
use crate::script::frame_in_words;
use crate::step::{End, Entry, Step};
use crate::subject::{Delivery, Subject, View};

/// What is set, and what the FDB held at last: all that decides whether a step is a deliberate difference.
#[derive(Debug)]
pub struct World {
    /// Of the bridge.
    pub bridge: BridgeSettings,
    /// Of each port.
    pub ports: BTreeMap<End, PortSettings>,
    /// Ports that are down.
    pub down: Vec<u8>,
    /// MTUs that are not [`MTU`].
    pub mtus: BTreeMap<u8, u32>,
    /// As the first subject showed it.
    pub fdb: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let settings = |end| if end == End::Host { PortSettings::host() } else { PortSettings::default() };
        Self {
            bridge: bridge_settings(),
            ports: End::all().map(|end| (end, settings(end))).collect(),
            down: Vec::new(),
            mtus: BTreeMap::new(),
            fdb: Vec::new(),
        }
    }

    /// A port's MTU in bytes.
    #[must_use]
    pub fn mtu(&self, port: u8) -> u32 {
        self.mtus.get(&port).copied().unwrap_or(MTU)
    }

    fn note(&mut self, step: &Step) {
        if let Some(bridge) = changed_bridge(self.bridge, step) {
            self.bridge = bridge;
        }
        if let Some(settings) = port_of(step).and_then(|end| self.ports.get_mut(&end))
            && let Some(changed) = changed_port(*settings, step)
        {
            *settings = changed;
        }
        match *step {
            Step::Link { port, up } => {
                self.down.retain(|down| *down != port);
                if !up {
                    self.down.push(port);
                }
            }
            Step::Mtu { port, mtu } => {
                self.mtus.insert(port, mtu);
            }
            _ => {}
        }
    }
}

/// Where two subjects are not the same.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The number of the step after which it was seen, from 0.
    pub at: usize,
    /// In words.
    pub words: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after step {}: {}", self.at + 1, self.words)
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Frames that were sent into both.
    pub frames: usize,
    /// Steps that were carried out, frames among them.
    pub steps: usize,
    /// Steps that were left out, by the name of the deliberate difference.
    pub left_out: BTreeMap<&'static str, usize>,
    /// The first difference.
    pub difference: Option<Difference>,
}

/// Whether the clock is a real one, and deliberate differences are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Both subjects do at once what they do, and all of it.
    Pure,
    /// One of them is Linux. Both have so long to show the same: what is right is there at once but on a
    /// busy machine, and what is wrong costs this once.
    Linux(Duration),
}

/// Takes both subjects through the steps, up to the first difference.
///
/// # Errors
/// The test itself failed.
pub fn run(steps: &[Step], left: &mut dyn Subject, right: &mut dyn Subject, mode: Mode) -> Result<Outcome> {
    let mut world = World::new();
    let mut outcome = Outcome::default();
    for (at, step) in steps.iter().enumerate() {
        if mode != Mode::Pure
            && let Some(name) = differences::leaves_out(&world, step)
        {
            *outcome.left_out.entry(name).or_default() += 1;
            continue;
        }
        outcome.steps += 1;
        outcome.frames += usize::from(matches!(step, Step::Frame { .. }));
        if let (Mode::Linux(_), Step::Wait { ms }) = (mode, step) {
            std::thread::sleep(Duration::from_millis(*ms));
        }
        let accepted = (left.apply(step)?, right.apply(step)?);
        let words = if accepted.0 == accepted.1 {
            settle(&mut world, left, right, mode)?
        } else {
            let says = |accepted| if accepted { "accepts" } else { "refuses" };
            let (left, right) = (left.name(), right.name());
            Some(format!("{left} {} it, {right} {} it", says(accepted.0), says(accepted.1)))
        };
        if let Some(words) = words {
            outcome.difference = Some(Difference { at, words: format!("{step}\n{words}") });
            return Ok(outcome);
        }
        if accepted.0 {
            world.note(step);
        }
    }
    let ends = [(left.name(), left.finish()), (right.name(), right.finish())];
    for (name, error) in ends.into_iter().filter_map(|(name, end)| Some((name, end.err()?))) {
        let (at, words) = (steps.len().saturating_sub(1), format!("{name}: {error:#}"));
        outcome.difference = Some(Difference { at, words });
    }
    Ok(outcome)
}

/// Looks at both until they show the same; says what is not the same if they never do.
fn settle(
    world: &mut World,
    left: &mut dyn Subject,
    right: &mut dyn Subject,
    mode: Mode,
) -> Result<Option<String>> {
    let started = Instant::now();
    let mut frames = [Vec::new(), Vec::new()];
    loop {
        let views = [left.view()?, right.view()?];
        let patience = match mode {
            Mode::Pure => Duration::ZERO,
            Mode::Linux(patience) => {
                guard(world, &views);
                patience
            }
        };
        let [l, r] = views;
        for (all, new) in frames.iter_mut().zip([l.frames, r.frames]) {
            all.extend(new);
            all.sort_unstable();
        }
        if frames[0] == frames[1] && l.fdb == r.fdb {
            world.fdb = l.fdb;
            return Ok(None);
        }
        if started.elapsed() >= patience {
            let names = [left.name(), right.name()];
            let [left_frames, right_frames] = frames;
            return Ok(Some(
                in_words(names[0], &left_frames, &right_frames, &l.fdb, &r.fdb)
                    + &in_words(names[1], &right_frames, &left_frames, &r.fdb, &l.fdb),
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Entries near the end of their ageing time may be there or not: waits until all are young or surely gone.
fn guard(world: &World, views: &[View; 2]) {
    let ageing = world.bridge.ageing_time.0;
    let (young, gone) = (ageing * 3 / 4, ageing * 5 / 4 + 60);
    let ages = views.iter().flat_map(|view| &view.ages).map(|(_, age)| *age);
    if let Some(left) = ages.filter(|age| (young..gone).contains(age)).map(|age| gone - age).max() {
        std::thread::sleep(Duration::from_millis(left));
    }
}

/// What one shows and the other does not.
fn in_words(
    name: &str,
    frames: &[Delivery],
    other_frames: &[Delivery],
    fdb: &[Entry],
    other_fdb: &[Entry],
) -> String {
    let mut words = String::new();
    for (end, bytes) in only(frames, other_frames) {
        words += &format!("only {name} sends to {end}: {}\n", frame_in_words(bytes));
    }
    for entry in only(fdb, other_fdb) {
        words += &format!("only {name} has the entry {entry}\n");
    }
    words
}

/// What is more often in the first.
fn only<'a, T: PartialEq>(these: &'a [T], those: &'a [T]) -> impl Iterator<Item = &'a T> {
    let mut left: Vec<&T> = those.iter().collect();
    these.iter().filter(move |this| match left.iter().position(|that| that == this) {
        Some(place) => {
            left.remove(place);
            false
        }
        None => true,
    })
}
