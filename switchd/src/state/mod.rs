//! What the next process is to know: the configuration that this one runs on, what was set and counted (the [`head`]),
//! and what was learned (the [`places`]). Written to a [`region`] now and then and at the end; read at the start.
//!
//! Times are those of the kernel's monotonic clock.

mod head;
mod places;
mod region;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bridge::{Bridge, FdbCounters, FdbEntry, FdbPlace, Moment, PortCounters, PortId};
use config::{Config, StaticEntry};
use frame::MacAddr;
pub(crate) use head::Known;
use head::{Head, PortHead, fill};
use places::Places;
use ports::{Batch, InHand};
use region::{Region, Unreadable};
use tracing::{info, warn};

use crate::answer::{bridge_settings_with, settings_with};
use crate::assembly::{bridge_settings, find, settings_of};
use crate::attachment::Attachment;
use crate::open::Opened;
use crate::store::{Inherited, Store, name_of_in_hand};
use crate::{steered, vlans};

/// What an earlier process knew.
#[derive(Debug, Default)]
pub(crate) struct State {
    head: Head,
    /// Each with its port by the number of that time.
    entries: Vec<FdbEntry>,
}

/// Who goes on.
pub(crate) struct Heirs<'a> {
    pub(crate) bridge: &'a mut Bridge,
    pub(crate) attachments: &'a mut [Attachment],
    /// Of each of them.
    pub(crate) had: &'a [Had],
}

/// What a port has of what it had before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Had {
    device: bool,
    link: bool,
}

impl Had {
    /// Of a port that was opened with this device, if it was.
    pub(crate) fn of(opened: &Option<Opened>) -> Self {
        let resumed = opened.as_ref().filter(|opened| opened.resumed);
        Self { device: resumed.is_some(), link: resumed.is_some_and(|opened| opened.held.up) }
    }
}

impl Heirs<'_> {
    /// Whether a port has the device that it had.
    fn resumed(&self, index: usize) -> bool {
        self.had[index].device
    }

    /// The same, and its link has not gone down meanwhile.
    fn knows_stations(&self, index: usize) -> bool {
        self.had[index].link
    }
}

impl State {
    /// The text of the configuration that it ran on.
    pub(crate) fn configuration(&self) -> &str {
        &self.head.configuration
    }

    /// Frames that the packet socket of each port had lost.
    pub(crate) fn sockets_lost(&self) -> BTreeMap<String, u64> {
        self.head.ports.iter().map(|port| (port.name.clone(), port.socket_lost)).collect()
    }

    /// What has become of the ports that there are still, by their numbers of that time.
    pub(crate) fn heirs(&self, attachments: &[Attachment]) -> HashMap<PortId, PortId> {
        let heir = |head: &PortHead| Some((PortId(head.id), find(attachments, &head.name)?));
        self.head.ports.iter().filter_map(heir).collect()
    }

    /// Lets the heirs go on: with what was counted, and on ports that have the device that they had, with what was
    /// set at run time and what is known of stations. Where the configuration has changed since, it decides.
    pub(crate) fn hand_over(
        &self,
        heirs: &mut Heirs<'_>,
        before: Option<&Config>,
        now: &Config,
        moment: Moment,
    ) {
        self.hand_over_counters(heirs);
        if let Some(before) = before {
            self.hand_over_settings(heirs, before, now, moment);
            for index in 0..heirs.attachments.len() {
                self.hand_over_port_settings(heirs, index, before);
                self.hand_over_vlans(heirs, index, before, now);
            }
        }
        self.hand_over_vlan_counters(heirs);
        self.hand_over_entries(heirs, before, now, moment);
    }

    fn hand_over_counters(&self, heirs: &mut Heirs<'_>) {
        for port in heirs.attachments.iter() {
            let Some(head) = self.head.of(&port.config.name) else { continue };
            let mut counters = PortCounters::default();
            fill(counters.fields(), &head.counters);
            heirs.bridge.inherit_counters(port.id, counters);
        }
        let mut totals = FdbCounters::default();
        fill(totals.fields().into_iter(), &self.head.fdb);
        heirs.bridge.inherit_fdb_counters(totals);
    }

    fn hand_over_settings(&self, heirs: &mut Heirs<'_>, before: &Config, now: &Config, moment: Moment) {
        let file = steered::of_bridge(&bridge_settings(before), &bridge_settings(now));
        let change = steered::without(&self.head.settings, &file);
        let settings = bridge_settings_with(*heirs.bridge.settings(), &change);
        // They were taken once; with what else the file says by now they may not go together.
        if let Err(error) = heirs.bridge.set_settings(settings, moment) {
            warn!("what was set at run time does not go with the new configuration: {error}");
        }
    }

    fn hand_over_port_settings(&self, heirs: &mut Heirs<'_>, index: usize, before: &Config) {
        let port = &heirs.attachments[index];
        let name = port.config.name.clone();
        let old = before.ports.iter().find(|old| old.name == name);
        let head = self.head.of(&name).filter(|head| head.steered);
        let (Some(head), Some(old), true) = (head, old, heirs.resumed(index)) else { return };
        let backup = old.rules.backup_port.as_deref().and_then(|backup| find(heirs.attachments, backup));
        let file = steered::of_port(&settings_of(old, backup), &port.settings, |_| String::new());
        let change = steered::without(&head.settings, &file);
        let backup = change.backup_port.as_deref().map(|backup| find(heirs.attachments, backup));
        let settings = settings_with(port.settings, &change, backup);
        match heirs.bridge.set_port_settings(port.id, settings) {
            Ok(()) => heirs.attachments[index].steered = true,
            Err(error) => {
                warn!(port = name, "what was set at run time does not go with the new configuration: {error}")
            }
        }
    }

    /// The VLANs of a port as they were, all of them, unless the file says something else of them now.
    fn hand_over_vlans(&self, heirs: &mut Heirs<'_>, index: usize, before: &Config, now: &Config) {
        let port = &heirs.attachments[index];
        let old = before.ports.iter().find(|old| old.name == port.config.name);
        let head = self.head.of(&port.config.name).filter(|head| head.steered);
        let (Some(head), Some(old), true) = (head, old, heirs.resumed(index)) else { return };
        let file = vlans::table(&now.bridge.vlan, &port.config);
        if vlans::table(&before.bridge.vlan, old) == file {
            vlans::restore(heirs.bridge, port.id, &head.vlans);
            heirs.attachments[index].steered = true;
        }
    }

    fn hand_over_vlan_counters(&self, heirs: &mut Heirs<'_>) {
        for (vid, counters) in &self.head.vlans {
            vlans::restore_counters(heirs.bridge, None, *vid, *counters);
        }
        for port in heirs.attachments.iter() {
            let vlans = self.head.of(&port.config.name).map(|head| head.vlans.as_slice());
            for vlan in vlans.unwrap_or_default() {
                if let Some(counters) = vlan.counters {
                    vlans::restore_counters(heirs.bridge, Some(port.id), vlan.vid, counters);
                }
            }
        }
    }

    fn hand_over_entries(
        &self,
        heirs: &mut Heirs<'_>,
        before: Option<&Config>,
        now: &Config,
        moment: Moment,
    ) {
        let present = self.head.ports.iter().filter_map(|head| {
            let index = heirs.attachments.iter().position(|port| port.config.name == head.name)?;
            heirs.knows_stations(index).then_some((PortId(head.id), heirs.attachments[index].id))
        });
        let present: HashMap<PortId, PortId> = present.collect();
        let changed = changed_entries(before, now);
        let entries = self.entries.iter().filter(|entry| !changed.contains(&entry.mac));
        let entries = entries.filter_map(|entry| match entry.port {
            Some(port) => Some(FdbEntry { port: Some(*present.get(&port)?), ..*entry }),
            None => Some(*entry),
        });
        heirs.bridge.inherit_entries(entries.collect(), moment);
    }
}

/// Stations of which the file says something else than it did.
fn changed_entries(before: Option<&Config>, now: &Config) -> HashSet<MacAddr> {
    let by_station = |config: &Config| {
        let mut entries = HashMap::<MacAddr, Vec<StaticEntry>>::new();
        config.fdb.iter().for_each(|entry| entries.entry(entry.mac).or_default().push(entry.clone()));
        entries
    };
    let (before, now) = (before.map(by_station).unwrap_or_default(), by_station(now));
    let named = before.keys().chain(now.keys()).copied();
    named.filter(|mac| before.get(mac) != now.get(mac)).collect()
}

/// Where the state is written, if it is kept at all.
pub(crate) struct Memory {
    region: Option<Region>,
    /// Where frames lie between two ports: of each worker.
    in_hand: Vec<InHand>,
    store: Store,
    places: Places,
    configuration: String,
    restarts: u64,
}

impl Memory {
    /// Reads what an earlier process left, and goes on writing there; where that is of no use says so, and begins
    /// anew.
    ///
    /// # Errors
    /// There is no memory to be had.
    pub(crate) fn open(inherited: &mut Inherited, store: Store) -> anyhow::Result<(Self, Option<State>)> {
        let mut memory = Self {
            region: None,
            in_hand: inherited.in_hand().into_iter().filter_map(InHand::adopt).collect(),
            store,
            places: Places::beside(1),
            configuration: String::new(),
            restarts: 0,
        };
        if !store.used {
            return Ok((memory, None));
        }
        match inherited.state().map(Region::adopt) {
            Some(Ok((region, payload))) => match memory.read(&region, &payload) {
                Some(state) => {
                    memory.region = Some(region);
                    return Ok((memory, Some(state)));
                }
                None => begins_anew(&Unreadable::Damaged),
            },
            // There was no earlier process, or its life was too short.
            Some(Err(Unreadable::Empty)) | None => {}
            Some(Err(why)) => begins_anew(&why),
        }
        let region = Region::new()?;
        store.keep_state(region.as_fd());
        memory.region = Some(region);
        Ok((memory, None))
    }

    fn read(&mut self, region: &Region, payload: &[u8]) -> Option<State> {
        let head = Head::decode(payload)?;
        let (entries, damaged) = places::read(region.file(), head.area, head.used);
        if damaged > 0 {
            warn!(
                damaged,
                "some of what the last run knew of stations can't be used: they are learned again"
            );
        }
        self.places = Places::beside(head.area);
        self.restarts = head.restarts + 1;
        Some(State { head, entries })
    }

    /// What another process has written since it was opened.
    pub(crate) fn read_again(&mut self) -> Option<State> {
        let region = self.region.as_ref()?.as_fd().try_clone_to_owned().ok()?;
        let (region, payload) = Region::adopt(region).ok()?;
        let state = self.read(&region, &payload);
        self.region = Some(region);
        state
    }

    /// Where it is written.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.region.as_ref().map(AsFd::as_fd)
    }

    /// Where the frames lie that are between two ports, by the names in the store.
    pub(crate) fn in_hand(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        self.in_hand.iter().enumerate().map(|(worker, memory)| (name_of_in_hand(worker), memory.as_fd()))
    }

    /// Room for the frames of a turn of each worker: such as outlives this process, if anything is kept.
    ///
    /// # Errors
    /// As `memfd_create(2)` and `mmap(2)`.
    pub(crate) fn batches(&mut self, workers: usize) -> io::Result<Vec<Batch>> {
        if !self.store.used {
            return Ok((0..workers).map(|_| Batch::new()).collect());
        }
        // What workers had in hand that are no more is not for those that may come one day.
        (workers..self.in_hand.len()).for_each(|worker| self.store.forget(&name_of_in_hand(worker)));
        self.in_hand.truncate(workers);
        for worker in self.in_hand.len()..workers {
            let new = InHand::new()?;
            self.store.keep(&name_of_in_hand(worker), new.as_fd());
            self.in_hand.push(new);
        }
        self.in_hand.iter().map(Batch::in_hand).collect()
    }

    /// Processes that took up where another had ended, this one included.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// From now on this is the configuration that is run on.
    pub(crate) fn set_configuration(&mut self, text: String) {
        self.configuration = text;
    }

    /// Writes what has changed in the FDB. It counts with the next [`Memory::save`].
    pub(crate) fn save_places(&mut self, changed: &[FdbPlace]) {
        let Some(region) = &self.region else { return };
        if let Err(error) = self.places.write(region.file(), changed) {
            info!("what is known of stations can't be noted for the next run: {error}");
        }
    }

    /// Writes what else is to be known, in place of what was written before.
    pub(crate) fn save(&mut self, known: &Known<'_>) {
        let Some(region) = &mut self.region else { return };
        let mut head = Head::new(known, &self.configuration, self.places.extent());
        head.restarts = self.restarts;
        if let Err(error) = region.write(&head.encode()) {
            info!("what is known can't be noted for the next run: {error}");
        }
    }
}

fn begins_anew(why: &Unreadable) {
    warn!(
        "what the last run left can't be used: {why}. The ports go on; what was learned and counted begins anew"
    );
}

#[cfg(test)]
mod tests;
