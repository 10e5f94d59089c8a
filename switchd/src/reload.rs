//! From the configuration that runs to another one, while it runs: only the difference is done. Ports that did
//! not change are not touched, so they lose no frame.

use anyhow::Context;
use bridge::{BridgeSettings, EntryKind, SettingsRefused};
use config::{Changes, Config, EntryType, PortConfig, StaticEntry};
use tracing::{info, warn};

use crate::assembly::{self, bridge_settings, find, new_entry, settings_of};
use crate::attachment::Attachment;
use crate::command::Command;
use crate::control::Control;
use crate::rights::Rights;
use crate::systemd;
use crate::{mirrors, vlans};

impl Control {
    /// Reads the configuration again, checks it whole, and does what has changed. Says in the log what, or
    /// what is wrong.
    ///
    /// # Errors
    /// The configuration is wrong, and nothing was changed; or the worker does not answer.
    pub(crate) fn reload(&mut self) -> anyhow::Result<Changes> {
        systemd::reloading();
        let done = (self.read_again)().and_then(|new| self.matched(new)).and_then(|new| self.apply(new));
        match &done {
            Ok(changes) if changes.is_empty() => {
                info!("the configuration was read again: nothing has changed")
            }
            Ok(changes) => {
                changes.words.iter().for_each(|change| info!("{change}"));
                changes.restart.iter().for_each(|change| warn!("{change}: only with a restart"));
            }
            Err(error) => warn!("{error:#}; nothing was changed"),
        }
        self.reloads.note(done.is_ok());
        systemd::ready();
        done
    }

    /// Goes over to a configuration.
    ///
    /// # Errors
    /// The bridge would not take it, and nothing was changed; or the worker does not answer.
    pub(crate) fn apply(&mut self, new: Config) -> anyhow::Result<Changes> {
        let changes = config::changes(&self.config, &new);
        // What the core refuses it refuses here, before anything is changed. Room is not what is asked for.
        let mut small = new.clone();
        small.bridge.fdb_max = 1;
        assembly::assemble(&small)?;
        let rights = Rights::of(&new.control)?;
        // One that could not be had before may be free by now.
        if changes.metrics || self.metrics.is_none() {
            self.listen_for_scrapes(new.metrics.as_ref())?;
        }
        self.rights.set(rights);
        let gone: Vec<&String> = changes.removed.iter().chain(&changes.replaced).collect();
        for name in gone {
            self.remove_port(name)?;
        }
        if changes.mirrors {
            // A port that was a destination may be a port like others now, before it is set as one.
            self.workers.change(|bridge, _| bridge.set_mirrors(Vec::new()))??;
        }
        self.set_bridge_as(&new, changes.bridge)?;
        if changes.private_vlans {
            let private = vlans::private(&new.private_vlans);
            self.workers.change(move |bridge, _| bridge.set_private_vlans(private.clone()))??;
        }
        self.add_ports(&new)?;
        self.settle_ports(&new, &changes)?;
        self.move_entries(&new, &changes)?;
        self.set_mirrors_as(&new, &changes)?;
        changes.words.iter().for_each(|change| self.monitors.config(change.clone()));
        // What only a restart changes is still to be changed.
        self.captures.ports_left(new.ports.iter().map(|port| port.name.as_str()));
        let before = std::mem::replace(&mut self.config, new);
        self.config.bridge.name = before.bridge.name;
        self.config.bridge.fdb_max = before.bridge.fdb_max;
        self.config.bridge.workers = before.bridge.workers;
        // The next process compares what it reads with this.
        self.memory.set_configuration(config::to_toml(&self.config));
        for index in 0..self.attachments.len() {
            let name = &self.attachments[index].config.name;
            if changes.added.contains(name) || changes.replaced.contains(name) {
                self.open_late(index);
            }
        }
        Ok(changes)
    }

    fn remove_port(&mut self, name: &str) -> anyhow::Result<()> {
        let Some(index) = self.attachments.iter().position(|port| port.config.name == name) else {
            return Ok(());
        };
        let port = self.attachments[index].id;
        self.workers.hear(|done| Command::Remove { port, done })?;
        self.workers.change(move |bridge, _| bridge.remove_port(port))?;
        let mut attachment = self.attachments.remove(index);
        if let Some(held) = attachment.held.take() {
            // Its halves are closed by now.
            self.opener.release(&attachment.config, held);
        }
        Ok(())
    }

    fn set_bridge_as(&self, new: &Config, changed: bool) -> anyhow::Result<()> {
        if changed {
            let settings = bridge_settings(new);
            self.workers.change(move |bridge, now| {
                let fdb_max = bridge.settings().fdb_max;
                bridge.set_settings(BridgeSettings { fdb_max, ..settings }, now)
            })??;
            self.workers.tell_all(|| Command::BusyPoll(new.bridge.busy_poll));
        }
        Ok(())
    }

    /// Adds the ports that are not there yet, and puts all in the order of the configuration.
    fn add_ports(&mut self, new: &Config) -> anyhow::Result<()> {
        let mut ports = Vec::with_capacity(new.ports.len());
        for config in &new.ports {
            ports.push(match self.attachments.iter().position(|port| port.config.name == config.name) {
                Some(index) => self.attachments.remove(index),
                None => {
                    // The backup may be a port that is still to come.
                    let settings = settings_of(config, None);
                    let vlans = vlans::table(&new.bridge.vlan, config);
                    let id = self.workers.change(move |bridge, _| {
                        let id = bridge.add_port(settings)?;
                        // There is such a port now.
                        let _ = bridge.set_vlans(id, &vlans);
                        Ok::<_, SettingsRefused>(id)
                    })?;
                    let id = id.with_context(|| format!("port {}", config.name))?;
                    self.captures.port_added(id, &config.name, &self.workers);
                    Attachment::new(id, config.clone(), settings)
                }
            });
        }
        self.attachments = ports;
        Ok(())
    }

    /// Gives each port the settings that it has not.
    fn settle_ports(&mut self, new: &Config, changes: &Changes) -> anyhow::Result<()> {
        for (index, config) in new.ports.iter().enumerate() {
            let backup = config.rules.backup_port.as_deref().and_then(|name| find(&self.attachments, name));
            let settings = settings_of(config, backup);
            let attachment = &mut self.attachments[index];
            attachment.config = config.clone();
            // The core has forgotten a backup that was made anew.
            let anew = config.rules.backup_port.as_ref().is_some_and(|name| changes.replaced.contains(name));
            if settings != attachment.settings || anew || changes.changed.contains(&config.name) {
                attachment.settings = settings;
                let port = attachment.id;
                let vlans = vlans::table(&new.bridge.vlan, config);
                self.workers.change(move |bridge, _| bridge.set_vlans(port, &vlans))??;
                let set = self.workers.change(move |bridge, _| bridge.set_port_settings(port, settings))?;
                set.with_context(|| format!("port {}", config.name))?;
            }
        }
        Ok(())
    }

    /// Removes and makes entries; those of ports that were made anew are made anew too, and all where VLANs share what is
    /// known with others than before.
    fn move_entries(&self, new: &Config, changes: &Changes) -> anyhow::Result<()> {
        let of_new_port =
            |entry: &&StaticEntry| entry.port.as_ref().is_some_and(|port| changes.replaced.contains(port));
        let of_new_place = |entry: &&StaticEntry| changes.private_vlans && entry.vlan.is_some();
        let core =
            |entry: &StaticEntry| Some(((entry.mac, entry.vlan), new_entry(entry, &self.attachments)?));
        let removed: Vec<_> =
            changes.entries_removed.iter().map(|entry| (entry.mac, entry.vlan, kind(entry.kind))).collect();
        let placed_anew: Vec<_> = new.fdb.iter().filter(of_new_place).filter_map(core).collect();
        let made = changes.entries_added.iter().chain(new.fdb.iter().filter(of_new_port));
        let made: Vec<_> = made.filter_map(core).collect();
        self.workers.change(move |bridge, now| {
            for &(mac, vlan, kind) in &removed {
                // Wherever the station has taken it; not what another has made of it since.
                if let Some(entry) = bridge.entry_in(vlan, mac).filter(|entry| entry.kind == kind) {
                    let _ = bridge.remove_entry((mac, vlan), entry.port, now);
                }
            }
            for (address, entry) in &placed_anew {
                // Its port may have left the VLAN at run time.
                let _ = bridge.replace_entry(*address, *entry, now);
            }
            made.iter().try_for_each(|(address, entry)| bridge.replace_entry(*address, *entry, now))
        })??;
        Ok(())
    }

    /// Mirrors what the configuration says; a port that is new, or made anew, is one that nobody has looked at yet.
    fn set_mirrors_as(&self, new: &Config, changes: &Changes) -> anyhow::Result<()> {
        if changes.mirrors || !changes.replaced.is_empty() || !changes.added.is_empty() {
            let mirrors = mirrors::of(&new.mirrors, &self.attachments);
            self.workers.change(move |bridge, _| bridge.set_mirrors(mirrors.clone()))??;
        }
        Ok(())
    }

    /// The configuration with one port more or less.
    pub(crate) fn with_ports(&self, change: impl FnOnce(&mut Vec<PortConfig>)) -> Config {
        let mut config = self.config.clone();
        change(&mut config.ports);
        let is_there = |name: &String| config.ports.iter().any(|port| port.name == *name);
        config.fdb.retain(|entry| entry.port.as_ref().is_none_or(is_there));
        config
    }
}

fn kind(entry: EntryType) -> EntryKind {
    match entry {
        EntryType::Static => EntryKind::Static,
        EntryType::Sticky => EntryKind::Sticky,
        EntryType::Local => EntryKind::Local,
        EntryType::ExternLearn => EntryKind::External,
        EntryType::Blackhole => EntryKind::Blackhole,
    }
}
