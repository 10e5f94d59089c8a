//! Frames a second that come through when one core sends as fast as it can, one way and both ways.

use anyhow::Result;

use super::in_turn;
use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::subject::{Rig, Wiring};
use crate::throughput::traffic::{Flow, Mix};

const CHAPTER: &str = "Frames a second";

pub(super) fn run(bench: &mut Bench, rigs: &mut [Rig], wiring: Wiring) -> Result<()> {
    let sizes = if wiring == Wiring::Tap { bench.scale.sizes } else { bench.scale.other_sizes };
    for mix in sizes {
        case(bench, rigs, *mix, &[Flow::between(0, 1)], &Place::new(CHAPTER, wiring, mix.name))?;
    }
    for mix in bench.scale.both_ways {
        let name = format!("{} both ways", mix.name);
        let flows = [Flow::between(0, 1), Flow::between(1, 0)];
        case(bench, rigs, *mix, &flows, &Place::new(CHAPTER, wiring, name))?;
    }
    Ok(())
}

fn case(bench: &mut Bench, rigs: &mut [Rig], mix: Mix, flows: &[Flow], place: &Place) -> Result<()> {
    in_turn(bench, rigs, bench.scale.rounds, |bench, rig| {
        let outcome = bench.flood(rig, mix, flows, bench.scale.sample)?;
        bench.add(&place.figure(Figure::Frames), rig.subject, outcome.delivered_rate());
        let efficiency = outcome.per_processor_second();
        bench.add(&place.figure(Figure::FramesPerProcessorSecond), rig.subject, efficiency);
        Ok(())
    })
}
