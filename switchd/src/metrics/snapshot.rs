//! What metrics are made of, as it is known at one moment. Control collects it; the thread that serves metrics makes
//! the text of it, and asks the kernel for what devices have counted.

use bridge::{BridgeSettings, FdbCounters, PortCounters, PortState};

use super::Reloads;
use crate::command::Command;
use crate::control::Control;
use crate::pace::Pace;
use crate::to_workers::{NoAnswer, joined};

/// All of it.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) bridge: String,
    pub(super) restarts: u64,
    pub(super) reloads: Reloads,
    pub(super) settings: BridgeSettings,
    /// FDB entries of all kinds, and those that were learned.
    pub(super) entries: usize,
    pub(super) dynamic: usize,
    pub(super) fdb: FdbCounters,
    /// Of each worker.
    pub(super) pace: Vec<Pace>,
    pub(super) ports: Vec<Port>,
}

/// What is known of a port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) device: String,
    pub(super) kind: &'static str,
    /// It has a device, and that has a link.
    pub(super) attached: bool,
    pub(super) up: bool,
    /// The device, where its counters can be seen from here.
    pub(super) ifindex: Option<u32>,
    pub(super) state: PortState,
    /// Stations that were learned there.
    pub(super) stations: usize,
    pub(super) counters: PortCounters,
    pub(super) socket_lost: u64,
}

impl Control {
    /// What is known now.
    ///
    /// # Errors
    /// The worker does not answer.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, NoAnswer> {
        // Before anybody sees it: no counter is ever seen to run backwards, whatever ends this process.
        self.look();
        let ids: Vec<_> = self.attachments.iter().map(|port| port.id).collect();
        let asked = ids.clone();
        let asked = self.workers.ask_all(move |bridge, _| {
            let known = asked.iter().map(|&id| {
                let state = bridge.port_settings(id).map_or(PortState::Disabled, |settings| settings.state);
                (state, bridge.stations(id), bridge.counters(id).clone())
            });
            let known: Vec<_> = known.collect();
            let dynamic = bridge.fdb_dynamic_len();
            (*bridge.settings(), bridge.fdb_len(), dynamic, bridge.fdb_counters(), known)
        })?;
        let (settings, entries, dynamic, fdb, known) = joined(asked, |all, more| {
            all.3.join(more.3);
            let ports = all.4.iter_mut().zip(more.4);
            ports.for_each(|((.., counters), (.., more))| counters.join(more));
        })?;
        let losses = self.socket_losses(None)?;
        let pace = self.workers.hear(Command::Pace)?;
        let ports = self.attachments.iter().zip(known).map(|(port, (state, stations, counters))| {
            let held = port.held.as_ref();
            let lost = losses.iter().find(|(id, _)| *id == port.id);
            Port {
                name: port.config.name.clone(),
                device: port.config.device.clone(),
                kind: port.kind(),
                attached: held.is_some(),
                up: held.is_some_and(|held| held.up),
                ifindex: held.filter(|held| !held.moved).map(|held| held.ifindex),
                state,
                stations,
                counters,
                socket_lost: lost.map_or(0, |(_, lost)| *lost),
            }
        });
        Ok(Snapshot {
            bridge: self.config.bridge.name.clone(),
            restarts: self.memory.restarts(),
            reloads: self.reloads,
            settings,
            entries,
            dynamic,
            fdb,
            pace,
            ports: ports.collect(),
        })
    }
}
