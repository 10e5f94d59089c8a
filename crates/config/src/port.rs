//! `[ports.NAME]`: one port, its kind and the options of that kind.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::check::PlacedPort;
use crate::keys::{KINDS, Key, Kind, PORT, kind_list, kinds_with, nearest};
use crate::model::{
    Owner, PortKind, PortRules, ProfileUse, RawConfig, SocketMode, TapConfig, VhostUserConfig,
};
use crate::names::{check_interface, check_name, is_user_name};
use crate::pattern;
use crate::problem::{Findings, quoted};
use crate::profile::{self, PlacedProfile};
use crate::rules;
use crate::section::{At, Section, did_you_mean, integer};
use crate::vlans;

/// The MTU that a TAP takes, in bytes: ETH_MIN_MTU, and the most that its frames have room for.
const MTU: Range<i64> = 68..65_536;
/// The kind of port that is on a socket.
const VHOST_USER: &str = "vhost-user";
/// What an address of a Unix socket has room for (`unix(7)`).
const MAX_SOCKET: usize = 107;
/// As many as a switch has.
const MAX_PORTS: Range<i64> = 1..1024;

/// Reads one port; what can't be read is told of and left out.
pub(crate) fn read<'d>(
    name: At<&str>,
    table: &'d DeTable<'d>,
    profiles: &[PlacedProfile<'d>],
    findings: &mut Findings<'_>,
) -> PlacedPort {
    if let Err((wrong, help)) = check_name(name.value) {
        findings.add(name.span.clone(), format!("the name of port {} {wrong}", quoted(name.value)), help);
    }
    let title = format!("[ports.{}]", quoted(name.value).trim_matches('`'));
    let own = Section::new(&title, name.span.clone(), PORT, table);
    let profile = profile::named(&own, profiles, findings);
    let whole = profile.map(|profile| profile.under(table));
    let table = whole.as_ref().unwrap_or(table);
    // The kind comes first: it says which keys there may be.
    let kind = read_type(&Section::new(&title, name.span.clone(), PORT, table), findings);
    let section = Section::new(title, name.span.clone(), keys_of(kind), table);
    section.unknown_keys(findings, |key| kind.and_then(|kind| of_another_kind(key, kind)));

    let device = match kind {
        Some(kind) if kind.name == VHOST_USER => read_socket(&section, findings),
        _ => read_device(&section, &name, findings),
    };
    let max_ports = read_max_ports(&section, device.as_ref(), kind, findings);
    let read = read_kind(&section, kind, findings);
    let is_host = matches!(&read, Some(PortKind::Tap(tap)) if tap.host);
    let host = section.value("host").filter(|_| is_host).map(|at| at.span);
    let (rules, backup) = rules::read(&section, host.is_some(), findings);
    let vlans = vlans::read_port(&section, findings);
    let kind = kind.and(read);
    let profile = profile.zip(kind.as_ref()).map(|(profile, kind)| profile_use(profile, kind, is_host));
    let name = At { value: name.value.to_owned(), span: name.span };
    PlacedPort { name, device, kind, host, rules, backup, vlans, profile, max_ports }
}

/// The keys that a port of this kind may have; of any kind, where it is not known.
fn keys_of(kind: Option<&Kind>) -> Vec<&'static Key> {
    let kinds = KINDS.iter().filter(|known| kind.is_none_or(|kind| kind.name == known.name));
    PORT.iter().chain(kinds.flat_map(|kind| kind.keys)).collect()
}

/// The options of the kind; where that is not known they are looked at as those of each.
fn read_kind(section: &Section<'_>, kind: Option<&Kind>, findings: &mut Findings<'_>) -> Option<PortKind> {
    let is_or_may_be = |name| kind.is_none_or(|kind| kind.name == name);
    let tap = is_or_may_be("tap").then(|| read_tap(section, findings));
    let raw = is_or_may_be("raw").then(|| read_raw(section, findings));
    let vhost_user = is_or_may_be(VHOST_USER).then(|| read_vhost_user(section, findings));
    tap.map(PortKind::Tap).or(raw.map(PortKind::Raw)).or(vhost_user.map(PortKind::VhostUser))
}

/// Tells of values of a profile that no port could have.
pub(crate) fn check_values(section: &Section<'_>, findings: &mut Findings<'_>) {
    let kind = section.value("type").and_then(|_| read_type(section, findings));
    read_kind(section, kind, findings);
    rules::read_values(section, false, findings);
    vlans::read_port(section, findings);
}

/// What a port of that kind is that takes a profile and says nothing itself.
fn profile_use(profile: &PlacedProfile<'_>, kind: &PortKind, host: bool) -> Box<ProfileUse> {
    let name = match kind {
        PortKind::Tap(_) => "tap",
        PortKind::Raw(_) => "raw",
        PortKind::VhostUser(_) => VHOST_USER,
    };
    let kind = KINDS.iter().find(|known| known.name == name);
    // What is wrong has been told.
    let findings = &mut Findings::new("");
    let section = Section::new("", 0..0, keys_of(kind), profile.table());
    let read = read_kind(&section, kind, findings).unwrap_or(PortKind::Raw(RawConfig::default()));
    let (rules, backup) = rules::read_values(&section, host, findings);
    let backup_port = backup.map(|backup| backup.value);
    let vlans = vlans::read_port(&section, findings).map(|vlans| vlans.value);
    let rules = PortRules { backup_port, vlans, ..rules };
    Box::new(ProfileUse { name: profile.name.to_owned(), kind: read, rules })
}

fn read_type(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<&'static Kind> {
    let written = section.required_text("type", findings)?;
    let kind = KINDS.iter().find(|kind| kind.name == written.value);
    if kind.is_none() {
        let message = format!("unknown type {} in {}", quoted(written.value), section.title);
        let meant = nearest(written.value, KINDS.iter().map(|kind| kind.name));
        let meant = meant.map_or(String::new(), |meant| format!("did you mean \"{meant}\"? "));
        findings.add(written.span, message, format!("{meant}A port's type is {}", kind_list()));
    }
    kind
}

/// What to say of a key that only other kinds of port have.
fn of_another_kind(key: &str, kind: &Kind) -> Option<(String, String)> {
    let others: Vec<String> = kinds_with(key).map(|other| format!("\"{}\"", other.name)).collect();
    if others.is_empty() {
        return None;
    }
    let others = others.join(" or ");
    let message =
        format!("`{key}` is an option of ports with type = {others}; this one is \"{}\"", kind.name);
    Some((message, format!("remove the line, or make it a port with type = {others}")))
}

/// The device and its place; where none is named, the port's name, in its place.
fn read_device(section: &Section<'_>, name: &At<&str>, findings: &mut Findings<'_>) -> Option<At<String>> {
    let written = match section.value("device") {
        Some(_) => section.text("device", findings)?,
        None => name.clone(),
    };
    let checked = if pattern::is_pattern(written.value) {
        pattern::check(written.value)
    } else {
        check_interface(written.value)
    };
    if let Err((wrong, mut help)) = checked {
        if written.span == name.span {
            // A name that can't be a port's either has been told of.
            if check_name(name.value).is_err() {
                return None;
            }
            help += "; a port without `device` is on the interface of its own name: add `device = \"…\"`";
        }
        let message = format!("the interface name {} {wrong}", quoted(written.value));
        findings.add(written.span, message, help);
        return None;
    }
    Some(At { value: written.value.to_owned(), span: written.span })
}

/// How many ports a pattern makes at most; `None` where the device is one interface.
fn read_max_ports(
    section: &Section<'_>,
    device: Option<&At<String>>,
    kind: Option<&Kind>,
    findings: &mut Findings<'_>,
) -> Option<usize> {
    let most = section.number("max_ports", MAX_PORTS, findings).and_then(|most| usize::try_from(most).ok());
    let device = device?;
    if !pattern::is_pattern(&device.value) {
        if let Some(at) = section.value("max_ports") {
            let message = format!("`max_ports` in {} needs a `device` with a *", section.title);
            findings.add(at.span, message, "remove the line: a port is on one interface");
        }
        return None;
    }
    if kind.is_some_and(|kind| kind.name != "raw") {
        let message = format!("`device` in {} stands for many interfaces", section.title);
        let help = "only ports with type = \"raw\" can be made for interfaces that appear";
        findings.add(device.span.clone(), message, help);
    }
    Some(most.unwrap_or(pattern::MAX_PORTS))
}

fn read_tap(section: &Section<'_>, findings: &mut Findings<'_>) -> TapConfig {
    let plain = TapConfig::default();
    TapConfig {
        mtu: section.number("mtu", MTU, findings).and_then(|mtu| u32::try_from(mtu).ok()),
        persist: section.boolean("persist", findings).unwrap_or(plain.persist),
        owner: read_owner(section, findings),
        up: section.boolean("up", findings).unwrap_or(plain.up),
        host: section.boolean("host", findings).unwrap_or(plain.host),
        offload: section.boolean("offload", findings).unwrap_or(plain.offload),
    }
}

fn read_raw(section: &Section<'_>, findings: &mut Findings<'_>) -> RawConfig {
    let plain = RawConfig::default();
    RawConfig {
        exclusive: section.boolean("exclusive", findings),
        offload: section.boolean("offload", findings).unwrap_or(plain.offload),
        qdisc_bypass: section.boolean("qdisc_bypass", findings).unwrap_or(plain.qdisc_bypass),
    }
}

fn read_vhost_user(section: &Section<'_>, findings: &mut Findings<'_>) -> VhostUserConfig {
    let plain = VhostUserConfig::default();
    VhostUserConfig {
        mode: read_mode(section, findings).unwrap_or(plain.mode),
        offload: section.boolean("offload", findings).unwrap_or(plain.offload),
    }
}

fn read_mode(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<SocketMode> {
    let written = section.text("mode", findings)?;
    let mode = SocketMode::ALL.iter().find(|(name, _)| *name == written.value);
    if mode.is_none() {
        let message = format!("unknown mode {} in {}", quoted(written.value), section.title);
        let help = did_you_mean(written.value, SocketMode::ALL.iter().map(|(name, _)| *name));
        findings.add(written.span, message, help);
    }
    mode.map(|(_, mode)| *mode)
}

/// The path of the socket and its place; such a port has no interface.
fn read_socket(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<At<String>> {
    if let Some(at) = section.value("device") {
        let message = format!("{} has no `device`: it is on a socket", section.title);
        findings.add(at.span, message, "remove the line; `socket = \"…\"` says where");
    }
    let written = section.required_text("socket", findings)?;
    let path = written.value;
    let wrong = if !path.starts_with('/') || path.ends_with('/') {
        "is no absolute path of a file"
    } else if path.len() > MAX_SOCKET {
        "is longer than 107 bytes"
    } else if path.chars().any(char::is_control) {
        "has control characters"
    } else {
        return Some(At { value: path.to_owned(), span: written.span });
    };
    let message = format!("the socket {} {wrong}", quoted(path));
    findings.add(written.span, message, "as `socket = \"/run/vm/net0.sock\"`");
    None
}

fn read_owner(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Owner> {
    let at = section.value("owner")?;
    let owner = match at.value {
        DeValue::Integer(number) => user_id(integer(number)),
        DeValue::String(name) if !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit()) => {
            user_id(name.parse().ok())
        }
        DeValue::String(name) => is_user_name(name).then(|| Owner::Name(name.to_string())),
        _ => {
            section.wrong_type("owner", &at, "a user's name in quotes or number", findings);
            return None;
        }
    };
    if owner.is_none() {
        let message = format!("`owner` in {} is no user", section.title);
        findings.add(at.span, message, "a user's name, as \"libvirt-qemu\", or number, from 0 to 4294967294");
    }
    owner
}

/// A user id; the highest number means "no one" to the kernel.
fn user_id(number: Option<i64>) -> Option<Owner> {
    number.and_then(|number| u32::try_from(number).ok()).filter(|id| *id != u32::MAX).map(Owner::Uid)
}
