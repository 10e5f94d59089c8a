//! Two subjects side by side: every step goes into both, and after it both must show the same.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use bridge::{BridgeSettings, PortSettings};
use frame::Vid;

use crate::core::{bridge_settings, changed_bridge, changed_port, port_of};
use crate::differences;
use crate::generator::MTU;
use crate::script::frame_in_words;
use crate::step::{End, Entry, Member, Step, Tags};
use crate::subject::{Subject, View};

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
    /// The VLANs of all ports, as the first subject showed them.
    pub vlans: Vec<Member>,
}

impl World {
    fn new(tags: Tags) -> Self {
        let settings = |end| if end == End::Host { PortSettings::host() } else { PortSettings::default() };
        Self {
            bridge: bridge_settings(tags),
            ports: End::all().map(|end| (end, settings(end))).collect(),
            down: Vec::new(),
            mtus: BTreeMap::new(),
            fdb: Vec::new(),
            vlans: Vec::new(),
        }
    }

    /// A port's MTU in bytes.
    #[must_use]
    pub fn mtu(&self, port: u8) -> u32 {
        self.mtus.get(&port).copied().unwrap_or(MTU)
    }

    /// Whether a port is in a VLAN.
    #[must_use]
    pub fn is_member(&self, port: End, vid: Vid) -> bool {
        self.vlans.iter().any(|member| (member.port, member.vid) == (port, vid))
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

/// Takes both subjects through the steps, up to the first difference. What they make of `tags` both know.
///
/// # Errors
/// The test itself failed.
pub fn run(
    steps: &[Step],
    tags: Tags,
    left: &mut dyn Subject,
    right: &mut dyn Subject,
    mode: Mode,
) -> Result<Outcome> {
    let mut world = World::new(tags);
    let mut outcome = Outcome::default();
    world.vlans = left.view()?.vlans;
    right.view()?;
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
        let [mut l, mut r] = views;
        for (all, new) in frames.iter_mut().zip([&mut l.frames, &mut r.frames]) {
            all.append(new);
            all.sort_unstable();
        }
        if frames[0] == frames[1] && l.fdb == r.fdb && l.vlans == r.vlans {
            (world.fdb, world.vlans) = (l.fdb, l.vlans);
            return Ok(None);
        }
        if started.elapsed() >= patience {
            let [left_frames, right_frames] = frames;
            let (l, r) = (View { frames: left_frames, ..l }, View { frames: right_frames, ..r });
            let accounts = left.account() + &right.account();
            return Ok(Some(in_words(left.name(), &l, &r) + &in_words(right.name(), &r, &l) + &accounts));
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
fn in_words(name: &str, this: &View, other: &View) -> String {
    let mut words = String::new();
    for (end, bytes) in only(&this.frames, &other.frames) {
        words += &format!("only {name} sends to {end}: {}\n", frame_in_words(bytes));
    }
    for entry in only(&this.fdb, &other.fdb) {
        words += &format!("only {name} has the entry {entry}\n");
    }
    for member in only(&this.vlans, &other.vlans) {
        words += &format!("only {name} has {member}\n");
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
