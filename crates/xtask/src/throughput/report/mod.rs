//! What a run has found, as tables on the terminal, as JSON, and as a report that stands alone.

mod chart;
mod html;
mod markdown;
mod table;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;

use super::bench::Bench;
use super::results::Results;

/// Everything that a run has found, and on what.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The command that does the same again.
    command: String,
    machine: Vec<(&'static str, String)>,
    subjects: Vec<Settings>,
    results: Results,
}

/// How a subject was set up.
#[derive(Debug, Serialize)]
struct Settings {
    name: &'static str,
    version: Option<String>,
    settings: &'static str,
}

impl Report {
    pub(crate) fn new(bench: &Bench, command: String) -> Self {
        let subjects = bench.subjects.iter().map(|subject| Settings {
            name: subject.name(),
            version: subject.version(&bench.programs.switchd),
            settings: subject.settings(),
        });
        Self {
            command,
            machine: machine(bench.began.elapsed()),
            subjects: subjects.collect(),
            results: bench.results.clone(),
        }
    }

    /// Shows the tables.
    pub(crate) fn print(&self) {
        print!("{}", table::text(&self.results));
    }

    /// Writes `throughput.json` and `throughput.html`.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        for (name, text) in
            [("throughput.json", serde_json::to_string_pretty(self)?), ("throughput.html", html::page(self))]
        {
            let file = directory.join(name);
            fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
            println!("{}", file.display());
        }
        Ok(())
    }
}

/// What the figures are worth depends on it.
fn machine(took: Duration) -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism()
        .map_or(0, usize::from)
        .max(processor.matches("processor\t").count());
    let virtual_one = if processor.contains(" hypervisor") { ", a virtual machine" } else { "" };
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    vec![
        ("processor", format!("{model}, {cores} cores{virtual_one}")),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("date", date(seconds / 86_400)),
        ("took", format!("{} s", took.as_secs())),
    ]
}

/// The date so many days after 1970-01-01: Howard Hinnant's `civil_from_days`.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::throughput::results;

    pub(crate) fn example() -> Report {
        Report {
            command: "cargo xtask throughput --quick <&>".into(),
            machine: vec![("kernel", "6.1 <b>".into())],
            subjects: vec![Settings { name: "switchd", version: None, settings: "as it is" }],
            results: results::tests::example(),
        }
    }

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(20_781), "2026-11-24");
    }

    #[test]
    fn json_and_page_are_written_and_the_json_has_every_sample() {
        let directory = tempfile::TempDir::new().expect("a directory");
        example().write(directory.path()).expect("written");
        let text = fs::read_to_string(directory.path().join("throughput.json")).expect("there");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let first = &json["results"]["measurements"][0];
        assert_eq!(first["samples"], serde_json::json!([1e6, 3e6, 2e6]));
        assert_eq!((first["subject"].as_str(), first["figure"].as_str()), (Some("switchd"), Some("Frames")));
        assert!(directory.path().join("throughput.html").exists());
    }
}
