//! A model of the bridge so simple that it can be seen to be right (a list of learned stations, a map
//! of fixed ones) must agree with it after every step of random histories: who gets the frame, what the
//! FDB holds, what every counter says. Domains are small, so that stations collide, move and evict.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use std::collections::BTreeMap;

use bridge::{
    Bridge, BridgeSettings, Deliveries, DropReason, EntryKind, FdbCounters, FdbEntry, LocalKind, Moment,
    PortCounters, PortId, PortSettings, Span, StaticRefused,
};
use frame::{Frame, MacAddr, Offload};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Frame { ingress: u16, to: MacAddr, from: MacAddr, len: usize, refused: bool },
    Advance { ms: u64 },
    Tick,
    AddPort { host: bool },
    RemovePort { port: u16 },
    Link { port: u16, up: bool },
    Mtu { port: u16, mtu: Option<u32> },
    Local { port: u16, mac: Option<MacAddr>, kind: LocalKind },
    Static { mac: MacAddr, port: u16 },
    Overlong { port: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fixed {
    Static,
    Local(LocalKind),
}

#[derive(Debug)]
struct Learned {
    mac: MacAddr,
    port: u16,
    updated: u64,
}

#[derive(Debug, Default)]
struct ModelPort {
    host: bool,
    up: bool,
    mtu: Option<u32>,
    local: Option<(MacAddr, LocalKind)>,
    counters: PortCounters,
}

#[derive(Debug)]
struct Model {
    ageing: u64,
    max: usize,
    ports: BTreeMap<u16, ModelPort>,
    /// The one refreshed longest ago first.
    learned: Vec<Learned>,
    fixed: BTreeMap<MacAddr, (u16, Fixed)>,
    totals: FdbCounters,
}

impl Model {
    fn add_port(&mut self, host: bool) -> u16 {
        let free = (0..).find(|id| !self.ports.contains_key(id)).unwrap();
        self.ports.insert(free, ModelPort { host, ..ModelPort::default() });
        free
    }

    fn remove_port(&mut self, id: u16) {
        self.set_local(id, None, LocalKind::Kernel);
        if self.ports.remove(&id).is_some() {
            self.learned.retain(|entry| entry.port != id);
            self.fixed.retain(|_, (port, _)| *port != id);
        }
    }

    fn set_link(&mut self, id: u16, up: bool) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        port.up = up;
        if !up {
            self.learned.retain(|entry| entry.port != id);
        }
    }

    fn set_local(&mut self, id: u16, mac: Option<MacAddr>, kind: LocalKind) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let new = mac.filter(|mac| !mac.is_group() && !mac.is_zero()).map(|mac| (mac, kind));
        let old = std::mem::replace(&mut port.local, new);
        if let Some((mac, _)) = old
            && new.map(|(new, _)| new) != Some(mac)
            && matches!(self.fixed.get(&mac), Some((owner, Fixed::Local(_))) if *owner == id)
        {
            self.fixed.remove(&mac);
            let heir = self.ports.iter().find(|(_, port)| port.local.is_some_and(|(its, _)| its == mac));
            if let Some((heir, ModelPort { local: Some((_, kind)), .. })) = heir {
                self.fixed.insert(mac, (*heir, Fixed::Local(*kind)));
            }
        }
        if let Some((mac, kind)) = new {
            match self.fixed.get(&mac) {
                Some((owner, Fixed::Local(_))) if *owner != id => {}
                _ => {
                    self.learned.retain(|entry| entry.mac != mac);
                    self.fixed.insert(mac, (id, Fixed::Local(kind)));
                }
            }
        }
    }

    fn add_static(&mut self, mac: MacAddr, id: u16) -> Result<(), StaticRefused> {
        if mac.is_group() || mac.is_zero() {
            return Err(StaticRefused::NotAStation(mac));
        }
        if !self.ports.contains_key(&id) {
            return Err(StaticRefused::NoSuchPort(PortId(id)));
        }
        if matches!(self.fixed.get(&mac), Some((_, Fixed::Local(_)))) {
            return Err(StaticRefused::Local(mac));
        }
        self.learned.retain(|entry| entry.mac != mac);
        self.fixed.insert(mac, (id, Fixed::Static));
        Ok(())
    }

    fn tick(&mut self, now: u64) {
        let before = self.learned.len();
        self.learned.retain(|entry| entry.updated + self.ageing > now);
        self.totals.aged += (before - self.learned.len()) as u64;
    }

    fn learn(&mut self, mac: MacAddr, ingress: u16, now: u64) {
        if self.ageing == 0 {
            return;
        }
        let counters = &mut self.ports.get_mut(&ingress).unwrap().counters;
        match self.fixed.get_mut(&mac) {
            Some((owner, Fixed::Local(LocalKind::HostPort))) if *owner == ingress => return,
            Some((_, Fixed::Local(_))) => return counters.own_source += 1,
            Some((port, Fixed::Static)) => {
                if *port != ingress {
                    *port = ingress;
                    counters.moved += 1;
                    self.totals.moved += 1;
                }
                return;
            }
            None => {}
        }
        let granule = (self.ageing / 64).clamp(1, 1000);
        if let Some(place) = self.learned.iter().position(|entry| entry.mac == mac) {
            let entry = &self.learned[place];
            if entry.port != ingress {
                counters.moved += 1;
                self.totals.moved += 1;
            } else if entry.updated / granule == now / granule {
                return;
            }
            self.learned.remove(place);
        } else if self.max == 0 {
            return;
        } else {
            if self.learned.len() == self.max {
                let held = |port: u16| self.learned.iter().filter(|entry| entry.port == port).count();
                let most = self.ports.keys().map(|id| held(*id)).max().unwrap();
                let victim = if held(ingress) == most {
                    ingress
                } else {
                    *self.ports.keys().find(|id| held(**id) == most).unwrap()
                };
                let oldest = self.learned.iter().position(|entry| entry.port == victim).unwrap();
                self.learned.remove(oldest);
                self.totals.evicted += 1;
            }
            self.totals.learned += 1;
        }
        self.learned.push(Learned { mac, port: ingress, updated: now });
    }

    /// The ports that get a copy, or why nobody does.
    fn targets(
        &mut self,
        ingress: u16,
        to: MacAddr,
        from: MacAddr,
        now: u64,
    ) -> Result<Vec<u16>, DropReason> {
        if from.is_group() {
            return Err(DropReason::SourceGroup);
        }
        if from.is_zero() {
            return Err(DropReason::SourceZero);
        }
        let reserved = to.0[..5] == [1, 0x80, 0xc2, 0, 0] && (1..=15).contains(&to.0[5]);
        if reserved && to.0[5] == 1 {
            return Err(DropReason::ReservedAddress);
        }
        if !self.ports[&ingress].up {
            return Err(DropReason::IngressDown);
        }
        self.learn(from, ingress, now);
        if reserved {
            return Err(DropReason::ReservedAddress);
        }
        let learned = self.learned.iter().find(|entry| entry.mac == to).map(|entry| entry.port);
        let known = match self.fixed.get(&to) {
            Some((_, Fixed::Local(LocalKind::Kernel))) => return Err(DropReason::ToHost),
            Some((port, _)) => Some(*port),
            None => learned,
        };
        match known {
            Some(port) if port == ingress => Err(DropReason::SamePort),
            Some(port) if !self.ports[&port].up => Err(DropReason::EgressDown),
            Some(port) => Ok(vec![port]),
            None => {
                let gets = |port: &ModelPort| port.up && (to.is_group() || !port.host);
                let all: Vec<u16> = self
                    .ports
                    .iter()
                    .filter(|(id, port)| **id != ingress && gets(port))
                    .map(|(id, _)| *id)
                    .collect();
                if all.is_empty() { Err(DropReason::NoEgress) } else { Ok(all) }
            }
        }
    }

    /// The ports whose queue gets the frame.
    fn forward(&mut self, ingress: u16, to: MacAddr, from: MacAddr, len: usize, now: u64) -> Vec<u16> {
        if !self.ports.contains_key(&ingress) {
            return vec![];
        }
        let outcome = self.targets(ingress, to, from, now);
        let counters = &mut self.ports.get_mut(&ingress).unwrap().counters;
        counters.rx_frames += 1;
        counters.rx_bytes += len as u64;
        match &outcome {
            Ok(_) => counters.forwarded += 1,
            Err(reason) => counters.drops[*reason as usize] += 1,
        }
        let mut targets = outcome.unwrap_or_default();
        targets.retain(|id| {
            let port = self.ports.get_mut(id).unwrap();
            port.counters.copies += 1;
            let fits = port.mtu.is_none_or(|mtu| len <= mtu as usize + 18);
            port.counters.drops[DropReason::Mtu as usize] += u64::from(!fits);
            fits
        });
        targets
    }

    fn fdb(&self) -> Vec<FdbEntry> {
        let learned = self.learned.iter().map(|entry| FdbEntry {
            mac: entry.mac,
            fid: 0,
            port: PortId(entry.port),
            kind: EntryKind::Dynamic,
            updated: Some(Moment(entry.updated)),
        });
        let fixed = self.fixed.iter().map(|(mac, (port, kind))| FdbEntry {
            mac: *mac,
            fid: 0,
            port: PortId(*port),
            kind: if *kind == Fixed::Static { EntryKind::Static } else { EntryKind::Local },
            updated: None,
        });
        let mut all: Vec<_> = learned.chain(fixed).collect();
        all.sort_unstable();
        all
    }
}

/// The bridge and its model, always taken through the same step.
struct Pair {
    bridge: Bridge,
    model: Model,
    now: u64,
    out: Deliveries,
}

impl Pair {
    fn new(max: usize, ageing: u64) -> Self {
        let settings = BridgeSettings { ageing_time: Span(ageing), fdb_max: max };
        let model = Model {
            ageing,
            max,
            ports: BTreeMap::new(),
            learned: vec![],
            fixed: BTreeMap::new(),
            totals: FdbCounters::default(),
        };
        Self { bridge: Bridge::new(settings), model, now: 5_000, out: Deliveries::new(1) }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Frame { ingress, to, from, len, refused } => self.frame(ingress, to, from, len, refused),
            Step::Advance { ms } => self.now += ms,
            Step::Tick => {
                self.bridge.tick(Moment(self.now));
                self.model.tick(self.now);
            }
            Step::AddPort { host } => {
                if self.model.ports.len() < PORTS as usize {
                    let id = self.bridge.add_port(PortSettings { host }).unwrap();
                    assert_eq!(id.0, self.model.add_port(host));
                }
            }
            Step::RemovePort { port } => {
                self.bridge.remove_port(PortId(port));
                self.model.remove_port(port);
            }
            Step::Link { port, up } => {
                self.bridge.set_link(PortId(port), up);
                self.model.set_link(port, up);
            }
            Step::Mtu { port, mtu } => {
                self.bridge.set_mtu(PortId(port), mtu);
                self.model.ports.entry(port).and_modify(|port| port.mtu = mtu);
            }
            Step::Local { port, mac, kind } => {
                self.bridge.set_local(PortId(port), mac, kind);
                self.model.set_local(port, mac, kind);
            }
            Step::Static { mac, port } => {
                let made = self.bridge.add_static(mac, PortId(port));
                assert_eq!(made, self.model.add_static(mac, port));
            }
            Step::Overlong { port } => {
                self.bridge.drop_ingress(PortId(port), DropReason::TooLong, 3);
                self.model.ports.entry(port).and_modify(|port| {
                    port.counters.rx_frames += 3;
                    port.counters.drops[DropReason::TooLong as usize] += 3;
                });
            }
        }
        self.compare();
    }

    fn frame(&mut self, ingress: u16, to: MacAddr, from: MacAddr, len: usize, refused: bool) {
        let bytes = stations::bytes(to, from, len);
        let frame = Frame::parse(&bytes, 0, None, Offload::default());
        self.out.clear();
        self.bridge.forward(PortId(ingress), 0, len, &frame, Moment(self.now), &mut self.out);
        let mut got: Vec<u16> = self.out.iter().map(|(port, _)| port.0).collect();
        got.sort_unstable();
        assert_eq!(got, self.model.forward(ingress, to, from, len, self.now), "who gets it");
        for id in got {
            let counters = &mut self.model.ports.get_mut(&id).unwrap().counters;
            if refused {
                self.bridge.refused(PortId(id), DropReason::TxFull);
                counters.drops[DropReason::TxFull as usize] += 1;
            } else {
                self.bridge.sent(PortId(id), len, 2);
                counters.tx_frames += 1;
                counters.tx_bytes += len as u64;
                counters.tx_segments += 2;
            }
        }
    }

    fn compare(&self) {
        let mut fdb: Vec<_> = self.bridge.fdb().collect();
        fdb.sort_unstable();
        assert_eq!(fdb, self.model.fdb(), "FDB");
        assert_eq!(self.bridge.fdb_len(), fdb.len());
        assert_eq!(self.bridge.fdb_dynamic_len(), self.model.learned.len());
        assert_eq!(self.bridge.fdb_counters(), self.model.totals);
        for id in 0..PORTS {
            let counters = self.model.ports.get(&id).map(|port| port.counters.clone()).unwrap_or_default();
            assert_eq!(*self.bridge.counters(PortId(id)), counters, "counters of port {id}");
            assert_eq!(counters.rx_frames, counters.forwarded + counters.ingress_drops());
            assert_eq!(counters.copies, counters.tx_frames + counters.egress_drops());
        }
        // The deadline is never later than the first entry's end, rounded up to what wakes together.
        let first = self.model.learned.iter().map(|entry| entry.updated + self.model.ageing).min();
        let granule = (self.model.ageing / 64).max(1);
        match (self.bridge.next_deadline(), first) {
            (None, None) => {}
            (Some(deadline), Some(first)) => assert!(deadline.0 <= first.max(self.now) + granule),
            other => panic!("deadline and first end: {other:?}"),
        }
    }
}

/// Ports in use at most. Steps also name one that never exists.
const PORTS: u16 = 5;

fn ports() -> impl Strategy<Value = u16> {
    0..=PORTS
}

fn any_station() -> impl Strategy<Value = MacAddr> {
    (0u32..10).prop_map(stations::station)
}

fn addresses() -> impl Strategy<Value = MacAddr> {
    prop_oneof![
        16 => any_station(),
        1 => Just(MacAddr::ZERO),
        1 => Just(MacAddr::BROADCAST),
        1 => Just(MacAddr([0x01, 0, 0x5e, 0, 0, 1])),
        1 => (0u8..=0x10).prop_map(|low| MacAddr([1, 0x80, 0xc2, 0, 0, low])),
    ]
}

fn kinds() -> impl Strategy<Value = LocalKind> {
    prop_oneof![Just(LocalKind::HostPort), Just(LocalKind::Kernel)]
}

fn steps() -> impl Strategy<Value = Step> {
    let frame = (ports(), addresses(), addresses(), 60usize..=80, prop::bool::weighted(0.1))
        .prop_map(|(ingress, to, from, len, refused)| Step::Frame { ingress, to, from, len, refused });
    prop_oneof![
        30 => frame,
        6 => prop_oneof![Just(1u64), Just(7), Just(15), Just(100), Just(500), Just(985), Just(1000), 0..2000u64]
            .prop_map(|ms| Step::Advance { ms }),
        4 => Just(Step::Tick),
        2 => any::<bool>().prop_map(|host| Step::AddPort { host }),
        1 => ports().prop_map(|port| Step::RemovePort { port }),
        3 => (ports(), prop::bool::weighted(0.8)).prop_map(|(port, up)| Step::Link { port, up }),
        1 => (ports(), prop::option::of(50u32..60)).prop_map(|(port, mtu)| Step::Mtu { port, mtu }),
        2 => (ports(), prop::option::weighted(0.7, addresses()), kinds())
            .prop_map(|(port, mac, kind)| Step::Local { port, mac, kind }),
        2 => (addresses(), ports()).prop_map(|(mac, port)| Step::Static { mac, port }),
        1 => ports().prop_map(|port| Step::Overlong { port }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_bridge_does_what_the_model_does(
        max in 0usize..=8,
        ageing in prop_oneof![1 => Just(0u64), 2 => Just(40), 8 => Just(1000), 2 => Just(3000)],
        hosts in prop::collection::vec(prop::bool::weighted(0.2), 0..=4),
        history in prop::collection::vec(steps(), 1..150),
    ) {
        let mut pair = Pair::new(max, ageing);
        for (id, host) in hosts.into_iter().enumerate() {
            pair.take(&Step::AddPort { host });
            pair.take(&Step::Link { port: id as u16, up: true });
        }
        for step in &history {
            pair.take(step);
        }
    }
}
