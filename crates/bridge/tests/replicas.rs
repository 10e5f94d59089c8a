//! A bridge of several workers does what one of a single worker does, however frames are spread over them; and where
//! several learn at once they agree in the end, and hold every limit meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod histories;
mod stations;

use std::fmt::Debug;

use bridge::{
    Bridge, BridgeSettings, Deliveries, DropReason, FdbCounters, FdbEntry, Moment, PortCounters, PortId,
    PortSettings,
};
use frame::{Frame, Offload};
use histories::{PORTS, Step};
use proptest::prelude::*;
use stations::{BROADCAST, bytes, station};

const WORKERS: usize = 3;

/// What a step that is no frame says. All replicas must say the same.
fn set(bridge: &mut Bridge, step: &Step, now: Moment) -> String {
    let mut said = String::new();
    let mut say = |what: &dyn Debug| said = format!("{what:?}");
    match *step {
        Step::AddPort { settings } => say(&bridge.add_port(settings)),
        Step::Settings { port, settings } => say(&bridge.set_port_settings(PortId(port), settings)),
        Step::Bridge { settings, .. } => {
            let fdb_max = bridge.settings().fdb_max;
            say(&bridge.set_settings(BridgeSettings { fdb_max, ..settings }, now));
        }
        Step::RemoveEntry { mac, port } => say(&bridge.remove_entry(mac, port, now)),
        Step::Flush { port, kind } => say(&bridge.flush(port, kind)),
        Step::Entry { mac, entry, replace: true } => say(&bridge.replace_entry(mac, entry, now)),
        Step::Entry { mac, entry, replace: false } => say(&bridge.add_entry(mac, entry, now)),
        Step::RemovePort { port } => bridge.remove_port(PortId(port)),
        Step::Link { port, up } => bridge.set_link(PortId(port), up),
        Step::Mtu { port, mtu } => bridge.set_mtu(PortId(port), mtu),
        Step::Local { port, mac, kind } => bridge.set_local(PortId(port), mac, kind),
        Step::Frame { .. } | Step::Advance { .. } | Step::Tick | Step::Overlong { .. } => {}
    }
    said
}

fn fdb(bridge: &Bridge) -> Vec<FdbEntry> {
    let mut fdb: Vec<_> = bridge.fdb().collect();
    fdb.sort_unstable();
    fdb
}

fn joined<'a>(bridges: impl IntoIterator<Item = &'a Bridge>, port: u16) -> PortCounters {
    let counters = bridges.into_iter().map(|bridge| bridge.counters(PortId(port)).clone());
    counters
        .reduce(|mut sum, more| {
            sum.join(more);
            sum
        })
        .unwrap_or_default()
}

fn fdb_counters(bridges: &[Bridge]) -> FdbCounters {
    let mut totals = bridges[0].fdb_counters();
    bridges[1..].iter().for_each(|bridge| totals.join(bridge.fdb_counters()));
    totals
}

/// One bridge and its replicas, always taken through the same step.
struct Both {
    single: Bridge,
    workers: Vec<Bridge>,
    now: Moment,
}

impl Both {
    fn frame(&mut self, worker: usize, step: &Step) {
        let Step::Frame { ingress, to, from, len, refused } = *step else { return };
        let raw = bytes(to, from, len);
        let frame = Frame::parse(&raw, 0, None, Offload::default());
        let worker = &mut self.workers[worker];
        worker.catch_up();
        let got = [&mut self.single, worker].map(|bridge| {
            let mut out = Deliveries::new(1);
            bridge.forward(PortId(ingress), 0, len, &frame, self.now, &mut out);
            let mut got: Vec<PortId> = out.iter().map(|(port, _)| port).collect();
            got.sort_unstable();
            for &port in &got {
                match refused {
                    true => bridge.refused(port, DropReason::TxFull),
                    false => bridge.sent(port, len, 1),
                }
            }
            (got, format!("{:?}", out.events()))
        });
        assert_eq!(got[0], got[1], "who gets it, and what is told");
    }

    fn take(&mut self, worker: usize, step: &Step) {
        match *step {
            Step::Frame { .. } => self.frame(worker, step),
            Step::Advance { ms } => self.now = Moment(self.now.0 + ms),
            Step::Overlong { port } => {
                for bridge in [&mut self.single, &mut self.workers[worker]] {
                    bridge.drop_ingress(PortId(port), DropReason::TooLong, 3);
                }
            }
            Step::Tick => {
                self.single.tick(self.now);
                self.workers.iter_mut().for_each(|worker| worker.tick(self.now));
            }
            _ => {
                self.workers.iter_mut().for_each(Bridge::catch_up);
                let expected = set(&mut self.single, step, self.now);
                for worker in &mut self.workers {
                    assert_eq!(set(worker, step, self.now), expected, "{step:?}");
                }
                self.compare();
            }
        }
    }

    fn compare(&mut self) {
        self.workers.iter_mut().for_each(Bridge::catch_up);
        let expected = fdb(&self.single);
        for worker in &self.workers {
            assert_eq!(fdb(worker), expected, "FDB");
            assert_eq!(worker.settings(), self.single.settings());
        }
        assert_eq!(fdb_counters(&self.workers), self.single.fdb_counters());
        for port in 0..PORTS {
            assert_eq!(joined(&self.workers, port), *self.single.counters(PortId(port)), "port {port}");
        }
        assert_eq!(self.workers[0].next_deadline(), self.single.next_deadline());
        assert!(self.workers[1..].iter().all(|worker| worker.next_deadline().is_none()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn several_workers_do_what_one_does(
        settings in histories::bridge_settings(),
        before in prop::collection::vec(histories::steps(), 0..30),
        history in prop::collection::vec((0..WORKERS, histories::steps()), 1..150),
    ) {
        let mut single = Bridge::new(settings);
        let now = Moment(5_000);
        for port in 0..4 {
            single.add_port(PortSettings::default()).unwrap();
            single.set_link(PortId(port), true);
        }
        // They begin with what is there already.
        let mut alone = Both { workers: vec![single.clone()], single, now };
        before.iter().for_each(|step| alone.take(0, step));
        let workers = alone.single.clone().replicas(WORKERS);
        let mut both = Both { workers, single: alone.single, now: alone.now };
        for (worker, step) in &history {
            both.take(*worker, step);
        }
        both.compare();
    }

    /// Each looks at what the others have learned only now and then, as workers do.
    #[test]
    fn who_learns_at_the_same_time_agrees_in_the_end(
        settings in histories::bridge_settings(),
        max_macs in prop::option::of(1..4_u32),
        history in prop::collection::vec((0..WORKERS, any::<bool>(), histories::steps()), 1..200),
    ) {
        let mut bridge = Bridge::new(settings);
        for port in 0..4 {
            bridge.add_port(PortSettings { max_macs, ..PortSettings::default() }).unwrap();
            bridge.set_link(PortId(port), true);
        }
        let mut workers = bridge.replicas(WORKERS);
        let mut now = Moment(5_000);
        for (number, looks, step) in &history {
            match *step {
                Step::Frame { ingress, from, .. } => {
                    let worker = &mut workers[*number];
                    if *looks {
                        worker.catch_up();
                    }
                    speak(worker, from, ingress, now);
                }
                Step::Advance { ms } => now = Moment(now.0 + ms),
                Step::Tick => workers.iter_mut().for_each(|worker| worker.tick(now)),
                _ => {}
            }
            for worker in &workers {
                assert!(worker.fdb_dynamic_len() <= settings.fdb_max);
                let limit = max_macs.map_or(usize::MAX, |max| max as usize);
                assert!((0..4).all(|port| worker.stations(PortId(port)) <= limit));
            }
        }
        workers.iter_mut().for_each(Bridge::catch_up);
        let expected = fdb(&workers[0]);
        assert!(workers.iter().all(|worker| fdb(worker) == expected));
    }
}

fn speak(bridge: &mut Bridge, from: frame::MacAddr, port: u16, now: Moment) {
    let raw = bytes(BROADCAST, from, 60);
    let frame = Frame::parse(&raw, 0, None, Offload::default());
    bridge.forward(PortId(port), 0, 60, &frame, now, &mut Deliveries::new(1));
}

fn workers(settings: BridgeSettings) -> Vec<Bridge> {
    let mut bridge = Bridge::new(settings);
    for port in 0..3 {
        bridge.add_port(PortSettings::default()).unwrap();
        bridge.set_link(PortId(port), true);
    }
    bridge.replicas(WORKERS)
}

/// What one does not look at does not hold up the others, nor is anything forgotten for it.
#[test]
fn a_worker_that_never_looks_postpones_learning_and_is_to_be_woken() {
    let mut workers = workers(BridgeSettings::default());
    let now = Moment(1_000);
    let stations = 20_000;
    let mut woken = 0;
    for n in 0..stations {
        speak(&mut workers[0], station(n), 0, now);
        workers[1].catch_up();
        woken += usize::from(workers[0].others_are_far_behind());
    }
    let known = workers[0].fdb_len();
    assert!(known < stations as usize, "somebody is to fall behind here");
    assert_eq!(workers[0].fdb_counters().postponed, u64::from(stations) - known as u64);
    assert!(woken > 1_000, "{woken}");
    workers[2].catch_up();
    for n in 0..stations {
        speak(&mut workers[0], station(n), 0, now);
        if workers[0].others_are_far_behind() {
            workers[2].catch_up();
        }
        workers[1].catch_up();
    }
    workers.iter_mut().for_each(Bridge::catch_up);
    assert!(workers.iter().all(|worker| worker.fdb_len() == stations as usize));
}

/// Threads of this machine, with everything that they do to each other's caches.
#[test]
fn threads_that_learn_and_move_stations_agree() {
    let workers = workers(BridgeSettings { fdb_max: 500, ..BridgeSettings::default() });
    let threads: Vec<_> = (0_u32..)
        .zip(workers)
        .map(|(number, mut worker)| {
            std::thread::spawn(move || {
                let mut state = number + 1;
                for turn in 0..60_000_u64 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    speak(
                        &mut worker,
                        station(state >> 8 & 1023),
                        (state >> 20) as u16 % 3,
                        Moment(turn / 10),
                    );
                    if turn % 16 == 0 {
                        worker.catch_up();
                        worker.tick(Moment(turn / 10));
                    }
                }
                worker
            })
        })
        .collect();
    let mut workers: Vec<Bridge> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    workers.iter_mut().for_each(Bridge::catch_up);
    let expected = fdb(&workers[0]);
    assert_eq!(expected.len(), 500);
    assert!(workers.iter().all(|worker| fdb(worker) == expected));
    let counters = workers[0].fdb_counters();
    assert!(counters.moved > 10_000 && counters.evicted > 10_000, "{counters:?}");
}
