//! A configuration as the text of a file that says the same: every table with the keys that are not at
//! their default.

use std::fmt::Write;
use std::time::Duration;

use frame::Vid;
use toml::Value;

use crate::model::{
    BridgeConfig, Config, EntryType, Listen, Owner, PortConfig, PortKind, PortRules, PortState, PortVlans,
    RawConfig, StaticEntry, TapConfig, VlanConfig, VlanProtocol,
};
use crate::vlans;

/// Keys of one table with their values as they are written.
pub(crate) type Lines = Vec<(&'static str, String)>;

/// The whole file.
pub(crate) fn to_toml(config: &Config) -> String {
    let mut text = String::new();
    table(&mut text, "[bridge]", &bridge(&config.bridge));
    for config in &config.ports {
        table(&mut text, &format!("[ports.{}]", key(&config.name)), &port(config));
    }
    for config in &config.fdb {
        table(&mut text, "[[fdb]]", &entry(config));
    }
    let metrics = metrics(config.metrics.as_ref());
    if !metrics.is_empty() {
        table(&mut text, "[metrics]", &metrics);
    }
    text
}

fn table(text: &mut String, header: &str, lines: &Lines) {
    if !text.is_empty() {
        text.push('\n');
    }
    // A String takes all that is written into it.
    let _ = writeln!(text, "{header}");
    for (key, value) in lines {
        let _ = writeln!(text, "{key} = {value}");
    }
}

/// A key of a header: in quotes where a bare one would mean something else.
pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { text(name) }
}

pub(crate) fn bridge(bridge: &BridgeConfig) -> Lines {
    let BridgeConfig {
        name,
        ageing_time,
        fdb_max,
        fdb_max_learned,
        group_fwd_mask,
        no_linklocal_learn,
        move_damping,
        vlan,
    } = bridge;
    let plain = BridgeConfig::default();
    let mut lines = vec![("name", text(name))];
    put(&mut lines, "ageing_time", *ageing_time, plain.ageing_time, time);
    put(&mut lines, "fdb_max", *fdb_max, plain.fdb_max, |max| max.to_string());
    put(&mut lines, "fdb_max_learned", *fdb_max_learned, plain.fdb_max_learned, |max| max.to_string());
    put(&mut lines, "group_fwd_mask", *group_fwd_mask, plain.group_fwd_mask, mask);
    // Its default depends on the ports.
    lines.push(("no_linklocal_learn", no_linklocal_learn.to_string()));
    put(&mut lines, "move_damping", *move_damping, plain.move_damping, time);
    let VlanConfig { filtering, default_pvid, protocol, stats, stats_per_port } = *vlan;
    put(&mut lines, "vlan_filtering", filtering, plain.vlan.filtering, flag);
    put(&mut lines, "default_pvid", default_pvid, plain.vlan.default_pvid, |vid| {
        vid.map_or(0, Vid::get).to_string()
    });
    put(&mut lines, "vlan_protocol", protocol, plain.vlan.protocol, |protocol| {
        text(word(&VlanProtocol::ALL, protocol))
    });
    put(&mut lines, "vlan_stats", stats, plain.vlan.stats, flag);
    put(&mut lines, "vlan_stats_per_port", stats_per_port, plain.vlan.stats_per_port, flag);
    lines
}

/// All lines of a port.
pub(crate) fn port(config: &PortConfig) -> Lines {
    let mut lines = kind(config);
    lines.extend(rules(&config.rules, is_host(config)));
    lines
}

pub(crate) fn is_host(config: &PortConfig) -> bool {
    matches!(&config.kind, PortKind::Tap(tap) if tap.host)
}

/// What carries a port.
pub(crate) fn kind(config: &PortConfig) -> Lines {
    let name = |name| text(name);
    let mut lines = Lines::new();
    match &config.kind {
        PortKind::Tap(TapConfig { mtu, persist, owner, up, host, offload }) => {
            lines.push(("type", name("tap")));
            lines.push(("device", name(&config.device)));
            lines.extend(mtu.map(|mtu| ("mtu", mtu.to_string())));
            put(&mut lines, "persist", *persist, false, flag);
            lines.extend(owner.as_ref().map(|owner| match owner {
                Owner::Name(user) => ("owner", text(user)),
                Owner::Uid(uid) => ("owner", uid.to_string()),
            }));
            put(&mut lines, "up", *up, true, flag);
            put(&mut lines, "host", *host, false, flag);
            put(&mut lines, "offload", *offload, true, flag);
        }
        PortKind::Raw(RawConfig { exclusive, offload }) => {
            lines.push(("type", name("raw")));
            lines.push(("device", name(&config.device)));
            lines.extend(exclusive.map(|exclusive| ("exclusive", exclusive.to_string())));
            put(&mut lines, "offload", *offload, true, flag);
        }
    }
    lines
}

/// What the switch does at a port.
pub(crate) fn rules(rules: &PortRules, host: bool) -> Lines {
    let PortRules {
        enabled,
        state,
        learning,
        flood,
        mcast_flood,
        bcast_flood,
        hairpin,
        isolated,
        locked,
        mab,
        group_fwd_mask,
        backup_port,
        max_macs,
        promisc,
        vlans,
    } = rules;
    let plain = PortRules { learning: !host, ..PortRules::default() };
    let mut lines = Lines::new();
    put(&mut lines, "enabled", *enabled, plain.enabled, flag);
    put(&mut lines, "state", *state, plain.state, |state| text(word(&PortState::ALL, state)));
    put(&mut lines, "learning", *learning, plain.learning, flag);
    put(&mut lines, "flood", *flood, plain.flood, flag);
    put(&mut lines, "mcast_flood", *mcast_flood, plain.mcast_flood, flag);
    put(&mut lines, "bcast_flood", *bcast_flood, plain.bcast_flood, flag);
    put(&mut lines, "hairpin", *hairpin, plain.hairpin, flag);
    put(&mut lines, "isolated", *isolated, plain.isolated, flag);
    put(&mut lines, "locked", *locked, plain.locked, flag);
    put(&mut lines, "mab", *mab, plain.mab, flag);
    put(&mut lines, "group_fwd_mask", *group_fwd_mask, plain.group_fwd_mask, mask);
    lines.extend(backup_port.as_ref().map(|backup| ("backup_port", text(backup))));
    lines.extend(max_macs.map(|max| ("max_macs", max.to_string())));
    put(&mut lines, "promisc", *promisc, plain.promisc, flag);
    if let Some(PortVlans { pvid, members, untagged }) = vlans {
        let list = |vlans| {
            let ranges = vlans::ranges(vlans).into_iter().map(|range| text(&range));
            format!("[{}]", ranges.collect::<Vec<_>>().join(", "))
        };
        lines.extend(pvid.map(|pvid| ("pvid", pvid.to_string())));
        lines.push(("vlans", list(members)));
        if !untagged.is_empty() {
            lines.push(("untagged", list(untagged)));
        }
    }
    lines
}

pub(crate) fn entry(config: &StaticEntry) -> Lines {
    let StaticEntry { mac, kind, port, vlan } = config;
    let mut lines = vec![("mac", text(&mac.to_string()))];
    lines.extend(port.as_ref().map(|port| ("port", text(port))));
    lines.push(("type", text(word(&EntryType::ALL, *kind))));
    lines.extend(vlan.map(|vlan| ("vlan", vlan.to_string())));
    lines
}

/// Nothing where there are none.
pub(crate) fn metrics(listen: Option<&Listen>) -> Lines {
    listen.map(|listen| ("listen", text(&listen.to_string()))).into_iter().collect()
}

/// A line for a value that is not the default.
fn put<T: PartialEq>(
    lines: &mut Lines,
    key: &'static str,
    value: T,
    plain: T,
    write: impl FnOnce(T) -> String,
) {
    if value != plain {
        lines.push((key, write(value)));
    }
}

fn flag(on: bool) -> String {
    on.to_string()
}

fn mask(mask: u16) -> String {
    format!("{mask:#06x}")
}

/// A text as a value.
pub(crate) fn text(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn time(time: Duration) -> String {
    let milliseconds = time.as_millis();
    text(&if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    })
}

fn word<T: Copy + PartialEq>(all: &[(&'static str, T)], value: T) -> &'static str {
    all.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commented example with every line of it in force.
    fn every_key() -> String {
        "[bridge]\nname = \"lab\"\nageing_time = \"1500ms\"\nfdb_max = 7\nfdb_max_learned = 6\n\
         group_fwd_mask = 0x4000\nno_linklocal_learn = true\nmove_damping = \"3s\"\n\
         vlan_filtering = true\ndefault_pvid = 0\nvlan_protocol = \"802.1ad\"\nvlan_stats = true\n\
         vlan_stats_per_port = true\n\
         [ports.a]\ntype = \"tap\"\ndevice = \"a\\\"b\"\nmtu = 9000\npersist = true\nowner = \"root\"\nup = false\n\
         offload = false\nenabled = false\nstate = \"learning\"\nlearning = true\nflood = false\n\
         mcast_flood = false\nbcast_flood = false\nhairpin = true\nisolated = true\nlocked = true\nmab = true\n\
         group_fwd_mask = 4\nbackup_port = \"b.c\"\nmax_macs = 3\n\
         pvid = 9\nvlans = [5, \"20-29\"]\nuntagged = [9]\n\
         [ports.\"b.c\"]\ntype = \"raw\"\ndevice = \"eth0\"\nexclusive = false\noffload = false\n\
         trunk = [\"4000-4094\"]\nnative = 1\n\
         [ports.h]\ntype = \"tap\"\nowner = 107\nhost = true\npromisc = true\nlearning = true\n\
         [ports.h2]\ntype = \"raw\"\nlearning = false\naccess = 7\n\
         [[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\nvlan = 5\n\
         [[fdb]]\nmac = \"02:00:00:00:00:02\"\nport = \"b.c\"\ntype = \"sticky\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:03\"\nport = \"h\"\ntype = \"local\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:04\"\nport = \"a\"\ntype = \"extern_learn\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:05\"\ntype = \"blackhole\"\n\
         [metrics]\nlisten = \"[::1]:9817\"\n"
            .to_owned()
    }

    #[test]
    fn what_is_written_says_what_was_read() {
        let smallest = "[ports.eth0]\ntype = \"raw\"\n".to_owned();
        for source in [every_key(), smallest] {
            let config = crate::parse("a.toml", &source).unwrap();
            let written = to_toml(&config);
            assert_eq!(crate::parse("b.toml", &written).unwrap(), config, "{written}");
        }
    }

    #[test]
    fn no_key_is_forgotten() {
        let source = every_key();
        let written = to_toml(&crate::parse("a.toml", &source).unwrap());
        let known = crate::keys::all_keys().map(|key| key.name);
        // Shorthands are written at length.
        for key in known.filter(|key| !["access", "trunk", "native"].contains(key)) {
            assert!(written.contains(&format!("\n{key} = ")), "{key} is not written:\n{written}");
        }
    }
}
