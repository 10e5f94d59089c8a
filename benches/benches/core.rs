//! What the core costs for each frame: parse, learn, look up, decide.
//!
//! Frames are 60 bytes long and come in batches of 64 that lie in the cache, as they do when a port has
//! just received them; stations are picked at random, so that a large FDB misses the cache as it would.
//! Every figure is the time of one frame.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench, not a library")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bridge::{
    Beginning, Bridge, BridgeSettings, Deliveries, DropSamples, Membership, Moment, PortId, PortSettings,
    Span, VlanSettings,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use frame::{Frame, MacAddr, Offload, Vid};

const BATCH: usize = 64;
const FRAME: usize = 60;
/// The default bound of the FDB: its table is as large as the daemon's, however few stations there are.
const FDB_MAX: u32 = 65_536;
const SIZES: [u32; 4] = [100, 1_000, 10_000, 1_000_000];
/// Tags are opaque, and there are none.
const OPAQUE: Vlans = Vlans { filtering: false, tagged: false };
/// A group that no bridge forwards but that teaches: what is left is admission and learning.
const LLDP: MacAddr = MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]);

/// A random number generator that costs nothing (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % bound
    }
}

/// What the bridge makes of VLANs, and how frames come.
#[derive(Clone, Copy)]
struct Vlans {
    filtering: bool,
    /// In VLAN 1, which all ports send tagged; else untagged, which is VLAN 1 where VLANs are told apart.
    tagged: bool,
}

/// Frames as a port receives them, one behind the other.
struct Received([u8; BATCH * FRAME]);

impl Received {
    fn new(tagged: bool) -> Self {
        let mut received = Self([0; BATCH * FRAME]);
        for bytes in received.0.chunks_exact_mut(FRAME) {
            bytes[12..18].copy_from_slice(if tagged { &[0x81, 0, 0, 1, 8, 0] } else { &[8, 0, 0, 0, 0, 0] });
        }
        received
    }

    fn address(&mut self, mut addresses: impl FnMut(usize) -> (MacAddr, MacAddr)) {
        for (index, bytes) in self.0.chunks_exact_mut(FRAME).enumerate() {
            let (to, from) = addresses(index);
            bytes[..6].copy_from_slice(&to.0);
            bytes[6..12].copy_from_slice(&from.0);
        }
    }

    fn frames(&self) -> impl Iterator<Item = Result<Frame<'_>, frame::FrameFault>> {
        self.0.chunks_exact(FRAME).map(|bytes| Frame::parse(bytes, 0, None, Offload::default()))
    }
}

fn station(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([0x52, 0x54, a, b, c, d])
}

/// A bridge of four ports that knows as many stations; station `n` is on port `n % 4`.
struct Switch {
    bridge: Bridge,
    ports: Vec<PortId>,
    out: Deliveries,
    samples: DropSamples,
    received: Received,
    stations: u32,
    dice: Dice,
    now: Moment,
}

impl Switch {
    fn new(stations: u32, Vlans { filtering, tagged }: Vlans) -> Self {
        let fdb_max = stations.max(FDB_MAX) as usize;
        let mut bridge = Bridge::new(BridgeSettings {
            ageing_time: Span::from_secs(1 << 30),
            fdb_max,
            vlan: VlanSettings { filtering, ..VlanSettings::default() },
            ..BridgeSettings::default()
        });
        let ports = (0..4).map(|_| bridge.add_port(PortSettings::default()).unwrap()).collect::<Vec<_>>();
        for port in &ports {
            bridge.set_link(*port, true);
            bridge.set_mtu(*port, Some(1500));
            if tagged {
                bridge.add_vlan(*port, Vid::MIN, Membership::TRUNK).unwrap();
            }
        }
        let mut switch = Self {
            bridge,
            ports,
            out: Deliveries::new(BATCH),
            samples: DropSamples::new(),
            received: Received::new(tagged),
            stations,
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            now: Moment(1),
        };
        for n in 0..stations {
            switch.received.address(|_| (LLDP, station(n)));
            switch.forward_one(switch.ports[n as usize % 4]);
        }
        switch
    }

    fn forward_one(&mut self, ingress: PortId) {
        for frame in self.received.frames().take(1) {
            self.bridge.forward(ingress, 0, FRAME, &frame, self.now, &mut self.out);
        }
    }

    /// A station on the given port.
    fn on_port(&mut self, port: u32) -> MacAddr {
        station(self.dice.below(self.stations / 4) * 4 + port)
    }

    /// Between stations: from port 0 to the others.
    fn talk(&mut self) {
        let pairs: [_; BATCH] = std::array::from_fn(|n| (self.on_port(1 + n as u32 % 3), self.on_port(0)));
        self.received.address(|index| pairs[index]);
    }

    /// From stations on port 0 to nobody.
    fn speak(&mut self) {
        let sources: [_; BATCH] = std::array::from_fn(|_| self.on_port(0));
        self.received.address(|index| (LLDP, sources[index]));
    }

    /// The same, so much later that each entry is noted anew.
    fn speak_later(&mut self) {
        self.now = self.now + Span::from_secs(1 << 16);
        self.speak();
    }

    /// To stations that nobody knows.
    fn ask(&mut self) {
        self.received.address(|index| (station(!(index as u32)), station(0)));
    }

    /// From stations that were never seen.
    fn make_up(&mut self) {
        let first = self.dice.below(1 << 30);
        self.received.address(|index| (LLDP, station(0x8000_0000 | (first + index as u32))));
    }

    fn parse(&mut self) {
        for frame in self.received.frames() {
            let _ = black_box(frame);
        }
    }

    fn look_up(&mut self) {
        for frame in self.received.frames().flatten() {
            black_box(self.bridge.lookup(frame.destination()));
        }
    }

    /// All five stages, as the worker takes them for one batch.
    fn decide(&mut self) {
        self.out.clear();
        for (index, frame) in self.received.frames().enumerate() {
            self.bridge.forward(self.ports[0], index as u16, FRAME, &frame, self.now, &mut self.out);
        }
    }

    /// The same for frames that are all dropped, and a sample of them kept as the worker does: in a storm,
    /// so all but sixteen a second are only counted.
    fn decide_sampled(&mut self) {
        self.decide();
        for &lost in self.out.lost() {
            let bytes = &self.received.0[usize::from(lost.index) * FRAME..][..FRAME];
            self.samples.keep(
                lost,
                self.ports[0],
                Beginning { bytes, tag: None, wire_len: bytes.len() },
                self.now,
            );
        }
    }

    /// The same, looking ahead at the whole batch first.
    fn decide_ahead(&mut self) {
        self.bridge.look_ahead(self.ports[0], self.received.frames());
        self.decide();
    }

    /// Time that `work` takes for `frames` frames, in batches that `prepare` made out of the clock's sight.
    /// The median batch stands for all: one that the scheduler interrupted says nothing about the core.
    fn time(&mut self, frames: u64, prepare: impl Fn(&mut Self), work: impl Fn(&mut Self)) -> Duration {
        let mut batches: Vec<Duration> = (0..frames.div_ceil(BATCH as u64))
            .map(|_| {
                prepare(self);
                let start = Instant::now();
                work(self);
                start.elapsed()
            })
            .collect();
        batches.sort_unstable();
        batches[batches.len() / 2].mul_f64(frames as f64 / BATCH as f64)
    }
}

fn core(criterion: &mut Criterion) {
    let mut switch = Switch::new(100, OPAQUE);
    criterion.bench_function("parse", |bench| {
        bench.iter_custom(|frames| switch.time(frames, Switch::talk, Switch::parse));
    });
    for stations in SIZES {
        with_stations(criterion, stations);
        with_vlans(criterion, stations);
    }
}

fn with_stations(criterion: &mut Criterion, stations: u32) {
    let mut switch = Switch::new(stations, OPAQUE);
    let mut bench = |name: &str, entries: u32, prepare: fn(&mut Switch), work: fn(&mut Switch)| {
        criterion.bench_with_input(BenchmarkId::new(name, entries), &(), |bench, ()| {
            bench.iter_custom(|frames| switch.time(frames, prepare, work));
        });
    };
    bench("look_up/hit", stations, Switch::talk, Switch::look_up);
    bench("look_up/miss", stations, Switch::ask, Switch::look_up);
    bench("learn/known", stations, Switch::speak, Switch::decide);
    bench("drop/sampled", stations, Switch::speak, Switch::decide_sampled);
    bench("learn/refresh", stations, Switch::speak_later, Switch::decide);
    if stations >= 10_000 {
        bench("learn/evict", stations.max(FDB_MAX), Switch::make_up, Switch::decide);
    }
}

/// With filtering and without, one after the other for frames of each form; as the worker does it, and without looking
/// ahead.
fn with_vlans(criterion: &mut Criterion, stations: u32) {
    for (form, tagged) in [("decide", false), ("decide/tagged", true)] {
        for (filters, filtering) in [("", false), ("/vlan", true)] {
            let mut switch = Switch::new(stations, Vlans { filtering, tagged });
            let mut bench = |ahead: &str, work: fn(&mut Switch)| {
                let name = format!("{form}{filters}{ahead}");
                criterion.bench_with_input(BenchmarkId::new(name, stations), &(), |bench, ()| {
                    bench.iter_custom(|frames| switch.time(frames, Switch::talk, work));
                });
            };
            bench("", Switch::decide);
            bench("/look_ahead", Switch::decide_ahead);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = core
}
criterion_main!(benches);
