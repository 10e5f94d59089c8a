//! The FDB: shown part by part, so that frames never wait for a large one; entries made and removed.

use bridge::{EntryRefused, FdbEntry, Moment, NewEntry, PortId};
use control::CallError;
use control::server::Stream;
use control::types::{self, EntryKind, FdbFilter, NewFdbEntry};
use frame::MacAddr;
use serde_json::Value;
use tracing::debug;

use crate::answer::vlan::vid;
use crate::answer::{field, no_answer};
use crate::control::Control;
use crate::to_workers::ToWorkers;

/// Places of the table that are read between two turns of the worker, some 10 µs; the smallest table is no
/// larger, so that a small FDB is told of as it is at one moment.
const PART: usize = 2048;

/// Which entries are wanted, in the words of the core.
#[derive(Clone, Copy)]
struct Wanted {
    port: Option<PortId>,
    mac: Option<MacAddr>,
    kind: Option<bridge::EntryKind>,
    /// The number of the database, of the VLAN that was asked for.
    fid: Option<u16>,
}

impl Wanted {
    fn fits(&self, entry: &FdbEntry) -> bool {
        self.port.is_none_or(|port| entry.port == Some(port))
            && self.mac.is_none_or(|mac| entry.mac == mac)
            && self.kind.is_none_or(|kind| entry.kind == kind)
            && self.fid.is_none_or(|fid| entry.fid == fid)
    }
}

/// Entries of an FDB, read from the worker as they are asked for.
struct Parts {
    workers: ToWorkers,
    wanted: Wanted,
    /// Names of the ports, by number.
    names: Vec<String>,
    /// The next place; `None` at the end.
    from: Option<usize>,
    told: bool,
}

impl Iterator for Parts {
    type Item = Result<Value, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.from?;
            let wanted = self.wanted;
            let part = self.workers.ask(move |bridge, now| {
                let ageing = bridge.settings().ageing_time;
                let (mut entries, next) = match wanted.mac {
                    // In VLANs an address has as many entries as it has VLANs.
                    Some(mac) if !bridge.vlan_settings().filtering => {
                        (bridge.entry(mac).into_iter().collect(), None)
                    }
                    _ => bridge.fdb_part(from, PART),
                };
                // One that has expired counts for nothing, cleared away or not.
                let lives = |entry: &FdbEntry| entry.updated.is_none_or(|at| now.since(at) < ageing);
                entries.retain(|entry| wanted.fits(entry) && lives(entry));
                (entries, next, now)
            });
            let (entries, next, now) = match part {
                Ok(part) => part,
                Err(error) => {
                    self.from = None;
                    return Some(Err(no_answer(error)));
                }
            };
            self.from = next;
            // A part without entries is passed over; but there is one reply.
            if !entries.is_empty() || (next.is_none() && !self.told) {
                self.told = true;
                let shown: Vec<_> = entries.iter().map(|entry| self.show(entry, now)).collect();
                return Some(field("entries", shown));
            }
        }
    }
}

impl Parts {
    fn show(&self, entry: &FdbEntry, now: Moment) -> types::FdbEntry {
        let name = |port: PortId| self.names.get(usize::from(port.0)).cloned().unwrap_or_default();
        types::FdbEntry {
            mac: entry.mac.to_string(),
            port: entry.port.map(name),
            kind: shown_kind(entry.kind),
            age: entry.updated.map(|at| now.since(at).0),
            vlan: (entry.fid != 0).then_some(entry.fid),
        }
    }
}

impl Control {
    pub(super) fn show_fdb(&self, filter: &FdbFilter) -> Result<Stream, CallError> {
        let fid = match filter.vlan.map(vid).transpose()? {
            Some(vlan) => Some(self.workers.ask(move |bridge, _| bridge.fid(vlan)).map_err(no_answer)?),
            None => None,
        };
        let wanted = Wanted {
            port: self.id_of(filter.port.as_deref())?,
            mac: filter.mac.as_deref().map(mac).transpose()?,
            kind: filter.kind.map(core_kind),
            fid,
        };
        let mut names = vec![String::new(); bridge::MAX_PORTS];
        for attachment in &self.attachments {
            names[usize::from(attachment.id.0)].clone_from(&attachment.config.name);
        }
        Ok(Box::new(Parts { workers: self.workers.clone(), wanted, names, from: Some(0), told: false }))
    }

    pub(super) fn make_entry(&mut self, entry: &NewFdbEntry, replace: bool) -> Result<(), CallError> {
        let address = mac(&entry.mac)?;
        let index = match (&entry.port, entry.kind) {
            (None, EntryKind::Blackhole) => None,
            (Some(_), EntryKind::Blackhole) => {
                return Err(CallError::Refused("a blackhole entry has no port: leave it out".to_owned()));
            }
            (None, _) => {
                return Err(CallError::Refused("an entry needs a port, unless it is a blackhole".to_owned()));
            }
            (Some(port), _) => Some(self.steerable(port)?),
        };
        let new = new_entry(entry.kind, index.map(|index| self.attachments[index].id))?;
        let vlan = entry.vlan.map(vid).transpose()?;
        let made = self.workers.change(move |bridge, now| {
            if replace {
                bridge.replace_entry((address, vlan), new, now)
            } else {
                bridge.add_entry((address, vlan), new, now)
            }
        });
        made.map_err(no_answer)?.map_err(|error| self.refused(error))?;
        if let Some(index) = index {
            self.attachments[index].steered = true;
        }
        debug!(mac = %address, port = entry.port, kind = ?entry.kind, "an entry was made at run time");
        Ok(())
    }

    pub(super) fn delete_entry(
        &mut self,
        address: &str,
        vlan: Option<u16>,
        port: Option<&str>,
    ) -> Result<(), CallError> {
        let address = mac(address)?;
        let vlan = vlan.map(vid).transpose()?;
        let id = self.id_of(port)?;
        let removed = self.workers.change(move |bridge, now| bridge.remove_entry((address, vlan), id, now));
        removed.map_err(no_answer)?.map_err(|error| self.refused(error))?;
        self.note_steering(id);
        debug!(mac = %address, port, "an entry was removed at run time");
        Ok(())
    }

    pub(super) fn flush_fdb(
        &mut self,
        port: Option<&str>,
        kind: Option<EntryKind>,
        vlan: Option<u16>,
    ) -> Result<usize, CallError> {
        let id = self.id_of(port)?;
        let vlan = vlan.map(vid).transpose()?;
        let of_kind = kind.map(core_kind);
        let removed = self.workers.change(move |bridge, _| bridge.flush_in(vlan, id, of_kind));
        let removed = removed.map_err(no_answer)?;
        if kind.is_some() {
            self.note_steering(id);
        }
        debug!(port, ?kind, ?vlan, removed, "the FDB was flushed");
        Ok(removed)
    }

    /// Notes that entries of one port, or of all, are not what the file says.
    fn note_steering(&mut self, id: Option<PortId>) {
        for attachment in &mut self.attachments {
            attachment.steered |= id.is_none_or(|id| id == attachment.id);
        }
    }

    fn refused(&self, error: EntryRefused) -> CallError {
        CallError::Refused(match error {
            EntryRefused::NotLearning(id) => format!(
                "port {} is down, or its state is not learning or forwarding: no dynamic entry can be made there",
                self.name(id)
            ),
            EntryRefused::NotInVlan(id, vlan) => {
                format!(
                    "port {} is not a member of VLAN {vlan}: add the VLAN to the port first",
                    self.name(id)
                )
            }
            other => other.to_string(),
        })
    }
}

fn mac(text: &str) -> Result<MacAddr, CallError> {
    text.parse().map_err(|error| CallError::InvalidParameter(format!("{text}: {error}")))
}

fn new_entry(kind: EntryKind, port: Option<PortId>) -> Result<NewEntry, CallError> {
    Ok(match (kind, port) {
        (EntryKind::Dynamic, Some(port)) => NewEntry::Dynamic(port),
        (EntryKind::Static, Some(port)) => NewEntry::Static(port),
        (EntryKind::Sticky, Some(port)) => NewEntry::Sticky(port),
        (EntryKind::ExternLearn, Some(port)) => NewEntry::External(port),
        (EntryKind::Local, Some(port)) => NewEntry::Local(port),
        (EntryKind::Blackhole, _) => NewEntry::Blackhole,
        (EntryKind::Locked, _) | (_, None) => {
            let message = "locked entries are made by ports with mab, not by hand".to_owned();
            return Err(CallError::Refused(message));
        }
    })
}

fn core_kind(kind: EntryKind) -> bridge::EntryKind {
    match kind {
        EntryKind::Dynamic => bridge::EntryKind::Dynamic,
        EntryKind::Locked => bridge::EntryKind::Locked,
        EntryKind::Static => bridge::EntryKind::Static,
        EntryKind::Sticky => bridge::EntryKind::Sticky,
        EntryKind::ExternLearn => bridge::EntryKind::External,
        EntryKind::Local => bridge::EntryKind::Local,
        EntryKind::Blackhole => bridge::EntryKind::Blackhole,
    }
}

pub(crate) fn shown_kind(kind: bridge::EntryKind) -> EntryKind {
    match kind {
        bridge::EntryKind::Dynamic => EntryKind::Dynamic,
        bridge::EntryKind::Locked => EntryKind::Locked,
        bridge::EntryKind::Static => EntryKind::Static,
        bridge::EntryKind::Sticky => EntryKind::Sticky,
        bridge::EntryKind::External => EntryKind::ExternLearn,
        bridge::EntryKind::Local => EntryKind::Local,
        bridge::EntryKind::Blackhole => EntryKind::Blackhole,
    }
}
