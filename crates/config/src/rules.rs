//! The options of `[ports.NAME]` that say what the switch does at the port, whatever carries it. Names and
//! defaults are those of a port of a Linux bridge.

use std::ops::Range;

use crate::model::{PortRules, PortState};
use crate::problem::{Findings, quoted};
use crate::section::{At, Section, did_you_mean};

/// A mask of the sixteen reserved addresses.
const MASK: Range<i64> = 0..65_536;
/// As many stations as an FDB can have.
const MAX_MACS: Range<i64> = 1..16_777_217;
/// Spanning tree, PAUSE and LACP: `BR_GROUPFWD_RESTRICTED` in the kernel's net/bridge/br_private.h.
const NOT_BY_THE_SWITCH: u16 = 0b111;
/// PAUSE: `BR_GROUPFWD_MACPAUSE`.
const NOT_BY_A_PORT: u16 = 0b010;
/// The options that the host's own port has not, because br0 has not.
const NOT_FOR_HOST: &[&str] = &[
    "state",
    "flood",
    "mcast_flood",
    "bcast_flood",
    "hairpin",
    "isolated",
    "locked",
    "mab",
    "group_fwd_mask",
    "backup_port",
];

/// The rules of a port, and where it names another as its backup.
pub(crate) fn read(
    section: &Section<'_>,
    host: bool,
    findings: &mut Findings<'_>,
) -> (PortRules, Option<At<String>>) {
    let (rules, backup) = read_values(section, host, findings);
    let rules = PortRules { promisc: read_promisc(section, host, findings), ..rules };
    if host {
        refuse_for_host(section, findings);
    } else if rules.mab && !(rules.locked && rules.learning) {
        let at = section.value("mab").map_or(section.span.clone(), |at| at.span);
        let message = format!("`mab` in {} needs `locked` and `learning`", section.title);
        findings.add(at, message, "add `locked = true` and leave `learning` on, or remove the line");
    }
    (rules, backup)
}

/// The same of each key by itself, whether they go together or not.
pub(crate) fn read_values(
    section: &Section<'_>,
    host: bool,
    findings: &mut Findings<'_>,
) -> (PortRules, Option<At<String>>) {
    let plain = PortRules { learning: !host, ..PortRules::default() };
    let mut flag = |key, default| section.boolean(key, findings).unwrap_or(default);
    let rules = PortRules {
        enabled: flag("enabled", plain.enabled),
        learning: flag("learning", plain.learning),
        flood: flag("flood", plain.flood),
        mcast_flood: flag("mcast_flood", plain.mcast_flood),
        bcast_flood: flag("bcast_flood", plain.bcast_flood),
        hairpin: flag("hairpin", plain.hairpin),
        isolated: flag("isolated", plain.isolated),
        locked: flag("locked", plain.locked),
        mab: flag("mab", plain.mab),
        promisc: false,
        vlans: None,
        state: read_state(section, findings).unwrap_or(plain.state),
        group_fwd_mask: port_mask(section, findings).unwrap_or(plain.group_fwd_mask),
        backup_port: None,
        max_macs: section.number("max_macs", MAX_MACS, findings).and_then(|max| u32::try_from(max).ok()),
    };
    let backup = section.text("backup_port", findings);
    let backup = backup.map(|at| At { value: at.value.to_owned(), span: at.span });
    (rules, backup)
}

/// The mask of `[bridge]`.
pub(crate) fn bridge_mask(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<u16> {
    let mask = read_mask(section, findings)?;
    if mask.value & NOT_BY_THE_SWITCH == 0 {
        return Some(mask.value);
    }
    let help =
        "01:80:c2:00:00:00 to 02 can't be in it (bits 0 to 2); 02, LACP, can be in a port's; LLDP is 0x4000";
    findings.add(mask.span, "`group_fwd_mask` in [bridge] has a bit that is not allowed", help);
    None
}

fn port_mask(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<u16> {
    let mask = read_mask(section, findings)?;
    if mask.value & NOT_BY_A_PORT == 0 {
        return Some(mask.value);
    }
    let message = format!("`group_fwd_mask` in {} has a bit that is not allowed", section.title);
    findings.add(mask.span, message, "01:80:c2:00:00:01, PAUSE, can't be in it (bit 1); LACP is 0x0004");
    None
}

fn read_mask(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<At<u16>> {
    let at = section.value("group_fwd_mask")?;
    let mask = section.number("group_fwd_mask", MASK, findings)?;
    Some(At { value: u16::try_from(mask).ok()?, span: at.span })
}

fn read_state(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<PortState> {
    let written = section.text("state", findings)?;
    let state = PortState::ALL.iter().find(|(name, _)| *name == written.value);
    if state.is_none() {
        let message = format!("unknown state {} in {}", quoted(written.value), section.title);
        let known = PortState::ALL.iter().map(|(name, _)| *name);
        findings.add(written.span, message, did_you_mean(written.value, known));
    }
    state.map(|(_, state)| *state)
}

fn read_promisc(section: &Section<'_>, host: bool, findings: &mut Findings<'_>) -> bool {
    // A raw port has no such option, and has been told.
    if !section.has_key("promisc") {
        return false;
    }
    let promisc = section.boolean("promisc", findings).unwrap_or(false);
    if promisc
        && !host
        && let Some(at) = section.value("promisc")
    {
        let message = format!("`promisc` in {} needs `host = true`", section.title);
        findings.add(at.span, message, "remove the line: only the host's own port can get all frames");
    }
    promisc
}

fn refuse_for_host(section: &Section<'_>, findings: &mut Findings<'_>) {
    for key in NOT_FOR_HOST {
        if let Some(at) = section.value(key) {
            let message = format!("`{key}` in {} is not for the host's own port", section.title);
            let help = "remove the line: it has `enabled`, `learning`, `promisc` and `max_macs`";
            findings.add(at.span, message, help);
        }
    }
}
