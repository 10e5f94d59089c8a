//! Round trips between hosts that are otherwise idle.

use anyhow::{Context, Result};

use crate::throughput::SENDER_CORE;
use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::statistics::{mean, percentile};
use crate::throughput::subject::{FAR, Rig, Wiring};

const CHAPTER: &str = "Round trip";

pub(super) fn run(bench: &mut Bench, rigs: &[Rig], wiring: Wiring) -> Result<()> {
    let place = Place::new(CHAPTER, wiring, "ping, one every ms");
    for round in 0..bench.scale.rounds {
        for at in Bench::order(rigs.len(), round) {
            let rig = &rigs[at];
            let times = bench.interrupt.or(ping(rig, bench.scale.pings))?;
            for (figure, value) in
                [(Figure::RoundTripMean, mean(&times)), (Figure::RoundTrip99th, percentile(&times, 99.0))]
            {
                bench.add(&place.figure(figure), rig.subject, value.context("no answer to any ping")?);
            }
        }
    }
    Ok(())
}

fn ping(rig: &Rig, count: u32) -> Result<Vec<f64>> {
    let line = format!("taskset -c {SENDER_CORE} ping -n -c {count} -i 0.001 -W 1 {FAR}");
    let text = rig.near.run(&line)?;
    Ok(text.lines().filter_map(time).collect())
}

/// Microseconds of one answer.
fn time(line: &str) -> Option<f64> {
    let milliseconds: f64 = line.split_once("time=")?.1.strip_suffix(" ms")?.parse().ok()?;
    Some(milliseconds * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_each_answer_is_read() {
        assert_eq!(time("64 bytes from 198.18.0.2: icmp_seq=3 ttl=64 time=0.019 ms"), Some(19.0));
        assert_eq!(time("rtt min/avg/max/mdev = 0.1/0.2/0.3/0.4 ms"), None);
    }
}
