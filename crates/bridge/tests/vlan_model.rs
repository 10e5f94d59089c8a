//! For random VLAN tables and frames the bridge and a slow model agree: which ports send the frame, with what
//! bytes, what is learned in which VLAN, what is counted. The model is told as the kernel's functions are
//! (`net/bridge/br_vlan.c`), over lists, and changes bytes where the bridge changes a value beside them.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use std::collections::BTreeMap;

use bridge::{
    Bridge, BridgeSettings, DropReason, Membership, Moment, PortId, PortSettings, PortState, PrivateVlan,
    VlanProtocol, VlanSettings,
};
use frame::{EtherType, MacAddr, Vid};
use proptest::prelude::*;
use stations::{BROADCAST, bytes, carry, station, tagged};

const PORTS: u16 = 5;
const STATES: [PortState; 5] = [
    PortState::Disabled,
    PortState::Blocking,
    PortState::Listening,
    PortState::Learning,
    PortState::Forwarding,
];

#[derive(Clone, Debug)]
enum Step {
    Frame { ingress: u16, to: MacAddr, from: u32, tags: Vec<(bool, u16)> },
    Add { port: u16, vid: u16, membership: Membership },
    Remove { port: u16, vid: u16 },
    Set { port: u16, vlans: Vec<(u16, Membership)> },
    State { port: u16, vid: u16, state: PortState },
    Settings(VlanSettings),
    Private(Vec<PrivateVlan>),
}

/// Few VLANs, so that frames and tables meet; the last one and those that can't be among them.
fn numbers() -> impl Strategy<Value = u16> {
    prop_oneof![10 => 1u16..=3, 1 => Just(4094)]
}

fn memberships() -> impl Strategy<Value = Membership> {
    let wire = prop::option::weighted(0.2, numbers().prop_map(|number| Vid::new(number).unwrap()));
    (any::<bool>(), any::<bool>(), wire).prop_map(|(pvid, untagged, wire)| Membership {
        pvid,
        untagged,
        wire,
    })
}

fn settings() -> impl Strategy<Value = VlanSettings> {
    (prop::bool::weighted(0.9), any::<bool>(), prop::option::of(numbers())).prop_map(
        |(filtering, ad, pvid)| VlanSettings {
            filtering,
            protocol: if ad { VlanProtocol::Dot1ad } else { VlanProtocol::Dot1q },
            default_pvid: pvid.and_then(Vid::new),
            stats: true,
            stats_per_port: true,
        },
    )
}

/// A primary VLAN with isolated and community ones, or none at all.
fn private() -> impl Strategy<Value = Vec<PrivateVlan>> {
    let vlans = Just([1u16, 2, 3, 4094]).prop_shuffle();
    let private = (vlans, any::<bool>(), 0usize..=2).prop_map(|(vids, isolated, communities)| {
        let [primary, one, rest @ ..] = vids.map(|vid| Vid::new(vid).unwrap());
        let communities = rest[..communities].to_vec();
        PrivateVlan { primary, isolated: isolated.then_some(one), communities }
    });
    prop::option::weighted(0.7, private).prop_map(|private| private.into_iter().collect())
}

fn steps() -> impl Strategy<Value = Step> {
    let tci = (any::<u16>(), prop_oneof![12 => numbers(), 2 => Just(0), 1 => Just(4095)])
        .prop_map(|(priority, vid)| priority & 0xf000 | vid);
    let to = prop_oneof![
        4 => (0u32..4).prop_map(station),
        2 => Just(BROADCAST),
        1 => Just(MacAddr([1, 0, 0x5e, 0, 0, 1])),
        1 => (0u8..16).prop_map(|low| MacAddr([1, 0x80, 0xc2, 0, 0, low])),
    ];
    let frame = (0..PORTS, to, 0u32..4, prop::collection::vec((any::<bool>(), tci), 0..=2))
        .prop_map(|(ingress, to, from, tags)| Step::Frame { ingress, to, from, tags });
    prop_oneof![
        20 => frame,
        6 => (0..PORTS, numbers(), memberships())
            .prop_map(|(port, vid, membership)| Step::Add { port, vid, membership }),
        2 => (0..PORTS, numbers()).prop_map(|(port, vid)| Step::Remove { port, vid }),
        1 => (0..PORTS, prop::collection::btree_map(numbers(), memberships(), 0..4))
            .prop_map(|(port, vlans)| Step::Set { port, vlans: vlans.into_iter().collect() }),
        1 => (0..PORTS, numbers(), prop::sample::select(&STATES[..]))
            .prop_map(|(port, vid, state)| Step::State { port, vid, state }),
        1 => settings().prop_map(Step::Settings),
        1 => private().prop_map(Step::Private),
    ]
}

fn secondaries(private: &PrivateVlan) -> impl Iterator<Item = u16> {
    private.isolated.iter().chain(&private.communities).map(|vid| vid.get())
}

fn members(private: &PrivateVlan) -> impl Iterator<Item = u16> {
    std::iter::once(private.primary.get()).chain(secondaries(private))
}

/// `struct net_bridge_vlan_group`.
#[derive(Clone, Default)]
struct Group {
    pvid: u16,
    vlans: BTreeMap<u16, (bool, PortState)>,
    /// Of VLANs that have another number on the wire, that.
    wires: BTreeMap<u16, u16>,
}

impl Group {
    /// `nbp_vlan_add`, `__vlan_add_flags`.
    fn add(&mut self, vid: u16, membership: Membership) {
        let state = self.vlans.get(&vid).map_or(PortState::Forwarding, |(_, state)| *state);
        self.vlans.insert(vid, (membership.untagged, state));
        self.wires.remove(&vid);
        self.wires.extend(membership.wire.map(|wire| (vid, wire.get())).filter(|(vid, wire)| vid != wire));
        if membership.pvid {
            self.pvid = vid;
        } else if self.pvid == vid {
            self.pvid = 0;
        }
    }

    fn remove(&mut self, vid: u16) {
        self.vlans.remove(&vid);
        self.wires.remove(&vid);
        if self.pvid == vid {
            self.pvid = 0;
        }
    }

    /// Whether each number on the wire is one VLAN's, with these added, and what the port is in each private VLAN.
    fn may_have(&self, vlans: &[(u16, Membership)], private: &[PrivateVlan]) -> bool {
        let mut after = self.clone();
        vlans.iter().for_each(|(vid, membership)| after.add(*vid, *membership));
        let own = |vid: &u16| (!after.vlans[vid].0).then_some(*vid);
        let mut numbers: Vec<u16> =
            after.vlans.keys().filter_map(|vid| after.wires.get(vid).copied().or_else(|| own(vid))).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() == all && private.iter().all(|private| after.is_one_thing(private))
    }

    /// RFC 5517: a host's port, a promiscuous one or a link between switches.
    fn is_one_thing(&self, private: &PrivateVlan) -> bool {
        let own = secondaries(private).filter_map(|vid| self.vlans.get(&vid)).collect::<Vec<_>>();
        let linked = self.vlans.contains_key(&private.primary.get());
        if linked { own.iter().all(|(untagged, _)| !untagged) } else { own.len() <= 1 }
    }

    /// All frames that leave here as those of `own`, by the VLAN that they are in.
    fn carries(&self, own: u16, private: &[PrivateVlan]) -> Vec<u16> {
        let Some(private) = private.iter().find(|private| members(private).any(|vid| vid == own)) else {
            return vec![own];
        };
        let primary = private.primary.get();
        let others = secondaries(private).filter(|vid| self.vlans.contains_key(vid));
        match (self.vlans.contains_key(&primary), others.collect::<Vec<_>>()) {
            // Promiscuous.
            (true, others) if others.is_empty() => members(private).collect(),
            (true, _) => vec![own],
            (false, others) => {
                let isolated = private.isolated.is_some_and(|vid| vid.get() == own);
                let of_own = (!isolated).then_some(own);
                of_own.into_iter().chain((others[0] == own).then_some(primary)).collect()
            }
        }
    }

    /// `vlan_default_pvid`.
    fn is_default(&self, vid: u16) -> bool {
        let untagged = self.vlans.get(&vid).is_some_and(|(untagged, _)| *untagged);
        self.pvid == vid && untagged && !self.wires.contains_key(&vid)
    }
}

struct Model {
    settings: VlanSettings,
    private: Vec<PrivateVlan>,
    ports: Vec<(PortSettings, Group)>,
    /// (VLAN, station) and where.
    fdb: BTreeMap<(u16, MacAddr), u16>,
    /// Frames in and out, by port and VLAN.
    counted: BTreeMap<(u16, u16), (u64, u64)>,
}

/// What a frame is once it was let in: without its VLAN's tag, and that tag.
struct Inside {
    bytes: Vec<u8>,
    vid: u16,
    tci: u16,
    learning: bool,
}

impl Model {
    fn new(settings: VlanSettings, ports: &[PortSettings]) -> Self {
        let mut groups = vec![Group::default(); ports.len()];
        if let Some(vid) = settings.default_pvid {
            groups.iter_mut().for_each(|group| group.add(vid.get(), Membership::ACCESS));
        }
        let ports = ports.iter().copied().zip(groups).collect();
        Self { settings, private: vec![], ports, fdb: BTreeMap::new(), counted: BTreeMap::new() }
    }

    /// The private VLAN that a VLAN is a part of.
    fn private_of(&self, vid: u16) -> Option<&PrivateVlan> {
        self.private.iter().find(|private| members(private).any(|of| of == vid))
    }

    /// Where stations are remembered: what is learned in one part of a private VLAN is known in all.
    fn known_as(&self, vid: u16) -> u16 {
        self.private_of(vid).map_or(vid, |private| private.primary.get())
    }

    fn set_private(&mut self, private: Vec<PrivateVlan>) {
        let before = std::mem::replace(&mut self.private, private);
        let of =
            |all: &[PrivateVlan], vid: u16| all.iter().find(|one| members(one).any(|of| of == vid)).cloned();
        let after = &self.private;
        self.fdb.retain(|(vid, _), _| of(&before, *vid) == of(after, *vid));
    }

    fn remove(&mut self, port: u16, vid: u16) {
        if self.ports[usize::from(port)].1.vlans.contains_key(&vid) {
            self.ports[usize::from(port)].1.remove(vid);
            let known_as = self.known_as(vid);
            self.fdb.retain(|(of, _), at| (*of, *at) != (known_as, port));
            self.counted.remove(&(port, vid));
        }
    }

    /// `__br_vlan_set_default_pvid`.
    fn set(&mut self, settings: VlanSettings) {
        let number = |vid: Option<Vid>| vid.map_or(0, Vid::get);
        let (old, new) = (number(self.settings.default_pvid), number(settings.default_pvid));
        self.settings = settings;
        for port in (0..self.ports.len() as u16).filter(|_| old != new) {
            let group = &mut self.ports[usize::from(port)].1;
            if old != 0 && !group.is_default(old) || group.vlans.contains_key(&new) {
                continue;
            }
            if new != 0 {
                group.add(new, Membership::ACCESS);
            }
            self.remove(port, old);
        }
    }

    /// `__allowed_ingress`.
    fn allowed_ingress(&mut self, port: u16, bytes: &[u8], count: bool) -> Result<Inside, DropReason> {
        let group = &self.ports[usize::from(port)].1;
        let tpid = self.settings.protocol.tpid().0.to_be_bytes();
        let (mut bytes, mut tci, mut vid) = (bytes.to_vec(), 0, 0);
        if bytes[12..14] == tpid {
            tci = u16::from_be_bytes([bytes[14], bytes[15]]);
            vid = tci & 0x0fff;
            bytes.drain(12..16);
        }
        if vid == 0 {
            if group.pvid == 0 {
                return Err(DropReason::VlanNoPvid);
            }
            vid = group.pvid;
            tci |= vid;
        } else if let Some((inside, _)) = group.wires.iter().find(|(_, wire)| **wire == vid) {
            vid = *inside;
            tci = tci & 0xf000 | vid;
        } else if group.wires.contains_key(&vid) {
            return Err(DropReason::VlanNotMember);
        }
        let reason = if vid == 4095 { DropReason::VlanReserved } else { DropReason::VlanNotMember };
        let (_, state) = group.vlans.get(&vid).ok_or(reason)?;
        let learning = match state {
            PortState::Forwarding => false,
            PortState::Learning => true,
            _ => return Err(DropReason::VlanBlocked),
        };
        if count {
            self.counted.entry((port, vid)).or_default().0 += 1;
        }
        Ok(Inside { bytes, vid, tci, learning })
    }

    /// `br_allowed_egress`, and `br_handle_vlan`.
    fn egress(&mut self, port: u16, inside: &Inside) -> Option<Vec<u8>> {
        let group = &self.ports[usize::from(port)].1;
        let mut own = group.vlans.iter();
        let (own, (untagged, state)) =
            own.find(|(own, _)| group.carries(**own, &self.private).contains(&inside.vid))?;
        let (own, untagged, state) = (*own, *untagged, *state);
        if state != PortState::Forwarding {
            return None;
        }
        self.counted.entry((port, own)).or_default().1 += 1;
        let tpid = self.settings.protocol.tpid();
        let wire = self.ports[usize::from(port)].1.wires.get(&own).copied().unwrap_or(own);
        let tci = inside.tci & 0xf000 | wire;
        Some(if untagged { inside.bytes.clone() } else { tagged(&inside.bytes, tpid, tci) })
    }

    fn forward(
        &mut self,
        ingress: u16,
        to: MacAddr,
        from: MacAddr,
        bytes: &[u8],
    ) -> Result<Vec<(u16, Vec<u8>)>, DropReason> {
        let filtering = self.settings.filtering;
        if to.0[..5] == [1, 0x80, 0xc2, 0, 0] {
            let ad = filtering && self.settings.protocol == VlanProtocol::Dot1ad;
            let mask = if ad { 0xb801 } else { 1 };
            if mask >> to.0[5] & 1 == 0 {
                let inside = if filtering { self.allowed_ingress(ingress, bytes, false).ok() } else { None };
                let vid = inside.map_or(0, |inside| self.known_as(inside.vid));
                if to.0[5] != 1 && (vid != 0 || !filtering) {
                    self.fdb.insert((vid, from), ingress);
                }
                return Err(DropReason::ReservedAddress);
            }
        }
        let inside = match filtering {
            true => self.allowed_ingress(ingress, bytes, true)?,
            false => Inside { bytes: bytes.to_vec(), vid: 0, tci: 0, learning: false },
        };
        let known_as = self.known_as(inside.vid);
        self.fdb.insert((known_as, from), ingress);
        if inside.learning {
            return Err(DropReason::VlanLearning);
        }
        let known = self.fdb.get(&(known_as, to)).copied().filter(|_| !to.is_group());
        let (own, _) = self.ports[usize::from(ingress)];
        let mut out = vec![];
        for port in known.map_or((0..PORTS).collect(), |port| vec![port]) {
            let (settings, _) = self.ports[usize::from(port)];
            if port == ingress && !own.hairpin {
                if known.is_some() {
                    return Err(DropReason::SamePort);
                }
            } else if own.isolated && settings.isolated {
                if known.is_some() {
                    return Err(DropReason::Isolated);
                }
            } else if !filtering {
                out.push((port, bytes.to_vec()));
            } else {
                let group = &self.ports[usize::from(port)].1;
                let blocked =
                    group.vlans.keys().any(|own| group.carries(*own, &self.private).contains(&inside.vid));
                let private = self.private_of(inside.vid).cloned();
                let near = private
                    .is_some_and(|private| members(&private).any(|vid| group.vlans.contains_key(&vid)));
                match self.egress(port, &inside) {
                    Some(bytes) => out.push((port, bytes)),
                    None if known.is_none() => {}
                    None if blocked => return Err(DropReason::EgressVlanBlocked),
                    None if near => return Err(DropReason::PrivateVlan),
                    None => return Err(DropReason::EgressVlan),
                }
            }
        }
        if out.is_empty() { Err(DropReason::NoEgress) } else { Ok(out) }
    }
}

struct Pair {
    bridge: Bridge,
    model: Model,
    refused: BTreeMap<(u16, DropReason), u64>,
}

impl Pair {
    fn new(vlan: VlanSettings, ports: &[PortSettings]) -> Self {
        let mut bridge = Bridge::new(BridgeSettings { vlan, fdb_max: 64, ..BridgeSettings::default() });
        for settings in ports {
            let port = bridge.add_port(*settings).unwrap();
            bridge.set_link(port, true);
        }
        Self { bridge, model: Model::new(vlan, ports), refused: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) {
        let vlan = |number: &u16| Vid::new(*number).unwrap();
        match step {
            Step::Frame { ingress, to, from, tags } => self.frame(*ingress, *to, station(*from), tags),
            Step::Add { port, vid, membership } => {
                let private: Vec<_> = self.model.private_of(*vid).into_iter().cloned().collect();
                let group = &self.model.ports[usize::from(*port)].1;
                let may = group.may_have(&[(*vid, *membership)], &private);
                let added = self.bridge.add_vlan(PortId(*port), vlan(vid), *membership);
                assert_eq!(added.is_ok(), may, "{added:?}");
                if may {
                    self.model.ports[usize::from(*port)].1.add(*vid, *membership);
                }
            }
            Step::Remove { port, vid } => {
                let was = self.model.ports[usize::from(*port)].1.vlans.contains_key(vid);
                assert_eq!(self.bridge.remove_vlan(PortId(*port), vlan(vid)).is_ok(), was);
                self.model.remove(*port, *vid);
            }
            Step::Set { port, vlans } => {
                let all: Vec<_> = vlans.iter().map(|(vid, membership)| (vlan(vid), *membership)).collect();
                let may = Group::default().may_have(vlans, &self.model.private);
                assert_eq!(self.bridge.set_vlans(PortId(*port), &all).is_ok(), may);
                if !may {
                    return;
                }
                let stays = |vid: &u16| vlans.iter().any(|(stays, _)| stays == vid);
                let had: Vec<u16> = self.model.ports[usize::from(*port)].1.vlans.keys().copied().collect();
                had.into_iter().filter(|vid| !stays(vid)).for_each(|vid| self.model.remove(*port, vid));
                for (vid, membership) in vlans {
                    self.model.ports[usize::from(*port)].1.add(*vid, *membership);
                }
            }
            Step::State { port, vid, state } => {
                let entry = self.model.ports[usize::from(*port)].1.vlans.get_mut(vid);
                let set = self.bridge.set_vlan_state(PortId(*port), vlan(vid), *state);
                assert_eq!(set.is_ok(), entry.is_some());
                if let Some((_, old)) = entry {
                    *old = *state;
                }
            }
            Step::Settings(settings) => {
                self.bridge.set_vlan_settings(*settings);
                self.model.set(*settings);
            }
            Step::Private(private) => {
                self.bridge.set_private_vlans(private.clone()).unwrap();
                self.model.set_private(private.clone());
            }
        }
        self.compare();
    }

    fn frame(&mut self, ingress: u16, to: MacAddr, from: MacAddr, tags: &[(bool, u16)]) {
        let raw = tags.iter().rev().fold(bytes(to, from, 60), |inner, (service, tci)| {
            tagged(&inner, if *service { EtherType::SERVICE_VLAN } else { EtherType::VLAN }, *tci)
        });
        let expected = self.model.forward(ingress, to, from, &raw);
        if let Err(reason) = &expected {
            *self.refused.entry((ingress, *reason)).or_default() += 1;
        }
        let explained = self.bridge.explain(
            PortId(ingress),
            &frame::Frame::parse(&raw, 0, None, frame::Offload::default()),
            Moment(1),
        );
        assert_eq!(explained.outcome.err(), expected.as_ref().err().copied(), "{raw:02x?}: {explained:?}");
        let sent = carry(&mut self.bridge, PortId(ingress), &raw, Moment(1));
        assert_eq!(sent, expected.unwrap_or_default(), "of {raw:02x?}");
        let mut gets: Vec<u16> = explained.gets().map(|port| port.0).collect();
        gets.sort_unstable();
        assert_eq!(gets, sent.iter().map(|(port, _)| *port).collect::<Vec<_>>());
    }

    fn compare(&self) {
        let known: BTreeMap<_, _> =
            self.bridge.fdb().map(|entry| ((entry.fid, entry.mac), entry.port.unwrap().0)).collect();
        assert_eq!(known, self.model.fdb, "FDB");
        for (id, (_, group)) in (0..).zip(&self.model.ports) {
            let entries: BTreeMap<_, _> = self
                .bridge
                .vlans(PortId(id))
                .map(|entry| (entry.vid.get(), (entry.membership.untagged, entry.state)))
                .collect();
            assert_eq!(entries, group.vlans);
            let wires = self.bridge.vlans(PortId(id));
            let wires = wires.filter_map(|entry| Some((entry.vid.get(), entry.membership.wire?.get())));
            assert_eq!(wires.collect::<BTreeMap<_, _>>(), group.wires);
            assert_eq!(self.bridge.pvid(PortId(id)).map_or(0, Vid::get), group.pvid);
            let counters = self.bridge.counters(PortId(id));
            for reason in DropReason::ALL {
                let expected = self.refused.get(&(id, *reason)).copied().unwrap_or_default();
                assert_eq!(counters.dropped(*reason), expected, "{reason} at port {id}");
            }
        }
        // A change of what is counted starts anew; here nothing of that changes.
        for ((port, vid), (rx, tx)) in &self.model.counted {
            let counters = self.bridge.vlan_counters(PortId(*port), Vid::new(*vid).unwrap()).unwrap();
            assert_eq!((counters.rx_frames, counters.tx_frames), (*rx, *tx), "VLAN {vid} at port {port}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_egress_set_and_the_tags_are_those_of_the_model(
        settings in settings(),
        ports in prop::collection::vec((prop::bool::weighted(0.2), prop::bool::weighted(0.3)), usize::from(PORTS)),
        history in prop::collection::vec(steps(), 1..120),
    ) {
        let ports: Vec<_> = ports
            .into_iter()
            .map(|(hairpin, isolated)| PortSettings { hairpin, isolated, ..PortSettings::default() })
            .collect();
        let mut pair = Pair::new(settings, &ports);
        for step in &history {
            pair.take(step);
        }
    }
}
