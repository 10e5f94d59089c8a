//! Linux and switchd with VLANs, side by side in a guest with Debian's kernel, whose bridge tells them apart.
//! Each test boots a guest, and in that runs one of the `inside` tests of this same program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testbed::test_in_lab;

/// What runs in the guest takes about a minute; a busy machine is several times slower.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn switchd_does_with_vlans_what_linux_does() {
    println!("{}", test_in_lab("inside::switchd_does_what_linux_does", LONG).unwrap());
}

#[test]
fn the_core_does_with_states_of_vlans_what_linux_does() {
    println!("{}", test_in_lab("inside::the_core_does_what_linux_does", LONG).unwrap());
}

mod inside {
    use std::time::Instant;

    use conformance::step::Tags;
    use conformance::suite::{FRAMES, Suite, fresh_seed};
    use conformance::wrong;

    /// What at least is compared; `cargo xtask conformance --vlan` compares as much as one likes.
    const AT_LEAST: usize = 1_000;

    fn compare(suite: &mut Suite, seed: u64) {
        let started = Instant::now();
        // Some frames are left out: they would show a deliberate difference.
        let report = suite.compare(seed, AT_LEAST / FRAMES + 2).unwrap();
        println!(
            "seed {seed}: {} frames, {} steps in {:.0?}; left out: {:#?}",
            report.frames,
            report.steps,
            started.elapsed(),
            report.left_out
        );
        if let Some(difference) = report.difference {
            panic!("{difference}");
        }
        assert!(report.frames >= AT_LEAST, "only {} frames were compared", report.frames);
    }

    #[test]
    #[ignore = "runs in the guest"]
    fn switchd_does_what_linux_does() {
        let mut suite = Suite::new(Tags::Vlans).unwrap();
        compare(&mut suite, fresh_seed().unwrap());
        let missing = wrong::VLANS[0];
        let found = suite.finds_in_linux(missing, 1, AT_LEAST).unwrap();
        println!("{}: found within {found:?} frames", missing.name);
        assert!(found.is_some(), "Linux, {}: not found within {AT_LEAST} frames", missing.name);
    }

    #[test]
    #[ignore = "runs in the guest"]
    fn the_core_does_what_linux_does() {
        let mut suite = Suite::of_core().unwrap();
        compare(&mut suite, fresh_seed().unwrap());
    }
}
