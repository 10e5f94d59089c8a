//! What changed between two configurations, so that a running switch does only that.

use crate::model::{Config, PortConfig, StaticEntry};
use crate::render;

/// The way from one configuration to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// `[bridge]` has another setting that a running switch can take.
    pub bridge: bool,
    /// Names of ports that are no more.
    pub removed: Vec<String>,
    /// Names of ports that are new.
    pub added: Vec<String>,
    /// Names of ports that something else carries now, or in another way: they are made anew.
    pub replaced: Vec<String>,
    /// Names of ports at which only what the switch does is another.
    pub changed: Vec<String>,
    /// Entries that are no more, or other ones now.
    pub entries_removed: Vec<StaticEntry>,
    /// Entries that are new, or other ones now.
    pub entries_added: Vec<StaticEntry>,
    /// The metrics are to be read elsewhere, or from now on, or no more.
    pub metrics: bool,
    /// Others may use the control socket.
    pub control: bool,
    /// The private VLANs are others.
    pub private_vlans: bool,
    /// The mirrors are others.
    pub mirrors: bool,
    /// Each change in words.
    pub words: Vec<String>,
    /// What only a restart changes, in words.
    pub restart: Vec<String>,
}

impl Changes {
    /// Whether there is nothing to do, now or with a restart.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.restart.is_empty()
    }
}

/// Keys of `[bridge]` that a running switch can't take.
const FIXED: [&str; 3] = ["name", "fdb_max", "workers"];

pub(crate) fn between(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    let lines = (render::bridge(&old.bridge), render::bridge(&new.bridge));
    for (key, words) in differences(&lines.0, &lines.1) {
        let fixed = FIXED.contains(&key);
        changes.bridge |= !fixed;
        let list = if fixed { &mut changes.restart } else { &mut changes.words };
        list.push(format!("bridge: {words}"));
    }
    of_profiles(old, new, &mut changes);
    of_patterns(old, new, &mut changes);
    for port in &old.ports {
        if find(new, &port.name).is_none() {
            changes.removed.push(port.name.clone());
            changes.words.push(format!("port {} removed", port.name));
        }
    }
    for port in &new.ports {
        match find(old, &port.name) {
            None => {
                changes.added.push(port.name.clone());
                changes.words.push(format!("port {} added, on {}", port.name, port.device));
            }
            Some(before) => of_port(before, port, &mut changes),
        }
    }
    of_private_vlans(old, new, &mut changes);
    of_entries(old, new, &mut changes);
    let lines = (render::metrics(old.metrics.as_ref()), render::metrics(new.metrics.as_ref()));
    for (_, words) in differences(&lines.0, &lines.1) {
        changes.metrics = true;
        changes.words.push(format!("metrics: {words}"));
    }
    let words: Vec<_> = differences(&render::control(&old.control), &render::control(&new.control));
    let words: Vec<_> = words.into_iter().map(|(_, words)| words).collect();
    changes.control = !words.is_empty();
    if changes.control {
        changes.words.push(format!("control: {}", words.join(", ")));
    }
    of_mirrors(old, new, &mut changes);
    changes
}

fn of_profiles(old: &Config, new: &Config, changes: &mut Changes) {
    let names = of_both(old.profiles.iter().map(|of| &of.name), new.profiles.iter().map(|of| &of.name));
    let lines = |config: &Config, name: &str| {
        let profile = config.profiles.iter().find(|profile| profile.name == name);
        profile.map(|profile| profile.keys.clone())
    };
    for name in names {
        tell(&format!("profile {name}"), lines(old, name), lines(new, name), changes);
    }
}

fn of_patterns(old: &Config, new: &Config, changes: &mut Changes) {
    let names =
        of_both(old.patterns.iter().map(|of| &of.port.name), new.patterns.iter().map(|of| &of.port.name));
    let lines = |config: &Config, name: &str| {
        let pattern = config.patterns.iter().find(|pattern| pattern.port.name == name);
        pattern.map(|pattern| {
            let lines = render::pattern(pattern).into_iter();
            lines.map(|(key, value)| (key.to_owned(), value)).collect::<Vec<_>>()
        })
    };
    for name in names {
        tell(&format!("ports of {name}"), lines(old, name), lines(new, name), changes);
    }
}

/// Each name once, those of the new ones first.
fn of_both<'n>(
    old: impl Iterator<Item = &'n String>,
    new: impl Iterator<Item = &'n String>,
) -> Vec<&'n String> {
    let mut names: Vec<_> = new.collect();
    let gone: Vec<_> = old.filter(|name| !names.contains(name)).collect();
    names.extend(gone);
    names
}

/// Keys with their values as they are written.
type Written = Vec<(String, String)>;

/// What has become of something that has keys.
fn tell(what: &str, old: Option<Written>, new: Option<Written>, changes: &mut Changes) {
    match (old, new) {
        (None, Some(_)) => changes.words.push(format!("{what} added")),
        (Some(_), None) => changes.words.push(format!("{what} removed")),
        (Some(old), Some(new)) if old != new => {
            let words: Vec<_> = differences(&old, &new).into_iter().map(|(_, words)| words).collect();
            changes.words.push(format!("{what}: {}", words.join(", ")));
        }
        _ => {}
    }
}

fn find<'c>(config: &'c Config, name: &str) -> Option<&'c PortConfig> {
    config.ports.iter().find(|port| port.name == name)
}

fn of_port(old: &PortConfig, new: &PortConfig, changes: &mut Changes) {
    let words = differences(&render::port(old), &render::port(new)).into_iter().map(|(_, words)| words);
    let words = words.collect::<Vec<_>>().join(", ");
    if (&old.device, &old.kind) != (&new.device, &new.kind) {
        changes.replaced.push(new.name.clone());
        changes.words.push(format!("port {} made anew: {words}", new.name));
    } else if old.rules != new.rules {
        changes.changed.push(new.name.clone());
        changes.words.push(format!("port {}: {words}", new.name));
    }
}

fn of_entries(old: &Config, new: &Config, changes: &mut Changes) {
    let entry = |config: &Config, this: &StaticEntry| {
        config.fdb.iter().find(|entry| (entry.mac, entry.vlan) == (this.mac, this.vlan)).cloned()
    };
    for before in &old.fdb {
        let after = entry(new, before);
        if after.as_ref() != Some(before) {
            changes.entries_removed.push(before.clone());
        }
        if after.is_none() {
            changes.words.push(format!("fdb entry {} removed", before.mac));
        }
    }
    for after in &new.fdb {
        let before = entry(old, after);
        if before.as_ref() == Some(after) {
            continue;
        }
        changes.entries_added.push(after.clone());
        changes.words.push(match before {
            None => format!("fdb entry {} added", after.mac),
            Some(before) => {
                let words = differences(&render::entry(&before), &render::entry(after)).into_iter();
                let words: Vec<_> = words.map(|(_, words)| words).collect();
                format!("fdb entry {}: {}", after.mac, words.join(", "))
            }
        });
    }
}

fn of_private_vlans(old: &Config, new: &Config, changes: &mut Changes) {
    changes.private_vlans = old.private_vlans != new.private_vlans;
    let primaries =
        |config: &Config| config.private_vlans.iter().map(|one| one.primary.to_string()).collect::<Vec<_>>();
    let lines = |config: &Config, primary: &str| {
        let private = config.private_vlans.iter().find(|one| one.primary.to_string() == primary);
        private.map(|private| {
            let lines = render::private_vlan(private).into_iter();
            lines.map(|(key, value)| (key.to_owned(), value)).collect::<Vec<_>>()
        })
    };
    for primary in of_both(primaries(old).iter(), primaries(new).iter()) {
        tell(&format!("private VLAN {primary}"), lines(old, primary), lines(new, primary), changes);
    }
}

fn of_mirrors(old: &Config, new: &Config, changes: &mut Changes) {
    changes.mirrors = old.mirrors != new.mirrors;
    let to = |config: &'_ Config, to: &str| config.mirrors.iter().find(|mirror| mirror.to == to).cloned();
    for before in old.mirrors.iter().filter(|before| to(new, &before.to).is_none()) {
        changes.words.push(format!("mirror to {} removed", before.to));
    }
    for after in &new.mirrors {
        let Some(before) = to(old, &after.to) else {
            changes.words.push(format!("mirror to {} added, from {}", after.to, after.from.join(", ")));
            continue;
        };
        let words = differences(&render::mirror(&before), &render::mirror(after)).into_iter();
        let words: Vec<_> = words.map(|(_, words)| words).collect();
        if !words.is_empty() {
            changes.words.push(format!("mirror to {}: {}", after.to, words.join(", ")));
        }
    }
}

/// Each key that has another value, and from what to what.
fn differences<K: PartialEq + Clone + std::fmt::Display>(
    old: &[(K, String)],
    new: &[(K, String)],
) -> Vec<(K, String)> {
    let value = |lines: &[(K, String)], key: &K| {
        lines.iter().find(|(known, _)| known == key).map_or("default", |(_, value)| value).to_owned()
    };
    let mut keys: Vec<&K> = old.iter().map(|(key, _)| key).collect();
    keys.extend(new.iter().map(|(key, _)| key).filter(|key| !old.iter().any(|(known, _)| known == *key)));
    let changed = keys.into_iter().map(|key| (key, value(old, key), value(new, key)));
    let changed = changed.filter(|(_, before, after)| before != after);
    changed.map(|(key, before, after)| (key.clone(), format!("{key} {before} -> {after}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "[bridge]\nageing_time = \"60s\"\n\
        [ports.a]\ntype = \"raw\"\n[ports.b]\ntype = \"raw\"\n[ports.c]\ntype = \"raw\"\n\
        [ports.d]\ntype = \"tap\"\nmtu = 1500\n\
        [[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\n[[fdb]]\nmac = \"02:00:00:00:00:02\"\nport = \"b\"\n";

    fn changes(after: &str) -> Changes {
        let parse = |text| crate::parse("x.toml", text).unwrap();
        between(&parse(BEFORE), &parse(after))
    }

    #[test]
    fn the_same_is_no_change_however_it_is_written() {
        let order =
            BEFORE.replace("[ports.a]\ntype = \"raw\"\n", "") + "[ports.a]\ntype = 'raw'\nflood = true\n";
        assert!(changes(BEFORE).is_empty() && changes(&order).is_empty());
    }

    #[test]
    fn every_difference_is_told_once_and_in_words() {
        let after = "[bridge]\nfdb_max = 9\ngroup_fwd_mask = 0x4000\n\
            [ports.b]\ntype = \"raw\"\nisolated = true\n[ports.c]\ntype = \"raw\"\ndevice = \"eth9\"\n\
            [ports.d]\ntype = \"tap\"\nmtu = 9000\n[ports.e]\ntype = \"raw\"\n\
            [[fdb]]\nmac = \"02:00:00:00:00:02\"\nport = \"c\"\n[[fdb]]\nmac = \"02:00:00:00:00:03\"\ntype = \"blackhole\"\n\
            [metrics]\nlisten = \"127.0.0.1:9817\"\n";
        let changes = changes(after);
        assert!(changes.bridge && changes.metrics);
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!((&changes.removed, &changes.added), (&of(&["a"]), &of(&["e"])));
        assert_eq!((&changes.replaced, &changes.changed), (&of(&["c", "d"]), &of(&["b"])));
        let macs = |entries: &[StaticEntry]| entries.iter().map(|entry| entry.mac.0[5]).collect::<Vec<_>>();
        assert_eq!((macs(&changes.entries_removed), macs(&changes.entries_added)), (vec![1, 2], vec![2, 3]));
        assert_eq!(
            changes.words,
            [
                "bridge: ageing_time \"60s\" -> default",
                "bridge: group_fwd_mask default -> 0x4000",
                "port a removed",
                "port b: isolated default -> true",
                "port c made anew: device \"c\" -> \"eth9\"",
                "port d made anew: mtu 1500 -> 9000",
                "port e added, on e",
                "fdb entry 02:00:00:00:00:01 removed",
                "fdb entry 02:00:00:00:00:02: port \"b\" -> \"c\"",
                "fdb entry 02:00:00:00:00:03 added",
                "metrics: listen default -> \"127.0.0.1:9817\"",
            ]
        );
        assert_eq!(changes.restart, ["bridge: fdb_max default -> 9"]);
    }
}
