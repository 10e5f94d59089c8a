//! The pure core against the slow model, with the sequences that the kernel gets too.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Instant;

use conformance::core::Core;
use conformance::generator::Generator;
use conformance::model::Model;
use conformance::run::{Mode, Outcome, run};
use conformance::script;
use conformance::shrink::shrink;
use conformance::step::{Step, Tags};
use conformance::wrong::{self, Covered, Spoilt};

const CASES: u64 = 500;
const FRAMES: usize = 400;

fn compare(steps: &[Step]) -> Outcome {
    run(steps, Tags::Opaque, &mut Core::new(Tags::Opaque), &mut Model::new(), Mode::Pure).unwrap()
}

#[test]
fn the_core_does_what_the_model_does() {
    let started = Instant::now();
    let mut frames = 0;
    for seed in 0..CASES {
        let steps = Generator::new(seed, Tags::Opaque).case(FRAMES);
        let outcome = compare(&steps);
        if outcome.difference.is_some() {
            let short = shrink(steps, |steps| Ok(compare(steps).difference.is_some())).unwrap();
            let difference = compare(&short).difference.unwrap();
            panic!("seed {seed}, {difference}\n{}", script::write(&short));
        }
        frames += outcome.frames;
    }
    let rate = frames as f64 / started.elapsed().as_secs_f64();
    println!("{frames} frames, {rate:.0} frames a second");
}

/// Each wrong rule shows within 2,000 frames.
#[test]
fn wrong_rules_are_found() {
    for wrong in wrong::ALL {
        let mut frames = 0;
        let found = (0..5).any(|seed| {
            let steps = Generator::new(seed, Tags::Opaque).case(FRAMES);
            let mut spoilt = Spoilt { subject: Core::new(Tags::Opaque), wrong };
            let outcome = run(&steps, Tags::Opaque, &mut spoilt, &mut Model::new(), Mode::Pure).unwrap();
            frames += outcome.frames;
            outcome.difference.is_some()
        });
        assert!(found, "{}: not found within {frames} frames", wrong.name);
        println!("{}: found within {frames} frames", wrong.name);
    }
}

/// The same where VLANs are told apart, with nothing wrong on the other side.
#[test]
fn wrong_rules_of_vlans_are_found() {
    let tags = Tags::Vlans;
    for wrong in wrong::VLANS {
        let mut frames = 0;
        let found = (0..5).any(|seed| {
            let steps = Generator::new(seed, tags).case(FRAMES);
            let mut spoilt = Covered(Spoilt { subject: Core::new(tags), wrong });
            let mut right = Covered(Core::new(tags));
            let outcome = run(&steps, tags, &mut spoilt, &mut right, Mode::Pure).unwrap();
            frames += outcome.frames;
            outcome.difference.is_some()
        });
        assert!(found, "{}: not found within {frames} frames", wrong.name);
        println!("{}: found within {frames} frames", wrong.name);
    }
}
