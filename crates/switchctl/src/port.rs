//! `switchctl port …`: text and JSON as `bridge link` and `ip -s link` have them.

use anyhow::Result;
use control::Client;
use control::types::{Device, Port, PortChange, PortState};
use serde_json::{Value, json};

use crate::arguments::{PortAction, PortSet};
use crate::output::{self, Form};
use crate::reach::tried;
use crate::values::word;

pub(crate) fn run(client: &mut Client, action: &PortAction, form: Form) -> Result<String> {
    match action {
        PortAction::Show { port } => {
            let ports = client.show_ports(port.as_deref())?;
            let master = client.version()?.bridge;
            if form.json {
                let ports: Vec<_> = ports.iter().map(|port| as_json(port, &master)).collect();
                return output::json(&ports);
            }
            Ok(ports.iter().map(|port| text(port, &master, form)).collect())
        }
        PortAction::Add { port, options } => {
            let options = options.iter().cloned().collect();
            tried(client.add_port(port, &options), || format!("can't add port {port}"))?;
            Ok(String::new())
        }
        PortAction::Del { port } => {
            tried(client.delete_port(port), || format!("can't take port {port} away"))?;
            Ok(String::new())
        }
        PortAction::Set { port, change } => {
            tried(client.set_port(port, &to_change(change)), || format!("can't set port {port}"))?;
            Ok(String::new())
        }
    }
}

fn to_change(set: &PortSet) -> PortChange {
    let backup_port = if set.nobackup_port { Some(String::new()) } else { set.backup_port.clone() };
    PortChange {
        promisc: set.promisc,
        enabled: set.enabled,
        state: set.state,
        learning: set.learning,
        flood: set.flood,
        mcast_flood: set.mcast_flood,
        bcast_flood: set.bcast_flood,
        hairpin: set.hairpin,
        isolated: set.isolated,
        locked: set.locked,
        mab: set.mab,
        group_fwd_mask: set.group_fwd_mask,
        backup_port,
        max_macs: set.max_macs,
    }
}

/// `up`, `down`, or `waiting` for a device.
pub(crate) fn link(port: &Port) -> &'static str {
    match &port.device {
        None => "waiting",
        Some(device) if device.up && port.settings.enabled => "up",
        Some(_) => "down",
    }
}

/// The same in the words of `ip -j link`.
fn operstate(port: &Port) -> &'static str {
    match link(port) {
        "up" => "UP",
        "down" => "DOWN",
        _ => "NOTPRESENT",
    }
}

/// The flags that settings are in `bridge -d link`, each with whether it is on.
fn flags(port: &Port) -> [(&'static str, bool); 10] {
    let settings = &port.settings;
    [
        ("hairpin", settings.hairpin),
        ("learning", settings.learning),
        ("flood", settings.flood),
        ("mcast_flood", settings.mcast_flood),
        ("bcast_flood", settings.bcast_flood),
        ("isolated", settings.isolated),
        ("locked", settings.locked),
        ("mab", settings.mab),
        ("enabled", settings.enabled),
        ("promisc", settings.promisc),
    ]
}

fn dropped(port: &Port) -> u64 {
    port.drops.iter().map(|drop| drop.frames).sum()
}

fn as_json(port: &Port, master: &str) -> Value {
    let counters = &port.counters;
    let ingress = counters.rx_frames.saturating_sub(counters.forwarded);
    let egress = counters.copies.saturating_sub(counters.tx_frames);
    let mut object = json!({
        "ifname": port.name,
        "device": port.device_name,
        "kind": port.kind,
        "operstate": operstate(port),
        "master": master,
        "state": word(&PortState::ALL, port.settings.state),
        "host": port.settings.host,
        "group_fwd_mask": format!("{:x}", port.settings.group_fwd_mask),
        "backup_port": port.settings.backup_port,
        "max_macs": port.settings.max_macs,
        "stats64": {
            "rx": { "bytes": counters.rx_bytes, "packets": counters.rx_frames, "dropped": ingress },
            "tx": { "bytes": counters.tx_bytes, "packets": counters.tx_frames, "dropped": egress },
        },
        "counters": counters,
        "drops": port.drops.iter().map(|drop| (drop.reason.clone(), json!(drop.frames)))
            .collect::<serde_json::Map<_, _>>(),
        "kernel": port.kernel,
    });
    let Value::Object(fields) = &mut object else { return object };
    fields.extend(flags(port).map(|(name, on)| (name.to_owned(), json!(on))));
    if let Some(guest) = &port.guest {
        fields.insert("guest".to_owned(), json!(guest));
    }
    if let Some(device) = of_the_kernel(port) {
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        put("ifindex", json!(device.ifindex));
        put("address", json!(device.mac));
        put("mtu", json!(device.mtu));
        put("exclusive", json!(device.exclusive));
        put("qdisc_bypass", json!(device.qdisc_bypass));
        put("moved", json!(device.moved));
    }
    object
}

/// The device, where it is one that the kernel knows.
fn of_the_kernel(port: &Port) -> Option<&Device> {
    port.device.as_ref().filter(|_| port.guest.is_none())
}

fn text(port: &Port, master: &str, form: Form) -> String {
    let index = of_the_kernel(port).map_or_else(|| "-".to_owned(), |device| device.ifindex.to_string());
    let mut text = format!("{index}: {}", port.name);
    if port.device_name != port.name {
        text += &format!("@{}", port.device_name);
    }
    text += &format!(": {} {}", port.kind, link(port));
    if let Some(device) = of_the_kernel(port) {
        text += &format!(" mtu {}", device.mtu);
    }
    text += &format!(" master {master} state {}", word(&PortState::ALL, port.settings.state));
    if port.settings.host {
        text += " host";
    }
    text.push('\n');
    if form.details {
        text += &details(port);
    }
    if form.statistics {
        text += &statistics(port);
    }
    text
}

fn details(port: &Port) -> String {
    let settings = &port.settings;
    let words: Vec<_> =
        flags(port).iter().map(|(name, on)| format!("{name} {}", if *on { "on" } else { "off" })).collect();
    let mut text = format!("    {}\n", words.join(" "));
    text += &format!("    group_fwd_mask {:#x}", settings.group_fwd_mask);
    if let Some(backup) = &settings.backup_port {
        text += &format!(" backup_port {backup}");
    }
    if let Some(max) = settings.max_macs {
        text += &format!(" max_macs {max}");
    }
    if let Some(device) = of_the_kernel(port) {
        let exclusive = if device.exclusive { "on" } else { "off" };
        text += &format!(" address {} exclusive {exclusive}", device.mac);
        if device.qdisc_bypass {
            text += " qdisc_bypass on";
        }
        if device.moved {
            text += " (its interface is in another network namespace)";
        }
    }
    text.push('\n');
    if let Some(guest) = &port.guest {
        let connected = if guest.connected { "connected" } else { "not connected" };
        text +=
            &format!("    guest {connected} queues {} disconnects {}", guest.queue_pairs, guest.disconnects);
        if !guest.features.is_empty() {
            text += &format!(" features {}", guest.features.join(","));
        }
        if let Some(why) = &guest.why {
            text += &format!(" ({why})");
        }
        text.push('\n');
    }
    text
}

fn statistics(port: &Port) -> String {
    let counters = &port.counters;
    let number = |number: u64| number.to_string();
    let rows = [
        ["    RX: frames", "bytes", "forwarded", "moved", "own_source", "limited", "damped"]
            .map(str::to_owned)
            .to_vec(),
        vec![
            format!("        {}", counters.rx_frames),
            number(counters.rx_bytes),
            number(counters.forwarded),
            number(counters.moved),
            number(counters.own_source),
            number(counters.limited),
            number(counters.damped),
        ],
        ["    TX: copies", "frames", "bytes", "segments"].map(str::to_owned).to_vec(),
        vec![
            format!("        {}", counters.copies),
            number(counters.tx_frames),
            number(counters.tx_bytes),
            number(counters.tx_segments),
        ],
    ];
    let mut text = output::table(&rows);
    if dropped(port) > 0 {
        let drops: Vec<_> =
            port.drops.iter().map(|drop| format!("{} {}", drop.reason, drop.frames)).collect();
        text += &format!("    dropped: {}\n", drops.join(" "));
    }
    let kernel = &port.kernel;
    let device = kernel.device_tx_dropped.map_or_else(|| "unknown".to_owned(), number);
    text +=
        &format!("    lost by the kernel: device_tx_dropped {device} socket_lost {}\n", kernel.socket_lost);
    text
}
