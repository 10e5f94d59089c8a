//! The books of a switch: every frame that came in was handed on or dropped for one named reason, and every
//! copy was taken or dropped for one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bridge::{DropReason, Side};
use testbed::switchd::{Fields, Summary};

/// Checks each port of a summary, and that no copy is without a frame.
pub(crate) fn check(summary: &Summary) {
    for port in &summary.ports {
        let count = |key| port.number(key).unwrap();
        let in_sum = count("forwarded") + drops(port, Side::Ingress);
        assert_eq!(count("rx_frames"), in_sum, "frames in: {port:?}");
        let out_sum = count("tx_frames") + drops(port, Side::Egress);
        assert_eq!(count("copies"), out_sum, "copies: {port:?}");
        assert!(count("tx_segments") >= count("tx_frames"), "{port:?}");
        assert!(count("rx_bytes") >= 14 * count("forwarded"), "{port:?}");
    }
    let sum = |key| summary.ports.iter().map(|port| port.number(key).unwrap()).sum::<u64>();
    assert!(sum("copies") >= sum("forwarded"), "a frame was handed on to nobody: {summary:?}");
}

fn drops(port: &Fields, side: Side) -> u64 {
    let reason = |name: &str| {
        let known = DropReason::ALL.iter().find(|reason| reason.name() == name);
        *known.unwrap_or_else(|| panic!("no reason is called {name}"))
    };
    port.drops().iter().filter(|(name, _)| reason(name).side() == side).map(|(_, count)| count).sum()
}
