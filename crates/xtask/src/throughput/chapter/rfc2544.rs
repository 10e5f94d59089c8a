//! RFC 2544: the throughput without loss by binary search (26.1), latency at parts of it (26.2), loss against
//! offered load (26.3), and back-to-back frames (26.4).

use anyhow::Result;

use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::search::highest;
use crate::throughput::statistics::{mean, percentile};
use crate::throughput::subject::{Rig, Wiring};
use crate::throughput::traffic::{Flow, Load, Mix};

const THROUGHPUT: &str = "RFC 2544, throughput";
const LATENCY: &str = "RFC 2544, latency";
const LOSS: &str = "RFC 2544, loss against load";
const BACK_TO_BACK: &str = "RFC 2544, back-to-back";

/// How close the throughput is found, as a part of the highest rate.
const RESOLUTION: f64 = 1.0 / 64.0;

/// The longest burst that is tried.
const LONGEST_BURST: f64 = 131_072.0;

/// Parts of the throughput at which latency is taken.
const PARTS: [f64; 3] = [0.5, 0.9, 1.0];

pub(super) fn run(bench: &mut Bench, rigs: &mut [Rig], wiring: Wiring) -> Result<()> {
    for &mix in bench.scale.searched {
        for rig in &mut *rigs {
            let most = bench.flood(rig, mix, &[Flow::between(0, 1)], bench.scale.sample)?;
            // No more than what comes through at most, and no more than can be offered.
            let most = most.delivered_rate().min(most.offered_rate());
            let found = throughput(bench, rig, mix, most)?;
            let place = Place::new(THROUGHPUT, wiring, mix.name);
            bench.add(&place.figure(Figure::Throughput), rig.subject, found);
            if bench.scale.examined.contains(&mix) {
                latency(bench, rig, mix, wiring, found)?;
                loss(bench, rig, mix, wiring, most)?;
                back_to_back(bench, rig, mix, wiring)?;
            }
        }
    }
    Ok(())
}

fn load(bench: &Bench, mix: Mix) -> Load {
    Load::new(mix, vec![Flow::between(0, 1)], bench.scale.trial)
}

/// A trial with a loss is repeated once: on a machine that others share, one trial in some loses its processor.
fn throughput(bench: &mut Bench, rig: &mut Rig, mix: Mix, most: f64) -> Result<f64> {
    highest(most, RESOLUTION, |rate| {
        bench.say(&format!("{THROUGHPUT}, {}: {} at {:.3} M/s", mix.name, rig.subject.name(), rate / 1e6));
        let load = load(bench, mix).at(rate);
        Ok(bench.trial(rig, &load)?.loss() == 0.0 || bench.trial(rig, &load)?.loss() == 0.0)
    })
}

fn latency(bench: &mut Bench, rig: &mut Rig, mix: Mix, wiring: Wiring, throughput: f64) -> Result<()> {
    for part in PARTS {
        let load = Load { probes: true, ..load(bench, mix).at(part * throughput) };
        let outcome = bench.trial(rig, &load)?;
        let case = format!("{}, {:.0} % of throughput", mix.name, part * 100.0);
        let place = Place::new(LATENCY, wiring, case);
        for (figure, value) in [
            (Figure::LatencyMean, mean(&outcome.latencies)),
            (Figure::Latency99th, percentile(&outcome.latencies, 99.0)),
        ] {
            if let Some(value) = value {
                bench.add(&place.figure(figure), rig.subject, value);
            }
        }
    }
    Ok(())
}

fn loss(bench: &mut Bench, rig: &mut Rig, mix: Mix, wiring: Wiring, most: f64) -> Result<()> {
    for part in bench.scale.loads {
        let outcome = bench.trial(rig, &load(bench, mix).at(part * most))?;
        let case = format!("{}, load {:.0} %", mix.name, part * 100.0);
        // A chapter of its own for each mix, so that each has its plot.
        let chapter = if mix.name == "64 B" { LOSS } else { "RFC 2544, loss against load, IMIX" };
        let place =
            Place::new(chapter, wiring, case).at("load, % of the subject's highest rate", part * 100.0);
        bench.add(&place.figure(Figure::Frames), rig.subject, outcome.delivered_rate());
        bench.add(&place.figure(Figure::Loss), rig.subject, outcome.loss());
    }
    Ok(())
}

fn back_to_back(bench: &mut Bench, rig: &mut Rig, mix: Mix, wiring: Wiring) -> Result<()> {
    let found = highest(LONGEST_BURST, 1.0 / 256.0, |frames| {
        let load = Load { frames: frames as u64, ..load(bench, mix) };
        let load = Load { duration: std::time::Duration::from_secs(2), ..load };
        Ok(bench.trial(rig, &load)?.loss() == 0.0)
    })?;
    let place = Place::new(BACK_TO_BACK, wiring, mix.name);
    bench.add(&place.figure(Figure::BackToBack), rig.subject, found);
    Ok(())
}
