//! A run: what it measures with, what it has found, and what it says meanwhile.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Programs;
use super::results::{Case, Figure, Results};
use super::scale::Scale;
use super::subject::{Rig, Subject, Wiring, Wish};
use super::traffic::{Flow, Load, Mix, Outcome, flood, introduce, trial};
use crate::interrupt::Interrupt;

/// Frames a second at which stations introduce themselves.
const INTRODUCTION: f64 = 50_000.0;

/// A run.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) scale: Scale,
    pub(crate) interrupt: Interrupt,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) results: Results,
    pub(crate) began: Instant,
}

impl Bench {
    /// Rigs of all subjects that can be wired so.
    pub(crate) fn rigs(&self, wish: &Wish) -> Result<Vec<Rig>> {
        let fitting = self.subjects.iter().filter(|subject| subject.fits(wish.wiring, wish.ports));
        fitting
            .map(|subject| {
                self.say(&format!(
                    "setting up {}, {} ports, {}",
                    subject.name(),
                    wish.ports,
                    wish.wiring.name()
                ));
                Rig::build(*subject, wish, &self.programs, &self.interrupt)
            })
            .collect()
    }

    /// Shows what goes on: on a terminal in one line that is written anew.
    pub(crate) fn say(&self, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        let time = format!("[{}:{:02}]", seconds / 60, seconds % 60);
        let mut terminal = std::io::stderr();
        let _ = if terminal.is_terminal() {
            write!(terminal, "\r\x1b[2K{time} {what}").and_then(|()| terminal.flush())
        } else {
            writeln!(terminal, "{time} {what}")
        };
    }

    /// Adds a sample and shows it.
    pub(crate) fn add(&mut self, case: &Case, subject: Subject, value: f64) {
        self.results.add(case, subject.name(), value);
        let (name, unit, one) = case.figure.unit();
        let said = format!(
            "{}, {}, {}: {}, {name} {:.3} {unit}",
            case.chapter,
            case.wiring,
            case.case,
            subject.name(),
            value / one
        );
        self.say(&said);
    }

    /// Which subject comes when: who is first, and who comes after whom, changes with each round.
    pub(crate) fn order(count: usize, round: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).map(|place| (place + round) % count).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }

    /// What comes through when frames are sent as fast as one core can.
    pub(crate) fn flood(&self, rig: &mut Rig, mix: Mix, flows: &[Flow], sample: Duration) -> Result<Outcome> {
        self.introduce(rig, flows)?;
        let load = Load::new(mix, flows.to_vec(), sample);
        flood(&mut rig.plugs, &load, &self.interrupt)
    }

    /// What becomes of a load.
    pub(crate) fn trial(&self, rig: &mut Rig, load: &Load) -> Result<Outcome> {
        self.introduce(rig, &load.flows)?;
        trial(&mut rig.plugs, load, &self.interrupt)
    }

    pub(crate) fn introduce(&self, rig: &mut Rig, flows: &[Flow]) -> Result<()> {
        // Many are introduced once, by whoever has so many.
        if flows.iter().any(|flow| flow.stations > 1) {
            return Ok(());
        }
        introduce(&mut rig.plugs, flows, INTRODUCTION, 1, &self.interrupt)
    }
}

/// A case of a chapter, of which some figures are taken.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) chapter: &'static str,
    pub(crate) wiring: &'static str,
    pub(crate) case: String,
    pub(crate) at: Option<(&'static str, f64)>,
}

impl Place {
    pub(crate) fn new(chapter: &'static str, wiring: Wiring, case: impl Into<String>) -> Self {
        Self { chapter, wiring: wiring.name(), case: case.into(), at: None }
    }

    /// At this value of an axis.
    pub(crate) fn at(self, axis: &'static str, value: f64) -> Self {
        Self { at: Some((axis, value)), ..self }
    }

    pub(crate) fn figure(&self, figure: Figure) -> Case {
        let Self { chapter, wiring, case, at } = self.clone();
        Case { chapter, wiring, case, at, figure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_everybody_once_and_another_one_first() {
        let orders: Vec<_> = (0..4).map(|round| Bench::order(4, round)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
        }
        let first: std::collections::BTreeSet<_> = orders.iter().map(|order| order[0]).collect();
        assert!(first.len() > 1, "{orders:?}");
    }
}
