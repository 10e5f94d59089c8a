//! VLANs: what `[bridge]` and `[ports.NAME]` say of them, with the shorthands `access` and `trunk`.

use std::collections::BTreeSet;
use std::ops::Range;

use frame::Vid;
use toml::de::DeValue;

use crate::check::{PlacedEntry, PlacedPort};
use crate::model::{PortVlans, VlanConfig, VlanProtocol};
use crate::private_vlans::{PlacedPrivateVlan, known_under};
use crate::problem::{Findings, quoted};
use crate::section::{At, Section, did_you_mean, integer};

const VIDS: Range<i64> = 1..4095;
/// The keys of a port that are about VLANs.
pub(crate) const OF_PORT: [&str; 7] = ["pvid", "vlans", "untagged", "access", "trunk", "native", "translate"];
/// What `access` stands for, and `trunk` with `native`: nothing else can be said beside them.
const LONG: [&str; 3] = ["pvid", "vlans", "untagged"];

/// The keys of `[bridge]`.
pub(crate) fn read_bridge(section: &Section<'_>, findings: &mut Findings<'_>) -> VlanConfig {
    let plain = VlanConfig::default();
    let default_pvid = section.number("default_pvid", 0..VIDS.end, findings);
    let config = VlanConfig {
        filtering: section.boolean("vlan_filtering", findings).unwrap_or(plain.filtering),
        default_pvid: default_pvid.map_or(plain.default_pvid, vid),
        protocol: read_protocol(section, findings).unwrap_or(plain.protocol),
        stats: section.boolean("vlan_stats", findings).unwrap_or(plain.stats),
        stats_per_port: section.boolean("vlan_stats_per_port", findings).unwrap_or(plain.stats_per_port),
    };
    if config.stats_per_port && !config.stats {
        let at = section.value("vlan_stats_per_port").map_or(section.span.clone(), |at| at.span);
        let message = "`vlan_stats_per_port` in [bridge] needs `vlan_stats`";
        findings.add(at, message, "add `vlan_stats = true`, or remove the line");
    }
    config
}

fn read_protocol(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<VlanProtocol> {
    let written = section.text("vlan_protocol", findings)?;
    let protocol = VlanProtocol::ALL.iter().find(|(name, _)| *name == written.value);
    if protocol.is_none() {
        let known = VlanProtocol::ALL.iter().map(|(name, _)| *name);
        let message = format!("unknown protocol {} in [bridge]", quoted(written.value));
        findings.add(written.span, message, did_you_mean(written.value, known));
    }
    protocol.map(|(_, protocol)| *protocol)
}

/// The VLANs of a port, and where the first key about them stands; `None` where there is no such key.
pub(crate) fn read_port(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<At<PortVlans>> {
    let span = OF_PORT.iter().find_map(|key| section.value(key)).map(|at| at.span)?;
    conflicts(section, findings);
    let mut vlans = PortVlans::default();
    if let Some(access) = number(section, "access", findings) {
        vlans.pvid = Some(access);
        vlans.untagged.insert(access);
    }
    vlans.members.extend(list(section, "trunk", findings));
    if let Some(native) = number(section, "native", findings) {
        vlans.pvid = Some(native);
        vlans.untagged.insert(native);
    }
    if let Some(pvid) = number(section, "pvid", findings) {
        vlans.pvid = Some(pvid);
    }
    vlans.members.extend(list(section, "vlans", findings));
    vlans.untagged.extend(list(section, "untagged", findings));
    vlans.members.extend(vlans.pvid);
    vlans.members.extend(vlans.untagged.iter().copied());
    translate(section, &mut vlans, findings);
    Some(At { value: vlans, span })
}

/// No two keys say different things of the same.
fn conflicts(section: &Section<'_>, findings: &mut Findings<'_>) {
    let title = &section.title;
    let mut refuse = |key: &str, other: &str, why: &str| {
        if let (Some(at), Some(_)) = (section.value(key), section.value(other)) {
            findings.add(at.span, format!("`{key}` and `{other}` in {title}: {why}"), "remove one of them");
        }
    };
    for key in LONG.into_iter().chain(["trunk", "native"]) {
        refuse("access", key, "an access port is in one VLAN, untagged");
    }
    for key in LONG {
        refuse("trunk", key, "`trunk` says which VLANs there are, and `native` which of them is untagged");
    }
    if let (Some(at), None) = (section.value("native"), section.value("trunk")) {
        let message = format!("`native` in {title} needs `trunk`");
        findings.add(at.span, message, "a port with one untagged VLAN and no other has `access`");
    }
}

/// Numbers that VLANs of the port have on its wire.
fn translate(section: &Section<'_>, vlans: &mut PortVlans, findings: &mut Findings<'_>) {
    let Some(at) = section.value("translate") else { return };
    let DeValue::Table(table) = at.value else {
        section.wrong_type("translate", &at, "a table", findings);
        return;
    };
    let title = &section.title;
    for (wire, inside) in table.iter() {
        let place = wire.span().start..inside.span().end;
        let inside = inside.get_ref().as_integer().and_then(integer).and_then(vid);
        let (Some((wire, _)), Some(vid)) = (range(wire.get_ref()).filter(|(a, b)| a == b), inside) else {
            let message = format!("`translate` in {title} has something that is no VLAN");
            let help = "as { 100 = 10 }: VLAN 10 has the number 100 on the wire; VLANs are 1 to 4094";
            findings.add(place, message, help);
            continue;
        };
        let wrong = match vlans.wires.get(&vid) {
            _ if wire == vid => "that is its number anyway".to_owned(),
            Some(other) => format!("it has the number {other} there already"),
            None if !vlans.members.contains(&vid) => "the port is not in it".to_owned(),
            None if vlans.untagged.contains(&vid) => "it leaves untagged here, without any number".to_owned(),
            None => {
                vlans.wires.insert(vid, wire);
                continue;
            }
        };
        let message =
            format!("`translate` in {title} gives VLAN {vid} the number {wire} on the wire: {wrong}");
        findings.add(place, message, "remove it, or name another VLAN of the port");
    }
    let own = |wire: &&Vid| {
        vlans.members.contains(wire) && !vlans.untagged.contains(wire) && !vlans.wires.contains_key(wire)
    };
    if let Some((vid, wire)) = vlans.wires.iter().find(|(_, wire)| own(wire)) {
        let message = format!(
            "`translate` in {title} gives VLAN {vid} the number {wire} on the wire, which is VLAN {wire}'s own"
        );
        findings.add(at.span, message, "give that one another number too, or take it from the port");
    }
}

pub(crate) fn number(section: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> Option<Vid> {
    section.number(key, VIDS, findings).and_then(vid)
}

fn vid(number: i64) -> Option<Vid> {
    u16::try_from(number).ok().and_then(Vid::new)
}

/// A list of VLANs: numbers, or text with a number or a range.
pub(crate) fn list(section: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> BTreeSet<Vid> {
    let mut all = BTreeSet::new();
    let Some(at) = section.value(key) else { return all };
    let DeValue::Array(array) = at.value else {
        section.wrong_type(key, &at, "a list", findings);
        return all;
    };
    for element in array.iter() {
        let range = match element.get_ref() {
            DeValue::Integer(number) => integer(number).and_then(vid).map(|vid| (vid, vid)),
            DeValue::String(text) => range(text),
            _ => None,
        };
        match range {
            Some((first, last)) => all.extend(first.to(last)),
            None => {
                let message = format!("`{key}` in {} has something that is no VLAN", section.title);
                findings.add(
                    element.span(),
                    message,
                    "VLANs are 1 to 4094: \"10\", or \"20-29\" for a range",
                );
            }
        }
    }
    all
}

/// One VLAN, or two of which the second is not the lower one.
fn range(text: &str) -> Option<(Vid, Vid)> {
    let number = |text: &str| Vid::new(text.parse().ok().filter(|_| !text.starts_with('+'))?);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first.trim())?, number(last.trim())?);
    (first <= last).then_some((first, last))
}

/// VLANs as they are written in a list: ranges where there are any.
pub(crate) fn ranges(vlans: &BTreeSet<Vid>) -> Vec<String> {
    let mut ranges: Vec<(Vid, Vid)> = Vec::new();
    for vid in vlans {
        match ranges.last_mut() {
            Some((_, last)) if last.get() + 1 == vid.get() => *last = *vid,
            _ => ranges.push((*vid, *vid)),
        }
    }
    let text = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.into_iter().map(text).collect()
}

/// What a port is said to be in keeps nothing apart while VLANs are not told apart.
pub(crate) fn filtering(config: &VlanConfig, ports: &[PlacedPort], findings: &mut Findings<'_>) {
    for vlans in ports.iter().filter_map(|port| port.vlans.as_ref()).filter(|_| !config.filtering) {
        let message = "VLANs of a port have no effect: the switch does not tell them apart";
        findings.add(
            vlans.span.clone(),
            message,
            "add `vlan_filtering = true` to [bridge], or remove the line",
        );
    }
}

/// Each entry's VLAN is one of its port's, or shares with one what is known.
pub(crate) fn entries(
    config: &VlanConfig,
    private: &[PlacedPrivateVlan],
    entries: &[PlacedEntry],
    ports: &[PlacedPort],
    findings: &mut Findings<'_>,
) {
    for entry in entries {
        let Some(vlan) = &entry.vlan else { continue };
        let named = entry.port.as_ref().map(|port| &port.value);
        let Some(port) = ports.iter().find(|port| Some(&port.name.value) == named) else { continue };
        let is_meant = |vid: &Vid| known_under(private, *vid) == known_under(private, vlan.value);
        let is_member = match &port.vlans {
            Some(vlans) => vlans.value.members.iter().any(is_meant),
            None => config.default_pvid.as_ref().is_some_and(is_meant),
        };
        if !is_member {
            let message = format!("port {} is not in VLAN {}", quoted(&port.name.value), vlan.value);
            findings.add(vlan.span.clone(), message, "add the VLAN to the port, or name one that it is in");
        }
    }
}

/// The VLAN of an entry.
pub(crate) fn read_entry(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<At<Vid>> {
    let span = section.value("vlan")?.span;
    Some(At { value: number(section, "vlan", findings)?, span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_ranges_and_read_again() {
        let vlans: BTreeSet<Vid> = [1, 2, 3, 5, 4093, 4094].into_iter().filter_map(Vid::new).collect();
        let written = ranges(&vlans);
        assert_eq!(written, ["1-3", "5", "4093-4094"]);
        let read = written.iter().filter_map(|text| range(text)).flat_map(|(first, last)| first.to(last));
        assert_eq!(read.collect::<BTreeSet<_>>(), vlans);
        for text in ["", "0", "4095", "5-3", "1-", "-1", "+1", "a", "1-2-3", "0-5", "10-4095"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
