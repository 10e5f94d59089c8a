//! What was measured: samples of each figure of each subject, in the order in which they were taken.

use serde::Serialize;

use super::statistics;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Figure {
    /// Frames a second that arrived.
    Frames,
    /// Of all cores together.
    FramesPerProcessorSecond,
    /// The highest rate without a loss.
    Throughput,
    /// Bits a second.
    Tcp,
    RoundTripMean,
    #[serde(rename = "RoundTrip99")]
    RoundTrip99th,
    LatencyMean,
    #[serde(rename = "Latency99")]
    Latency99th,
    /// Part of the frames that were lost.
    Loss,
    /// Frames in a row as fast as they can be sent, without a loss.
    BackToBack,
    /// Addresses that are known all at once.
    Addresses,
    /// Addresses learned a second.
    Learning,
    /// Part of the processor time that an idle switch takes.
    Idle,
    /// Times a second that it wakes up.
    WakeUps,
    /// Resident bytes.
    Memory,
}

impl Figure {
    /// Name, unit, and how many of what is measured make one of the unit.
    pub(crate) fn unit(self) -> (&'static str, &'static str, f64) {
        match self {
            Self::Frames => ("frames", "M/s", 1e6),
            Self::FramesPerProcessorSecond => ("frames per CPU-second", "M", 1e6),
            Self::Throughput => ("throughput without loss", "M/s", 1e6),
            Self::Tcp => ("TCP", "Gb/s", 1e9),
            Self::RoundTripMean => ("round trip, mean", "µs", 1.0),
            Self::RoundTrip99th => ("round trip, 99th percentile", "µs", 1.0),
            Self::LatencyMean => ("latency, mean", "µs", 1.0),
            Self::Latency99th => ("latency, 99th percentile", "µs", 1.0),
            Self::Loss => ("loss", "%", 0.01),
            Self::BackToBack => ("back-to-back frames", "", 1.0),
            Self::Addresses => ("addresses cached", "", 1.0),
            Self::Learning => ("addresses learned", "k/s", 1e3),
            Self::Idle => ("processor time, idle", "%", 0.01),
            Self::WakeUps => ("wake-ups, idle", "/s", 1.0),
            Self::Memory => ("resident memory", "MiB", 1_048_576.0),
        }
    }
}

/// What was measured, of whichever subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Case {
    pub(crate) chapter: &'static str,
    /// How the hosts are wired.
    pub(crate) wiring: &'static str,
    /// Which one of the chapter: a frame size, a load.
    pub(crate) case: String,
    /// The same as a number, where the case is a place on an axis: what stands on the axis, and where.
    pub(crate) at: Option<(&'static str, f64)>,
    pub(crate) figure: Figure,
}

/// A figure of a subject.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) subject: &'static str,
    pub(crate) median: Option<f64>,
    pub(crate) samples: Vec<f64>,
}

/// All of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) measurements: Vec<Measurement>,
}

impl Results {
    /// Adds a sample.
    pub(crate) fn add(&mut self, case: &Case, subject: &'static str, value: f64) {
        let known = self.measurements.iter_mut().find(|had| had.case == *case && had.subject == subject);
        if let Some(had) = known {
            had.samples.push(value);
            had.median = statistics::median(&had.samples);
        } else {
            let (case, samples) = (case.clone(), vec![value]);
            self.measurements.push(Measurement { case, subject, median: Some(value), samples });
        }
    }

    /// The cases in the order in which they were first measured.
    pub(crate) fn cases(&self) -> Vec<&Case> {
        let mut cases: Vec<&Case> = Vec::new();
        for measurement in &self.measurements {
            if !cases.contains(&&measurement.case) {
                cases.push(&measurement.case);
            }
        }
        cases
    }

    /// The subjects in the order in which they were first measured.
    pub(crate) fn subjects(&self) -> Vec<&'static str> {
        let mut subjects = Vec::new();
        for measurement in &self.measurements {
            if !subjects.contains(&measurement.subject) {
                subjects.push(measurement.subject);
            }
        }
        subjects
    }

    pub(crate) fn median(&self, case: &Case, subject: &str) -> Option<f64> {
        self.find(case, subject)?.median
    }

    /// The median of the ratios of samples that were taken in the same round.
    pub(crate) fn ratio(&self, case: &Case, of: &str, to: &str) -> Option<f64> {
        statistics::ratio(&self.find(case, of)?.samples, &self.find(case, to)?.samples)
    }

    fn find(&self, case: &Case, subject: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|had| had.case == *case && had.subject == subject)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two subjects, a figure by category and one along an axis.
    pub(crate) fn example() -> Results {
        let mut results = Results::default();
        for (name, at, figure) in [
            ("64 B", None, Figure::Frames),
            ("1518 B", None, Figure::Frames),
            ("10 ports", Some(("ports", 10.0)), Figure::Loss),
            ("100 ports", Some(("ports", 100.0)), Figure::Loss),
        ] {
            let case = Case { chapter: "rates", wiring: "veths", case: name.into(), at, figure };
            for round in [1.0, 3.0, 2.0] {
                results.add(&case, "switchd", round * 1e6);
                results.add(&case, "Linux Bridge", round * 0.5e6);
            }
        }
        results
    }

    #[test]
    fn samples_of_one_case_and_subject_stand_together() {
        let results = example();
        assert_eq!(results.measurements.len(), 8);
        assert_eq!(results.cases().len(), 4);
        assert_eq!(results.subjects(), ["switchd", "Linux Bridge"]);
        let case = results.cases()[0];
        assert_eq!(results.median(case, "switchd"), Some(2e6));
        assert_eq!(results.ratio(case, "switchd", "Linux Bridge"), Some(2.0));
        assert_eq!(results.ratio(case, "switchd", "nobody"), None);
    }
}
