//! Medians, ratios, a table for people and JSON for machines.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::rig::Subject;
use super::sample::{Idle, Round, Sample};

/// A figure of a sample: its name, its unit divisor and how to take it.
type Figure = (&'static str, f64, fn(&Sample) -> f64);

const FIGURES: [Figure; 5] = [
    ("Mpps, 60 B", 1e6, |sample| sample.frames_per_second),
    ("TCP, Gb/s", 1e9, |sample| sample.tcp_bits_per_second),
    ("round trip, µs", 1.0, |sample| sample.round_trip_us),
    ("CPU, ns a frame", 1.0, |sample| sample.processor_ns_per_frame),
    ("memory, MiB", 1024.0, |sample| sample.memory_kib),
];

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    /// `None` where there is nothing to compare with.
    values: Vec<Option<f64>>,
}

/// Everything that a run has found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    columns: Vec<&'static str>,
    /// Medians of each subject, then, of each base, the medians of the ratios of each round.
    rows: Vec<Row>,
    subjects: Vec<&'static str>,
    rounds: Vec<Round>,
    idle: Idle,
}

impl Report {
    /// Of these subjects in this order, with these ratios: a word, of whom, to whom.
    pub(super) fn new(
        subjects: &[Subject],
        all_ratios: &[(&'static str, Subject, Subject)],
        rounds: Vec<Round>,
        idle: Idle,
    ) -> Self {
        let sample = |round: &Round, of: Subject| {
            let place = subjects.iter().position(|subject| *subject == of);
            place.map_or_else(Sample::default, |place| round.0[place])
        };
        let medians = |subject: &Subject| {
            let median = |unit: f64, take: fn(&Sample) -> f64| {
                over(&rounds, |round| Some(take(&sample(round, *subject)) / unit))
            };
            let values = FIGURES.map(|(_, unit, take)| median(unit, take)).into();
            Row { name: subject.name(), values }
        };
        let ratios = |(name, of, to): &(&'static str, Subject, Subject)| {
            let ratio = |take: fn(&Sample) -> f64| {
                over(&rounds, |round| {
                    let base = take(&sample(round, *to));
                    (base > 0.0).then(|| take(&sample(round, *of)) / base)
                })
            };
            Row { name, values: FIGURES.map(|(_, _, take)| ratio(take)).into() }
        };
        let rows = subjects.iter().map(medians).chain(all_ratios.iter().map(ratios)).collect();
        let columns = FIGURES.map(|(name, ..)| name).to_vec();
        Self {
            columns,
            rows,
            subjects: subjects.iter().map(|subject| subject.name()).collect(),
            rounds,
            idle,
        }
    }

    pub(super) fn print(&self) {
        print!("\n{:14}", "medians");
        self.columns.iter().for_each(|name| print!("{name:>17}"));
        println!();
        for row in &self.rows {
            print!("{:14}", row.name);
            for value in &row.values {
                value.map_or_else(|| print!("{:>17}", ""), |value| print!("{value:>17.2}"));
            }
            println!();
        }
        println!(
            "\nidle: {:.0} ms of processor time in 10 s, {:.1} wake-ups a second",
            self.idle.processor_ms, self.idle.wakeups_per_second
        );
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?)?;
        println!("figures: {}", path.display());
        Ok(())
    }
}

/// The median over all rounds of what `figure` makes of each; of an even number the upper one.
fn over(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = rounds.iter().filter_map(figure).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
