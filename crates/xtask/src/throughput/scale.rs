//! How long a run takes: what is measured, how often and for how long.

use std::time::Duration;

use super::traffic::{IMIX, LONGEST, Mix, SHORTEST, SIZES};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Samples of each figure of each subject, in turn.
    pub(crate) rounds: usize,
    /// How long frames are counted for a sample.
    pub(crate) sample: Duration,
    /// Sizes at which the rate is measured, with TAPs and with the other wirings.
    pub(crate) sizes: &'static [Mix],
    pub(crate) other_sizes: &'static [Mix],
    /// Sizes at which it is measured with frames both ways.
    pub(crate) both_ways: &'static [Mix],
    /// Seconds of a TCP sample, and samples.
    pub(crate) tcp: (u32, usize),
    /// Numbers of streams.
    pub(crate) streams: &'static [u32],
    /// Whether TCP is measured in a tunnel too.
    pub(crate) tunnels: bool,
    /// Requests of a sample of round trips.
    pub(crate) pings: u32,
    /// How long a trial of RFC 2544 sends.
    pub(crate) trial: Duration,
    /// Sizes at which the throughput without loss is sought, and of those at which the rest is measured too.
    pub(crate) searched: &'static [Mix],
    pub(crate) examined: &'static [Mix],
    /// Loads of the loss curve, in parts of the highest rate that the subject takes.
    pub(crate) loads: &'static [f64],
    /// The most addresses that are tried, and whether also by switches that are told to keep so many.
    pub(crate) addresses: u32,
    pub(crate) told: bool,
    /// Samples of the learning rate.
    pub(crate) learning: usize,
    /// Numbers of ports, and of addresses, along which growth is measured.
    pub(crate) ports: &'static [usize],
    pub(crate) known: &'static [u32],
    /// How long an idle switch is watched.
    pub(crate) idle: Duration,
    /// Ports of the idle switch.
    pub(crate) idle_ports: usize,
}

/// Under thirty minutes.
pub(crate) const FULL: Scale = Scale {
    rounds: 5,
    sample: Duration::from_millis(400),
    sizes: &SIZES,
    other_sizes: &[SHORTEST, IMIX, LONGEST],
    both_ways: &[SHORTEST, IMIX, LONGEST],
    tcp: (1, 5),
    streams: &[1, 8],
    tunnels: true,
    pings: 1000,
    trial: Duration::from_millis(400),
    searched: &SIZES,
    examined: &[SHORTEST, IMIX],
    loads: &[0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25],
    addresses: 1 << 18,
    told: true,
    learning: 3,
    ports: &[2, 16, 64, 256],
    known: &[10, 100, 1_000, 10_000, 100_000, 1_000_000],
    idle: Duration::from_secs(10),
    idle_ports: 256,
};

/// Under two minutes.
pub(crate) const QUICK: Scale = Scale {
    rounds: 5,
    sample: Duration::from_millis(100),
    sizes: &[SHORTEST, LONGEST],
    other_sizes: &[SHORTEST],
    both_ways: &[],
    tcp: (1, 1),
    streams: &[1],
    tunnels: false,
    pings: 100,
    trial: Duration::from_millis(100),
    searched: &[SHORTEST],
    examined: &[SHORTEST],
    loads: &[0.5, 0.8, 1.0, 1.25],
    addresses: 1 << 16,
    told: false,
    learning: 1,
    ports: &[],
    known: &[],
    idle: Duration::from_millis(1500),
    idle_ports: 16,
};

/// Seconds: whether it works at all. The figures mean nothing.
pub(crate) const TINY: Scale = Scale {
    rounds: 1,
    sample: Duration::from_millis(20),
    sizes: &[IMIX],
    other_sizes: &[SHORTEST],
    both_ways: &[SHORTEST],
    tcp: (1, 1),
    streams: &[2],
    tunnels: true,
    pings: 20,
    trial: Duration::from_millis(20),
    searched: &[SHORTEST],
    examined: &[SHORTEST],
    loads: &[0.5],
    addresses: 256,
    told: true,
    learning: 1,
    ports: &[3],
    known: &[100],
    idle: Duration::from_millis(300),
    idle_ports: 3,
};
