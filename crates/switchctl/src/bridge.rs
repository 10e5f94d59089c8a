//! `switchctl bridge …`.

use anyhow::Result;
use control::Client;
use control::types::{Bridge, BridgeChange};
use serde_json::json;

use crate::arguments::{BridgeAction, BridgeSet};
use crate::output::{self, Form};

pub(crate) fn run(client: &mut Client, action: &BridgeAction, form: Form) -> Result<String> {
    match action {
        BridgeAction::Show => {
            let bridge = client.show_bridge()?;
            if form.json { output::json(&[as_json(&bridge)]) } else { Ok(text(&bridge, form)) }
        }
        BridgeAction::Set(set) => {
            client.set_bridge(&change(set))?;
            Ok(String::new())
        }
    }
}

fn change(set: &BridgeSet) -> BridgeChange {
    BridgeChange {
        ageing_time: set.ageing_time,
        fdb_max_learned: set.fdb_max_learned,
        group_fwd_mask: set.group_fwd_mask,
        no_linklocal_learn: set.no_linklocal_learn,
        move_damping: set.move_damping,
        vlan_filtering: set.vlan_filtering,
        vlan_protocol: set.vlan_protocol,
        default_pvid: set.default_pvid,
    }
}

/// Times have a unit in their key: those of `ip -j` are hundredths of a second.
fn as_json(bridge: &Bridge) -> serde_json::Value {
    json!({
        "ifname": bridge.name,
        "ageing_time_ms": bridge.ageing_time,
        "fdb_max": bridge.fdb_max,
        "fdb_max_learned": bridge.fdb_max_learned,
        "group_fwd_mask": format!("{:x}", bridge.group_fwd_mask),
        "no_linklocal_learn": u8::from(bridge.no_linklocal_learn),
        "move_damping_ms": bridge.move_damping,
        "vlan_filtering": u8::from(bridge.vlan_filtering),
        "vlan_protocol": bridge.vlan_protocol,
        "vlan_default_pvid": bridge.default_pvid,
        "workers": bridge.workers,
        "fdb_entries": bridge.fdb_entries,
        "fdb": bridge.fdb_counters,
    })
}

fn text(bridge: &Bridge, form: Form) -> String {
    let mut text = format!(
        "{}: ageing_time {} group_fwd_mask {:#x} no_linklocal_learn {} move_damping {} fdb_max_learned {} fdb {}/{}\n",
        bridge.name,
        seconds(bridge.ageing_time),
        bridge.group_fwd_mask,
        if bridge.no_linklocal_learn { "on" } else { "off" },
        seconds(bridge.move_damping),
        bridge.fdb_max_learned,
        bridge.fdb_entries,
        bridge.fdb_max
    );
    if bridge.workers > 1 {
        text += &format!("    workers {}\n", bridge.workers);
    }
    if bridge.vlan_filtering {
        let protocol = bridge.vlan_protocol.name();
        text +=
            &format!("    vlan_filtering on vlan_protocol {protocol} default_pvid {}\n", bridge.default_pvid);
    }
    if form.statistics {
        let fdb = bridge.fdb_counters;
        text += &format!(
            "    fdb: learned {} moved {} aged {} evicted {} refused {} postponed {}\n",
            fdb.learned, fdb.moved, fdb.aged, fdb.evicted, fdb.refused, fdb.postponed
        );
    }
    text
}

/// Milliseconds as the configuration would have them.
fn seconds(milliseconds: u64) -> String {
    match milliseconds {
        whole if whole % 1000 == 0 => format!("{}s", whole / 1000),
        other => format!("{other}ms"),
    }
}
