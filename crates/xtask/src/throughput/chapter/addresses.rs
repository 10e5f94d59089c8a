//! RFC 2889: how many addresses a switch keeps (5.7), and how fast it learns them (5.8). Stations behind the first
//! port speak; frames to them from the second must not come out of the third.

use std::time::Duration;

use anyhow::Result;

use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::search::highest;
use crate::throughput::subject::{Rig, Subject, Wiring, Wish};
use crate::throughput::traffic::{Flow, Load, Order, SHORTEST};

const CAPACITY: &str = "RFC 2889, address caching capacity";
const LEARNING: &str = "RFC 2889, address learning rate";

/// Frames a second at which stations speak while it is asked how many are kept, and at which they are looked for.
const SLOW: f64 = 60_000.0;

/// The fastest that stations are tried to be learned.
const FASTEST: f64 = 1e6;

/// Stations that are learned as fast as they can be.
const LEARNED: u32 = 8_000;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let most = bench.scale.addresses;
    let told = bench.scale.told.then(|| (format!("told to keep {most}"), Some(most + 1024)));
    let mut subjects = bench.subjects.clone();
    for (case, room) in [("as it comes".to_owned(), None)].into_iter().chain(told) {
        for subject in std::mem::take(&mut subjects) {
            let wish = Wish { addresses: room, ..Wish::ports(Wiring::Tap, 3) };
            if !subject.fits(wish.wiring, wish.ports) {
                continue;
            }
            let place = Place::new(CAPACITY, wish.wiring, &*case);
            if capacity(bench, subject, &wish, most, &place)? < f64::from(most) {
                // It may keep more if it is told to.
                subjects.push(subject);
            }
        }
    }
    for subject in bench.subjects.clone() {
        let wish = Wish { addresses: Some(1 << 20), ..Wish::ports(Wiring::Tap, 3) };
        if subject.fits(wish.wiring, wish.ports) {
            learning(bench, subject, &wish, most.min(LEARNED))?;
        }
    }
    Ok(())
}

fn capacity(bench: &mut Bench, subject: Subject, wish: &Wish, most: u32, place: &Place) -> Result<f64> {
    let mut rig = Rig::build(subject, wish, &bench.programs, &bench.interrupt)?;
    let found = highest(f64::from(most), 1.0 / 128.0, |count| {
        let count = count as u32;
        bench.say(&format!("{}, {}: {} keeps {count}?", place.chapter, place.case, subject.name()));
        // What was not heard the first time for want of processor time is said again.
        speak(bench, &mut rig, (0, count), SLOW, 2)?;
        Ok(unknown(bench, &mut rig, (0, count))? <= count / 1000)
    })?;
    bench.add(&place.figure(Figure::Addresses), subject, found);
    Ok(found)
}

fn learning(bench: &mut Bench, subject: Subject, wish: &Wish, count: u32) -> Result<()> {
    let place = Place::new(LEARNING, wish.wiring, format!("{count} stations"));
    let mut rig = Rig::build(subject, wish, &bench.programs, &bench.interrupt)?;
    let mut first = 0;
    for _ in 0..bench.scale.learning {
        let found = highest(FASTEST, 1.0 / 64.0, |rate| {
            bench.say(&format!("{LEARNING}: {} at {:.0} k/s?", subject.name(), rate / 1e3));
            // Others each time, which it does not know yet.
            first += count;
            let offered = speak(bench, &mut rig, (first, count), rate, 1)?;
            // A rate that can't be offered says nothing.
            Ok(offered > 0.95 * rate && unknown(bench, &mut rig, (first, count))? == 0)
        })?;
        bench.add(&place.figure(Figure::Learning), subject, found);
    }
    Ok(())
}

/// Lets so many stations from this one on, behind the first port, speak to one behind the second, each `times`; tells
/// the rate.
fn speak(bench: &Bench, rig: &mut Rig, (first, stations): (u32, u32), rate: f64, times: u32) -> Result<f64> {
    bench.introduce(rig, &[Flow::between(0, 1)])?;
    let flow = Flow { stations, first, order: Order::EachToOne, ..Flow::between(0, 1) };
    let load = Load::new(SHORTEST, vec![flow], Duration::from_secs(60)).at(rate);
    let outcome = bench.trial(rig, &Load { frames: u64::from(stations) * u64::from(times), ..load })?;
    Ok(outcome.offered_rate())
}

/// Sends to each of them from a station behind the second port; those that come out of the third are not known.
fn unknown(bench: &Bench, rig: &mut Rig, (first, stations): (u32, u32)) -> Result<u32> {
    let flow = Flow { stations, first, order: Order::OneToEach, ..Flow::between(1, 0) };
    let load = Load::new(SHORTEST, vec![flow], Duration::from_secs(60)).at(SLOW);
    let outcome = bench.trial(rig, &Load { frames: u64::from(stations), ..load })?;
    Ok(outcome.received[2] as u32)
}
