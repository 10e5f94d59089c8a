//! What a switch costs that has nothing to do, and the memory that it takes.

use std::time::Instant;

use anyhow::Result;

use crate::throughput::bench::{Bench, Place};
use crate::throughput::processor;
use crate::throughput::results::Figure;
use crate::throughput::subject::{Rig, Wiring, Wish};
use crate::throughput::traffic::{Flow, introduce};

const IDLE: &str = "Idle";
const MEMORY: &str = "Memory";

/// Entries of an FDB of usual size.
const ENTRIES: u32 = 65_000;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for subject in bench.subjects.clone() {
        if subject.process().is_none() {
            continue;
        }
        let ports =
            if subject.fits(Wiring::Tap, bench.scale.idle_ports) { bench.scale.idle_ports } else { 2 };
        bench.say(&format!("{IDLE}: {} with {ports} ports", subject.name()));
        let wish = Wish { speaking: 2, ..Wish::ports(Wiring::Tap, ports) };
        let rig = Rig::build(subject, &wish, &bench.programs, &bench.interrupt)?;
        idle(bench, &rig, &Place::new(IDLE, Wiring::Tap, format!("{ports} ports")))?;
        drop(rig);
        let mut rig = Rig::build(subject, &Wish::two(Wiring::Tap), &bench.programs, &bench.interrupt)?;
        memory(bench, &rig, "2 ports")?;
        let flow = Flow { stations: ENTRIES.min(bench.scale.addresses), ..Flow::between(0, 1) };
        introduce(&mut rig.plugs, &[flow], 100_000.0, 1, &bench.interrupt)?;
        memory(bench, &rig, "2 ports, 65,000 addresses")?;
    }
    Ok(())
}

fn idle(bench: &mut Bench, rig: &Rig, place: &Place) -> Result<()> {
    let Some(process) = rig.process()? else { return Ok(()) };
    // What the hosts said last has been forwarded, and what was learned from it has been told.
    std::thread::sleep(bench.scale.idle / 4);
    let (start, time, woken) = (Instant::now(), used(process)?, processor::wakeups(process)?);
    while start.elapsed() < bench.scale.idle {
        bench.interrupt.check()?;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let seconds = start.elapsed().as_secs_f64();
    let time = used(process)? - time;
    bench.add(&place.figure(Figure::Idle), rig.subject, time / seconds);
    let woken = (processor::wakeups(process)? - woken) as f64 / seconds;
    bench.add(&place.figure(Figure::WakeUps), rig.subject, woken);
    Ok(())
}

/// Seconds of processor time.
fn used(process: u32) -> Result<f64> {
    Ok(processor::of(process)?.as_secs_f64())
}

fn memory(bench: &mut Bench, rig: &Rig, case: &str) -> Result<()> {
    if let Some(process) = rig.process()? {
        let kib = processor::status(process, "VmRSS:")?;
        let place = Place::new(MEMORY, Wiring::Tap, case);
        bench.add(&place.figure(Figure::Memory), rig.subject, kib as f64 * 1024.0);
    }
    Ok(())
}
