//! The text of a file, table by table.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeArray, DeTable, DeValue};

use crate::check::{self, PlacedEntry, PlacedPort};
use crate::control;
use crate::keys::{BRIDGE, CONTROL, FDB, KINDS, METRICS, PORT, TABLES, nearest};
use crate::metrics;
use crate::mirrors::{self, PlacedMirror};
use crate::model::{BridgeConfig, Config, ControlConfig, EntryType, Listen, PatternConfig, PortRules};
use crate::names::{LONGEST_BUSY_POLL, LONGEST_TIME, NotATime, check_name, duration, short_duration};
use crate::port;
use crate::private_vlans::{self, PlacedPrivateVlan};
use crate::problem::{Findings, Place, Problems, quoted};
use crate::profile::{self, PlacedProfile};
use crate::rules;
use crate::section::{At, Section, did_you_mean, in_order, integer, type_name};
use crate::syntax;
use crate::vlans;

/// The longest text that is read, in bytes: room for 20,000 ports or entries.
const LONGEST: usize = 1 << 20;
/// The sizes of FDB that can be asked for, in entries.
const FDB_MAX: Range<i64> = 1..16_777_217;
/// The numbers of threads that can forward.
const WORKERS: Range<i64> = 1..17;
/// 0 for no limit.
const FDB_MAX_LEARNED: Range<i64> = 0..16_777_217;
/// The least that a switch needs.
const SMALLEST: &str = "the smallest file is:\n[ports.tap0]\ntype = \"tap\"\n[ports.eth0]\ntype = \"raw\"";

pub(crate) fn parse(file_name: &str, text: &str) -> Result<Config, Problems> {
    let place = Place::File(file_name.to_owned());
    if text.len() > LONGEST {
        let mut findings = Findings::new("");
        let message = format!("the file has {} bytes", text.len());
        findings.add_whole(message, format!("at most {LONGEST}; is it a configuration?"));
        findings.into_problems(place.clone())?;
    }
    let mut findings = Findings::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let whole = syntax::without_stops(text, &errors, &findings);
    let (document, rest) = match &whole {
        Some(whole) => DeTable::parse_recoverable(whole),
        None => (document, Vec::new()),
    };
    if !errors.is_empty() {
        let of_whole = if whole.is_some() { &rest } else { &errors };
        syntax::tell(text, &errors, of_whole, &mut findings);
    }
    let tables = read(document.get_ref(), &mut findings);
    let Tables { mut bridge, profiles, ports, private_vlans, fdb, mirrors, metrics, control } = tables;
    check::devices(&ports, &mut findings);
    check::host_ports(&ports, &mut findings);
    check::backups(&ports, &mut findings);
    check::locks(&mut bridge, says_linklocal(document.get_ref()), &ports);
    check::entries(&fdb, &ports, &mut findings);
    vlans::filtering(&bridge.vlan, &ports, &mut findings);
    private_vlans::check(&private_vlans, &bridge.vlan, &ports, &mut findings);
    private_vlans::entries(&private_vlans, &fdb, &mut findings);
    vlans::entries(&bridge.vlan, &private_vlans, &fdb, &ports, &mut findings);
    check::room(&fdb, bridge.fdb_max, &mut findings);
    mirrors::check(&mirrors, &ports, &fdb, &mut findings);
    findings.into_problems(place)?;
    let (mut fixed, mut patterns) = (Vec::new(), Vec::new());
    for port in ports {
        let max_ports = port.max_ports;
        match (port.into_config(), max_ports) {
            (Some(port), Some(max_ports)) => patterns.push(PatternConfig { port, max_ports }),
            (Some(port), None) => fixed.push(port),
            (None, _) => {}
        }
    }
    Ok(Config {
        bridge,
        profiles: profiles.into_iter().map(PlacedProfile::into_config).collect(),
        ports: fixed,
        patterns,
        private_vlans: private_vlans.into_iter().filter_map(PlacedPrivateVlan::into_config).collect(),
        fdb: fdb.into_iter().filter_map(PlacedEntry::into_config).collect(),
        mirrors: mirrors.into_iter().filter_map(PlacedMirror::into_config).collect(),
        metrics,
        control,
    })
}

/// What the tables of a file say, each by itself.
#[derive(Default)]
struct Tables<'d> {
    bridge: BridgeConfig,
    profiles: Vec<PlacedProfile<'d>>,
    ports: Vec<PlacedPort>,
    private_vlans: Vec<PlacedPrivateVlan>,
    fdb: Vec<PlacedEntry>,
    mirrors: Vec<PlacedMirror>,
    metrics: Option<Listen>,
    control: ControlConfig,
}

fn read<'d>(document: &'d DeTable<'d>, findings: &mut Findings<'_>) -> Tables<'d> {
    let mut tables = Tables::default();
    // Ports take them, wherever they stand.
    if let Some(DeValue::Table(table)) = document.get("profiles").map(toml::Spanned::get_ref) {
        tables.profiles = profile::read_all(table, findings);
    }
    let mut said = false;
    for (key, value) in in_order(document) {
        match (key.value, value.get_ref()) {
            ("bridge", DeValue::Table(table)) => {
                tables.bridge = read_bridge(&Section::new("[bridge]", key.span, BRIDGE, table), findings);
            }
            ("profiles", DeValue::Table(_)) => {}
            ("ports", DeValue::Table(table)) => {
                tables.ports = read_ports(table, &tables.profiles, findings);
            }
            ("private_vlan", DeValue::Array(array)) => {
                tables.private_vlans = private_vlans::read_all(&key, array, findings);
            }
            ("private_vlan", DeValue::Table(table)) => {
                tables.private_vlans = vec![private_vlans::read(key.span, table, findings)];
            }
            ("fdb", DeValue::Array(array)) => tables.fdb = read_fdb(&key, array, findings),
            ("control", DeValue::Table(table)) => {
                tables.control =
                    control::read(&Section::new("[control]", key.span, CONTROL, table), findings);
            }
            ("metrics", DeValue::Table(table)) => {
                let section = Section::new("[metrics]", key.span, METRICS, table);
                tables.metrics = metrics::read(&section, findings);
            }
            ("mirror", DeValue::Array(array)) => {
                tables.mirrors = mirrors::read_all(&key, array, findings);
            }
            ("mirror", DeValue::Table(table)) => {
                tables.mirrors = vec![mirrors::read(key.span, table, findings)];
            }
            (name, value) => {
                said |= name == "ports" || nearest(name, ["ports"]).is_some();
                let (message, help) = wrong_at_top(name, value);
                findings.add(key.span, message, help);
            }
        }
    }
    if tables.ports.is_empty() && !said && !findings.broken_tables() {
        findings.add_whole("there are no ports: nothing to switch", SMALLEST);
    }
    tables
}

/// Whether the file itself says what is learned from frames to reserved addresses.
fn says_linklocal(document: &DeTable<'_>) -> bool {
    let bridge = document.get("bridge").and_then(|bridge| bridge.get_ref().as_table());
    bridge.is_some_and(|bridge| bridge.contains_key("no_linklocal_learn"))
}

/// What to say of a table or key at the top of the file that does not belong there.
fn wrong_at_top(name: &str, value: &DeValue<'_>) -> (String, String) {
    if let Some((_, header)) = TABLES.iter().find(|(table, _)| *table == name) {
        let found = match value {
            DeValue::Table(_) => "a single table",
            DeValue::Array(array) if of_tables(array) => "a list of tables",
            other => type_name(other),
        };
        return (format!("`{name}` is {found} here"), format!("it is written as {header}"));
    }
    if value.is_table() || value.as_array().is_some_and(of_tables) {
        let header =
            |meant: &str| TABLES.iter().find(|(table, _)| *table == meant).map(|(_, header)| *header);
        let help = match nearest(name, TABLES.iter().map(|(table, _)| *table)).and_then(header) {
            Some(meant) => format!("did you mean {meant}?"),
            None => {
                let headers: Vec<_> = TABLES.iter().map(|(_, header)| *header).collect();
                format!("the tables of this file are {}", headers.join(", "))
            }
        };
        return (format!("unknown table {}", quoted(name)), help);
    }
    let help = if BRIDGE.iter().any(|key| key.name == name) {
        "it belongs below a line [bridge]".to_owned()
    } else if PORT.iter().chain(KINDS.iter().flat_map(|kind| kind.keys)).any(|key| key.name == name) {
        "it belongs below a line [ports.NAME]".to_owned()
    } else {
        did_you_mean(name, BRIDGE.iter().map(|key| key.name))
    };
    (format!("key {} stands outside of every table", quoted(name)), help)
}

/// Whether this is what `[[header]]` makes.
fn of_tables(array: &DeArray<'_>) -> bool {
    array.first().is_some_and(|first| first.get_ref().is_table())
}

fn read_bridge(section: &Section<'_>, findings: &mut Findings<'_>) -> BridgeConfig {
    let mut bridge = BridgeConfig::default();
    section.unknown_keys(findings, |_| None);
    if let Some(name) = section.text("name", findings) {
        if let Err((wrong, help)) = check_name(name.value) {
            findings.add(name.span, format!("the name of the switch {wrong}"), help);
        } else {
            bridge.name = name.value.to_owned();
        }
    }
    let ageing_time = read_time(section, "ageing_time", "learn nothing", findings);
    bridge.ageing_time = ageing_time.unwrap_or(bridge.ageing_time);
    let move_damping = read_time(section, "move_damping", "move at once", findings);
    bridge.move_damping = move_damping.unwrap_or(bridge.move_damping);
    bridge.busy_poll = read_busy_poll(section, findings).unwrap_or(bridge.busy_poll);
    let workers = section.number("workers", WORKERS, findings);
    bridge.workers = workers.and_then(|count| usize::try_from(count).ok()).unwrap_or(bridge.workers);
    bridge.group_fwd_mask = rules::bridge_mask(section, findings).unwrap_or(bridge.group_fwd_mask);
    let no_linklocal_learn = section.boolean("no_linklocal_learn", findings);
    bridge.no_linklocal_learn = no_linklocal_learn.unwrap_or(bridge.no_linklocal_learn);
    bridge.vlan = vlans::read_bridge(section, findings);
    let fdb_max = section.number("fdb_max", FDB_MAX, findings);
    bridge.fdb_max = fdb_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(bridge.fdb_max);
    let learned = section.number("fdb_max_learned", FDB_MAX_LEARNED, findings);
    bridge.fdb_max_learned =
        learned.and_then(|max| u32::try_from(max).ok()).unwrap_or(bridge.fdb_max_learned);
    bridge
}

/// A time: text with a unit, or a whole number of seconds; `zero` tells what 0 means.
fn read_time(section: &Section<'_>, key: &str, zero: &str, findings: &mut Findings<'_>) -> Option<Duration> {
    let at = section.value(key)?;
    let time = match at.value {
        DeValue::Integer(number) => {
            let seconds = integer(number).and_then(|seconds| u64::try_from(seconds).ok());
            seconds.map(Duration::from_secs).ok_or(NotATime::TooLong)
        }
        DeValue::String(text) => duration(text),
        _ => {
            section.wrong_type(key, &at, "a time in quotes or whole seconds", findings);
            return None;
        }
    };
    let form = "a whole number and a unit: \"300s\", \"5m\", \"1500ms\", \"1h\"; or 0";
    let range = format!("from 0 ({zero}) to \"{}s\"", LONGEST_TIME.as_secs());
    within(time, LONGEST_TIME, key, &at, (form, range), findings)
}

fn read_busy_poll(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    let at = section.value("busy_poll")?;
    let time = match at.value {
        DeValue::Integer(number) if integer(number) == Some(0) => Ok(Duration::ZERO),
        DeValue::String(text) => short_duration(text),
        _ => {
            section.wrong_type("busy_poll", &at, "a time in quotes, or 0", findings);
            return None;
        }
    };
    let form = "a whole number and a unit: \"50us\", \"1ms\"; or 0";
    let range = format!("from 0 (sleep at once) to \"{}ms\"", LONGEST_BUSY_POLL.as_millis());
    within(time, LONGEST_BUSY_POLL, "busy_poll", &at, (form, range), findings)
}

/// A time that is one and not too long; `form` and `range` say what would be right.
fn within<T>(
    time: Result<Duration, NotATime>,
    longest: Duration,
    key: &str,
    at: &At<T>,
    (form, range): (&str, String),
    findings: &mut Findings<'_>,
) -> Option<Duration> {
    match time {
        Ok(time) if time <= longest => return Some(time),
        Err(NotATime::Form) => {
            findings.add(at.span.clone(), format!("`{key}` in [bridge] is no time"), form);
        }
        _ => findings.add(at.span.clone(), format!("`{key}` in [bridge] is out of range"), range),
    }
    None
}

fn read_ports<'d>(
    table: &'d DeTable<'d>,
    profiles: &[PlacedProfile<'d>],
    findings: &mut Findings<'_>,
) -> Vec<PlacedPort> {
    let mut ports = Vec::new();
    for (name, value) in in_order(table) {
        match value.get_ref() {
            DeValue::Table(table) => ports.push(port::read(name, table, profiles, findings)),
            other => {
                let message =
                    format!("port {} must be a table, not {}", quoted(name.value), type_name(other));
                let help = format!("as [ports.{}] with its options in the lines below", quoted(name.value));
                findings.add(name.span.clone(), message, help.replace('`', ""));
                let name = At { value: name.value.to_owned(), span: name.span };
                let rules = PortRules::default();
                ports.push(PlacedPort {
                    name,
                    device: None,
                    kind: None,
                    host: None,
                    rules,
                    backup: None,
                    vlans: None,
                    profile: None,
                    max_ports: None,
                });
            }
        }
    }
    ports
}

fn read_fdb(key: &At<&str>, array: &DeArray<'_>, findings: &mut Findings<'_>) -> Vec<PlacedEntry> {
    let mut entries = Vec::new();
    for element in array.iter() {
        let DeValue::Table(table) = element.get_ref() else {
            let message = format!("a static entry must be a table, not {}", type_name(element.get_ref()));
            findings.add(element.span(), message, "as [[fdb]] with `mac` and `port` in the lines below");
            continue;
        };
        let span = if element.span().is_empty() { key.span.clone() } else { element.span() };
        let section = Section::new("[[fdb]]", span.clone(), FDB, table);
        section.unknown_keys(findings, |_| None);
        let mac = read_mac(&section, findings);
        let kind = read_entry_type(&section, findings);
        let port = read_entry_port(&section, kind, findings);
        let vlan = vlans::read_entry(&section, findings);
        entries.push(PlacedEntry { span, mac, kind, port, vlan });
    }
    entries
}

fn read_entry_type(section: &Section<'_>, findings: &mut Findings<'_>) -> EntryType {
    let Some(written) = section.text("type", findings) else { return EntryType::Static };
    let kind = EntryType::ALL.iter().find(|(name, _)| *name == written.value);
    if kind.is_none() {
        let message = format!("unknown type {} in [[fdb]]", quoted(written.value));
        let known = EntryType::ALL.iter().map(|(name, _)| *name);
        findings.add(written.span, message, did_you_mean(written.value, known));
    }
    kind.map_or(EntryType::Static, |(_, kind)| *kind)
}

fn read_entry_port(
    section: &Section<'_>,
    kind: EntryType,
    findings: &mut Findings<'_>,
) -> Option<At<String>> {
    if kind == EntryType::Blackhole {
        if let Some(at) = section.value("port") {
            let help = "remove the line: frames from and to the address are dropped on all ports";
            findings.add(at.span, "a blackhole entry has no `port`", help);
        }
        return None;
    }
    let port = section.required_text("port", findings)?;
    Some(At { value: port.value.to_owned(), span: port.span })
}

fn read_mac(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<At<frame::MacAddr>> {
    let written = section.required_text("mac", findings)?;
    let example = "as \"02:00:5e:10:00:01\"";
    let (message, help) = match written.value.parse::<frame::MacAddr>() {
        Err(_) => (
            format!("{} is not a MAC address", quoted(written.value)),
            format!("six bytes of two hexadecimal digits, {example}"),
        ),
        Ok(mac) if mac.is_zero() => {
            ("the zero address is no station's".to_owned(), format!("the address of one station, {example}"))
        }
        Ok(mac) if mac.is_group() => (
            format!("{mac} is a group address: it is no station's, and frames for it are for all ports"),
            format!("the address of one station, whose first byte is even, {example}"),
        ),
        Ok(value) => return Some(At { value, span: written.span }),
    };
    findings.add(written.span, message, help);
    None
}
