//! RFC 2889, 5.5: head-of-line blocking. Half of the frames go to a port that takes none; the other half must not
//! suffer from it.

use anyhow::{Context, Result};

use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::statistics::percentile;
use crate::throughput::subject::{Wiring, Wish};
use crate::throughput::traffic::{Flow, Load, SHORTEST};

const CHAPTER: &str = "RFC 2889, head-of-line blocking";

/// Frames a second to each of the two ports: little, so that only the full port can be the cause of a loss.
const RATE: f64 = 50_000.0;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let mut rigs = bench.rigs(&Wish::ports(Wiring::Vm, 3))?;
    super::in_turn(bench, &mut rigs, bench.scale.rounds, |bench, rig| {
        for (case, deaf) in [("both ports read", None), ("one port is full", Some(2))] {
            let flows = vec![Flow::between(0, 1), Flow::between(0, 2)];
            let load =
                Load { probes: true, deaf, ..Load::new(SHORTEST, flows, bench.scale.trial).at(2.0 * RATE) };
            let outcome = bench.trial(rig, &load)?;
            let place = Place::new(CHAPTER, Wiring::Vm, case);
            // Of the other one: half of all was for it.
            let lost = 1.0 - outcome.received[1] as f64 / (outcome.offered as f64 / 2.0);
            bench.add(&place.figure(Figure::Loss), rig.subject, lost.max(0.0));
            let slowest = percentile(&outcome.latencies, 99.0).context("no probe arrived")?;
            bench.add(&place.figure(Figure::Latency99th), rig.subject, slowest);
        }
        // What the full port holds is taken out, for whoever is next.
        bench.trial(rig, &Load::new(SHORTEST, vec![Flow::between(0, 1)], bench.scale.trial).at(RATE))?;
        Ok(())
    })
}
