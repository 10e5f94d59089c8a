//! Guests that share their memory: frames that two of them send each other, as fast as the switch hands them on. Each
//! sample has processes of its own, for what one gets of the processor's caches differs from start to start.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::throughput::bench::{Bench, Place};
use crate::throughput::hugepages::HugePages;
use crate::throughput::results::Figure;
use crate::throughput::subject::{Rings, SharedMemory};
use crate::throughput::traffic::{LONGEST, Mix, SHORTEST};

const WIRING: &str = "memory of virtual machines (vhost-user)";

const RINGS: [Rings; 2] = [Rings::Split, Rings::Packed];

/// Two guests, and a switch of DPDK's.
const PAGES: u64 = 400;

/// Until the first frames have gone to and fro.
const WARM: Duration = Duration::from_millis(500);

/// Until a switch that sleeps at all sleeps.
const CALM: Duration = Duration::from_secs(1);

/// How long frames are counted for a sample.
const SAMPLE: Duration = Duration::from_secs(2);

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let _pages = HugePages::reserve(PAGES)?;
    for round in 0..bench.scale.rounds {
        for (mix, rings) in [SHORTEST, LONGEST].into_iter().flat_map(|mix| RINGS.map(|rings| (mix, rings))) {
            for at in Bench::order(bench.subjects.len(), round) {
                bench.interrupt.check()?;
                sample(bench, at, mix, rings)?;
            }
        }
    }
    Ok(())
}

fn sample(bench: &mut Bench, at: usize, mix: Mix, rings: Rings) -> Result<()> {
    let subject = bench.subjects[at];
    let mut rig = SharedMemory::build(subject, rings, &bench.programs)?;
    rig.guests.begin(mix.length(0))?;
    std::thread::sleep(WARM);
    let rate = rig.guests.rate(SAMPLE)?;
    let case = match rings {
        Rings::Split => mix.name.to_owned(),
        Rings::Packed => format!("{}, packed rings", mix.name),
    };
    let place = Place { chapter: "Frames a second", wiring: WIRING, case, at: None };
    bench.add(&place.figure(Figure::Frames), subject, rate);
    if (mix.name, rings) == (SHORTEST.name, Rings::Split) {
        rig.guests.end()?;
        std::thread::sleep(CALM);
        let (began, before) = (Instant::now(), rig.processor_time()?);
        std::thread::sleep(SAMPLE);
        let part = (rig.processor_time()? - before).as_secs_f64() / began.elapsed().as_secs_f64();
        let place =
            Place { chapter: "Idle", wiring: WIRING, case: "a second after the load".to_owned(), at: None };
        bench.add(&place.figure(Figure::Idle), subject, part);
    }
    Ok(())
}
