//! `switchctl fdb …`: text and JSON as `bridge fdb` has them.

use anyhow::Result;
use control::Client;
use control::types::{EntryKind, FdbEntry, FdbFilter, NewFdbEntry};
use serde_json::{Map, Value, json};

use crate::arguments::{Entry, FdbAction};
use crate::output::{self, Form};
use crate::reach::tried;
use crate::values::word;

pub(crate) fn run(client: &mut Client, action: &FdbAction, form: Form) -> Result<String> {
    match action {
        FdbAction::Show { port, mac, kind, vlan } => {
            let filter = FdbFilter { port: port.clone(), mac: mac.clone(), kind: *kind, vlan: *vlan };
            let entries = client.show_fdb(&filter)?;
            let master = client.version()?.bridge;
            if form.json {
                let entries: Vec<_> = entries.iter().map(|entry| as_json(entry, &master, form)).collect();
                return output::json(&entries);
            }
            Ok(entries.iter().map(|entry| text(entry, &master, form)).collect())
        }
        FdbAction::Add(entry) => {
            tried(client.add_fdb(&new(entry)), || format!("can't add {}", entry.mac))?;
            Ok(String::new())
        }
        FdbAction::Replace(entry) => {
            tried(client.replace_fdb(&new(entry)), || format!("can't replace {}", entry.mac))?;
            Ok(String::new())
        }
        FdbAction::Del { mac, port, vlan } => {
            tried(client.delete_fdb_in(mac, port.as_deref(), *vlan), || format!("can't remove {mac}"))?;
            Ok(String::new())
        }
        FdbAction::Flush { port, kind, vlan } => {
            let removed = client.flush_fdb(port.as_deref(), *kind, *vlan)?;
            if form.json {
                output::json(&json!({ "removed": removed }))
            } else {
                Ok(format!("{removed} removed\n"))
            }
        }
    }
}

fn new(entry: &Entry) -> NewFdbEntry {
    NewFdbEntry { mac: entry.mac.clone(), port: entry.port.clone(), kind: entry.kind, vlan: entry.vlan }
}

/// The state and the flags that `bridge` shows for a kind of entry.
fn state_and_flags(kind: EntryKind) -> (&'static str, &'static [&'static str]) {
    match kind {
        EntryKind::Dynamic => ("", &[]),
        EntryKind::Locked => ("", &["locked"]),
        EntryKind::Static => ("static", &[]),
        EntryKind::Sticky => ("static", &["sticky"]),
        EntryKind::ExternLearn => ("", &["extern_learn"]),
        EntryKind::Local => ("permanent", &[]),
        EntryKind::Blackhole => ("static", &["blackhole"]),
    }
}

fn as_json(entry: &FdbEntry, master: &str, form: Form) -> Value {
    let (state, flags) = state_and_flags(entry.kind);
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("mac", json!(entry.mac));
    if let Some(port) = &entry.port {
        put("ifname", json!(port));
    }
    if let Some(vlan) = entry.vlan {
        put("vlan", json!(vlan));
    }
    if form.statistics {
        let age = entry.age.unwrap_or_default() / 1000;
        put("used", json!(age));
        put("updated", json!(age));
    }
    put("flags", json!(flags));
    put("master", json!(master));
    put("state", json!(state));
    if form.details {
        put("kind", json!(entry.kind));
    }
    Value::Object(object)
}

fn text(entry: &FdbEntry, master: &str, form: Form) -> String {
    let (state, flags) = state_and_flags(entry.kind);
    let mut words = vec![entry.mac.clone()];
    if let Some(port) = &entry.port {
        words.push(format!("dev {port}"));
    }
    if let Some(vlan) = entry.vlan {
        words.push(format!("vlan {vlan}"));
    }
    if form.statistics {
        let age = entry.age.unwrap_or_default() / 1000;
        words.push(format!("used {age}/{age}"));
    }
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    words.push(format!("master {master}"));
    if !state.is_empty() {
        words.push(state.to_owned());
    }
    if form.details {
        words.push(format!("kind {}", word(&EntryKind::ALL, entry.kind)));
    }
    words.join(" ") + "\n"
}
