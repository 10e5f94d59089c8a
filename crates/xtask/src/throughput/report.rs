//! Medians, ratios, a table for people and JSON for machines.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::rig::Subject;
use super::sample::{Idle, Sample};

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
    subject: &'static str,
    samples: Vec<Sample>,
    medians: Vec<f64>,
}

/// Everything that a run has found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    idle: Idle,
}

impl Report {
    pub(super) fn new(samples: &[(Subject, Sample)], idle: Idle) -> Self {
        let rows = Subject::ALL.map(|subject| {
            let of_it: Vec<_> = samples.iter().filter(|(of, _)| *of == subject).map(|(_, s)| *s).collect();
            let medians = FIGURES.map(|(_, unit, take)| median(of_it.iter().map(take).collect()) / unit);
            Row { subject: subject.name(), samples: of_it, medians: medians.to_vec() }
        });
        Self { columns: FIGURES.map(|(name, ..)| name).to_vec(), rows: rows.into(), idle }
    }

    pub(super) fn print(&self) {
        print!("\n{:14}", "median of each");
        self.columns.iter().for_each(|name| print!("{name:>17}"));
        println!();
        for row in &self.rows {
            print!("{:14}", row.subject);
            row.medians.iter().for_each(|value| print!("{value:>17.2}"));
            println!();
        }
        for (name, base) in [("/ bare loop", 0), ("/ Linux Bridge", 2)] {
            print!("{name:14}");
            for (ours, theirs) in self.rows[1].medians.iter().zip(&self.rows[base].medians) {
                if *theirs > 0.0 { print!("{:>17.2}", ours / theirs) } else { print!("{:>17}", "") }
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

/// The middle value; of an even number the upper one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
