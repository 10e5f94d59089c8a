//! `switchctl vlan …`: text and JSON as `bridge vlan` has them, and a map for people.

use std::collections::BTreeSet;

use anyhow::Result;
use control::Client;
use control::types::{NewVlans, PortState, PrivateKind, Vlan, VlanChange, VlanCounters};
use serde_json::{Map, Value, json};

use crate::arguments::VlanAction;
use crate::output::{self, Form};
use crate::reach::tried;
use crate::values::word;

pub(crate) fn run(client: &mut Client, action: &VlanAction, form: Form) -> Result<String> {
    match action {
        VlanAction::Show { port } => {
            let vlans = client.show_vlans(port.as_deref())?;
            let ports: Vec<&[Vlan]> = vlans.chunk_by(|a, b| a.port == b.port).collect();
            if form.json {
                let ports: Vec<_> = ports.iter().map(|vlans| as_json(vlans, form)).collect();
                return output::json(&ports);
            }
            let text: String = ports.iter().map(|vlans| text(vlans, form)).collect();
            Ok(format!("{:<16}  vlan-id\n{text}", "port"))
        }
        VlanAction::Add { vid: (vid, last), port, pvid, untagged, wire } => {
            let new = NewVlans {
                port: port.clone(),
                vid: *vid,
                last: Some(*last),
                pvid: *pvid,
                untagged: *untagged,
                wire: *wire,
            };
            tried(client.add_vlans(&new), || format!("can't add VLANs to {port}"))?;
            Ok(String::new())
        }
        VlanAction::Set { vid: (vid, last), port, state } => {
            let change = VlanChange { port: port.clone(), vid: *vid, last: Some(*last), state: *state };
            tried(client.set_vlans(&change), || format!("can't set the state of VLANs of {port}"))?;
            Ok(String::new())
        }
        VlanAction::Del { vid: (vid, last), port } => {
            tried(client.delete_vlans(port, *vid, *last), || format!("can't take VLANs from {port}"))?;
            Ok(String::new())
        }
        VlanAction::Map => {
            let names: Vec<String> = client.show_ports(None)?.into_iter().map(|port| port.name).collect();
            let vlans = client.show_vlans(None)?;
            if form.json { output::json(&map_as_json(&names, &vlans)) } else { Ok(map(&names, &vlans)) }
        }
    }
}

fn flags(vlan: &Vlan) -> Vec<&'static str> {
    let all = [(vlan.pvid, "PVID"), (vlan.untagged, "Egress Untagged")];
    all.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).collect()
}

fn as_json(vlans: &[Vlan], form: Form) -> Value {
    let one = |vlan: &Vlan| {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("vlan", json!(vlan.vid));
        let flags = flags(vlan);
        if !flags.is_empty() {
            put("flags", json!(flags));
        }
        if let Some(wire) = vlan.wire {
            put("wire", json!(wire));
        }
        if let Some(private) = vlan.private {
            put("private", json!(private));
        }
        if form.details {
            put("state", json!(vlan.state));
        }
        if let Some(counters) = vlan.counters.filter(|_| form.statistics) {
            let VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes } = counters;
            put("rx_bytes", json!(rx_bytes));
            put("rx_packets", json!(rx_frames));
            put("tx_bytes", json!(tx_bytes));
            put("tx_packets", json!(tx_frames));
        }
        Value::Object(object)
    };
    let port = vlans.first().map_or("", |vlan| vlan.port.as_str());
    json!({ "ifname": port, "vlans": vlans.iter().map(one).collect::<Vec<_>>() })
}

fn text(vlans: &[Vlan], form: Form) -> String {
    let mut text = String::new();
    for (index, vlan) in vlans.iter().enumerate() {
        let name = if index == 0 { vlan.port.as_str() } else { "" };
        let mut words = vec![vlan.vid.to_string()];
        words.extend(flags(vlan).into_iter().map(str::to_owned));
        words.extend(vlan.wire.map(|wire| format!("wire {wire}")));
        words.extend(part(vlan).map(|(word, of)| format!("{word}{of}")));
        if form.details {
            words.push(format!("state {}", word(&PortState::ALL, vlan.state)));
        }
        text += &format!("{name:<16}  {}\n", words.join(" "));
        if let Some(counters) = vlan.counters.filter(|_| form.statistics) {
            let VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes } = counters;
            text += &format!("{:<16}    RX: {rx_bytes} bytes {rx_frames} packets\n", "");
            text += &format!("{:<16}    TX: {tx_bytes} bytes {tx_frames} packets\n", "");
        }
    }
    text
}

/// What a VLAN is in a private one, and of which.
fn part(vlan: &Vlan) -> Option<(&'static str, String)> {
    let private = vlan.private?;
    let of = format!(" of {}", private.primary);
    Some(match private.kind {
        PrivateKind::Primary => ("primary", String::new()),
        PrivateKind::Isolated => ("isolated", of),
        PrivateKind::Community => ("community", of),
    })
}

/// Each port with its VLANs, ranges of like ones as one, as `bridge -c -j vlan` has them.
fn map_as_json(ports: &[String], vlans: &[Vlan]) -> Vec<Value> {
    let of = |port: &String| {
        let own: Vec<&Vlan> = vlans.iter().filter(|vlan| vlan.port == *port).collect();
        let alike = |a: &&Vlan, b: &&Vlan| {
            let plain = |vlan: &Vlan| !vlan.pvid && vlan.wire.is_none();
            a.vid + 1 == b.vid && plain(a) && plain(b) && flags(a) == flags(b) && a.private == b.private
        };
        let ranges = own.chunk_by(alike).map(|range| {
            let (first, last) = (range[0], range[range.len() - 1]);
            let mut object = Map::from_iter([("vlan".to_owned(), json!(first.vid))]);
            if first.vid != last.vid {
                object.insert("vlanEnd".to_owned(), json!(last.vid));
            }
            if !flags(first).is_empty() {
                object.insert("flags".to_owned(), json!(flags(first)));
            }
            if let Some(wire) = first.wire {
                object.insert("wire".to_owned(), json!(wire));
            }
            if let Some(private) = first.private {
                object.insert("private".to_owned(), json!(private));
            }
            Value::Object(object)
        });
        json!({ "ifname": port, "vlans": ranges.collect::<Vec<_>>() })
    };
    ports.iter().map(of).collect()
}

/// Ports by VLANs. A port that is in none has an empty row; VLANs next to each other in which all ports are alike
/// share a column.
fn map(ports: &[String], vlans: &[Vlan]) -> String {
    let letter = |port: &String, vid: u16| {
        let vlan = vlans.iter().find(|vlan| vlan.port == *port && vlan.vid == vid);
        vlan.map_or(String::new(), |vlan| {
            let form = if vlan.untagged { "U" } else { "T" };
            let form = if vlan.pvid { format!("P{form}") } else { form.to_owned() };
            vlan.wire.map_or(form.clone(), |wire| format!("{form}={wire}"))
        })
    };
    let mut columns: Vec<(u16, u16, &str, Vec<String>)> = Vec::new();
    for vid in vlans.iter().map(|vlan| vlan.vid).collect::<BTreeSet<_>>() {
        let column: Vec<String> = ports.iter().map(|port| letter(port, vid)).collect();
        let part = vlans.iter().find(|vlan| vlan.vid == vid).and_then(part).map_or("", |(word, _)| word);
        match columns.last_mut() {
            Some((_, last, word, same)) if (*last + 1, *word) == (vid, part) && *same == column => {
                *last = vid
            }
            _ => columns.push((vid, vid, part, column)),
        }
    }
    let title = |(first, last, part, _): &(u16, u16, &str, Vec<String>)| {
        let vids = if first == last { first.to_string() } else { format!("{first}-{last}") };
        if part.is_empty() { vids } else { format!("{vids} {part}") }
    };
    let mut rows =
        vec![std::iter::once("port".to_owned()).chain(columns.iter().map(title)).collect::<Vec<_>>()];
    for (index, port) in ports.iter().enumerate() {
        let cells = columns.iter().map(|(_, _, _, column)| column[index].clone());
        rows.push(std::iter::once(port.clone()).chain(cells).collect());
    }
    output::table(&rows)
}

#[cfg(test)]
mod tests {
    use control::types::PrivateRole;

    use super::*;

    fn vlan(port: &str, vid: u16, pvid: bool, untagged: bool) -> Vlan {
        Vlan {
            port: port.to_owned(),
            vid,
            pvid,
            untagged,
            private: None,
            state: PortState::Forwarding,
            wire: None,
            counters: None,
        }
    }

    #[test]
    fn the_map_has_a_letter_for_each_port_and_vlan() {
        let ports = ["a", "b", "c"].map(str::to_owned);
        let mut vlans = vec![vlan("a", 10, true, true)];
        vlans.extend((20..=29).map(|vid| vlan("b", vid, false, false)));
        vlans.push(vlan("b", 10, true, false));
        vlans.push(vlan("b", 30, false, true));
        vlans.push(Vlan { wire: Some(100), ..vlan("c", 10, false, false) });
        assert_eq!(
            map(&ports, &vlans),
            "port  10     20-29  30\na     PU\nb     PT     T      U\nc     T=100\n"
        );
        let expected = json!([
            { "ifname": "a", "vlans": [{ "vlan": 10, "flags": ["PVID", "Egress Untagged"] }] },
            { "ifname": "b", "vlans": [
                { "vlan": 20, "vlanEnd": 29 },
                { "vlan": 10, "flags": ["PVID"] },
                { "vlan": 30, "flags": ["Egress Untagged"] },
            ] },
            { "ifname": "c", "vlans": [{ "vlan": 10, "wire": 100 }] },
        ]);
        assert_eq!(json!(map_as_json(&ports, &vlans)), expected);
    }

    #[test]
    fn the_map_says_which_vlans_are_parts_of_a_private_one() {
        let ports = ["router", "room", "link"].map(str::to_owned);
        let of = |kind| Some(PrivateRole { kind, primary: 100 });
        let part = |port, vid, kind, access| Vlan { private: of(kind), ..vlan(port, vid, access, access) };
        let vlans = [
            part("router", 100, PrivateKind::Primary, true),
            part("room", 101, PrivateKind::Isolated, true),
            part("link", 100, PrivateKind::Primary, false),
            part("link", 101, PrivateKind::Isolated, false),
            part("link", 102, PrivateKind::Community, false),
            part("link", 103, PrivateKind::Community, false),
        ];
        assert_eq!(
            map(&ports, &vlans),
            "port    100 primary  101 isolated  102-103 community\n\
             router  PU\n\
             room                 PU\n\
             link    T            T             T\n"
        );
        let private = json!({ "kind": "community", "primary": 100 });
        let range = json!({ "vlan": 102, "vlanEnd": 103, "private": private });
        assert_eq!(map_as_json(&ports, &vlans)[2]["vlans"][2], range);
        let form = Form { json: false, details: false, statistics: false };
        assert_eq!(
            text(&vlans[1..2], form),
            format!("{:<16}  101 PVID Egress Untagged isolated of 100\n", "room")
        );
        assert_eq!(text(&vlans[..1], form), format!("{:<16}  100 PVID Egress Untagged primary\n", "router"));
        assert_eq!(as_json(&vlans[4..5], form)["vlans"][0]["private"], private);
    }
}
