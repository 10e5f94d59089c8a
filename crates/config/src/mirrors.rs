//! `[[mirror]]`: which ports are looked at, and where the copies go.

use std::ops::Range;

use frame::Vid;
use toml::de::{DeArray, DeTable, DeValue};

use crate::check::{PlacedEntry, PlacedPort, stands_for_many, unknown_port};
use crate::keys::MIRROR;
use crate::model::{MirrorConfig, MirrorDirection};
use crate::pattern;
use crate::problem::{Findings, quoted};
use crate::section::{At, Section, did_you_mean, type_name};

/// What the file must have at least.
const EXAMPLE: &str = "as [[mirror]] with `from` and `to` in the lines below";

/// A mirror with the places of its parts.
#[derive(Debug)]
pub(crate) struct PlacedMirror {
    from: Vec<At<String>>,
    to: Option<At<String>>,
    direction: MirrorDirection,
    vlan: Option<Vid>,
}

impl PlacedMirror {
    pub(crate) fn into_config(self) -> Option<MirrorConfig> {
        let from = self.from.into_iter().map(|port| port.value).collect();
        Some(MirrorConfig { from, to: self.to?.value, direction: self.direction, vlan: self.vlan })
    }
}

/// Reads a list of mirrors.
pub(crate) fn read_all(
    key: &At<&str>,
    array: &DeArray<'_>,
    findings: &mut Findings<'_>,
) -> Vec<PlacedMirror> {
    let mut mirrors = Vec::new();
    for element in array.iter() {
        let DeValue::Table(table) = element.get_ref() else {
            let message = format!("a mirror must be a table, not {}", type_name(element.get_ref()));
            findings.add(element.span(), message, EXAMPLE);
            continue;
        };
        let span = if element.span().is_empty() { key.span.clone() } else { element.span() };
        mirrors.push(read(span, table, findings));
    }
    mirrors
}

/// Reads one, which may stand alone: `mirror = { … }`.
pub(crate) fn read(span: Range<usize>, table: &DeTable<'_>, findings: &mut Findings<'_>) -> PlacedMirror {
    let section = Section::new("[[mirror]]", span, MIRROR, table);
    section.unknown_keys(findings, |_| None);
    let to = section.required_text("to", findings);
    let to = to.map(|to| At { value: to.value.to_owned(), span: to.span });
    let vlan = section.number("vlan", 1..4095, findings);
    PlacedMirror {
        from: read_from(&section, findings),
        to,
        direction: read_direction(&section, findings),
        vlan: vlan.and_then(|vlan| u16::try_from(vlan).ok()).and_then(Vid::new),
    }
}

fn read_from(section: &Section<'_>, findings: &mut Findings<'_>) -> Vec<At<String>> {
    let mut ports: Vec<At<String>> = Vec::new();
    let Some(at) = section.value("from") else {
        let help = "add a line such as `from = [\"lan\"]`";
        findings.add(section.span.clone(), "[[mirror]] has no `from`", help);
        return ports;
    };
    let DeValue::Array(array) = at.value else {
        section.wrong_type("from", &at, "a list of ports", findings);
        return ports;
    };
    for element in array.iter() {
        match element.get_ref() {
            DeValue::String(name) if ports.iter().any(|port| port.value == **name) => {
                let message = format!("port {} stands in `from` twice", quoted(name));
                findings.add(element.span(), message, "remove one of the two");
            }
            DeValue::String(name) => {
                ports.push(At { value: name.clone().into_owned(), span: element.span() });
            }
            other => {
                let message = format!("`from` in [[mirror]] has {}", type_name(other));
                findings.add(element.span(), message, "names of ports in quotes: from = [\"lan\"]");
            }
        }
    }
    if array.is_empty() {
        let help = "name the ports that are looked at: from = [\"lan\"]";
        findings.add(at.span, "`from` in [[mirror]] is empty", help);
    }
    ports
}

fn read_direction(section: &Section<'_>, findings: &mut Findings<'_>) -> MirrorDirection {
    let Some(written) = section.text("direction", findings) else { return MirrorDirection::Both };
    let found = MirrorDirection::ALL.iter().find(|(name, _)| *name == written.value);
    if found.is_none() {
        let message = format!("unknown direction {} in [[mirror]]", quoted(written.value));
        let known = MirrorDirection::ALL.iter().map(|(name, _)| *name);
        findings.add(written.span, message, did_you_mean(written.value, known));
    }
    found.map_or(MirrorDirection::Both, |(_, direction)| *direction)
}

/// Every port that a mirror names is there or may be made, and none mirrors what a mirror sends; whoever gets the copies
/// takes no other part.
pub(crate) fn check(
    mirrors: &[PlacedMirror],
    ports: &[PlacedPort],
    entries: &[PlacedEntry],
    findings: &mut Findings<'_>,
) {
    let all_known = !ports.is_empty() && !findings.broken_tables();
    let named = |name: &At<String>| ports.iter().find(|port| port.name.value == name.value);
    for (place, mirror) in mirrors.iter().enumerate() {
        for from in &mirror.from {
            if all_known && named(from).is_none() && !may_be_made(from, ports) {
                unknown_port(from, "to be mirrored", ports, findings);
            }
        }
        let Some(to) = &mirror.to else { continue };
        let shown = quoted(&to.value);
        match named(to) {
            None if all_known && !may_be_made(to, ports) => unknown_port(to, "to mirror to", ports, findings),
            Some(port) if port.max_ports.is_some() => stands_for_many(to, findings),
            Some(port) if port.host.is_some() => {
                let message = format!("{shown} is the host's own port: a mirror would cut the host off");
                findings.add(to.span.clone(), message, "give the copies a port of their own");
            }
            _ => {}
        }
        let earlier = mirrors[..place].iter().filter_map(|earlier| earlier.to.as_ref());
        if let Some(first) = earlier.clone().find(|first| first.value == to.value) {
            let line = findings.line_of(first.span.start);
            let help = format!("name all ports in the `from` of one; the first stands in line {line}");
            findings.add(to.span.clone(), format!("a second mirror to {shown}"), help);
        }
        let others = mirrors.iter().flat_map(|other| &other.from);
        for from in others.filter(|from| from.value == to.value) {
            let message = format!("port {shown} gets a mirror's copies and would be mirrored itself");
            findings.add(from.span.clone(), message, "remove it from `from`, or mirror to another port");
        }
        let part =
            "the destination of a mirror takes no other part: remove the line, or mirror to another port";
        let of_entries = entries.iter().filter_map(|entry| entry.port.as_ref());
        for port in of_entries.filter(|port| port.value == to.value) {
            findings.add(port.span.clone(), format!("nobody is behind {shown}: a mirror leads there"), part);
        }
        let backups = ports.iter().filter_map(|port| port.backup.as_ref());
        for backup in backups.filter(|backup| backup.value == to.value) {
            findings.add(
                backup.span.clone(),
                format!("{shown} can't be a backup: a mirror leads there"),
                part,
            );
        }
    }
}

/// Whether a port of this name may be one that a pattern makes.
fn may_be_made(name: &At<String>, ports: &[PlacedPort]) -> bool {
    let patterns = ports.iter().filter(|port| port.max_ports.is_some());
    let mut devices = patterns.filter_map(|port| port.device.as_ref());
    !pattern::is_pattern(&name.value) && devices.any(|device| pattern::matches(&device.value, &name.value))
}
