//! Keeps what the next process is to know up to date while this one runs (see [`crate::state`]): little at a time, so
//! that neither frames nor clients wait for it, however large the FDB is.

use bridge::{Bridge, FdbPlace, PortId};

use crate::command::{Command, Report};
use crate::control::{Control, Shown};
use crate::state::Known;
use crate::systemd;
use crate::to_workers::{NoAnswer, joined, joined_lists};
use crate::vlans::{self, KnownVlans};
use crate::worker::Worker;

/// Entries of the FDB that the worker is asked for at once; frames wait for it some 0.1 ms.
const SLICE: usize = 1024;

/// Such questions before control looks at what else there is to do.
const SLICES: usize = 16;

impl Control {
    /// Saves what the worker has counted, learned and was told, and shows how much it is in the service manager's
    /// words. Where much was learned the rest of it follows with [`Control::save_more`].
    pub(crate) fn look(&mut self) {
        if !self.leaves {
            if let Ok(entries) = self.workers.ask(|bridge, _| bridge.fdb_len()) {
                self.tell_status(entries);
            }
            return;
        }
        self.saving = true;
        self.save_more();
        if self.saving {
            // Counters don't wait for it.
            let _ = self.save_head();
        }
    }

    /// Goes on saving what has changed in the FDB, if there is more.
    pub(crate) fn save_more(&mut self) {
        for _ in 0..SLICES {
            if !self.saving {
                return;
            }
            // If nobody answers it is tried again when frames come.
            self.saving = self.save_slice().unwrap_or(false);
            if !self.saving {
                let _ = self.save_head();
            }
        }
    }

    /// The same without a pause.
    pub(crate) fn save_all(&mut self) {
        self.look();
        while self.saving {
            self.save_more();
        }
    }

    /// What the workers have counted, together.
    ///
    /// # Errors
    /// One of them does not answer.
    pub(crate) fn report(&self) -> Result<Report, NoAnswer> {
        joined(self.workers.hear(Command::Report)?, Report::join)
    }

    /// Saves all that is left, exactly, where nothing is forwarded any more.
    pub(crate) fn save_rest(&mut self, workers: &mut [Worker], report: &Report) {
        workers.iter_mut().for_each(|worker| worker.bridge().catch_up());
        let known = self.rest_of_vlans(workers, report);
        let Some(first) = workers.first_mut() else { return };
        let bridge = first.bridge();
        while bridge.unsaved_len() > 0 {
            self.memory.save_places(&bridge.take_unsaved(SLICE));
        }
        self.save(report, known);
    }

    fn rest_of_vlans(&self, workers: &mut [Worker], report: &Report) -> KnownVlans {
        let mut known = KnownVlans::default();
        for port in self.ports_of_interest(report) {
            let of_all = workers.iter_mut().map(|worker| vlans::known_of_port(worker.bridge(), port));
            // There is a worker.
            let of_all = joined_lists(of_all, vlans::join_known).unwrap_or_default();
            known.ports.insert(port, of_all);
        }
        let counted = workers.iter_mut().map(|worker| vlans::known_of_bridge(worker.bridge()));
        known.bridge = joined(counted, vlans::join_counters).unwrap_or_default();
        known
    }

    /// Says whether there is more.
    fn save_slice(&mut self) -> Result<bool, NoAnswer> {
        let (places, more) = self.workers.ask(take)?;
        self.memory.save_places(&places);
        Ok(more)
    }

    fn save_head(&mut self) -> Result<(), NoAnswer> {
        let report = self.report()?;
        let vlans = self.known_vlans(&report)?;
        self.save(&report, vlans);
        self.tell_status(report.fdb_len);
        Ok(())
    }

    /// A question for each port, as each takes its time.
    fn known_vlans(&self, report: &Report) -> Result<KnownVlans, NoAnswer> {
        let mut known = KnownVlans::default();
        for port in self.ports_of_interest(report) {
            let vlans = self.workers.ask_all(move |bridge, _| vlans::known_of_port(bridge, port))?;
            known.ports.insert(port, joined_lists(vlans, vlans::join_known)?);
        }
        let settings = &report.settings.vlan;
        if settings.stats && !settings.stats_per_port {
            let counted = self.workers.ask_all(|bridge, _| vlans::known_of_bridge(bridge))?;
            known.bridge = joined(counted, vlans::join_counters)?;
        }
        Ok(known)
    }

    /// Ports of whose VLANs the file does not say everything.
    fn ports_of_interest(&self, report: &Report) -> impl Iterator<Item = PortId> {
        let settings = report.settings.vlan;
        let counted = settings.stats && settings.stats_per_port;
        self.attachments.iter().filter(move |port| port.steered || counted).map(|port| port.id)
    }

    fn save(&mut self, report: &Report, vlans: KnownVlans) {
        let known = Known { attachments: &self.attachments, config: &self.config, report, vlans };
        self.memory.save(&known);
    }

    fn tell_status(&mut self, entries: usize) {
        let shown = Shown { up: self.ports_up(), entries };
        if shown != self.shown {
            let ports = self.attachments.len();
            systemd::status(&format!("{} of {ports} ports up, {} MACs", shown.up, shown.entries));
            self.shown = shown;
        }
    }
}

fn take(bridge: &mut Bridge, _: bridge::Moment) -> (Vec<FdbPlace>, bool) {
    (bridge.take_unsaved(SLICE), bridge.unsaved_len() > 0)
}
