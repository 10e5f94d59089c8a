//! What is measured, chapter by chapter.

mod addresses;
mod blocking;
mod footprint;
mod growth;
mod rates;
mod rfc2544;
mod round_trips;
mod tcp;
mod vhost_user;

use anyhow::Result;
use clap::ValueEnum;

pub(super) use self::vhost_user::run as run_vhost_user;
use super::bench::Bench;
use super::subject::{Rig, Wiring, Wish};

/// A part of a run that can be had alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chapter {
    /// Frames a second as fast as one core sends, by size
    Rates,
    /// iperf3, and through a VXLAN tunnel
    Tcp,
    /// Round trips
    RoundTrips,
    /// RFC 2544: throughput without loss, loss against load, latency, back-to-back
    Rfc2544,
    /// RFC 2889: address caching capacity and learning rate
    Addresses,
    /// RFC 2889: a full port slows no other
    Blocking,
    /// Growth with ports, addresses and flood fan-out
    Growth,
    /// Idle cost and memory
    Footprint,
}

/// Runs these chapters. Those with the same wiring share its rigs.
pub(crate) fn run(bench: &mut Bench, chapters: &[Chapter], wirings: &[Wiring]) -> Result<()> {
    let wanted = |chapter| chapters.contains(&chapter);
    for &wiring in wirings {
        let shared = [Chapter::Rates, Chapter::Tcp, Chapter::RoundTrips, Chapter::Rfc2544];
        let two_hosts = match wiring {
            Wiring::Tap => &shared[..],
            Wiring::Veth => &shared[..3],
            // There is no host's stack.
            Wiring::Vm => &shared[..1],
        };
        let here: Vec<_> = two_hosts.iter().copied().filter(|chapter| wanted(*chapter)).collect();
        if here.is_empty() {
            continue;
        }
        let mut rigs = bench.rigs(&Wish::two(wiring))?;
        for chapter in here {
            match chapter {
                Chapter::Rates => rates::run(bench, &mut rigs, wiring)?,
                Chapter::Tcp => tcp::run(bench, &rigs, wiring)?,
                Chapter::RoundTrips => round_trips::run(bench, &rigs, wiring)?,
                _ => rfc2544::run(bench, &mut rigs, wiring)?,
            }
        }
    }
    for chapter in chapters {
        match chapter {
            Chapter::Addresses => addresses::run(bench)?,
            Chapter::Blocking => blocking::run(bench)?,
            Chapter::Growth => growth::run(bench)?,
            Chapter::Footprint => footprint::run(bench)?,
            Chapter::Rates | Chapter::Tcp | Chapter::RoundTrips | Chapter::Rfc2544 => {}
        }
    }
    Ok(())
}

/// Takes one sample of each rig in turn, in as many rounds as the scale has.
fn in_turn(
    bench: &mut Bench,
    rigs: &mut [Rig],
    rounds: usize,
    mut sample: impl FnMut(&mut Bench, &mut Rig) -> Result<()>,
) -> Result<()> {
    for round in 0..rounds {
        for at in Bench::order(rigs.len(), round) {
            bench.interrupt.check()?;
            sample(bench, &mut rigs[at])?;
        }
    }
    Ok(())
}
