//! What no port or entry can know alone: two ports on one device, a second host port, an entry for a port
//! that is not there.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use frame::{MacAddr, Vid};

use crate::keys::nearest;
use crate::model::{
    BridgeConfig, EntryType, PortConfig, PortKind, PortRules, PortVlans, ProfileUse, StaticEntry,
};
use crate::problem::{Findings, quoted};
use crate::section::At;

/// A port with the places of what is compared with other ports. `None` where a mistake has been told of.
#[derive(Debug)]
pub(crate) struct PlacedPort {
    pub(crate) name: At<String>,
    pub(crate) device: Option<At<String>>,
    pub(crate) kind: Option<PortKind>,
    /// Where it says that it is the host's port, if it does.
    pub(crate) host: Option<Range<usize>>,
    pub(crate) rules: PortRules,
    /// The port that it names as its backup.
    pub(crate) backup: Option<At<String>>,
    /// Its VLANs, at the first key about them.
    pub(crate) vlans: Option<At<PortVlans>>,
    pub(crate) profile: Option<Box<ProfileUse>>,
    /// Of a pattern: how many ports it makes at most.
    pub(crate) max_ports: Option<usize>,
}

impl PlacedPort {
    pub(crate) fn into_config(self) -> Option<PortConfig> {
        let rules = PortRules {
            backup_port: self.backup.map(|backup| backup.value),
            vlans: self.vlans.map(|vlans| vlans.value),
            ..self.rules
        };
        Some(PortConfig {
            name: self.name.value,
            device: self.device?.value,
            kind: self.kind?,
            rules,
            profile: self.profile,
            made_by: None,
        })
    }
}

/// A static entry with the places of its parts.
#[derive(Debug)]
pub(crate) struct PlacedEntry {
    /// Its header.
    pub(crate) span: Range<usize>,
    pub(crate) mac: Option<At<MacAddr>>,
    pub(crate) kind: EntryType,
    pub(crate) port: Option<At<String>>,
    pub(crate) vlan: Option<At<Vid>>,
}

impl PlacedEntry {
    pub(crate) fn into_config(self) -> Option<StaticEntry> {
        let port = self.port.map(|port| port.value);
        let vlan = self.vlan.map(|vlan| vlan.value);
        Some(StaticEntry { mac: self.mac?.value, kind: self.kind, port, vlan })
    }
}

/// No two ports share a device.
pub(crate) fn devices(ports: &[PlacedPort], findings: &mut Findings<'_>) {
    let mut taken: HashMap<&str, (&str, usize)> = HashMap::new();
    let with_device = ports.iter().filter_map(|port| Some((&port.name.value, port.device.as_ref()?)));
    let mut in_order: Vec<(&String, &At<String>)> = with_device.collect();
    in_order.sort_by_key(|(_, device)| device.span.start);
    for (name, device) in in_order {
        if let Some((first, line)) = taken.get(device.value.as_str()) {
            let (first, name, shown) = (quoted(first), quoted(name), quoted(&device.value));
            let message = format!("ports {first} and {name} are both on the device {shown}");
            let help = format!("a device carries one port; {first} took it in line {line}");
            findings.add(device.span.clone(), message, help);
        } else {
            taken.insert(&device.value, (name, findings.line_of(device.span.start)));
        }
    }
}

/// At most one port is the host's own.
pub(crate) fn host_ports(ports: &[PlacedPort], findings: &mut Findings<'_>) {
    let hosts = ports.iter().filter_map(|port| Some((&port.name.value, port.host.as_ref()?)));
    let mut hosts: Vec<(&String, &Range<usize>)> = hosts.collect();
    hosts.sort_by_key(|(_, span)| span.start);
    let mut hosts = hosts.into_iter();
    let Some((first, first_span)) = hosts.next() else { return };
    let line = findings.line_of(first_span.start);
    for (second, span) in hosts {
        let message = format!("{} is a second host port", quoted(second));
        let help = format!("one port can be the host's; {} is, in line {line}", quoted(first));
        findings.add(span.clone(), message, help);
    }
}

/// Each backup is another port, and not the host's.
pub(crate) fn backups(ports: &[PlacedPort], findings: &mut Findings<'_>) {
    let all_known = !findings.broken_tables();
    for port in ports {
        let Some(backup) = &port.backup else { continue };
        let named = ports.iter().find(|other| other.name.value == backup.value);
        match named {
            None if all_known => unknown_port(backup, "as the backup", ports, findings),
            Some(other) if other.max_ports.is_some() => stands_for_many(backup, findings),
            Some(other) if other.name.span == port.name.span || other.host.is_some() => {
                let shown = quoted(&backup.value);
                let message = format!("{shown} can't be the backup of {}", quoted(&port.name.value));
                findings.add(backup.span.clone(), message, "name another port, other than the host's");
            }
            _ => {}
        }
    }
}

/// A frame to a reserved address would open a locked port: where the file says nothing, none teaches.
pub(crate) fn locks(bridge: &mut BridgeConfig, said: bool, ports: &[PlacedPort]) {
    if !said {
        bridge.no_linklocal_learn = ports.iter().any(|port| port.rules.locked);
    }
}

/// The static entries fit into the FDB.
pub(crate) fn room(entries: &[PlacedEntry], fdb_max: usize, findings: &mut Findings<'_>) {
    if let Some(beyond) = entries.get(fdb_max) {
        let message = format!("{} static entries, but `fdb_max` is {fdb_max}", entries.len());
        findings.add(
            beyond.span.clone(),
            message,
            format!("set `fdb_max` in [bridge] to {} or more", entries.len()),
        );
    }
}

/// Each static entry names a port that exists, and no address has two.
pub(crate) fn entries(entries: &[PlacedEntry], ports: &[PlacedPort], findings: &mut Findings<'_>) {
    let known: HashSet<&str> = ports.iter().map(|port| port.name.value.as_str()).collect();
    let patterns = ports.iter().filter(|port| port.max_ports.is_some());
    let patterns: HashSet<&str> = patterns.map(|port| port.name.value.as_str()).collect();
    // A port that the file has may stand in a line that can't be read.
    let all_known = !ports.is_empty() && !findings.broken_tables();
    let mut seen: HashMap<(MacAddr, Option<Vid>), usize> = HashMap::new();
    for entry in entries {
        let port = entry.port.as_ref().filter(|_| all_known);
        if let Some(port) = port.filter(|port| !known.contains(port.value.as_str())) {
            unknown_port(port, "for this static entry", ports, findings);
        }
        let is_pattern = |port: &&At<String>| patterns.contains(port.value.as_str());
        if let Some(port) = entry.port.as_ref().filter(is_pattern) {
            stands_for_many(port, findings);
        }
        let of_host = |port: &&At<String>| {
            ports.iter().any(|known| known.name.value == port.value && known.host.is_some())
        };
        if let Some(port) = entry.port.as_ref().filter(of_host).filter(|_| entry.kind != EntryType::Local) {
            let message =
                format!("{} is the host's own port: an entry on it can only be local", quoted(&port.value));
            findings.add(port.span.clone(), message, "add `type = \"local\"`");
        }
        let Some(mac) = &entry.mac else { continue };
        let vlan = entry.vlan.as_ref().map(|vlan| vlan.value);
        if let Some(line) = seen.get(&(mac.value, vlan)) {
            let message = format!("a second static entry for {}", mac.value);
            let help = format!("an address is on one port; the first entry is in line {line}");
            findings.add(mac.span.clone(), message, help);
        } else {
            seen.insert((mac.value, vlan), findings.line_of(mac.span.start));
        }
    }
}

/// Tells of a port that stands for many where one is meant.
pub(crate) fn stands_for_many(port: &At<String>, findings: &mut Findings<'_>) {
    let message = format!("{} is no port: it makes one for each interface", quoted(&port.value));
    findings.add(port.span.clone(), message, "name a port whose `device` is one interface");
}

/// Tells of a port that the file does not have.
pub(crate) fn unknown_port(port: &At<String>, what: &str, ports: &[PlacedPort], findings: &mut Findings<'_>) {
    let help = if findings.is_full() {
        String::new()
    } else {
        let names = || ports.iter().map(|port| port.name.value.as_str());
        let on_it = |known: &&PlacedPort| known.device.as_ref().is_some_and(|on| on.value == port.value);
        let of_device = ports.iter().find(on_it).map(|known| known.name.value.as_str());
        match of_device.or_else(|| nearest(&port.value, names())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let list: Vec<String> = names().take(10).map(quoted).collect();
                format!(
                    "the ports of this file: {}{}",
                    list.join(", "),
                    if ports.len() > 10 { ", …" } else { "" }
                )
            }
        }
    };
    findings.add(port.span.clone(), format!("no port {} {what}", quoted(&port.value)), help);
}
