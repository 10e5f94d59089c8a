//! A configuration as the text of a file that says the same: every table with the keys that are not at
//! their default.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use frame::Vid;
use toml::Value;

use crate::model::{
    BridgeConfig, Config, ControlConfig, EntryType, Listen, MirrorConfig, MirrorDirection, Owner,
    PatternConfig, PortConfig, PortKind, PortRules, PortState, PortVlans, PrivateVlanConfig, ProfileUse,
    RawConfig, StaticEntry, TapConfig, VhostUserConfig, VlanConfig, VlanProtocol,
};
use crate::pattern::MAX_PORTS;
use crate::vlans;

/// Keys of one table with their values as they are written.
pub(crate) type Lines = Vec<(&'static str, String)>;

/// The whole file.
pub(crate) fn to_toml(config: &Config) -> String {
    let mut text = String::new();
    table(&mut text, "[bridge]", &bridge(&config.bridge));
    for profile in &config.profiles {
        let lines: Vec<_> = profile.keys.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        table(&mut text, &format!("[profiles.{}]", key(&profile.name)), &lines);
    }
    // Those that patterns make do not stand in a file.
    let ports = || config.ports.iter().filter(|port| port.made_by.is_none());
    for config in ports() {
        table(&mut text, &format!("[ports.{}]", key(&config.name)), &port_in_file(config));
    }
    for config in &config.patterns {
        table(&mut text, &format!("[ports.{}]", key(&config.port.name)), &pattern(config));
    }
    for config in &config.private_vlans {
        table(&mut text, "[[private_vlan]]", &private_vlan(config));
    }
    let has_port =
        |entry: &&StaticEntry| entry.port.as_ref().is_none_or(|name| ports().any(|port| port.name == *name));
    for config in config.fdb.iter().filter(has_port) {
        table(&mut text, "[[fdb]]", &entry(config));
    }
    for config in &config.mirrors {
        table(&mut text, "[[mirror]]", &mirror(config));
    }
    let metrics = metrics(config.metrics.as_ref());
    if !metrics.is_empty() {
        table(&mut text, "[metrics]", &metrics);
    }
    let control = control(&config.control);
    if !control.is_empty() {
        table(&mut text, "[control]", &control);
    }
    text
}

fn table(text: &mut String, header: &str, lines: &[(&str, String)]) {
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
        busy_poll,
        workers,
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
    put(&mut lines, "busy_poll", *busy_poll, plain.busy_poll, short_time);
    put(&mut lines, "workers", *workers, plain.workers, |count| count.to_string());
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

/// All lines of a port, whether it takes a profile or not.
pub(crate) fn port(config: &PortConfig) -> Lines {
    let mut lines = kind(config, &plain_kind(&config.kind));
    lines.extend(rules(&config.rules, &plain_rules(is_host(config))));
    lines
}

/// The lines of a port that its profile does not have; all of them where it could not be said in a profile's terms.
fn port_in_file(config: &PortConfig) -> Lines {
    let Some(profile) = config.profile.as_deref().filter(|profile| can_follow(config, profile)) else {
        return port(config);
    };
    let mut lines = kind(config, &profile.kind);
    lines.insert(1, ("profile", text(&profile.name)));
    lines.extend(rules(&config.rules, &profile.rules));
    lines
}

/// All lines of a pattern.
pub(crate) fn pattern(config: &PatternConfig) -> Lines {
    let mut lines = port_in_file(&config.port);
    put(&mut lines, "max_ports", config.max_ports, MAX_PORTS, |most| most.to_string());
    lines
}

/// Whether all that the profile says and the port does not is the port's too: no key takes a value away.
fn can_follow(config: &PortConfig, profile: &ProfileUse) -> bool {
    let stays = |own: bool, shared: bool| own || !shared;
    let (own, shared) = (&config.rules, &profile.rules);
    let kinds = match (&config.kind, &profile.kind) {
        (PortKind::Tap(own), PortKind::Tap(shared)) => {
            stays(own.mtu.is_some(), shared.mtu.is_some())
                && stays(own.owner.is_some(), shared.owner.is_some())
        }
        (PortKind::Raw(own), PortKind::Raw(shared)) => {
            stays(own.exclusive.is_some(), shared.exclusive.is_some())
        }
        (PortKind::VhostUser(_), PortKind::VhostUser(_)) => true,
        _ => false,
    };
    kinds
        && stays(own.backup_port.is_some(), shared.backup_port.is_some())
        && stays(own.max_macs.is_some(), shared.max_macs.is_some())
        && stays(own.vlans.is_some(), shared.vlans.is_some())
}

/// A port of that kind that says nothing of itself.
fn plain_kind(kind: &PortKind) -> PortKind {
    match kind {
        PortKind::Tap(_) => PortKind::Tap(TapConfig::default()),
        PortKind::Raw(_) => PortKind::Raw(RawConfig::default()),
        PortKind::VhostUser(_) => PortKind::VhostUser(VhostUserConfig::default()),
    }
}

fn plain_rules(host: bool) -> PortRules {
    PortRules { learning: !host, ..PortRules::default() }
}

pub(crate) fn is_host(config: &PortConfig) -> bool {
    matches!(&config.kind, PortKind::Tap(tap) if tap.host)
}

/// What carries a port, where it is not `plain`.
fn kind(config: &PortConfig, plain: &PortKind) -> Lines {
    let mut lines = Lines::new();
    match &config.kind {
        PortKind::Tap(tap) => {
            let plain = if let PortKind::Tap(plain) = plain { plain.clone() } else { TapConfig::default() };
            let TapConfig { mtu, persist, owner, up, host, offload } = tap;
            lines.push(("type", text("tap")));
            lines.push(("device", text(&config.device)));
            put(&mut lines, "mtu", *mtu, plain.mtu, |mtu| mtu.unwrap_or_default().to_string());
            put(&mut lines, "persist", *persist, plain.persist, flag);
            put(&mut lines, "owner", owner.as_ref(), plain.owner.as_ref(), |owner| match owner {
                Some(Owner::Name(user)) => text(user),
                Some(Owner::Uid(uid)) => uid.to_string(),
                None => String::new(),
            });
            put(&mut lines, "up", *up, plain.up, flag);
            put(&mut lines, "host", *host, plain.host, flag);
            put(&mut lines, "offload", *offload, plain.offload, flag);
        }
        PortKind::Raw(raw) => {
            let plain = if let PortKind::Raw(plain) = plain { plain.clone() } else { RawConfig::default() };
            let RawConfig { exclusive, offload, qdisc_bypass } = raw;
            lines.push(("type", text("raw")));
            lines.push(("device", text(&config.device)));
            put(&mut lines, "exclusive", *exclusive, plain.exclusive, |on| flag(on.unwrap_or_default()));
            put(&mut lines, "offload", *offload, plain.offload, flag);
            put(&mut lines, "qdisc_bypass", *qdisc_bypass, plain.qdisc_bypass, flag);
        }
        PortKind::VhostUser(vhost_user) => {
            let plain = match plain {
                PortKind::VhostUser(plain) => plain.clone(),
                _ => VhostUserConfig::default(),
            };
            let VhostUserConfig { mode, offload } = vhost_user;
            lines.push(("type", text("vhost-user")));
            lines.push(("socket", text(&config.device)));
            put(&mut lines, "mode", *mode, plain.mode, |mode| text(mode.word()));
            put(&mut lines, "offload", *offload, plain.offload, flag);
        }
    }
    lines
}

/// What the switch does at a port, where it is not `plain`.
fn rules(rules: &PortRules, plain: &PortRules) -> Lines {
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
    put(&mut lines, "backup_port", backup_port.as_ref(), plain.backup_port.as_ref(), |backup| {
        text(backup.map_or("", String::as_str))
    });
    put(&mut lines, "max_macs", *max_macs, plain.max_macs, |max| max.unwrap_or_default().to_string());
    put(&mut lines, "promisc", *promisc, plain.promisc, flag);
    if let Some(PortVlans { pvid, members, untagged, wires }) =
        vlans.as_ref().filter(|_| *vlans != plain.vlans)
    {
        lines.extend(pvid.map(|pvid| ("pvid", pvid.to_string())));
        lines.push(("vlans", list(members)));
        if !untagged.is_empty() {
            lines.push(("untagged", list(untagged)));
        }
        if !wires.is_empty() {
            let pairs: Vec<_> = wires.iter().map(|(vid, wire)| format!("{wire} = {vid}")).collect();
            lines.push(("translate", format!("{{ {} }}", pairs.join(", "))));
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

/// Nothing where nothing is said.
pub(crate) fn control(control: &ControlConfig) -> Lines {
    let ControlConfig { group, admin_group } = control;
    let keys = [("group", group), ("admin_group", admin_group)].into_iter();
    keys.filter_map(|(key, group)| Some((key, text(group.as_ref()?)))).collect()
}

pub(crate) fn private_vlan(config: &PrivateVlanConfig) -> Lines {
    let PrivateVlanConfig { primary, isolated, communities } = config;
    let mut lines = vec![("primary", primary.to_string())];
    lines.extend(isolated.map(|isolated| ("isolated", isolated.to_string())));
    if !communities.is_empty() {
        lines.push(("communities", list(&communities.iter().copied().collect())));
    }
    lines
}

pub(crate) fn mirror(config: &MirrorConfig) -> Lines {
    let MirrorConfig { from, to, direction, vlan } = config;
    let from: Vec<_> = from.iter().map(|port| text(port)).collect();
    let mut lines = vec![("from", format!("[{}]", from.join(", "))), ("to", text(to))];
    put(&mut lines, "direction", *direction, MirrorDirection::Both, |direction| text(direction.word()));
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

fn list(vlans: &BTreeSet<Vid>) -> String {
    let ranges = vlans::ranges(vlans).into_iter().map(|range| text(&range));
    format!("[{}]", ranges.collect::<Vec<_>>().join(", "))
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
    in_units(time.as_millis(), "ms", "s")
}

fn short_time(time: Duration) -> String {
    in_units(time.as_micros(), "us", "ms")
}

/// In the unit that is a thousand times larger, where that is a whole number.
fn in_units(number: u128, unit: &str, larger: &str) -> String {
    text(&if number.is_multiple_of(1000) {
        format!("{}{larger}", number / 1000)
    } else {
        format!("{number}{unit}")
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
         group_fwd_mask = 0x4000\nno_linklocal_learn = true\nmove_damping = \"3s\"\nbusy_poll = \"50us\"\n\
         workers = 3\n\
         vlan_filtering = true\ndefault_pvid = 0\nvlan_protocol = \"802.1ad\"\nvlan_stats = true\n\
         vlan_stats_per_port = true\n\
         [ports.a]\ntype = \"tap\"\ndevice = \"a\\\"b\"\nmtu = 9000\npersist = true\nowner = \"root\"\nup = false\n\
         offload = false\nenabled = false\nstate = \"learning\"\nlearning = true\nflood = false\n\
         mcast_flood = false\nbcast_flood = false\nhairpin = true\nisolated = true\nlocked = true\nmab = true\n\
         group_fwd_mask = 4\nbackup_port = \"b.c\"\nmax_macs = 3\n\
         pvid = 9\nvlans = [5, \"20-29\"]\nuntagged = [9]\ntranslate = { 200 = 20, 20 = 21 }\n\
         [ports.\"b.c\"]\ntype = \"raw\"\ndevice = \"eth0\"\nexclusive = false\noffload = false\nqdisc_bypass = true\n\
         trunk = [\"4000-4094\"]\nnative = 1\n\
         [ports.h]\ntype = \"tap\"\nowner = 107\nhost = true\npromisc = true\nlearning = true\n\
         [ports.vm]\ntype = \"vhost-user\"\nsocket = \"/run/vm/0\"\nmode = \"client\"\noffload = false\n\
         [ports.h2]\ntype = \"raw\"\nlearning = false\naccess = 7\n\
         [[private_vlan]]\nprimary = 100\nisolated = 101\ncommunities = [102, \"110-119\"]\n\
         [[private_vlan]]\nprimary = 3\nisolated = 4\n\
         [[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\nvlan = 5\n\
         [[fdb]]\nmac = \"02:00:00:00:00:02\"\nport = \"b.c\"\ntype = \"sticky\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:03\"\nport = \"h\"\ntype = \"local\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:04\"\nport = \"a\"\ntype = \"extern_learn\"\n\
         [[fdb]]\nmac = \"02:00:00:00:00:05\"\ntype = \"blackhole\"\n\
         [ports.probe]\ntype = \"raw\"\n[[mirror]]\nfrom = [\"a\", \"b.c\"]\nto = \"probe\"\n\
         direction = \"egress\"\nvlan = 5\n\
         [metrics]\nlisten = \"[::1]:9817\"\n\
         [control]\ngroup = \"users\"\nadmin_group = \"adm\"\n\
         [profiles.vm]\nflood = false\nmax_macs = 9\nvlans = [3, \"5-6\"]\nmtu = 1400\ntype = \"tap\"\nowner = \"root\"\n\
         [ports.p1]\nprofile = \"vm\"\nflood = true\nmtu = 9000\n\
         [ports.p2]\nprofile = \"vm\"\naccess = 8\nhairpin = true\n\
         [ports.many]\ntype = \"raw\"\ndevice = \"vnet*\"\nisolated = true\nmax_ports = 5\n"
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
    fn a_port_says_only_what_its_profile_does_not() {
        let source = "[profiles.vm]\ntype = \"raw\"\nisolated = true\nmax_macs = 4\naccess = 7\n\
                      [bridge]\nvlan_filtering = true\n\
                      [ports.a]\nprofile = \"vm\"\n[ports.b]\nprofile = \"vm\"\nisolated = false\nmax_macs = 5\n\
                      [ports.c]\nprofile = \"vm\"\ntrunk = [8]\n";
        let mut config = crate::parse("a.toml", source).unwrap();
        assert!(config.ports[0].rules.isolated && !config.ports[1].rules.isolated);
        let vlans = config.ports[2].rules.vlans.as_ref().unwrap();
        assert!(vlans.pvid.is_none() && vlans.members.len() == 1, "{vlans:?}");
        let written = to_toml(&config);
        for expected in [
            "[profiles.vm]\ntype = \"raw\"\nisolated = true\nmax_macs = 4\naccess = 7\n",
            "[ports.a]\ntype = \"raw\"\nprofile = \"vm\"\ndevice = \"a\"\n\n",
            "[ports.b]\ntype = \"raw\"\nprofile = \"vm\"\ndevice = \"b\"\nisolated = false\nmax_macs = 5\n\n",
            "[ports.c]\ntype = \"raw\"\nprofile = \"vm\"\ndevice = \"c\"\nvlans = [\"8\"]\n",
        ] {
            assert!(written.contains(expected), "{expected}\n{written}");
        }
        // What no key takes away from a profile is said without it.
        config.ports[0].rules.max_macs = None;
        let written = to_toml(&config);
        let again = crate::parse("b.toml", &written).unwrap();
        assert_eq!((&again.ports[0].rules, &again.ports[0].profile), (&config.ports[0].rules, &None));
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
