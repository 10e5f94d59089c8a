//! The configuration: shown as it runs, compared with the file, read again; ports added and taken away.

use std::collections::BTreeMap;

use anyhow::Error;
use bridge::{EntryKind, PortId, PortSettings};
use config::{
    Config, EntryType, MirrorConfig, PortConfig, PortRules, PortState, Problem, Problems, StaticEntry,
};
use control::CallError;
use control::types::Changes;
use serde_json::Value;
use tracing::info;

use crate::answer::no_answer;
use crate::control::Control;
use crate::to_workers::NoAnswer;
use crate::vlans;

/// Places of the FDB that are read between two turns of the worker.
const PART: usize = 2048;

impl Control {
    /// What runs, as the text of a file: with what was set at run time.
    pub(super) fn show_config(&self) -> Result<String, CallError> {
        let mut config = self.config.clone();
        let ids: Vec<PortId> = self.attachments.iter().map(|port| port.id).collect();
        let asked = self.workers.ask(move |bridge, _| {
            let of = |id| Some((bridge.port_settings(id)?, vlans::of_port(bridge, id)));
            let settings: Vec<_> = ids.into_iter().map(of).collect();
            (*bridge.settings(), settings)
        });
        let (settings, ports) = asked.map_err(no_answer)?;
        let milliseconds = std::time::Duration::from_millis;
        config.bridge.ageing_time = milliseconds(settings.ageing_time.0);
        config.bridge.fdb_max_learned = settings.fdb_max_learned;
        config.bridge.group_fwd_mask = settings.group_fwd_mask;
        config.bridge.no_linklocal_learn = settings.no_linklocal_learn;
        config.bridge.move_damping = milliseconds(settings.move_damping.0);
        config.bridge.vlan = vlans::config(&settings.vlan);
        for (port, settings) in config.ports.iter_mut().zip(ports) {
            if let Some((settings, vlans)) = settings {
                port.rules = PortRules { vlans, ..self.rules(&settings) };
            }
        }
        config.fdb = self.lasting_entries().map_err(no_answer)?;
        Ok(config::to_toml(&config))
    }

    fn rules(&self, settings: &PortSettings) -> PortRules {
        PortRules {
            enabled: settings.enabled,
            state: match settings.state {
                bridge::PortState::Disabled => PortState::Disabled,
                bridge::PortState::Blocking => PortState::Blocking,
                bridge::PortState::Listening => PortState::Listening,
                bridge::PortState::Learning => PortState::Learning,
                bridge::PortState::Forwarding => PortState::Forwarding,
            },
            learning: settings.learning,
            flood: settings.flood,
            mcast_flood: settings.mcast_flood,
            bcast_flood: settings.bcast_flood,
            hairpin: settings.hairpin,
            isolated: settings.isolated,
            locked: settings.locked,
            mab: settings.mab,
            group_fwd_mask: settings.group_fwd_mask,
            backup_port: settings.backup_port.map(|port| self.name(port).to_owned()),
            max_macs: settings.max_macs,
            promisc: settings.promisc,
            vlans: None,
        }
    }

    /// The entries that a file could have, in the order of their addresses.
    fn lasting_entries(&self) -> Result<Vec<StaticEntry>, NoAnswer> {
        let mut entries = Vec::new();
        let mut from = Some(0);
        while let Some(place) = from {
            let (part, next) = self.workers.ask(move |bridge, _| {
                let (mut part, next) = bridge.fdb_part(place, PART);
                part.retain(|entry| kind(entry.kind).is_some() && !bridge.is_device(entry.mac));
                let with_vlan = part.into_iter().map(|entry| (entry, vlans::of_entry(bridge, &entry)));
                (with_vlan.collect::<Vec<_>>(), next)
            })?;
            entries.extend(part.iter().filter_map(|(entry, vlan)| {
                let port = entry.port.map(|port| self.name(port).to_owned());
                Some(StaticEntry { mac: entry.mac, kind: kind(entry.kind)?, port, vlan: *vlan })
            }));
            from = next;
        }
        // One without a VLAN stands for those in each VLAN of its port.
        let of_all: Vec<_> = entries.iter().filter(|entry| entry.vlan.is_none()).cloned().collect();
        entries.retain(|entry| {
            let all = StaticEntry { vlan: None, ..entry.clone() };
            entry.vlan.is_none() || !of_all.contains(&all)
        });
        entries.sort_unstable_by_key(|entry| (entry.mac, entry.vlan));
        Ok(entries)
    }

    /// What a reload would do.
    pub(super) fn diff_config(&mut self) -> Result<Changes, CallError> {
        let new = (self.read_again)().and_then(|new| self.matched(new)).map_err(|error| refused(&error))?;
        Ok(shown(config::changes(&self.config, &new)))
    }

    pub(super) fn reload_config(&mut self) -> Result<Changes, CallError> {
        self.reload().map(shown).map_err(|error| refused(&error))
    }

    pub(super) fn add_port(&mut self, name: &str, options: BTreeMap<String, Value>) -> Result<(), CallError> {
        if self.attachments.iter().any(|port| port.config.name == name) {
            return Err(CallError::Refused(format!(
                "there is a port {name} already: set it, or delete it first"
            )));
        }
        if self.config.patterns.iter().any(|pattern| pattern.port.name == name) {
            return Err(CallError::Refused(format!("there are ports of {name} already: delete it first")));
        }
        let new = self.with_port(name, options)?;
        self.matched(new).and_then(|new| self.apply(new)).map_err(|error| refused(&error))?;
        info!(port = name, "the port was added at run time");
        Ok(())
    }

    /// The configuration with one port more, or one pattern, which is checked as one of the file among those there are.
    fn with_port(&self, name: &str, options: BTreeMap<String, Value>) -> Result<Config, CallError> {
        let mut text = config::to_toml(&self.config);
        text += &format!("\n[ports.{}]\n", config::header_key(name));
        for (key, value) in options {
            let value = match value {
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::String(value) => config::text_value(&value),
                other => {
                    return Err(CallError::InvalidParameter(format!("{key}: {other} is no value for a key")));
                }
            };
            text += &format!("{} = {value}\n", config::header_key(&key));
        }
        let read: Result<Config, Problems> = config::parse("port", &text);
        let read = read.map_err(|problems| {
            let said: Vec<_> = problems.iter().map(in_one_line).collect();
            CallError::Refused(said.join("; "))
        })?;
        let mut config = self.config.clone();
        if let Some(pattern) = read.patterns.into_iter().find(|pattern| pattern.port.name == name) {
            config.bridge.no_linklocal_learn |= pattern.port.rules.locked;
            config.patterns.push(pattern);
            return Ok(config);
        }
        let port = read.ports.into_iter().find(|port| port.name == name);
        let port = port.ok_or_else(|| CallError::Refused(format!("`{name}` can't be the name of a port")))?;
        config.bridge.no_linklocal_learn |= port.rules.locked;
        // Before those that patterns have made.
        let fixed = config.ports.iter().filter(|port| port.made_by.is_none()).count();
        config.ports.insert(fixed, port);
        Ok(config)
    }

    fn delete_pattern(&mut self, name: &str) -> Result<(), CallError> {
        let mut new = self.config.clone();
        new.patterns.retain(|pattern| pattern.port.name != name);
        new.ports.retain(|port| port.made_by.as_deref() != Some(name));
        let is_there = |name: &&String| {
            let is = |port: &PortConfig| port.name == **name;
            new.ports.iter().any(is) || new.patterns.iter().any(|of| is(&of.port) || of.means(name))
        };
        let names_it =
            |mirror: &&MirrorConfig| !mirror.from.iter().chain([&mirror.to]).all(|of| is_there(&of));
        if let Some(mirror) = new.mirrors.iter().find(names_it) {
            let message =
                format!("ports of {name} are part of the mirror to {}: change that first", mirror.to);
            return Err(CallError::Refused(message));
        }
        if new.patterns.is_empty() && new.ports.is_empty() {
            let message = format!("{name} is all there is: a switch without ports has nothing to do");
            return Err(CallError::Refused(message));
        }
        // Its interfaces may be another pattern's.
        self.matched(new).and_then(|new| self.apply(new)).map_err(|error| refused(&error))?;
        info!(ports = name, "ports of that pattern were taken away at run time");
        Ok(())
    }

    pub(super) fn delete_port(&mut self, name: &str) -> Result<(), CallError> {
        if self.config.patterns.iter().any(|pattern| pattern.port.name == name) {
            return self.delete_pattern(name);
        }
        if let Some(pattern) = &self.port_of(name)?.config.made_by {
            let message =
                format!("port {name} is there because {pattern} makes it: it goes with its interface");
            return Err(CallError::Refused(message));
        }
        if self.attachments.len() == 1 && self.config.patterns.is_empty() {
            let message = format!("port {name} is the only one: a switch without ports has nothing to do");
            return Err(CallError::Refused(message));
        }
        let backup_of = |port: &&PortConfig| port.rules.backup_port.as_deref() == Some(name);
        if let Some(other) = self.config.ports.iter().find(backup_of) {
            let message = format!("port {name} is the backup of {}: change that first", other.name);
            return Err(CallError::Refused(message));
        }
        let in_mirror =
            |mirror: &&MirrorConfig| mirror.to == name || mirror.from.iter().any(|from| from == name);
        if let Some(mirror) = self.config.mirrors.iter().find(in_mirror) {
            let message = format!("port {name} is part of the mirror to {}: change that first", mirror.to);
            return Err(CallError::Refused(message));
        }
        let new = self.with_ports(|ports| ports.retain(|port| port.name != name));
        self.apply(new).map_err(|error| refused(&error))?;
        info!(port = name, "the port was taken away at run time");
        Ok(())
    }
}

fn shown(changes: config::Changes) -> Changes {
    Changes { changes: changes.words, restart: changes.restart }
}

/// The reason, with all that is wrong in a configuration.
fn refused(error: &Error) -> CallError {
    match (error.downcast_ref::<Problems>(), error.downcast_ref::<NoAnswer>()) {
        (Some(problems), _) => CallError::Refused(problems.render(false).trim_end().to_owned()),
        (None, Some(no)) => no_answer(*no),
        (None, None) => CallError::Refused(format!("{error:#}")),
    }
}

fn in_one_line(problem: &Problem) -> String {
    format!("{} ({})", problem.message, problem.help.replace('\n', " "))
}

fn kind(kind: EntryKind) -> Option<EntryType> {
    match kind {
        EntryKind::Static => Some(EntryType::Static),
        EntryKind::Sticky => Some(EntryType::Sticky),
        EntryKind::External => Some(EntryType::ExternLearn),
        EntryKind::Local => Some(EntryType::Local),
        EntryKind::Blackhole => Some(EntryType::Blackhole),
        EntryKind::Dynamic | EntryKind::Locked => None,
    }
}
