//! The pure core as a subject: `crates/bridge` with a virtual clock.

use std::time::Instant;

use anyhow::{Result, ensure};
use bridge::{
    Bridge, BridgeSettings, Deliveries, EntryKind, LocalKind, Moment, NewEntry, PortId, PortSettings, Span,
    VlanSettings,
};
use frame::{Frame, Offload, Vid};

use crate::generator::{AGEING, HOST_MAC, MTU};
use crate::step::{End, Entry, Flag, Member, PORTS, Step, Tags};
use crate::subject::{Subject, View};

/// Any moment.
const START: Moment = Moment(1_000_000);

/// The bridge, and when it is.
#[derive(Debug)]
pub struct Core {
    bridge: Bridge,
    tags: Tags,
    now: Moment,
    /// Since when, if this is the time on the wall; else it passes only in waits.
    started: Option<Instant>,
    out: Deliveries,
    frames: Vec<(End, Vec<u8>)>,
}

/// The settings of a new bridge in every sequence.
#[must_use]
pub fn bridge_settings(tags: Tags) -> BridgeSettings {
    let vlan = VlanSettings { filtering: tags == Tags::Vlans, ..VlanSettings::default() };
    BridgeSettings { ageing_time: Span(AGEING), fdb_max: 64, vlan, ..BridgeSettings::default() }
}

/// The place of an end among the ports: the host's is the first.
#[must_use]
pub fn id(end: End) -> PortId {
    match end {
        End::Host => PortId(0),
        End::Port(port) => PortId(u16::from(port)),
    }
}

/// The end at this place.
#[must_use]
pub fn end(id: PortId) -> End {
    if id.0 == 0 { End::Host } else { End::Port(id.0 as u8) }
}

/// A change of one setting of a port.
pub fn set_flag(settings: &mut PortSettings, flag: Flag, on: bool) {
    *match flag {
        Flag::Learning => &mut settings.learning,
        Flag::Flood => &mut settings.flood,
        Flag::McastFlood => &mut settings.mcast_flood,
        Flag::BcastFlood => &mut settings.bcast_flood,
        Flag::Hairpin => &mut settings.hairpin,
        Flag::Isolated => &mut settings.isolated,
        Flag::Locked => &mut settings.locked,
        Flag::Mab => &mut settings.mab,
    } = on;
}

/// An entry of the user's in the words of the core; none that only a bridge itself makes.
#[must_use]
pub fn new_entry(kind: EntryKind, port: End) -> Option<NewEntry> {
    let port = id(port);
    Some(match kind {
        EntryKind::Dynamic => NewEntry::Dynamic(port),
        EntryKind::Static => NewEntry::Static(port),
        EntryKind::Sticky => NewEntry::Sticky(port),
        EntryKind::External => NewEntry::External(port),
        EntryKind::Local => NewEntry::Local(port),
        EntryKind::Locked | EntryKind::Blackhole => return None,
    })
}

/// What a step makes of the settings of its port, if it is about those.
#[must_use]
pub fn changed_port(before: PortSettings, step: &Step) -> Option<PortSettings> {
    let mut settings = before;
    match *step {
        Step::Flag { flag, on, .. } => set_flag(&mut settings, flag, on),
        Step::State { state, .. } => settings.state = state,
        Step::Mask { port: Some(_), mask } => settings.group_fwd_mask = mask,
        Step::Backup { backup, .. } => settings.backup_port = backup.map(|port| id(End::Port(port))),
        Step::Promisc { on } => settings.promisc = on,
        _ => return None,
    }
    Some(settings)
}

/// What a step makes of the settings of the bridge, if it is about those.
#[must_use]
pub fn changed_bridge(before: BridgeSettings, step: &Step) -> Option<BridgeSettings> {
    let mut settings = before;
    match *step {
        Step::Mask { port: None, mask } => settings.group_fwd_mask = mask,
        Step::Ageing { ms } => settings.ageing_time = Span(ms),
        Step::NoLinklocalLearn { on } => settings.no_linklocal_learn = on,
        Step::MaxLearned { max } => settings.fdb_max_learned = max,
        Step::VlanFiltering { on } => settings.vlan.filtering = on,
        Step::VlanProtocol { protocol } => settings.vlan.protocol = protocol,
        Step::DefaultPvid { vid } => settings.vlan.default_pvid = vid,
        _ => return None,
    }
    Some(settings)
}

/// The port whose settings a step is about.
#[must_use]
pub fn port_of(step: &Step) -> Option<End> {
    match *step {
        Step::Flag { port, .. }
        | Step::State { port, .. }
        | Step::Mask { port: Some(port), .. }
        | Step::Backup { port, .. } => Some(End::Port(port)),
        Step::Promisc { .. } => Some(End::Host),
        _ => None,
    }
}

impl Core {
    /// A new bridge with all ports, their links up.
    #[must_use]
    pub fn new(tags: Tags) -> Self {
        let mut bridge = Bridge::new(bridge_settings(tags));
        for end in End::all() {
            let settings = if end == End::Host { PortSettings::host() } else { PortSettings::default() };
            let added = bridge.add_port(settings);
            debug_assert_eq!(added, Ok(id(end)));
            bridge.set_mtu(id(end), (end != End::Host).then_some(MTU));
            bridge.set_link(id(end), true);
        }
        bridge.set_local(id(End::Host), Some(HOST_MAC), LocalKind::HostPort);
        Self { bridge, tags, now: START, started: None, out: Deliveries::new(1), frames: Vec::new() }
    }

    /// The same, in real time.
    #[must_use]
    pub fn in_real_time(tags: Tags) -> Self {
        Self { started: Some(Instant::now()), ..Self::new(tags) }
    }

    fn look_at_clock(&mut self) {
        if let Some(started) = self.started {
            self.now = START + Span(started.elapsed().as_millis() as u64);
            self.bridge.tick(self.now);
        }
    }

    fn forward(&mut self, from: End, bytes: &[u8]) {
        let frame = Frame::parse(bytes, 0, None, Offload::default());
        self.out.clear();
        self.bridge.forward(id(from), 0, bytes.len(), &frame, self.now, &mut self.out);
        let tpid = self.bridge.vlan_tpid();
        for (port, _) in self.out.iter() {
            self.bridge.sent(port, bytes.len(), 1);
            let edited = frame.map(|mut frame| {
                self.out.edit(port, 0).apply(tpid, &mut frame);
                frame.to_vec()
            });
            self.frames.push((end(port), edited.unwrap_or_else(|_| bytes.to_vec())));
        }
    }

    fn set(&mut self, step: &Step) -> bool {
        if let Some(settings) = changed_bridge(*self.bridge.settings(), step) {
            return self.bridge.set_settings(settings, self.now).is_ok();
        }
        let Some(port) = port_of(step).map(id) else { return true };
        let before = self.bridge.port_settings(port).unwrap_or_default();
        let after = changed_port(before, step).unwrap_or(before);
        self.bridge.set_port_settings(port, after).is_ok()
    }
}

impl Subject for Core {
    fn name(&self) -> &'static str {
        "core"
    }

    fn apply(&mut self, step: &Step) -> Result<bool> {
        self.frames.clear();
        self.look_at_clock();
        let now = self.now;
        Ok(match step {
            Step::Frame { from, bytes } => {
                self.forward(*from, bytes);
                true
            }
            Step::Entry { mac, vlan, port, kind, replace } => {
                let Some(new) = new_entry(*kind, *port) else { return Ok(false) };
                match replace {
                    true => self.bridge.replace_entry((*mac, *vlan), new, now).is_ok(),
                    false => self.bridge.add_entry((*mac, *vlan), new, now).is_ok(),
                }
            }
            Step::Delete { mac, vlan, port } => {
                self.bridge.remove_entry((*mac, *vlan), Some(id(*port)), now).is_ok()
            }
            Step::JoinVlan { port, vid, membership } => {
                self.bridge.add_vlan(id(*port), *vid, *membership).is_ok()
            }
            Step::LeaveVlan { port, vid } => self.bridge.remove_vlan(id(*port), *vid).is_ok(),
            Step::VlanState { port, vid, state } => {
                self.bridge.set_vlan_state(id(End::Port(*port)), *vid, *state).is_ok()
            }
            Step::Flush { port, kind } => {
                self.bridge.flush(port.map(|port| id(End::Port(port))), *kind);
                true
            }
            Step::Link { port, up } => {
                self.bridge.set_link(id(End::Port(*port)), *up);
                true
            }
            Step::Mtu { port, mtu } => {
                self.bridge.set_mtu(id(End::Port(*port)), Some(*mtu));
                true
            }
            Step::Wait { ms } if self.started.is_none() => {
                self.now = now + Span(*ms);
                self.bridge.tick(self.now);
                true
            }
            _ => self.set(step),
        })
    }

    fn view(&mut self) -> Result<View> {
        self.look_at_clock();
        let mut view = View { frames: std::mem::take(&mut self.frames), ..View::default() };
        for entry in self.bridge.fdb() {
            let port = entry.port.map_or(End::Host, end);
            view.fdb.push(Entry { mac: entry.mac, port, kind: entry.kind, vlan: Vid::new(entry.fid) });
            view.ages.extend(entry.updated.map(|updated| (entry.mac, self.now.since(updated).0)));
        }
        for port in End::all().filter(|_| self.tags == Tags::Vlans) {
            let vlans = self.bridge.vlans(id(port));
            view.vlans.extend(vlans.map(|entry| Member {
                port,
                vid: entry.vid,
                membership: entry.membership,
            }));
        }
        view.fdb.sort_unstable();
        view.frames.sort_unstable();
        Ok(view)
    }

    fn finish(&mut self) -> Result<()> {
        for end in (0..=u16::from(PORTS)).map(PortId) {
            let counters = self.bridge.counters(end);
            ensure!(counters.rx_frames == counters.forwarded + counters.ingress_drops(), "{counters:?}");
            ensure!(counters.copies == counters.tx_frames + counters.egress_drops(), "{counters:?}");
        }
        Ok(())
    }
}
