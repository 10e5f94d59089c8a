//! What the next process is to know: the configuration that this one runs on, what was counted, and what was
//! learned. Written to a [`region`] now and then and at the end; read at the start.
//!
//! Names stand for what they mean (of ports, of counters), so that a version that has more of them reads what one
//! with fewer wrote, and the other way round. Times are those of the kernel's monotonic clock.

mod region;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use bridge::{Bridge, BridgeSettings, EntryKind, FdbCounters, FdbEntry, Moment, PortCounters, PortId};
use config::Config;
use control::types::{BridgeChange, PortChange};
use frame::MacAddr;
use region::{Region, Unreadable};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::answer::{bridge_settings_with, settings_with};
use crate::assembly::{bridge_settings, find, settings_of};
use crate::attachment::Attachment;
use crate::command::Report;
use crate::open::Opened;
use crate::steered;
use crate::store::{Inherited, Store};

/// Bytes of one FDB entry: address and FID, when it was refreshed, place of its port, kind.
const ENTRY: usize = 20;
/// Instead of the place of a port: none.
const NO_PORT: u16 = u16::MAX;
/// The kinds of entry by their number, which never changes.
const KINDS: [EntryKind; 7] = [
    EntryKind::Dynamic,
    EntryKind::Locked,
    EntryKind::Static,
    EntryKind::Sticky,
    EntryKind::External,
    EntryKind::Local,
    EntryKind::Blackhole,
];

/// What an earlier process knew.
#[derive(Debug, Default)]
pub(crate) struct State {
    head: Head,
    /// Each with the place of its port among those of the head.
    entries: Vec<FdbEntry>,
}

/// Who goes on.
pub(crate) struct Heirs<'a> {
    pub(crate) bridge: &'a mut Bridge,
    pub(crate) attachments: &'a mut [Attachment],
    /// The device of each of them, if it has one.
    pub(crate) opened: &'a [Option<Opened>],
}

impl Heirs<'_> {
    /// Whether a port has the device that it had.
    fn resumed(&self, index: usize) -> bool {
        self.opened[index].as_ref().is_some_and(|opened| opened.resumed)
    }

    /// The same, and its link has not gone down meanwhile.
    fn knows_stations(&self, index: usize) -> bool {
        self.opened[index].as_ref().is_some_and(|opened| opened.resumed && opened.held.up)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    /// The text of the configuration file.
    configuration: String,
    /// What was set at run time.
    settings: BridgeChange,
    ports: Vec<PortHead>,
    fdb: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct PortHead {
    name: String,
    /// Something was set at run time, for the device that it has.
    steered: bool,
    settings: PortChange,
    /// Frames that its packet socket lost.
    socket_lost: u64,
    counters: BTreeMap<String, u64>,
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
        }
        self.hand_over_entries(heirs, before, now, moment);
    }

    fn head_of(&self, name: &str) -> Option<&PortHead> {
        self.head.ports.iter().find(|head| head.name == name)
    }

    fn hand_over_counters(&self, heirs: &mut Heirs<'_>) {
        for port in heirs.attachments.iter() {
            let Some(head) = self.head_of(&port.config.name) else { continue };
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
        for index in 0..heirs.attachments.len() {
            let port = &heirs.attachments[index];
            let name = port.config.name.clone();
            let old = before.ports.iter().find(|old| old.name == name);
            let (Some(head), Some(old), true) = (self.head_of(&name), old, heirs.resumed(index)) else {
                continue;
            };
            let backup = old.rules.backup_port.as_deref().and_then(|backup| find(heirs.attachments, backup));
            let file = steered::of_port(&settings_of(old, backup), &port.settings, |_| String::new());
            let change = steered::without(&head.settings, &file);
            if !head.steered {
                continue;
            }
            let backup = change.backup_port.as_deref().map(|backup| find(heirs.attachments, backup));
            let settings = settings_with(port.settings, &change, backup);
            match heirs.bridge.set_port_settings(port.id, settings) {
                Ok(()) => heirs.attachments[index].steered = true,
                Err(error) => warn!(
                    port = name,
                    "what was set at run time does not go with the new configuration: {error}"
                ),
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
        let present = |place: PortId| {
            let name = &self.head.ports.get(usize::from(place.0))?.name;
            let index = heirs.attachments.iter().position(|port| port.config.name == *name)?;
            heirs.knows_stations(index).then_some(heirs.attachments[index].id)
        };
        let entries = self.entries.iter().filter(|entry| !decided_by_file(entry.mac, before, now));
        let entries = entries.filter_map(|entry| match entry.port {
            Some(place) => Some(FdbEntry { port: Some(present(place)?), ..*entry }),
            None => Some(*entry),
        });
        heirs.bridge.inherit_entries(entries.collect(), moment);
    }

    fn encode(
        attachments: &[Attachment],
        file: &BridgeSettings,
        report: &Report,
        configuration: &str,
    ) -> Vec<u8> {
        let name = |id: PortId| {
            let port = attachments.iter().find(|port| port.id == id);
            port.map(|port| port.config.name.clone()).unwrap_or_default()
        };
        let ports = report.ports.iter().map(|port| {
            let attachment = attachments.iter().find(|attachment| attachment.id == port.id);
            let steered = attachment.filter(|attachment| attachment.steered);
            let settings = steered.map(|file| steered::of_port(&file.settings, &port.settings, name));
            PortHead {
                name: name(port.id),
                steered: steered.is_some(),
                settings: settings.unwrap_or_default(),
                socket_lost: port.socket_lost,
                counters: named(port.counters.clone().fields()),
            }
        });
        let head = Head {
            configuration: configuration.to_owned(),
            settings: steered::of_bridge(file, &report.settings),
            ports: ports.collect(),
            fdb: named(report.fdb_counters.clone().fields().into_iter()),
        };
        // Strings and numbers only, of which JSON has a form for each.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let mut bytes = Vec::with_capacity(4 + head.len() + report.fdb.len() * ENTRY);
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        let place = |id: PortId| report.ports.iter().position(|port| port.id == id);
        for entry in &report.fdb {
            let port = entry.port.and_then(place).map_or(NO_PORT, |place| place as u16);
            let kind = KINDS.iter().position(|kind| *kind == entry.kind).unwrap_or(KINDS.len());
            bytes.extend_from_slice(&(u64::from(entry.fid) << 48 | entry.mac.to_u64()).to_le_bytes());
            bytes.extend_from_slice(&entry.updated.map_or(0, |updated| updated.0).to_le_bytes());
            bytes.extend_from_slice(&port.to_le_bytes());
            bytes.extend_from_slice(&[kind as u8, 0]);
        }
        bytes
    }

    /// What can be understood of `bytes`; `None` if nothing.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (head, entries) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let head = serde_json::from_slice(head).ok()?;
        let entries = entries.chunks_exact(ENTRY).filter_map(|bytes| {
            let number = |from: usize| Some(u64::from_le_bytes(bytes.get(from..from + 8)?.try_into().ok()?));
            let (key, updated) = (number(0)?, number(8)?);
            let port = u16::from_le_bytes([bytes[16], bytes[17]]);
            Some(FdbEntry {
                mac: MacAddr::from_u64(key),
                fid: (key >> 48) as u16,
                port: (port != NO_PORT).then_some(PortId(port)),
                kind: *KINDS.get(usize::from(bytes[18]))?,
                updated: (updated != 0).then_some(Moment(updated)),
            })
        });
        Some(Self { head, entries: entries.collect() })
    }
}

/// Whether the file has changed what it says of a station.
fn decided_by_file(mac: MacAddr, before: Option<&Config>, now: &Config) -> bool {
    let entry = |config: &Config| config.fdb.iter().find(|entry| entry.mac == mac).cloned();
    before.and_then(entry) != entry(now)
}

fn named<'a>(fields: impl Iterator<Item = (&'static str, &'a mut u64)>) -> BTreeMap<String, u64> {
    fields.filter(|(_, value)| **value > 0).map(|(name, value)| (name.to_owned(), *value)).collect()
}

fn fill<'a>(fields: impl Iterator<Item = (&'static str, &'a mut u64)>, from: &BTreeMap<String, u64>) {
    for (name, value) in fields {
        *value = from.get(name).copied().unwrap_or(0);
    }
}

/// Where the state is written, if it is kept at all.
pub(crate) struct Memory {
    region: Option<Region>,
    configuration: String,
}

impl Memory {
    /// Reads what an earlier process left, and goes on writing there; where that is of no use says so, and begins
    /// anew.
    ///
    /// # Errors
    /// There is no memory to be had.
    pub(crate) fn open(inherited: &mut Inherited, store: Store) -> anyhow::Result<(Self, Option<State>)> {
        let mut memory = Self { region: None, configuration: String::new() };
        if !store.used {
            return Ok((memory, None));
        }
        let read = inherited.state().map(Region::adopt).map(|adopted| {
            let (region, payload) = adopted?;
            Ok::<_, Unreadable>((region, State::decode(&payload).ok_or(Unreadable::Damaged)?))
        });
        match read {
            Some(Ok((region, state))) => {
                memory.region = Some(region);
                return Ok((memory, Some(state)));
            }
            // There was no earlier process, or its life was too short.
            Some(Err(Unreadable::Empty)) | None => {}
            Some(Err(why)) => warn!(
                "what the last run left can't be used: {why}. The ports go on; what was learned and counted \
                 begins anew"
            ),
        }
        let region = Region::new()?;
        store.keep_state(region.as_fd());
        memory.region = Some(region);
        Ok((memory, None))
    }

    /// What another process has written since it was opened.
    pub(crate) fn read_again(&mut self) -> Option<State> {
        let region = self.region.as_ref()?.as_fd().try_clone_to_owned().ok()?;
        let (region, payload) = Region::adopt(region).ok()?;
        self.region = Some(region);
        State::decode(&payload)
    }

    /// Where it is written.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.region.as_ref().map(AsFd::as_fd)
    }

    /// From now on this is the configuration that is run on.
    pub(crate) fn set_configuration(&mut self, text: String) {
        self.configuration = text;
    }

    /// Writes what is to be known, in place of what was written before.
    pub(crate) fn save(&mut self, attachments: &[Attachment], config: &Config, report: &Report) {
        let Some(region) = &mut self.region else { return };
        let state = State::encode(attachments, &bridge_settings(config), report, &self.configuration);
        if let Err(error) = region.write(&state) {
            info!("what is known can't be noted for the next run: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
