//! The summary that `switchd` logs on SIGUSR1, read from its lines (human format).

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// A line with this is about a port.
const PORT: &str = "tx_segments";
/// The line with this is about the FDB; it comes after the ports.
const FDB: &str = "learned";
/// Lines with this follow, one for each entry, unless there are more than [`ENTRIES`].
const ENTRY: &str = "mac";
const ENTRIES: usize = 256;

/// The `key=value` pairs of one log line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Reads a line, with the colours of a terminal or without.
    #[must_use]
    pub fn read(line: &str) -> Self {
        let line = plain(line);
        let mut fields = BTreeMap::new();
        let mut rest = line.as_str();
        while let Some((before, after)) = rest.split_once('=') {
            let key = before.rsplit(' ').next().unwrap_or_default();
            let (value, further) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            fields.insert(key.to_owned(), value.to_owned());
            rest = further;
        }
        Self(fields)
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value of a field, without quotes.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The value of a field that is a number.
    ///
    /// # Errors
    /// There is no such field, or it is something else.
    pub fn number(&self, key: &str) -> Result<u64> {
        let text = self.text(key).with_context(|| format!("no {key} in {self:?}"))?;
        text.parse().with_context(|| format!("{key}={text}"))
    }

    /// Frames that were dropped on this port, by the name of the reason.
    #[must_use]
    pub fn drops(&self) -> BTreeMap<String, u64> {
        let list = self.text("dropped").unwrap_or_default().split(',');
        list.filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, n)| Some((name.into(), n.parse().ok()?)))
            .collect()
    }
}

/// What `switchd` says of itself.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// One for each port, in the order of the configuration.
    pub ports: Vec<Fields>,
    /// The numbers of the FDB.
    pub fdb: Fields,
    /// Its entries (`mac`, `port`, `entry`), if they are at most 256.
    pub entries: Vec<Fields>,
}

impl Summary {
    /// Reads the lines of one summary; `None` as long as it is not complete.
    #[must_use]
    pub fn read(lines: &[String]) -> Option<Self> {
        let lines: Vec<_> = lines.iter().map(|line| Fields::read(line)).collect();
        let end = lines.iter().position(|line| line.text(FDB).is_some())?;
        let (ports, rest) = lines.split_at(end);
        let (fdb, rest) = rest.split_first()?;
        let all = usize::try_from(fdb.number("entries").ok()?).ok()?;
        let with = |key, lines: &[Fields]| {
            let with = lines.iter().filter(|line| line.text(key).is_some());
            with.cloned().collect::<Vec<_>>()
        };
        let entries = with(ENTRY, rest);
        let whole = all > ENTRIES || entries.len() >= all;
        whole.then(|| Self { ports: with(PORT, ports), fdb: fdb.clone(), entries })
    }

    /// The line of a port.
    ///
    /// # Errors
    /// There is no port of this name.
    pub fn port(&self, name: &str) -> Result<&Fields> {
        let found = self.ports.iter().find(|port| port.text("port") == Some(name));
        found.with_context(|| format!("no port {name} in {:?}", self.ports))
    }

    /// The port on which a MAC address was learned or is configured.
    #[must_use]
    pub fn port_of(&self, mac: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.text("mac") == Some(mac))?.text("port")
    }
}

/// The line without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_quoted_or_not_coloured_or_not() {
        let line = "\u{1b}[32m INFO\u{1b}[0m port \u{1b}[3mport\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"vnet0\" rx=12 \
                    dropped=\"to_host=3,tx_full=1\" up=true";
        let fields = Fields::read(line);
        assert_eq!(fields.text("port"), Some("vnet0"));
        assert_eq!(fields.number("rx").unwrap(), 12);
        assert_eq!(fields.text("up"), Some("true"));
        assert_eq!(fields.drops(), BTreeMap::from([("to_host".into(), 3), ("tx_full".into(), 1)]));
        assert!(fields.number("tx_full").is_err());
    }

    #[test]
    fn a_summary_is_complete_with_its_last_entry() {
        let lines: Vec<String> = [
            "INFO something=else",
            "INFO port port=\"a\" tx_frames=1 tx_segments=0",
            "INFO fdb entries=2 learned=2",
            "INFO fdb entry mac=02:00:00:00:00:01 port=\"a\"",
            "INFO fdb entry mac=02:00:00:00:00:02 port=\"a\"",
        ]
        .map(String::from)
        .to_vec();
        assert!(Summary::read(&lines[..4]).is_none());
        let summary = Summary::read(&lines).unwrap();
        assert_eq!((summary.ports.len(), summary.entries.len()), (1, 2));
        assert_eq!(summary.port_of("02:00:00:00:00:02"), Some("a"));
    }
}
