//! How cost grows: with the number of ports, with the number of addresses, and with the number of copies of a
//! broadcast (RFC 2889, 5.10).

use anyhow::Result;

use super::in_turn;
use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::subject::{Wiring, Wish};
use crate::throughput::traffic::{Flow, SHORTEST, To, introduce};

const PORTS: &str = "Growth with ports";
const COPIES: &str = "RFC 2889, broadcast: copies to all other ports";
const KNOWN: &str = "Growth with addresses";

/// Frames a second at which stations speak before.
const SLOW: f64 = 150_000.0;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for &ports in bench.scale.ports {
        with_ports(bench, ports)?;
    }
    for &known in bench.scale.known {
        with_addresses(bench, known)?;
    }
    Ok(())
}

/// Of which two speak with each other, and then one to all.
fn with_ports(bench: &mut Bench, ports: usize) -> Result<()> {
    let mut rigs = bench.rigs(&Wish { speaking: 2, ..Wish::ports(Wiring::Tap, ports) })?;
    let case = format!("{ports} ports");
    let one = Flow::between(0, 1);
    let all = Flow { to: To::Everyone, ..one };
    for (chapter, flow) in [(PORTS, one), (COPIES, all)] {
        let place = Place::new(chapter, Wiring::Tap, case.clone()).at("ports", ports as f64);
        in_turn(bench, &mut rigs, bench.scale.rounds, |bench, rig| {
            let outcome = bench.flood(rig, SHORTEST, &[flow], bench.scale.sample)?;
            bench.add(&place.figure(Figure::Frames), rig.subject, outcome.delivered_rate());
            Ok(())
        })?;
    }
    Ok(())
}

/// As many stations behind each of two ports, every frame from one to another.
fn with_addresses(bench: &mut Bench, known: u32) -> Result<()> {
    let room = known.max(bench.scale.addresses) + 1024;
    let mut rigs = bench.rigs(&Wish { addresses: Some(room), ..Wish::two(Wiring::Tap) })?;
    let place =
        Place::new(KNOWN, Wiring::Tap, format!("{known} addresses")).at("addresses", f64::from(known));
    let flow = Flow { stations: known / 2, ..Flow::between(0, 1) };
    for rig in &mut rigs {
        bench.say(&format!("{KNOWN}: {} learns {known}", rig.subject.name()));
        introduce(&mut rig.plugs, &[flow], SLOW, 1, &bench.interrupt)?;
    }
    in_turn(bench, &mut rigs, bench.scale.rounds, |bench, rig| {
        let outcome = bench.flood(rig, SHORTEST, &[flow], bench.scale.sample)?;
        bench.add(&place.figure(Figure::Frames), rig.subject, outcome.delivered_rate());
        Ok(())
    })
}
