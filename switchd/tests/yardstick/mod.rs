//! Speed compared with Linux Bridge, in the same run and with the same hosts: 64 KiB segments cross both
//! whole. What has to be cut at the switch, for a port with `offload = false` or as it is a tunnel's, is
//! compared with the same; but there, with frames of 1500 bytes, the kernel's own work is nearly all, and ten
//! times that for whole segments. So it gets a tenth only at its best. Machines differ by twice in how much slower their
//! system calls are than their bridge, from day to day, so it may be a twenty-fifth, and is allowed more attempts: this
//! finds what is broken; how fast it is the benchmark says.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::RefCell;
use std::collections::HashMap;

use testbed::tcp_transfer;

use crate::lan::{Lan, Plan, Port};

/// How many times as fast as we Linux Bridge may be: where segments cross whole, and where they are cut.
const TIMES: f64 = 10.0;
const TIMES_CUT: f64 = 25.0;

/// Each transfer's.
pub(crate) const BYTES: u64 = 100_000_000;

/// On a busy machine a transfer may be slow once; a port that is slow is slow again. Where segments cross
/// whole, and where they are cut.
const ATTEMPTS: usize = 3;
const ATTEMPTS_CUT: usize = 8;

/// Hosts 1 and 2 on Linux Bridge.
pub(crate) struct Yardstick<T> {
    lan: Lan,
    /// What was measured last, by address.
    rates: RefCell<HashMap<String, f64>>,
    _prepared: T,
}

impl<T> Yardstick<T> {
    /// `prepare` makes of the hosts what the transfers need.
    pub(crate) fn new(plan: &Plan<'_>, prepare: impl Fn(&Lan) -> T) -> Self {
        let lan = Lan::build_kernel_bridge(plan);
        let prepared = prepare(&lan);
        Self { lan, rates: RefCell::default(), _prepared: prepared }
    }

    /// Sends 100 MB both ways, to the addresses that begin with each of `nets` and end with the host's
    /// number: intact, and not too slow. `whole`: nothing has to be cut on the way.
    pub(crate) fn check(&self, what: &str, lan: &Lan, ports: &[Port], nets: [&str; 2], whole: bool) {
        let (attempts, times) = if whole { (ATTEMPTS, TIMES) } else { (ATTEMPTS_CUT, TIMES_CUT) };
        for (net, (from, to)) in nets.iter().flat_map(|net| [(net, (1, 2)), (net, (2, 1))]) {
            let what = format!("{what}: {} and {}, to {net}{to}", ports[0], ports[1]);
            let mut measured = Vec::new();
            while !measured.last().is_some_and(|(ours, linux)| ours * times >= *linux) {
                assert!(measured.len() < attempts, "{what} (ours and Linux Bridge's, b/s): {measured:.0?}");
                let again = !measured.is_empty();
                measured.push((rate(lan, from, to, net), self.rate(from, to, net, again)));
            }
            let (ours, linux) = measured[measured.len() - 1];
            println!(
                "{what}: {:.2} Gb/s, Linux Bridge {:.2}, after {} attempts",
                ours * 1e-9,
                linux * 1e-9,
                measured.len()
            );
        }
    }

    /// Measured once for all that is compared with it, or `again` where that was slow.
    fn rate(&self, from: usize, to: usize, net: &str, again: bool) -> f64 {
        let address = format!("{net}{to}");
        let known = self.rates.borrow().get(&address).copied().filter(|_| !again);
        known.unwrap_or_else(|| {
            let rate = rate(&self.lan, from, to, net);
            self.rates.borrow_mut().insert(address, rate);
            rate
        })
    }
}

/// Bits per second of an intact transfer.
fn rate(lan: &Lan, from: usize, to: usize, net: &str) -> f64 {
    let transfer = tcp_transfer(lan.host(from), lan.host(to), &format!("{net}{to}"), BYTES).unwrap();
    assert!(transfer.intact && transfer.bytes == BYTES, "{transfer:?}");
    transfer.bytes_per_second() * 8.0
}
