//! Linux and switchd with the same frames and commands: a fixed seed, and one that no run had before.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use conformance::daemon::{First, Shape};
use conformance::step::Tags;
use conformance::suite::{FRAMES, Suite, fresh_seed};
use conformance::wrong;

/// What at least was compared with each seed.
const AT_LEAST: usize = 2_000;

fn compare(mut suite: Suite, seed: u64) {
    // Some frames are left out: they would show a deliberate difference.
    let report = suite.compare(seed, AT_LEAST / FRAMES + 3).unwrap();
    println!(
        "seed {seed}: {} frames, {} steps; left out: {:#?}",
        report.frames, report.steps, report.left_out
    );
    if let Some(difference) = report.difference {
        panic!("{difference}");
    }
    assert!(report.frames >= AT_LEAST, "only {} frames were compared", report.frames);
}

#[test]
fn switchd_does_what_linux_does() {
    compare(Suite::new(Tags::Opaque).unwrap(), 1);
}

#[test]
fn switchd_does_what_linux_does_with_a_fresh_seed() {
    compare(Suite::new(Tags::Opaque).unwrap(), fresh_seed().unwrap());
}

/// Ports of guests that share their memory are ports like any other.
#[test]
fn switchd_does_what_linux_does_with_vhost_user_ports() {
    let shape = Shape { tags: Tags::Opaque, first: First::Cards, workers: 1 };
    compare(Suite::with(shape).unwrap(), fresh_seed().unwrap());
}

/// However many threads forward, it is one switch.
#[test]
fn switchd_does_what_linux_does_with_three_workers() {
    let shape = Shape { tags: Tags::Opaque, first: First::Veths, workers: 3 };
    compare(Suite::with(shape).unwrap(), fresh_seed().unwrap());
}

#[test]
fn every_wrong_rule_is_found() {
    let mut suite = Suite::new(Tags::Opaque).unwrap();
    for wrong in wrong::ALL {
        let found = suite.finds(wrong, 1, AT_LEAST).unwrap();
        let found = found.unwrap_or_else(|| panic!("{}: not found within {AT_LEAST} frames", wrong.name));
        println!("{}: found within {found} frames", wrong.name);
    }
}
