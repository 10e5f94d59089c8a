//! A model of the bridge so simple that it can be seen to be right: one list of entries, searched from end
//! to end, and the rules as the kernel's functions tell them. Its age order is the order of the list.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

use std::collections::BTreeMap;

use bridge::{
    BridgeSettings, DropReason, EntryKind, EntryRefused, FdbCounters, FdbEntry, LocalKind, Moment, NewEntry,
    PortCounters, PortId, PortSettings, PortState, SettingsRefused,
};
use frame::MacAddr;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    mac: MacAddr,
    /// None of a blackhole.
    port: Option<u16>,
    kind: EntryKind,
    /// Of a local one: the kernel has its own copy.
    kernel: bool,
    /// The user made it, or what it was before.
    by_user: bool,
    updated: u64,
}

impl Entry {
    fn ages(&self) -> bool {
        matches!(self.kind, EntryKind::Dynamic | EntryKind::Locked)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Port {
    pub(crate) settings: PortSettings,
    link: bool,
    pub(crate) mtu: Option<u32>,
    local: Option<(MacAddr, LocalKind)>,
    pub(crate) counters: PortCounters,
}

impl Port {
    fn up(&self) -> bool {
        self.link && self.settings.enabled
    }

    fn in_state(&self, states: &[PortState]) -> bool {
        self.up() && states.contains(&self.settings.state)
    }

    fn forwards(&self) -> bool {
        self.in_state(&[PortState::Forwarding])
    }

    fn learns(&self) -> bool {
        self.in_state(&[PortState::Learning, PortState::Forwarding])
    }
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) settings: BridgeSettings,
    pub(crate) now: u64,
    pub(crate) ports: BTreeMap<u16, Port>,
    /// Those that age: the one refreshed longest ago first.
    entries: Vec<Entry>,
    pub(crate) totals: FdbCounters,
}

impl Model {
    pub(crate) fn new(settings: BridgeSettings) -> Self {
        let totals = FdbCounters::default();
        Self { settings, now: 0, ports: BTreeMap::new(), entries: vec![], totals }
    }

    // Ports.

    fn check(&self, id: u16, settings: &PortSettings) -> Result<(), SettingsRefused> {
        settings.check()?;
        if settings.host && self.host().is_some_and(|host| host != id) {
            return Err(SettingsRefused::SecondHost);
        }
        match settings.backup_port {
            Some(PortId(backup))
                if backup == id || self.ports.get(&backup).is_none_or(|port| port.settings.host) =>
            {
                Err(SettingsRefused::Backup(PortId(backup)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn add_port(&mut self, settings: PortSettings) -> Result<PortId, SettingsRefused> {
        let free = (0..).find(|id| !self.ports.contains_key(id)).unwrap();
        self.check(free, &settings)?;
        self.ports.insert(free, Port { settings, ..Port::default() });
        Ok(PortId(free))
    }

    pub(crate) fn set_port(&mut self, id: u16, settings: PortSettings) -> Result<(), SettingsRefused> {
        let before = self.ports.get(&id).ok_or(SettingsRefused::NoSuchPort(PortId(id)))?;
        let (was_up, had_mab) = (before.up(), before.settings.mab);
        self.check(id, &settings)?;
        let port = self.ports.get_mut(&id).unwrap();
        port.settings = settings;
        let down = was_up && !port.up();
        if had_mab && !settings.mab {
            self.entries.retain(|entry| entry.port != Some(id) || entry.kind != EntryKind::Locked);
        }
        if down {
            self.went_down(id);
        }
        Ok(())
    }

    pub(crate) fn set_link(&mut self, id: u16, link: bool) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let was_up = port.up();
        port.link = link;
        if was_up && !port.up() {
            self.went_down(id);
        }
    }

    fn went_down(&mut self, id: u16) {
        if self.ports[&id].settings.backup_port.is_none() {
            self.entries.retain(|entry| entry.port != Some(id) || !entry.ages());
        }
    }

    pub(crate) fn remove_port(&mut self, id: u16) {
        self.set_local(id, None, LocalKind::Kernel);
        self.ports.remove(&id);
        self.entries.retain(|entry| entry.port != Some(id));
        for port in self.ports.values_mut() {
            if port.settings.backup_port == Some(PortId(id)) {
                port.settings.backup_port = None;
            }
        }
        self.settle();
    }

    pub(crate) fn set_settings(&mut self, settings: BridgeSettings) -> Result<(), SettingsRefused> {
        settings.check()?;
        if settings.fdb_max != self.settings.fdb_max {
            return Err(SettingsRefused::FdbMax);
        }
        self.settings = settings;
        self.tick();
        Ok(())
    }

    pub(crate) fn host(&self) -> Option<u16> {
        self.ports.iter().find(|(_, port)| port.settings.host).map(|(id, _)| *id)
    }

    // Entries.

    fn find(&self, mac: MacAddr) -> Option<&Entry> {
        let fresh = |entry: &&Entry| !entry.ages() || entry.updated + self.settings.ageing_time.0 > self.now;
        self.entries.iter().find(|entry| entry.mac == mac).filter(fresh)
    }

    fn dynamic(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.ages())
    }

    pub(crate) fn dynamic_len(&self) -> usize {
        self.dynamic().count()
    }

    fn held(&self, port: u16) -> usize {
        self.dynamic().filter(|entry| entry.port == Some(port)).count()
    }

    fn remove(&mut self, mac: MacAddr) {
        self.entries.retain(|entry| entry.mac != mac);
    }

    fn put(&mut self, mac: MacAddr, port: Option<u16>, kind: EntryKind, kernel: bool, by_user: bool) {
        self.remove(mac);
        let entry = Entry { mac, port, kind, kernel, by_user, updated: self.now };
        if entry.ages() && self.dynamic_len() == self.settings.fdb_max {
            let ingress = port.unwrap();
            let most = self.ports.keys().map(|id| self.held(*id)).max().unwrap();
            let fullest = *self.ports.keys().find(|id| self.held(**id) == most).unwrap();
            let victim = if self.held(ingress) == most { ingress } else { fullest };
            let oldest = self.dynamic().find(|entry| entry.port == Some(victim)).unwrap().mac;
            self.remove(oldest);
            self.totals.evicted += 1;
        }
        self.entries.push(entry);
    }

    fn is_local(&self, mac: MacAddr) -> bool {
        self.entries.iter().any(|entry| entry.mac == mac && entry.kind == EntryKind::Local)
    }

    fn is_device(&self, mac: MacAddr) -> bool {
        self.ports.values().any(|port| port.local.is_some_and(|(local, _)| local == mac))
    }

    pub(crate) fn set_local(&mut self, id: u16, mac: Option<MacAddr>, kind: LocalKind) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let new = mac.filter(|mac| !mac.is_group() && !mac.is_zero()).map(|mac| (mac, kind));
        let old = std::mem::replace(&mut port.local, new);
        if let Some((mac, _)) = old
            && new.map(|(new, _)| new) != Some(mac)
        {
            self.entries
                .retain(|entry| entry.mac != mac || entry.kind != EntryKind::Local || entry.port != Some(id));
            self.settle();
        }
        if let Some((mac, kind)) = new {
            let owner = self.entries.iter().find(|entry| entry.mac == mac && entry.kind == EntryKind::Local);
            if owner.is_none_or(|owner| owner.port == Some(id)) {
                self.put(mac, Some(id), EntryKind::Local, kind == LocalKind::Kernel, true);
            }
        }
    }

    /// Each device's address is local, of the first that has it.
    fn settle(&mut self) {
        let locals: Vec<_> = self.ports.iter().filter_map(|(id, port)| Some((*id, port.local?))).collect();
        for (id, (mac, kind)) in locals {
            if !self.is_local(mac) {
                self.put(mac, Some(id), EntryKind::Local, kind == LocalKind::Kernel, true);
            }
        }
    }

    pub(crate) fn add_entry(
        &mut self,
        mac: MacAddr,
        entry: NewEntry,
        replace: bool,
    ) -> Result<(), EntryRefused> {
        if mac.is_group() || mac.is_zero() {
            return Err(EntryRefused::NotAStation(mac));
        }
        let (kind, port) = match entry {
            NewEntry::Dynamic(port) => (EntryKind::Dynamic, Some(port)),
            NewEntry::Static(port) => (EntryKind::Static, Some(port)),
            NewEntry::Sticky(port) => (EntryKind::Sticky, Some(port)),
            NewEntry::External(port) => (EntryKind::External, Some(port)),
            NewEntry::Local(port) => (EntryKind::Local, Some(port)),
            NewEntry::Blackhole => (EntryKind::Blackhole, None),
        };
        if let Some(id) = port {
            let port = self.ports.get(&id.0).ok_or(EntryRefused::NoSuchPort(id))?;
            if port.settings.host && kind != EntryKind::Local {
                return Err(EntryRefused::HostTakesLocal(mac));
            }
            if kind == EntryKind::Dynamic && !port.learns() {
                return Err(EntryRefused::NotLearning(id));
            }
        }
        if self.is_device(mac) {
            return Err(EntryRefused::Local(mac));
        }
        if !replace && self.find(mac).is_some() {
            return Err(EntryRefused::Exists(mac));
        }
        if kind == EntryKind::Dynamic && self.settings.fdb_max == 0 {
            return Err(EntryRefused::NoRoom);
        }
        self.put(mac, port.map(|port| port.0), kind, false, true);
        Ok(())
    }

    pub(crate) fn remove_entry(&mut self, mac: MacAddr, port: Option<PortId>) -> Result<(), EntryRefused> {
        match self.find(mac) {
            Some(entry) if entry.port == port.map(|port| port.0) => {}
            _ => return Err(EntryRefused::NoSuchEntry(mac)),
        }
        if self.is_device(mac) {
            return Err(EntryRefused::Local(mac));
        }
        self.remove(mac);
        Ok(())
    }

    pub(crate) fn flush(&mut self, port: Option<u16>, kind: Option<EntryKind>) -> usize {
        let before = self.entries.len();
        let devices: Vec<MacAddr> = self.ports.values().filter_map(|port| Some(port.local?.0)).collect();
        self.entries.retain(|entry| {
            let meant = (port.is_none() || entry.port == port)
                && kind.map_or(entry.ages() || port.is_none() && entry.kind == EntryKind::External, |kind| {
                    entry.kind == kind
                })
                && !(entry.kind == EntryKind::Local && devices.contains(&entry.mac));
            !meant
        });
        before - self.entries.len()
    }

    pub(crate) fn tick(&mut self) {
        let before = self.entries.len();
        let (ageing, now) = (self.settings.ageing_time.0, self.now);
        self.entries.retain(|entry| !entry.ages() || entry.updated + ageing > now);
        self.totals.aged += (before - self.entries.len()) as u64;
    }

    /// How coarsely refreshes are noted.
    pub(crate) fn granule(&self) -> u64 {
        let (ageing, damping) = (self.settings.ageing_time.0, self.settings.move_damping.0);
        let granule = (ageing / 64).clamp(1, 1000);
        if damping == 0 { granule } else { granule.min((damping / 16).max(1)) }
    }

    /// `br_fdb_update`.
    fn update(&mut self, mac: MacAddr, ingress: u16, locked: bool) {
        if self.settings.ageing_time.0 == 0 {
            return;
        }
        let full =
            self.ports[&ingress].settings.max_macs.is_some_and(|max| self.held(ingress) >= max as usize);
        let is_host = self.ports[&ingress].settings.host;
        let Some(place) = self.entries.iter().position(|entry| entry.mac == mac) else {
            let learned = self.dynamic().filter(|entry| !entry.by_user).count();
            if self.settings.fdb_max == 0 {
            } else if full {
                self.counters(ingress).limited += 1;
            } else if (1..=learned).contains(&(self.settings.fdb_max_learned as usize)) {
                self.totals.refused += 1;
            } else {
                self.totals.learned += 1;
                let kind = if locked { EntryKind::Locked } else { EntryKind::Dynamic };
                self.put(mac, Some(ingress), kind, false, false);
            }
            return;
        };
        let entry = self.entries[place].clone();
        let here = entry.port == Some(ingress);
        match entry.kind {
            EntryKind::Local if here && is_host => {}
            EntryKind::Local => self.counters(ingress).own_source += 1,
            EntryKind::Blackhole => {}
            _ if here => {
                if entry.ages() && entry.updated / self.granule() != self.now / self.granule() {
                    self.entries.remove(place);
                    self.entries.push(Entry { updated: self.now, ..entry });
                }
            }
            EntryKind::Sticky => {}
            EntryKind::Static => {
                self.entries[place].port = Some(ingress);
                self.count_move(ingress);
            }
            EntryKind::External if self.settings.fdb_max == 0 => {}
            _ if full => self.counters(ingress).limited += 1,
            EntryKind::External => {
                self.put(mac, Some(ingress), EntryKind::Dynamic, false, true);
                self.count_move(ingress);
            }
            EntryKind::Dynamic | EntryKind::Locked => {
                if self.now - entry.updated < self.settings.move_damping.0 {
                    self.counters(ingress).damped += 1;
                } else {
                    self.put(mac, Some(ingress), EntryKind::Dynamic, false, entry.by_user);
                    self.count_move(ingress);
                }
            }
        }
    }

    fn counters(&mut self, port: u16) -> &mut PortCounters {
        &mut self.ports.get_mut(&port).unwrap().counters
    }

    fn count_move(&mut self, to: u16) {
        self.counters(to).moved += 1;
        self.totals.moved += 1;
    }

    // Frames.

    /// `br_handle_frame`: the ports that get a copy, or why nobody does.
    fn handle(&mut self, ingress: u16, to: MacAddr, from: MacAddr) -> Result<Vec<u16>, DropReason> {
        if from.is_group() {
            return Err(DropReason::SourceGroup);
        }
        if from.is_zero() {
            return Err(DropReason::SourceZero);
        }
        let port = &self.ports[&ingress];
        let (learning, learns) = (port.settings.learning, port.learns());
        if to.0[..5] == [1, 0x80, 0xc2, 0, 0] && to.0[5] < 16 && !port.settings.host {
            let mask = match to.0[5] {
                0 => 0xffff,
                1 => 0,
                2 => port.settings.group_fwd_mask,
                _ => port.settings.group_fwd_mask | self.settings.group_fwd_mask,
            };
            if mask & 1 << to.0[5] == 0 {
                if to.0[5] != 1 && learning && learns && !self.settings.no_linklocal_learn {
                    self.update(from, ingress, false);
                }
                return Err(DropReason::ReservedAddress);
            }
        }
        if !port.up() {
            return Err(DropReason::IngressDown);
        }
        if !learns {
            return Err(DropReason::IngressBlocked);
        }
        if self.find(from).is_some_and(|entry| entry.kind == EntryKind::Blackhole) {
            return Err(DropReason::BlackholeSource);
        }
        self.handle_finish(ingress, to, from)
    }

    /// `br_handle_frame_finish`.
    fn handle_finish(&mut self, ingress: u16, to: MacAddr, from: MacAddr) -> Result<Vec<u16>, DropReason> {
        let settings = self.ports[&ingress].settings;
        if settings.locked {
            let (mut pass, mut note) = (false, settings.mab);
            if let Some(entry) = self.find(from) {
                let here = entry.port == Some(ingress) && entry.kind != EntryKind::Local;
                pass = here && entry.kind != EntryKind::Locked;
                note &= here;
            } else if settings.mab && self.entries.iter().any(|entry| entry.mac == from) {
                // What has expired counts for nothing.
                self.remove(from);
                self.totals.aged += 1;
            }
            if !pass {
                if note {
                    self.update(from, ingress, true);
                }
                return Err(DropReason::Locked);
            }
        }
        if settings.learning {
            self.update(from, ingress, false);
        }
        if !self.ports[&ingress].forwards() {
            return Err(DropReason::IngressLearning);
        }
        let host = self.host().filter(|host| self.ports[host].up() && *host != ingress);
        let promisc = host.filter(|host| self.ports[host].settings.promisc);
        let Some(entry) = self.find(to).filter(|_| !to.is_group()) else {
            return self.flood(ingress, to);
        };
        let (way, owner) = (entry.kind, entry.port);
        let deliver_to = match way {
            EntryKind::Blackhole => return Err(DropReason::BlackholeDestination),
            EntryKind::Local if entry.kernel => return Err(DropReason::ToHost),
            EntryKind::Local if !settings.host => {
                let no_host = || {
                    if self.host().is_some() { DropReason::EgressDown } else { DropReason::NoHostPort }
                };
                return host.map(|host| vec![host]).ok_or_else(no_host);
            }
            _ => owner.unwrap(),
        };
        let sent = self.br_forward(ingress, deliver_to);
        match promisc.filter(|_| way != EntryKind::Local) {
            Some(host) => {
                let mut all: Vec<u16> = sent.ok().into_iter().chain([host]).collect();
                all.dedup();
                Ok(all)
            }
            None => sent.map(|port| vec![port]),
        }
    }

    /// `br_forward` with `should_deliver`.
    fn br_forward(&self, ingress: u16, to: u16) -> Result<u16, DropReason> {
        let from = &self.ports[&ingress].settings;
        let to = match self.ports[&to].settings.backup_port {
            Some(backup) if !self.ports[&to].up() => backup.0,
            _ => to,
        };
        let port = &self.ports[&to];
        if to == ingress && !from.hairpin {
            Err(DropReason::SamePort)
        } else if !port.up() {
            Err(DropReason::EgressDown)
        } else if !port.forwards() {
            Err(DropReason::EgressBlocked)
        } else if from.isolated && port.settings.isolated {
            Err(DropReason::Isolated)
        } else {
            Ok(to)
        }
    }

    /// `br_flood`, and what br0 gets.
    fn flood(&self, ingress: u16, to: MacAddr) -> Result<Vec<u16>, DropReason> {
        let from = &self.ports[&ingress].settings;
        let gets = |id: u16, port: &Port| {
            let settings = &port.settings;
            if settings.host {
                return id != ingress && port.up() && (to.is_group() || settings.promisc);
            }
            let on = match to {
                MacAddr::BROADCAST => settings.bcast_flood || from.host,
                to if to.is_group() => settings.mcast_flood || from.host,
                _ => settings.flood,
            };
            on && (id != ingress || settings.hairpin)
                && port.forwards()
                && !(from.isolated && settings.isolated)
        };
        let all: Vec<u16> =
            self.ports.iter().filter(|(id, port)| gets(**id, port)).map(|(id, _)| *id).collect();
        if all.is_empty() { Err(DropReason::NoEgress) } else { Ok(all) }
    }

    /// The ports whose queue gets the frame.
    pub(crate) fn forward(&mut self, ingress: u16, to: MacAddr, from: MacAddr, len: usize) -> Vec<u16> {
        if !self.ports.contains_key(&ingress) {
            return vec![];
        }
        let outcome = self.handle(ingress, to, from);
        let counters = self.counters(ingress);
        counters.rx_frames += 1;
        counters.rx_bytes += len as u64;
        match &outcome {
            Ok(_) => counters.forwarded += 1,
            Err(reason) => counters.drops[*reason as usize] += 1,
        }
        let mut targets = outcome.unwrap_or_default();
        targets.sort_unstable();
        targets.retain(|id| {
            let port = self.ports.get_mut(id).unwrap();
            port.counters.copies += 1;
            let fits = port.mtu.is_none_or(|mtu| len <= mtu as usize + 18);
            port.counters.drops[DropReason::Mtu as usize] += u64::from(!fits);
            fits
        });
        targets
    }

    pub(crate) fn fdb(&self) -> Vec<FdbEntry> {
        let shown = |entry: &Entry| FdbEntry {
            mac: entry.mac,
            fid: 0,
            port: entry.port.map(PortId),
            kind: entry.kind,
            updated: entry.ages().then_some(Moment(entry.updated)),
        };
        let mut all: Vec<_> = self.entries.iter().map(shown).collect();
        all.sort_unstable();
        all
    }

    /// When the first entry expires.
    pub(crate) fn first_end(&self) -> Option<u64> {
        self.dynamic().map(|entry| entry.updated + self.settings.ageing_time.0).min()
    }
}
