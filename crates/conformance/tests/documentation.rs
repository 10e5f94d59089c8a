//! The documentation lists the deliberate differences as the suite knows them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn every_deliberate_difference_stands_in_the_documentation_word_for_word() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/linux-bridge.md");
    let table = conformance::differences::table();
    assert!(std::fs::read_to_string(page).unwrap().contains(&table), "the page should have:\n\n{table}");
}
