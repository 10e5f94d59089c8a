//! The bridge as its owner sees it: ports come and go, links change, copies are reported, time passes.
//! What happens to a frame is in [`crate::pipeline`].

use frame::{MacAddr, Vid};

use crate::counters::PortCounters;
use crate::fdb::{EntryKind, Fdb, FdbChange, FdbCounters, FdbEntry, FdbPlace, Key, Way};
use crate::mirror::Mirrors;
use crate::moment::{Moment, Span};
use crate::port::{LocalKind, PortId, Ports, max_len};
use crate::reason::{DropReason, Side};
use crate::settings::{BridgeSettings, PortSettings, SettingsRefused};
use crate::vlans::Vlans;

/// The filtering database of frames that are in no VLAN: the only one where VLANs are not told apart. Where
/// they are it has what holds in all of them.
pub(crate) const NO_VLAN: u16 = 0;

/// The state of one switch and all its rules.
#[derive(Clone, Debug)]
pub struct Bridge {
    pub(crate) settings: BridgeSettings,
    pub(crate) ports: Ports,
    pub(crate) fdb: Fdb,
    /// While the topology changes: how long a silent station is remembered at most.
    pub(crate) topology_change: Option<Span>,
    pub(crate) vlans: Vlans,
    pub(crate) mirrors: Mirrors,
}

/// What a port that does not exist has counted.
static NOTHING: PortCounters = PortCounters::ZERO;

impl Bridge {
    /// A bridge without ports, with all the memory that its FDB will use.
    #[must_use]
    pub fn new(settings: BridgeSettings) -> Self {
        let fdb = Fdb::new(settings.fdb_max, settings.ageing_time, settings.move_damping);
        let vlans = Vlans::new(settings.vlan);
        let (ports, mirrors) = (Ports::default(), Mirrors::default());
        let mut bridge = Self { settings, ports, fdb, topology_change: None, vlans, mirrors };
        bridge.limit_fdb(Moment(0));
        bridge
    }

    /// The settings of the whole switch.
    #[must_use]
    pub fn settings(&self) -> &BridgeSettings {
        &self.settings
    }

    /// Changes the settings of the whole switch, all but `fdb_max`; the next frame obeys them. Entries that
    /// are older than a new ageing time are gone at once, as in Linux: with zero, all that age.
    ///
    /// # Errors
    /// A [`SettingsRefused`] says which setting can't be; nothing is changed then.
    pub fn set_settings(&mut self, settings: BridgeSettings, now: Moment) -> Result<(), SettingsRefused> {
        settings.check()?;
        if settings.fdb_max != self.settings.fdb_max {
            return Err(SettingsRefused::FdbMax);
        }
        self.set_vlan_settings(settings.vlan);
        self.settings = settings;
        self.limit_fdb(now);
        Ok(())
    }

    /// What a spanning tree says of the network: while its topology changes, stations may be elsewhere, and
    /// entries that are older than this (the forward delay) are not used (IEEE 802.1D 7.9.2). `None`: it does
    /// not change. Unlike Linux, which uses them until its next clean-up.
    pub fn set_topology_change(&mut self, longest: Option<Span>, now: Moment) {
        self.topology_change = longest;
        self.limit_fdb(now);
    }

    fn limit_fdb(&mut self, now: Moment) {
        let BridgeSettings { ageing_time, move_damping, fdb_max_learned, .. } = self.settings;
        let ageing = self.topology_change.map_or(ageing_time, |longest| longest.min(ageing_time));
        self.fdb.set_limits(ageing, move_damping, fdb_max_learned, now);
    }

    /// Adds a port, its link down and without a check of the MTU, in the default VLAN.
    ///
    /// # Errors
    /// A [`SettingsRefused`] says which setting can't be, or that there are too many ports.
    pub fn add_port(&mut self, settings: PortSettings) -> Result<PortId, SettingsRefused> {
        let port = self.ports.add(settings)?;
        self.vlans.add_port(port);
        Ok(port)
    }

    /// Changes the settings of a port; the next frame obeys them. A port that goes down by that loses its
    /// dynamic entries, as with [`Bridge::set_link`]; one that gives up `mab`, its locked ones.
    ///
    /// # Errors
    /// A [`SettingsRefused`] says which setting can't be; nothing is changed then.
    pub fn set_port_settings(&mut self, port: PortId, settings: PortSettings) -> Result<(), SettingsRefused> {
        let had_mab = self.port_settings(port).is_some_and(|before| before.mab);
        let went_down = self.ports.set(port, settings)?;
        if had_mab && !settings.mab {
            self.flush(Some(port), Some(EntryKind::Locked));
        }
        if went_down {
            self.forget_learned(port);
        }
        Ok(())
    }

    /// The settings of a port.
    #[must_use]
    pub fn port_settings(&self, port: PortId) -> Option<PortSettings> {
        self.ports.get(port).map(|port| port.settings)
    }

    /// Removes a port, its counters and all its entries, static ones included. Its number will be used
    /// again.
    pub fn remove_port(&mut self, port: PortId) {
        self.set_local(port, None, LocalKind::Kernel);
        self.fdb.forget(port);
        self.ports.remove(port);
        self.vlans.remove_port(port);
        self.forget_mirrors_of(port);
        self.settle_locals();
    }

    /// Notes that a port's link came up or went down. Down: its dynamic entries go, unless another port
    /// stands in for it (`backup_port`).
    pub fn set_link(&mut self, port: PortId, up: bool) {
        if self.ports.set_link(port, up) {
            self.forget_learned(port);
        }
    }

    fn forget_learned(&mut self, id: PortId) {
        if self.ports.get(id).is_some_and(|port| port.settings.backup_port.is_none()) {
            self.fdb.forget_dynamic(id);
        }
    }

    /// The MTU that an egress judges frames by, in bytes of payload; `None` for no check (Linux has none
    /// towards br0, so a host port wants none).
    pub fn set_mtu(&mut self, port: PortId, mtu: Option<u32>) {
        if let Some(port) = self.ports.get_mut(port) {
            port.max_len = mtu.map_or(usize::MAX, max_len);
        }
    }

    /// The address of the port's own device, in place of the one it had; `None`, and what is not the
    /// address of a station, for no address. Whatever else was known of it is forgotten. Where several
    /// ports have the same address the first one owns it, and when it gives it up, the next.
    pub fn set_local(&mut self, id: PortId, mac: Option<MacAddr>, kind: LocalKind) {
        let Some(port) = self.ports.get_mut(id) else { return };
        let new = mac.filter(|mac| is_station(*mac)).map(|mac| (mac, kind));
        let old = std::mem::replace(&mut port.local, new);
        if let Some((mac, _)) = old.filter(|(mac, _)| new.is_none_or(|(new, _)| new != *mac)) {
            let key = Key::new(NO_VLAN, mac.to_u64());
            if self.local_owner(key) == Some(id) {
                self.fdb.remove(key);
                self.settle_locals();
            }
        }
        if let Some((mac, kind)) = new {
            self.own_in_vlans(id, mac);
            let key = Key::new(NO_VLAN, mac.to_u64());
            if self.local_owner(key).is_none_or(|owner| owner == id) {
                self.fdb.set_local(key, id, kind == LocalKind::Kernel);
            }
        }
    }

    fn local_owner(&self, key: Key) -> Option<PortId> {
        self.fdb.entry(key).filter(|(_, kind)| *kind == EntryKind::Local).map(|(found, _)| found.port)
    }

    /// Gives the address of a device that has lost its entry to the first port that has it.
    pub(crate) fn settle_locals(&mut self) {
        for (id, port) in self.ports.iter() {
            let Some((mac, kind)) = port.local else { continue };
            let key = Key::new(NO_VLAN, mac.to_u64());
            if !matches!(self.fdb.entry(key), Some((_, EntryKind::Local))) {
                self.fdb.set_local(key, id, kind == LocalKind::Kernel);
            }
        }
    }

    /// Whether this is the address of a port's own device.
    #[must_use]
    pub fn is_device(&self, mac: MacAddr) -> bool {
        self.ports.iter().any(|(_, port)| port.local.is_some_and(|(local, _)| local == mac))
    }

    /// Notes that an egress took so many copies, of `bytes` on the wire together, each as one frame.
    #[inline]
    pub fn sent_whole(&mut self, egress: PortId, copies: usize, bytes: usize) {
        if let Some(port) = self.ports.get_mut(egress) {
            port.counters.tx_frames += copies as u64;
            port.counters.tx_bytes += bytes as u64;
            port.counters.tx_segments += copies as u64;
        }
    }

    /// Notes that an egress took a copy: `wire_len` bytes, written as `segments` frames.
    #[inline]
    pub fn sent(&mut self, egress: PortId, wire_len: usize, segments: usize) {
        if let Some(port) = self.ports.get_mut(egress) {
            port.counters.tx_frames += 1;
            port.counters.tx_bytes += wire_len as u64;
            port.counters.tx_segments += segments as u64;
        }
    }

    /// Notes that an egress did not take a copy, for a reason of [`Side::Egress`].
    #[inline]
    pub fn refused(&mut self, egress: PortId, reason: DropReason) {
        debug_assert!(reason.side() == Side::Egress, "{reason}");
        if let Some(port) = self.ports.get_mut(egress) {
            port.counters.drop(reason, 1);
        }
    }

    /// Counts `n` frames that a port received and that never became frames here, for a reason of
    /// [`Side::Ingress`]. Their bytes are not known.
    pub fn drop_ingress(&mut self, ingress: PortId, reason: DropReason, n: u64) {
        debug_assert!(reason.side() == Side::Ingress, "{reason}");
        if let Some(port) = self.ports.get_mut(ingress) {
            port.counters.rx_frames += n;
            port.counters.drop(reason, n);
        }
    }

    /// Lets entries age. Call it when [`Bridge::next_deadline`] has passed; earlier does no harm.
    pub fn tick(&mut self, now: Moment) {
        self.fdb.let_age(now);
    }

    /// When [`Bridge::tick`] next has something to do; `None`: not before another frame came.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.fdb.next_deadline()
    }

    /// A port's counters; all zero for a port that does not exist.
    #[must_use]
    pub fn counters(&self, port: PortId) -> &PortCounters {
        self.ports.get(port).map_or(&NOTHING, |port| &port.counters)
    }

    /// On which port a station is, as a frame without a VLAN at the time of the last frame or [`Bridge::tick`]
    /// would find out.
    #[inline]
    #[must_use]
    pub fn lookup(&self, mac: MacAddr) -> Option<PortId> {
        self.lookup_in(NO_VLAN, mac)
    }

    /// The same in the database of this number: that of the VLAN, or of its primary ([`Bridge::fid`]).
    #[inline]
    #[must_use]
    pub fn lookup_in(&self, fid: u16, mac: MacAddr) -> Option<PortId> {
        let found = self.fdb.lookup(Key::new(fid, mac.to_u64()))?;
        (found.way != Way::Nowhere).then_some(found.port)
    }

    /// All entries of the FDB, in no order; also those that have expired since the last [`Bridge::tick`].
    pub fn fdb(&self) -> impl Iterator<Item = FdbEntry> {
        self.fdb.iter()
    }

    /// The entry of a station, unless it has expired.
    #[must_use]
    pub fn entry(&self, mac: MacAddr) -> Option<FdbEntry> {
        self.entry_in(None, mac)
    }

    /// The same in a VLAN; `None` for what is in none, or in all.
    #[must_use]
    pub fn entry_in(&self, vlan: Option<Vid>, mac: MacAddr) -> Option<FdbEntry> {
        self.fdb.show(Key::new(vlan.map_or(NO_VLAN, |vlan| self.vlans.fid(vlan)), mac.to_u64()))
    }

    /// The entries in `places` places of the table from place `from` on, and the place to go on from; `None`
    /// at the end. A large FDB is read so without a long pause: an entry that comes, goes or moves meanwhile
    /// may be told of twice or not at all, as in a dump of Linux Bridge's.
    pub fn fdb_part(&self, from: usize, places: usize) -> (Vec<FdbEntry>, Option<usize>) {
        self.fdb.part(from, places)
    }

    /// Notes from now on what happens to entries, or no longer.
    pub fn watch_fdb(&mut self, on: bool) {
        self.fdb.watch(on);
    }

    /// What has happened to entries since the last call while they are watched, and how many changes were too
    /// many to be kept.
    pub fn take_fdb_changes(&mut self) -> (Vec<FdbChange>, u64) {
        self.fdb.take_changes()
    }

    /// Notes from now on which entries change, for [`Bridge::take_unsaved`]; all that there are count as changed.
    pub fn save_fdb_changes(&mut self) {
        self.fdb.save_changes();
    }

    /// How many places of the FDB have changed since they were taken.
    #[must_use]
    pub fn unsaved_len(&self) -> usize {
        self.fdb.unsaved_len()
    }

    /// What has changed in the FDB since it was taken, of at most so many places; ask again while
    /// [`Bridge::unsaved_len`] is not zero. Costs a lookup for each of them, however large the FDB is. The
    /// addresses of devices are not among the entries: they come and go with the devices.
    pub fn take_unsaved(&mut self, at_most: usize) -> Vec<FdbPlace> {
        let mut places = self.fdb.take_unsaved(at_most);
        for place in &mut places {
            place.entry = place.entry.filter(|entry| !self.is_of_device(entry));
        }
        places
    }

    fn is_of_device(&self, entry: &FdbEntry) -> bool {
        let port = entry.port.and_then(|port| self.ports.get(port));
        let device = port.and_then(|port| port.local).map(|(mac, _)| mac);
        entry.kind == EntryKind::Local && device == Some(entry.mac)
    }

    /// Number of entries of all kinds.
    #[must_use]
    pub fn fdb_len(&self) -> usize {
        self.fdb.len()
    }

    /// Number of dynamic entries: never more than [`BridgeSettings::fdb_max`].
    #[must_use]
    pub fn fdb_dynamic_len(&self) -> usize {
        self.fdb.dynamic_len()
    }

    /// Number of dynamic entries on one port.
    #[must_use]
    pub fn stations(&self, port: PortId) -> usize {
        self.fdb.stations(port)
    }

    /// How many entries were learned, moved, aged out and evicted.
    #[must_use]
    pub fn fdb_counters(&self) -> FdbCounters {
        self.fdb.counters()
    }
}

pub(crate) fn is_station(mac: MacAddr) -> bool {
    !mac.is_group() && !mac.is_zero()
}
