//! Values on the command line: switches, times, masks, kinds.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use control::types::{Direction, EntryKind, PortState, VlanProtocol};
use serde_json::Value;

/// `on` or `off`, as `bridge` has it, and what scripts write for it.
pub(crate) fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("say on or off".to_owned()),
    }
}

/// A time as in the configuration, in milliseconds.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    let time = match text.parse().map(std::time::Duration::from_secs) {
        Ok(seconds) => Some(seconds),
        Err(_) => ::config::time(text),
    };
    let milliseconds = time.and_then(|time| u64::try_from(time.as_millis()).ok());
    milliseconds.ok_or_else(|| "a whole number and a unit: 300s, 5m, 1500ms, 1h; or 0".to_owned())
}

/// A time between two looks, in milliseconds.
pub(crate) fn interval(text: &str) -> Result<u64, String> {
    time(text)
        .ok()
        .filter(|time| (100..=3_600_000).contains(time))
        .ok_or_else(|| "from 100ms to 1h".to_owned())
}

/// A mask of 16 bits, decimal or as 0x4000.
pub(crate) fn mask(text: &str) -> Result<u16, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "a number from 0 to 0xffff, as 0x4000".to_owned())
}

/// A key of the configuration with its value: `true`, `false` and whole numbers are such, all else is text.
pub(crate) fn key_value(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("a key and its value: type=raw")?;
    let number = match value.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    };
    let value = match (value, number) {
        ("true", _) => Value::Bool(true),
        ("false", _) => Value::Bool(false),
        (_, Some(number)) => Value::from(number),
        (text, None) => Value::from(text),
    };
    Ok((key.to_owned(), value))
}

/// One VLAN, or a range of them as 20-29.
pub(crate) fn vlans(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first >= 1 && first <= last && last <= 4094 => Ok((first, last)),
        _ => Err("a VLAN from 1 to 4094, or a range as 20-29".to_owned()),
    }
}

pub(crate) fn direction() -> impl TypedValueParser<Value = Direction> {
    words(&Direction::ALL)
}

pub(crate) fn port_state() -> impl TypedValueParser<Value = PortState> {
    words(&PortState::ALL)
}

pub(crate) fn vlan_protocol() -> impl TypedValueParser<Value = VlanProtocol> {
    words(&VlanProtocol::ALL)
}

pub(crate) fn entry_kind() -> impl TypedValueParser<Value = EntryKind> {
    words(&EntryKind::ALL)
}

/// One of a list of words.
fn words<V: Copy + Send + Sync + 'static>(
    all: &'static [(&'static str, V)],
) -> impl TypedValueParser<Value = V> {
    let parser = PossibleValuesParser::new(all.iter().map(|(word, _)| *word));
    parser.try_map(|word| {
        let found = all.iter().find(|(known, _)| *known == word);
        found.map(|(_, value)| *value).ok_or("no such word")
    })
}

/// The word for a value of such a list.
pub(crate) fn word<V: Copy + PartialEq>(all: &[(&'static str, V)], value: V) -> &'static str {
    all.iter().find(|(_, known)| *known == value).map_or("?", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!((on_off("on"), on_off("0")), (Ok(true), Ok(false)));
        assert!(on_off("perhaps").is_err());
        assert_eq!((time("300"), time("1500ms"), time("5m")), (Ok(300_000), Ok(1500), Ok(300_000)));
        assert!(time("soon").is_err() && time("-1").is_err());
        assert_eq!((mask("0x4000"), mask("16384")), (Ok(0x4000), Ok(0x4000)));
        assert_eq!(key_value("mtu=9000"), Ok(("mtu".to_owned(), Value::from(9000))));
        assert_eq!(key_value("owner=x=y"), Ok(("owner".to_owned(), Value::from("x=y"))));
        assert_eq!(key_value("host=true"), Ok(("host".to_owned(), Value::from(true))));
        assert!(key_value("raw").is_err());
        assert_eq!((vlans("10"), vlans("20-4094")), (Ok((10, 10)), Ok((20, 4094))));
        assert!(["0", "4095", "9-5", "1-", "a"].iter().all(|text| vlans(text).is_err()));
        assert!(mask("0x10000").is_err() && mask("").is_err());
    }
}
