//! Steps as text, one a line, that a person can read, change and run again
//! (`cargo xtask conformance --replay FILE`). `#` begins a comment.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use bridge::{EntryKind, Membership, PortState, VlanProtocol};
use frame::{MacAddr, Vid};

use crate::step::{End, Flag, PORTS, Step, flags};

const STATES: [PortState; 5] = [
    PortState::Disabled,
    PortState::Blocking,
    PortState::Listening,
    PortState::Learning,
    PortState::Forwarding,
];

const KINDS: [EntryKind; 6] = [
    EntryKind::Dynamic,
    EntryKind::Locked,
    EntryKind::Static,
    EntryKind::Sticky,
    EntryKind::External,
    EntryKind::Local,
];

/// A whole script, with what each frame is in a comment.
#[must_use]
pub fn write(steps: &[Step]) -> String {
    let line = |step: &Step| match step {
        Step::Frame { bytes, .. } => format!("{step} # {}\n", frame_in_words(bytes)),
        _ => format!("{step}\n"),
    };
    steps.iter().map(line).collect()
}

/// Reads what [`write()`] wrote, or a person.
///
/// # Errors
/// The first line that is none, by its number.
pub fn read(text: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            steps.push(line.parse().with_context(|| format!("line {}: {line}", number + 1))?);
        }
    }
    Ok(steps)
}

/// Addresses, length, and the tag if there is one.
#[must_use]
pub fn frame_in_words(bytes: &[u8]) -> String {
    let address = |from: usize| {
        let six = bytes.get(from..from + 6).and_then(|six| six.try_into().ok());
        six.map_or_else(|| "cut off".to_owned(), |six| MacAddr(six).to_string())
    };
    let word = |at: usize| bytes.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
    let tags: String = (12..)
        .step_by(4)
        .take_while(|at| [0x8100, 0x88a8].contains(&word(*at)))
        .map(|at| format!("tag {:04x} {:#06x}, ", word(at), word(at + 2)))
        .collect();
    let kind = word(12 + 4 * tags.matches("tag").count());
    format!("{} from {}, {tags}type {kind:04x}, {} bytes", address(0), address(6), bytes.len())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on: bool| if on { "on" } else { "off" };
        let port = |port: Option<u8>| port.map_or_else(|| "all".to_owned(), |port| format!("p{port}"));
        match self {
            Self::Frame { from, bytes } => {
                write!(f, "frame {from} ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Flag { port, flag, on: set } => write!(f, "set p{port} {} {}", flag_name(*flag), on(*set)),
            Self::State { port, state } => write!(f, "state p{port} {}", state.name()),
            Self::Mask { port: of, mask } => write!(f, "group_fwd_mask {} {mask:#06x}", port(*of)),
            Self::Backup { port, backup: None } => write!(f, "backup_port p{port} none"),
            Self::Backup { port, backup: Some(backup) } => write!(f, "backup_port p{port} p{backup}"),
            Self::Ageing { ms } => write!(f, "ageing_time {ms}ms"),
            Self::NoLinklocalLearn { on: set } => write!(f, "no_linklocal_learn {}", on(*set)),
            Self::MaxLearned { max } => write!(f, "fdb_max_learned {max}"),
            Self::Promisc { on: set } => write!(f, "promisc {}", on(*set)),
            Self::Entry { mac, vlan, port, kind, replace } => {
                let verb = if *replace { "replace" } else { "add" };
                write!(f, "fdb {verb} {mac} {port} {}{}", kind.name(), of_vlan(*vlan))
            }
            Self::Delete { mac, vlan, port } => write!(f, "fdb del {mac} {port}{}", of_vlan(*vlan)),
            Self::Flush { port: of, kind } => {
                write!(f, "fdb flush {} {}", port(*of), kind.map_or("ageing", EntryKind::name))
            }
            Self::Link { port, up } => write!(f, "link p{port} {}", if *up { "up" } else { "down" }),
            Self::Mtu { port, mtu } => write!(f, "mtu p{port} {mtu}"),
            Self::Wait { ms } => write!(f, "wait {ms}ms"),
            Self::VlanFiltering { on: set } => write!(f, "vlan_filtering {}", on(*set)),
            Self::VlanProtocol { protocol } => write!(f, "vlan_protocol {}", protocol.name()),
            Self::DefaultPvid { vid: None } => write!(f, "default_pvid none"),
            Self::DefaultPvid { vid: Some(vid) } => write!(f, "default_pvid {vid}"),
            Self::JoinVlan { port, vid, membership } => {
                write!(f, "vlan add {port} {vid}{}", flags(*membership))
            }
            Self::LeaveVlan { port, vid } => write!(f, "vlan del {port} {vid}"),
            Self::VlanState { port, vid, state } => write!(f, "vlan state p{port} {vid} {}", state.name()),
        }
    }
}

fn of_vlan(vlan: Option<Vid>) -> String {
    vlan.map_or_else(String::new, |vlan| format!(" vlan {vlan}"))
}

fn flag_name(flag: Flag) -> &'static str {
    Flag::ALL.iter().find(|(_, known)| *known == flag).map_or("", |(name, _)| name)
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match *words.as_slice() {
            ["frame", from, hex] => Self::Frame { from: end(from)?, bytes: bytes(hex)? },
            ["set", of, flag, set] => {
                let known = Flag::ALL.iter().find(|(name, _)| *name == flag);
                Self::Flag { port: port(of)?, flag: known.context("no such setting")?.1, on: on(set)? }
            }
            ["state", of, named] => Self::State { port: port(of)?, state: state(named)? },
            ["group_fwd_mask", of, mask] => {
                let mask = u16::from_str_radix(mask.trim_start_matches("0x"), 16)?;
                Self::Mask { port: port_or_all(of)?, mask }
            }
            ["backup_port", of, "none"] => Self::Backup { port: port(of)?, backup: None },
            ["backup_port", of, backup] => Self::Backup { port: port(of)?, backup: Some(port(backup)?) },
            ["ageing_time", time] => Self::Ageing { ms: ms(time)? },
            ["no_linklocal_learn", set] => Self::NoLinklocalLearn { on: on(set)? },
            ["fdb_max_learned", max] => Self::MaxLearned { max: max.parse()? },
            ["promisc", set] => Self::Promisc { on: on(set)? },
            ["fdb", verb @ ("add" | "replace"), address, of, kind, ref vlan @ ..] => {
                let (mac, vlan, port) = (mac(address)?, in_vlan(vlan)?, end(of)?);
                Self::Entry { mac, vlan, port, kind: entry_kind(kind)?, replace: verb == "replace" }
            }
            ["fdb", "del", address, of, ref vlan @ ..] => {
                Self::Delete { mac: mac(address)?, vlan: in_vlan(vlan)?, port: end(of)? }
            }
            ["fdb", "flush", of, "ageing"] => Self::Flush { port: port_or_all(of)?, kind: None },
            ["fdb", "flush", of, kind] => {
                Self::Flush { port: port_or_all(of)?, kind: Some(entry_kind(kind)?) }
            }
            ["link", of, up @ ("up" | "down")] => Self::Link { port: port(of)?, up: up == "up" },
            ["mtu", of, mtu] => Self::Mtu { port: port(of)?, mtu: mtu.parse()? },
            ["wait", time] => Self::Wait { ms: ms(time)? },
            ["vlan_filtering", set] => Self::VlanFiltering { on: on(set)? },
            ["vlan_protocol", name] => {
                let both = [VlanProtocol::Dot1q, VlanProtocol::Dot1ad];
                let known = both.into_iter().find(|known| known.name() == name);
                Self::VlanProtocol { protocol: known.context("no such protocol")? }
            }
            ["default_pvid", "none"] => Self::DefaultPvid { vid: None },
            ["default_pvid", number] => Self::DefaultPvid { vid: Some(vid(number)?) },
            ["vlan", "add", of, number, ref words @ ..] => {
                let membership = Membership {
                    pvid: words.contains(&"pvid"),
                    untagged: words.contains(&"untagged"),
                    wire: None,
                };
                Self::JoinVlan { port: end(of)?, vid: vid(number)?, membership }
            }
            ["vlan", "del", of, number] => Self::LeaveVlan { port: end(of)?, vid: vid(number)? },
            ["vlan", "state", of, number, named] => {
                Self::VlanState { port: port(of)?, vid: vid(number)?, state: state(named)? }
            }
            _ => bail!("no step is written so"),
        })
    }
}

fn end(word: &str) -> Result<End> {
    if word == "br0" { Ok(End::Host) } else { port(word).map(End::Port) }
}

fn port(word: &str) -> Result<u8> {
    let number = word.strip_prefix('p').and_then(|number| number.parse().ok());
    number.filter(|port| (1..=PORTS).contains(port)).with_context(|| format!("no port {word}"))
}

fn port_or_all(word: &str) -> Result<Option<u8>> {
    if word == "all" { Ok(None) } else { port(word).map(Some) }
}

fn state(word: &str) -> Result<PortState> {
    STATES.into_iter().find(|known| known.name() == word).with_context(|| format!("no state {word}"))
}

fn vid(word: &str) -> Result<Vid> {
    word.parse().ok().and_then(Vid::new).with_context(|| format!("no VLAN {word}"))
}

fn in_vlan(words: &[&str]) -> Result<Option<Vid>> {
    match *words {
        [] => Ok(None),
        ["vlan", number] => vid(number).map(Some),
        _ => bail!("neither nothing nor a VLAN: {}", words.join(" ")),
    }
}

fn on(word: &str) -> Result<bool> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => bail!("neither on nor off: {word}"),
    }
}

fn ms(word: &str) -> Result<u64> {
    Ok(word.strip_suffix("ms").context("a time is in ms")?.parse()?)
}

fn entry_kind(word: &str) -> Result<EntryKind> {
    KINDS.into_iter().find(|kind| kind.name() == word).with_context(|| format!("no kind {word}"))
}

fn mac(word: &str) -> Result<MacAddr> {
    word.parse().ok().with_context(|| format!("no address {word}"))
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Generator;
    use crate::step::Tags;

    #[test]
    fn what_is_written_is_read_again() {
        for seed in 0..20 {
            for tags in [Tags::Opaque, Tags::Vlans] {
                let steps = Generator::new(seed, tags).case(200);
                assert_eq!(read(&write(&steps)).unwrap(), steps);
            }
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for line in ["frame p9 00", "set p1 hairpin maybe", "state p1 asleep", "wait 3", "frame p1 0g", "?"] {
            let error = format!("{:#}", read(&format!("# well\n\n{line}")).unwrap_err());
            assert!(error.contains("line 3"), "{error}");
        }
    }
}
