//! What the user has chosen to see, and what follows from two samples: rates, and the rows of each view.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use control::types::{FdbEntry, Port};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::sample::Sample;

/// How many rates of a port are remembered.
pub(crate) const REMEMBERED: usize = 120;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Ports,
    Talkers,
    Drops,
    Fdb,
}

impl View {
    /// Each with its name and its columns, by which it is sorted; the first one is the default.
    pub(crate) const ALL: [(Self, &str, &[&str]); 4] = [
        (Self::Ports, "ports", &["name", "rx", "tx", "drops"]),
        (Self::Talkers, "talkers", &["rate", "frames", "mac", "port"]),
        (Self::Drops, "drops", &["rate", "frames", "reason"]),
        (Self::Fdb, "fdb", &["mac", "port", "vlan", "age"]),
    ];

    pub(crate) fn columns(self) -> &'static [&'static str] {
        Self::ALL[self as usize].2
    }
}

/// What comes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing but what is seen.
    Stay,
    /// The switch is to be looked at now.
    Look,
    /// The user has seen enough.
    End,
}

/// Rates of a port, by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) rx_bits: f64,
    pub(crate) tx_bits: f64,
    pub(crate) rx_frames: f64,
    pub(crate) tx_frames: f64,
    pub(crate) drops: f64,
}

/// Bits a second of a port, oldest first: in and out.
pub(crate) type History = (VecDeque<u64>, VecDeque<u64>);

/// A station that sends: address, port, bits and frames a second.
pub(crate) struct TalkerRow {
    pub(crate) mac: String,
    pub(crate) port: String,
    pub(crate) bits: f64,
    pub(crate) frames: f64,
}

/// A reason: its name, side, frames, frames a second, and hint.
pub(crate) struct DropRow {
    pub(crate) reason: String,
    pub(crate) side: String,
    pub(crate) frames: u64,
    pub(crate) rate: f64,
    pub(crate) hint: String,
}

/// All of it.
pub(crate) struct Screen {
    interval: Duration,
    pub(crate) view: View,
    /// By view: the column that it is sorted by.
    sort: [usize; View::ALL.len()],
    pub(crate) filter: String,
    pub(crate) typing: bool,
    pub(crate) selected: usize,
    /// The port that is looked at alone.
    pub(crate) detail: Option<String>,
    pub(crate) paused: bool,
    /// The switch does not answer at the moment.
    pub(crate) is_away: bool,
    pub(crate) now: Sample,
    before: Option<Sample>,
    history: BTreeMap<String, History>,
}

impl Screen {
    pub(crate) fn new(now: Sample, interval: Duration) -> Self {
        Self {
            interval,
            view: View::Ports,
            sort: [0; View::ALL.len()],
            filter: String::new(),
            typing: false,
            selected: 0,
            detail: None,
            paused: false,
            is_away: false,
            now,
            before: None,
            history: BTreeMap::new(),
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether the FDB is looked at.
    pub(crate) fn wants_fdb(&self) -> bool {
        self.view == View::Fdb && self.detail.is_none()
    }

    /// The switch does not answer.
    pub(crate) fn away(&mut self) {
        self.is_away = true;
    }

    /// Takes what the switch says now.
    pub(crate) fn take(&mut self, sample: Sample) {
        self.is_away = false;
        if self.paused {
            return;
        }
        let before = std::mem::replace(&mut self.now, sample);
        self.before = Some(before);
        for port in &self.now.ports {
            let Rates { rx_bits, tx_bits, .. } = self.rates(port);
            let (rx, tx) = self.history.entry(port.name.clone()).or_default();
            for (list, bits) in [(rx, rx_bits), (tx, tx_bits)] {
                list.push_back(bits as u64);
                if list.len() > REMEMBERED {
                    list.pop_front();
                }
            }
        }
        let ports = &self.now.ports;
        self.history.retain(|name, _| ports.iter().any(|port| port.name == *name));
        self.selected = self.selected.min(self.rows().saturating_sub(1));
    }

    fn seconds(&self) -> f64 {
        let before = self.before.as_ref().map(|before| self.now.at.duration_since(before.at));
        before.map_or(1.0, |time| time.as_secs_f64().max(0.001))
    }

    /// So much more a second; nothing where it is not known, or was counted anew meanwhile.
    fn rate(&self, before: Option<u64>, now: u64) -> f64 {
        before.map_or(0.0, |before| now.saturating_sub(before) as f64 / self.seconds())
    }

    /// The rates of a port.
    pub(crate) fn rates(&self, port: &Port) -> Rates {
        let before = self.before.iter().flat_map(|before| &before.ports).find(|old| old.name == port.name);
        let of = |value: fn(&Port) -> u64| self.rate(before.map(value), value(port));
        Rates {
            rx_bits: 8.0 * of(|port| port.counters.rx_bytes),
            tx_bits: 8.0 * of(|port| port.counters.tx_bytes),
            rx_frames: of(|port| port.counters.rx_frames),
            tx_frames: of(|port| port.counters.tx_frames),
            drops: of(dropped),
        }
    }

    /// What is remembered of a port.
    pub(crate) fn history(&self, port: &str) -> Option<&History> {
        self.history.get(port)
    }

    /// The column that the view is sorted by.
    pub(crate) fn sorted_by(&self) -> &'static str {
        let columns = self.view.columns();
        columns[self.sort[self.view as usize] % columns.len()]
    }

    fn passes(&self, texts: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    /// The ports, filtered and sorted.
    pub(crate) fn ports(&self) -> Vec<(&Port, Rates)> {
        let ports = self.now.ports.iter().filter(|port| self.passes(&[&port.name, &port.device_name]));
        let mut rows: Vec<_> = ports.map(|port| (port, self.rates(port))).collect();
        match self.sorted_by() {
            "rx" => rows.sort_by(|a, b| b.1.rx_bits.total_cmp(&a.1.rx_bits)),
            "tx" => rows.sort_by(|a, b| b.1.tx_bits.total_cmp(&a.1.tx_bits)),
            "drops" => rows.sort_by(|a, b| b.1.drops.total_cmp(&a.1.drops)),
            // The order of the configuration.
            _ => {}
        }
        rows
    }

    /// Who sends, filtered and sorted.
    pub(crate) fn talkers(&self) -> Vec<TalkerRow> {
        let old = |mac: &str| {
            let mut before = self.before.iter().flat_map(|before| &before.talkers);
            before.find(|talker| talker.mac == mac)
        };
        let talkers = self.now.talkers.iter().filter(|talker| self.passes(&[&talker.mac, &talker.port]));
        let mut rows: Vec<_> = talkers
            .map(|talker| {
                // One that has less than before has a new place: all of it is new.
                let before = old(&talker.mac).filter(|before| before.bytes <= talker.bytes);
                let (frames, bytes) = before.map_or((0, 0), |before| (before.frames, before.bytes));
                TalkerRow {
                    mac: talker.mac.clone(),
                    port: talker.port.clone(),
                    bits: 8.0 * self.rate(Some(bytes), talker.bytes),
                    frames: self.rate(Some(frames), talker.frames),
                }
            })
            .filter(|row| row.bits > 0.0)
            .collect();
        match self.sorted_by() {
            "frames" => rows.sort_by(|a, b| b.frames.total_cmp(&a.frames)),
            "mac" => rows.sort_by(|a, b| a.mac.cmp(&b.mac)),
            "port" => rows.sort_by(|a, b| (&a.port, &a.mac).cmp(&(&b.port, &b.mac))),
            _ => rows.sort_by(|a, b| b.bits.total_cmp(&a.bits)),
        }
        rows
    }

    /// The drops, filtered and sorted.
    pub(crate) fn drops(&self) -> Vec<DropRow> {
        let old = |reason: &str| {
            let mut before = self.before.iter().flat_map(|before| &before.drops);
            before.find(|drop| drop.reason == reason).map_or(0, |drop| drop.frames)
        };
        let row = |drop: &control::types::DropReason| DropRow {
            reason: drop.reason.clone(),
            side: drop.side.clone(),
            frames: drop.frames,
            rate: self.rate(self.before.as_ref().map(|_| old(&drop.reason)), drop.frames),
            hint: drop.hint.clone(),
        };
        let mut rows: Vec<_> =
            self.now.drops.iter().filter(|drop| self.passes(&[&drop.reason])).map(row).collect();
        match self.sorted_by() {
            "frames" => rows.sort_by_key(|row| std::cmp::Reverse(row.frames)),
            "reason" => rows.sort_by(|a, b| a.reason.cmp(&b.reason)),
            _ => rows.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.frames.cmp(&a.frames))),
        }
        rows
    }

    /// The stations, filtered and sorted.
    pub(crate) fn stations(&self) -> Vec<&FdbEntry> {
        let port = |entry: &FdbEntry| entry.port.clone().unwrap_or_default();
        let passes =
            |entry: &&FdbEntry| self.passes(&[&entry.mac, entry.port.as_deref().unwrap_or_default()]);
        let mut rows: Vec<_> = self.now.fdb.iter().filter(passes).collect();
        match self.sorted_by() {
            "port" => rows.sort_by_key(|entry| (port(entry), entry.mac.clone())),
            "vlan" => rows.sort_by_key(|entry| (entry.vlan, entry.mac.clone())),
            "age" => rows.sort_by_key(|entry| entry.age.unwrap_or(u64::MAX)),
            _ => {}
        }
        rows
    }

    fn rows(&self) -> usize {
        match self.view {
            View::Ports => self.ports().len(),
            View::Talkers => self.talkers().len(),
            View::Drops => self.drops().len(),
            View::Fdb => self.stations().len(),
        }
    }

    /// Does what a key says.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Next {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Next::End;
        }
        if self.typing {
            self.type_filter(key.code);
            return Next::Stay;
        }
        let last = self.rows().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => return Next::End,
            KeyCode::Esc if self.detail.is_some() => self.detail = None,
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Esc => return Next::End,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort[self.view as usize] += 1,
            KeyCode::Char(digit @ '1'..='4') => return self.turn_to(digit as usize - '1' as usize),
            KeyCode::Tab => return self.turn_to(self.view as usize + 1),
            KeyCode::BackTab => return self.turn_to(self.view as usize + View::ALL.len() - 1),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected = (self.selected + 1).min(last),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(10),
            KeyCode::PageDown => self.selected = (self.selected + 10).min(last),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = last,
            KeyCode::Enter => self.look_into(),
            _ => {}
        }
        Next::Stay
    }

    fn type_filter(&mut self, key: KeyCode) {
        self.selected = 0;
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(char) if self.filter.len() < 40 => self.filter.push(char),
            _ => {}
        }
    }

    fn turn_to(&mut self, place: usize) -> Next {
        self.view = View::ALL[place % View::ALL.len()].0;
        (self.selected, self.detail) = (0, None);
        self.filter.clear();
        Next::Look
    }

    /// The port of the selected row, alone.
    fn look_into(&mut self) {
        let at = self.selected;
        self.detail = match self.view {
            View::Ports => self.ports().get(at).map(|(port, _)| port.name.clone()),
            View::Talkers => self.talkers().get(at).map(|row| row.port.clone()),
            View::Fdb => self.stations().get(at).and_then(|entry| entry.port.clone()),
            View::Drops => None,
        };
    }

    /// The rates, for scripts.
    pub(crate) fn as_json(&self) -> Value {
        let ports = self.ports().into_iter().map(|(port, rates)| {
            json!({
                "ifname": port.name,
                "rx": { "bits_per_second": rates.rx_bits, "packets_per_second": rates.rx_frames },
                "tx": { "bits_per_second": rates.tx_bits, "packets_per_second": rates.tx_frames },
                "drops_per_second": rates.drops,
            })
        });
        let talkers = self.talkers().into_iter().map(|row| {
            json!({
                "mac": row.mac,
                "ifname": row.port,
                "bits_per_second": row.bits,
                "packets_per_second": row.frames,
            })
        });
        let drops = self.drops().into_iter();
        let drops = drops.map(|row| json!({ "reason": row.reason, "frames_per_second": row.rate }));
        json!({
            "ports": ports.collect::<Vec<_>>(),
            "talkers": talkers.collect::<Vec<_>>(),
            "drops": drops.collect::<Vec<_>>(),
            "fdb_entries": self.now.bridge.fdb_entries,
        })
    }
}

/// All that was dropped at a port.
pub(crate) fn dropped(port: &Port) -> u64 {
    port.drops.iter().map(|drop| drop.frames).sum()
}
