//! A slow model of the bridge must agree with it after every step of random histories: who gets the frame,
//! what the FDB holds, what every counter says, what is refused. And whatever the bridge does with a
//! frame, it has explained before.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod histories;
mod reference;
mod stations;

use bridge::{Bridge, BridgeSettings, Deliveries, DropReason, Moment, PortCounters, PortId};
use frame::{Frame, Offload};
use histories::{PORTS, Step};
use proptest::prelude::*;
use reference::Model;

/// The bridge and its model, always taken through the same step.
struct Pair {
    bridge: Bridge,
    model: Model,
    now: u64,
    out: Deliveries,
}

impl Pair {
    fn new(settings: BridgeSettings) -> Self {
        let (bridge, model) = (Bridge::new(settings), Model::new(settings));
        Self { bridge, model, now: 5_000, out: Deliveries::new(1) }
    }

    fn take(&mut self, step: &Step) {
        self.model.now = self.now;
        match *step {
            Step::Frame { ingress, to, from, len, refused } => {
                let raw = stations::bytes(to, from, len);
                self.explain(ingress, &raw);
                let targets = self.model.forward(ingress, to, from, len);
                self.frame(ingress, &raw, refused, &targets);
            }
            Step::Advance { ms } => self.now += ms,
            Step::Tick => {
                self.bridge.tick(Moment(self.now));
                self.model.tick();
            }
            Step::Overlong { port } => {
                self.bridge.drop_ingress(PortId(port), DropReason::TooLong, 3);
                self.model.ports.entry(port).and_modify(|port| {
                    port.counters.rx_frames += 3;
                    port.counters.drops[DropReason::TooLong as usize] += 3;
                });
            }
            _ => self.set(step),
        }
        self.compare();
    }

    /// The steps that set something.
    fn set(&mut self, step: &Step) {
        let (bridge, model) = (&mut self.bridge, &mut self.model);
        match *step {
            Step::AddPort { settings } if model.ports.len() < usize::from(PORTS) => {
                assert_eq!(bridge.add_port(settings), model.add_port(settings));
            }
            Step::RemovePort { port } => {
                bridge.remove_port(PortId(port));
                model.remove_port(port);
            }
            Step::Settings { port, settings } => {
                assert_eq!(bridge.set_port_settings(PortId(port), settings), model.set_port(port, settings));
            }
            Step::Bridge { settings, keep_max } => {
                let fdb_max = if keep_max { model.settings.fdb_max } else { settings.fdb_max };
                let settings = BridgeSettings { fdb_max, ..settings };
                assert_eq!(bridge.set_settings(settings, Moment(self.now)), model.set_settings(settings));
                assert_eq!(*bridge.settings(), model.settings);
            }
            Step::Link { port, up } => {
                bridge.set_link(PortId(port), up);
                model.set_link(port, up);
            }
            Step::Mtu { port, mtu } => {
                bridge.set_mtu(PortId(port), mtu);
                model.ports.entry(port).and_modify(|port| port.mtu = mtu);
            }
            Step::Local { port, mac, kind } => {
                bridge.set_local(PortId(port), mac, kind);
                model.set_local(port, mac, kind);
            }
            Step::Entry { mac, entry, replace } => {
                let now = Moment(self.now);
                let made = match replace {
                    true => bridge.replace_entry(mac, entry, now),
                    false => bridge.add_entry(mac, entry, now),
                };
                assert_eq!(made, model.add_entry(mac, entry, replace), "{mac} as {entry:?}");
            }
            Step::RemoveEntry { mac, port } => {
                assert_eq!(bridge.remove_entry(mac, port, Moment(self.now)), model.remove_entry(mac, port));
            }
            Step::Flush { port, kind } => {
                assert_eq!(bridge.flush(port, kind), model.flush(port.map(|port| port.0), kind));
            }
            _ => {}
        }
    }

    /// What the bridge says of a frame is what it then does, and saying it changes nothing.
    fn explain(&self, ingress: u16, raw: &[u8]) {
        if self.bridge.port_settings(PortId(ingress)).is_none() {
            return;
        }
        let frame = Frame::parse(raw, 0, None, Offload::default());
        let now = Moment(self.now);
        let explanation = self.bridge.explain(PortId(ingress), &frame, now);
        let mut copy = self.bridge.clone();
        let mut out = Deliveries::new(1);
        copy.forward(PortId(ingress), 0, raw.len(), &frame, now, &mut out);
        let mut got: Vec<PortId> = out.iter().map(|(port, _)| port).collect();
        let mut said: Vec<PortId> = explanation.gets().collect();
        got.sort_unstable();
        said.sort_unstable();
        assert_eq!(got, said, "{explanation:?}");
        let (before, after) = (self.bridge.counters(PortId(ingress)), copy.counters(PortId(ingress)));
        let dropped = DropReason::ALL.iter().find(|reason| {
            reason.side() == bridge::Side::Ingress && after.dropped(**reason) > before.dropped(**reason)
        });
        assert_eq!(explanation.outcome.err().as_ref(), dropped, "{explanation:?}");
        assert!(explanation.steps(|port| port.0.to_string()).len() >= 3);
    }

    fn frame(&mut self, ingress: u16, raw: &[u8], refused: bool, targets: &[u16]) {
        let frame = Frame::parse(raw, 0, None, Offload::default());
        let len = raw.len();
        self.out.clear();
        self.bridge.forward(PortId(ingress), 0, len, &frame, Moment(self.now), &mut self.out);
        let mut got: Vec<u16> = self.out.iter().map(|(port, _)| port.0).collect();
        got.sort_unstable();
        assert_eq!(got, targets, "who gets it");
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
        assert_eq!(self.bridge.fdb_dynamic_len(), self.model.dynamic_len());
        assert_eq!(self.bridge.fdb_counters(), self.model.totals);
        for id in 0..PORTS {
            let counters = self.model.ports.get(&id).map(|port| port.counters.clone()).unwrap_or_default();
            assert_eq!(*self.bridge.counters(PortId(id)), counters, "counters of port {id}");
            assert_eq!(counters.rx_frames, counters.forwarded + counters.ingress_drops());
            assert_eq!(counters.copies, counters.tx_frames + counters.egress_drops());
            let settings = self.model.ports.get(&id).map(|port| port.settings);
            assert_eq!(self.bridge.port_settings(PortId(id)), settings);
        }
        // The deadline is never later than the first entry's end, rounded up to what wakes together.
        match (self.bridge.next_deadline(), self.model.first_end()) {
            (None, None) => {}
            (Some(deadline), Some(first)) => {
                assert!(deadline.0 <= first.max(self.now) + self.model.granule());
            }
            other => panic!("deadline and first end: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_bridge_does_what_the_model_does(
        settings in histories::bridge_settings(),
        ports in prop::collection::vec(histories::port_settings(), 0..=4),
        history in prop::collection::vec(histories::steps(), 1..150),
    ) {
        let mut pair = Pair::new(settings);
        for settings in ports {
            pair.take(&Step::AddPort { settings });
        }
        for port in 0..4 {
            pair.take(&Step::Link { port, up: true });
        }
        for step in &history {
            pair.take(step);
        }
    }
}

/// The counters of a port that is not there.
#[test]
fn a_port_that_does_not_exist_has_counted_nothing() {
    assert_eq!(*Bridge::new(BridgeSettings::default()).counters(PortId(3)), PortCounters::default());
}
