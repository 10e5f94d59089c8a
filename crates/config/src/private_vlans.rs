//! `[[private_vlan]]`: a primary VLAN with its secondary ones.

use std::collections::HashMap;
use std::ops::Range;

use frame::{MacAddr, Vid};
use toml::de::{DeArray, DeTable, DeValue};

use crate::check::{PlacedEntry, PlacedPort};
use crate::keys::PRIVATE_VLAN;
use crate::model::{PortVlans, PrivateVlanConfig, VlanConfig};
use crate::problem::{Findings, quoted};
use crate::section::{At, Section, type_name};
use crate::vlans;

/// What the file must have at least.
const EXAMPLE: &str = "as [[private_vlan]] with `primary` and `isolated` or `communities` in the lines below";

/// A private VLAN with its place.
#[derive(Debug)]
pub(crate) struct PlacedPrivateVlan {
    span: Range<usize>,
    primary: Option<Vid>,
    isolated: Option<Vid>,
    communities: Vec<Vid>,
}

impl PlacedPrivateVlan {
    pub(crate) fn into_config(self) -> Option<PrivateVlanConfig> {
        let Self { primary, isolated, communities, .. } = self;
        Some(PrivateVlanConfig { primary: primary?, isolated, communities })
    }

    /// All its VLANs, the primary first.
    fn all(&self) -> impl Iterator<Item = Vid> {
        self.primary.into_iter().chain(self.secondaries())
    }

    fn secondaries(&self) -> impl Iterator<Item = Vid> {
        self.isolated.into_iter().chain(self.communities.iter().copied())
    }
}

/// Reads a list of them.
pub(crate) fn read_all(
    key: &At<&str>,
    array: &DeArray<'_>,
    findings: &mut Findings<'_>,
) -> Vec<PlacedPrivateVlan> {
    let mut all = Vec::new();
    for element in array.iter() {
        let DeValue::Table(table) = element.get_ref() else {
            let message = format!("a private VLAN must be a table, not {}", type_name(element.get_ref()));
            findings.add(element.span(), message, EXAMPLE);
            continue;
        };
        let span = if element.span().is_empty() { key.span.clone() } else { element.span() };
        all.push(read(span, table, findings));
    }
    all
}

/// Reads one, which may stand alone: `private_vlan = { … }`.
pub(crate) fn read(
    span: Range<usize>,
    table: &DeTable<'_>,
    findings: &mut Findings<'_>,
) -> PlacedPrivateVlan {
    let section = Section::new("[[private_vlan]]", span.clone(), PRIVATE_VLAN, table);
    section.unknown_keys(findings, |_| None);
    let private = PlacedPrivateVlan {
        span: span.clone(),
        primary: vlans::number(&section, "primary", findings),
        isolated: vlans::number(&section, "isolated", findings),
        communities: vlans::list(&section, "communities", findings).into_iter().collect(),
    };
    if section.value("primary").is_none() {
        findings.add(span, "[[private_vlan]] has no `primary`", "add a line such as `primary = 100`");
    } else if section.value("isolated").is_none() && section.value("communities").is_none() {
        let help = "add a line such as `isolated = 101`, `communities = [102, 103]`, or both";
        findings.add(span, "[[private_vlan]] has no secondary VLAN: nobody would be kept apart", help);
    }
    private
}

/// No VLAN is two things, VLANs are told apart, and it is clear what each port is.
pub(crate) fn check(
    all: &[PlacedPrivateVlan],
    bridge: &VlanConfig,
    ports: &[PlacedPort],
    findings: &mut Findings<'_>,
) {
    let mut seen: Vec<(Vid, Range<usize>)> = Vec::new();
    for private in all {
        if !bridge.filtering {
            let message = "a private VLAN has no effect: the switch does not tell VLANs apart";
            findings.add(private.span.clone(), message, "add `vlan_filtering = true` to [bridge]");
        }
        for vid in private.all() {
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == vid) {
                let line = findings.line_of(first.start);
                let message = format!("VLAN {vid} can't be two parts of private VLANs");
                let help = format!("give it one part; it has one in the [[private_vlan]] of line {line}");
                findings.add(private.span.clone(), message, help);
            }
            seen.push((vid, private.span.clone()));
        }
        let with_vlans = ports.iter().filter_map(|port| Some((port, port.vlans.as_ref()?)));
        with_vlans.for_each(|(port, vlans)| role(private, port, vlans, findings));
    }
}

/// A port is a host's, a promiscuous one or a link between switches.
fn role(private: &PlacedPrivateVlan, port: &PlacedPort, vlans: &At<PortVlans>, findings: &mut Findings<'_>) {
    let Some(primary) = private.primary else { return };
    let PortVlans { members, untagged, .. } = &vlans.value;
    let own: Vec<Vid> = private.secondaries().filter(|vid| members.contains(vid)).collect();
    let name = quoted(&port.name.value);
    if members.contains(&primary) {
        for vid in own.iter().filter(|vid| untagged.contains(vid)) {
            let message = format!("port {name} is in the primary VLAN {primary} and, untagged, in {vid}");
            let help = "a host's port is in its secondary VLAN alone (`access`), a promiscuous one in the primary alone; a link between switches has secondaries tagged (`trunk`)";
            findings.add(vlans.span.clone(), message, help);
        }
    } else if let [one, other, ..] = own[..] {
        let message = format!("port {name} is in {one} and {other}, two secondaries of VLAN {primary}");
        let help = format!("name one of them, or, if the port is a link between switches, {primary} too");
        findings.add(vlans.span.clone(), message, help);
    }
}

/// Under which VLAN entries of `vid` are known: its primary, or itself.
pub(crate) fn known_under(all: &[PlacedPrivateVlan], vid: Vid) -> Vid {
    let private = all.iter().find(|private| private.secondaries().any(|of| of == vid));
    private.and_then(|private| private.primary).unwrap_or(vid)
}

/// No address has entries in two VLANs that share what is known.
pub(crate) fn entries(all: &[PlacedPrivateVlan], entries: &[PlacedEntry], findings: &mut Findings<'_>) {
    let mut seen: HashMap<(MacAddr, Vid), Vid> = HashMap::new();
    for entry in entries {
        let (Some(mac), Some(vlan)) = (&entry.mac, &entry.vlan) else { continue };
        let under = known_under(all, vlan.value);
        let first = *seen.entry((mac.value, under)).or_insert(vlan.value);
        if first != vlan.value {
            let message = format!("a second static entry for {}, which has one in VLAN {first}", mac.value);
            let help = format!("remove one: VLANs {first} and {} are parts of one private VLAN", vlan.value);
            findings.add(mac.span.clone(), message, help);
        }
    }
}
