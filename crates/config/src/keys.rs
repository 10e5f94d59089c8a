//! Every table, key and kind of port that a file may have; what is not here is a mistake.

/// A key of one table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// A right value, as it is written in the file.
    pub(crate) example: &'static str,
}

/// A kind of port, with the keys that only it has, or that it shares with some of the others.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
}

/// The tables at the top of the file, as their headers are written.
pub(crate) const TABLES: &[(&str, &str)] = &[
    ("bridge", "[bridge]"),
    ("profiles", "[profiles.NAME]"),
    ("ports", "[ports.NAME]"),
    ("private_vlan", "[[private_vlan]]"),
    ("fdb", "[[fdb]]"),
    ("mirror", "[[mirror]]"),
    ("metrics", "[metrics]"),
    ("control", "[control]"),
];

/// `[bridge]`.
pub(crate) const BRIDGE: &[Key] = &[
    Key { name: "name", example: "\"switchd\"" },
    Key { name: "ageing_time", example: "\"300s\"" },
    Key { name: "fdb_max", example: "65536" },
    Key { name: "fdb_max_learned", example: "1000" },
    Key { name: "group_fwd_mask", example: "0x4000" },
    Key { name: "no_linklocal_learn", example: "true" },
    Key { name: "move_damping", example: "\"3s\"" },
    Key { name: "busy_poll", example: "\"50us\"" },
    Key { name: "workers", example: "2" },
    Key { name: "vlan_filtering", example: "true" },
    Key { name: "default_pvid", example: "1" },
    Key { name: "vlan_protocol", example: "\"802.1ad\"" },
    Key { name: "vlan_stats", example: "true" },
    Key { name: "vlan_stats_per_port", example: "true" },
];

/// `[ports.NAME]`, whatever the type.
pub(crate) const PORT: &[Key] = &[
    Key { name: "type", example: "\"tap\"" },
    Key { name: "device", example: "\"tap0\"" },
    Key { name: "profile", example: "\"vm\"" },
    Key { name: "max_ports", example: "64" },
    Key { name: "enabled", example: "true" },
    Key { name: "state", example: "\"forwarding\"" },
    Key { name: "learning", example: "true" },
    Key { name: "flood", example: "true" },
    Key { name: "mcast_flood", example: "true" },
    Key { name: "bcast_flood", example: "true" },
    Key { name: "hairpin", example: "true" },
    Key { name: "isolated", example: "true" },
    Key { name: "locked", example: "true" },
    Key { name: "mab", example: "true" },
    Key { name: "group_fwd_mask", example: "0x4000" },
    Key { name: "backup_port", example: "\"lan\"" },
    Key { name: "max_macs", example: "4" },
    Key { name: "access", example: "10" },
    Key { name: "trunk", example: "[\"10-20\", \"30\"]" },
    Key { name: "native", example: "10" },
    Key { name: "pvid", example: "10" },
    Key { name: "vlans", example: "[\"10\", \"20-29\"]" },
    Key { name: "untagged", example: "[\"10\"]" },
    Key { name: "translate", example: "{ 100 = 20 }" },
];

/// Those of `[ports.NAME]` that `[profiles.NAME]` has not.
pub(crate) const NOT_SHARED: &[&str] = &["device", "profile", "max_ports", "host", "promisc", "socket"];

/// `[ports.NAME]`, by type.
pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "tap", keys: TAP },
    Kind { name: "raw", keys: RAW },
    Kind { name: "vhost-user", keys: VHOST_USER },
];

const TAP: &[Key] = &[
    Key { name: "mtu", example: "1500" },
    Key { name: "persist", example: "false" },
    Key { name: "owner", example: "\"libvirt-qemu\"" },
    Key { name: "up", example: "true" },
    Key { name: "host", example: "true" },
    Key { name: "promisc", example: "true" },
    Key { name: "offload", example: "true" },
];

const RAW: &[Key] = &[
    Key { name: "exclusive", example: "true" },
    Key { name: "offload", example: "true" },
    Key { name: "qdisc_bypass", example: "true" },
];

const VHOST_USER: &[Key] = &[
    Key { name: "socket", example: "\"/run/vm/net0.sock\"" },
    Key { name: "mode", example: "\"server\"" },
    Key { name: "offload", example: "true" },
];

/// `[[fdb]]`.
pub(crate) const FDB: &[Key] = &[
    Key { name: "mac", example: "\"02:00:5e:10:00:01\"" },
    Key { name: "port", example: "\"lan\"" },
    Key { name: "type", example: "\"static\"" },
    Key { name: "vlan", example: "10" },
];

/// `[[private_vlan]]`.
pub(crate) const PRIVATE_VLAN: &[Key] = &[
    Key { name: "primary", example: "100" },
    Key { name: "isolated", example: "101" },
    Key { name: "communities", example: "[\"102\", \"110-119\"]" },
];

/// `[metrics]`.
pub(crate) const METRICS: &[Key] = &[Key { name: "listen", example: "\"127.0.0.1:9817\"" }];
/// `[[mirror]]`.
pub(crate) const MIRROR: &[Key] = &[
    Key { name: "from", example: "[\"lan\"]" },
    Key { name: "to", example: "\"probe\"" },
    Key { name: "direction", example: "\"both\"" },
    Key { name: "vlan", example: "10" },
];

/// `[control]`.
pub(crate) const CONTROL: &[Key] =
    &[Key { name: "group", example: "\"users\"" }, Key { name: "admin_group", example: "\"adm\"" }];

/// The kinds of port that have the key.
pub(crate) fn kinds_with(key: &str) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.keys.iter().any(|known| known.name == key))
}

/// Every key of every table.
#[cfg(test)]
pub(crate) fn all_keys() -> impl Iterator<Item = &'static Key> {
    let of_kinds = KINDS.iter().flat_map(|kind| kind.keys);
    BRIDGE
        .iter()
        .chain(PORT)
        .chain(of_kinds)
        .chain(PRIVATE_VLAN)
        .chain(FDB)
        .chain(MIRROR)
        .chain(METRICS)
        .chain(CONTROL)
}

/// The known kinds as a message lists them.
pub(crate) fn kind_list() -> String {
    let names: Vec<String> = KINDS.iter().map(|kind| format!("\"{}\"", kind.name)).collect();
    names.join(" or ")
}

/// The candidate nearest to a mistyped word, where one is near enough to be meant.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // No known name is longer than 32; the distance takes the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(lower.len()) <= 4 * allowed)
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != word)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_one_that_was_meant_and_no_other() {
        assert_eq!(nearest("agein_time", BRIDGE.iter().map(|k| k.name)), Some("ageing_time"));
        assert_eq!(nearest("TYPE", PORT.iter().map(|k| k.name)), Some("type"));
        assert_eq!(nearest("vrf", PORT.iter().map(|k| k.name)), None);
        assert_eq!(nearest(&"t".repeat(65), ["tap"]), None);
    }

    /// Every key stands in the reference as a heading or table row, and in the commented example.
    #[test]
    fn every_key_is_documented_and_stands_in_the_example() {
        let reference = include_str!("../../../docs/configuration.md");
        let example = include_str!("../../../config/switchd.toml");
        for key in all_keys() {
            let row = format!("| `{}` |", key.name);
            assert!(reference.contains(&row), "docs/configuration.md has no row {row}");
            let shown = |line: &str| {
                let line = line.trim_start_matches(['#', ' ']);
                line.strip_prefix(key.name).is_some_and(|rest| rest.trim_start().starts_with('='))
            };
            assert!(example.lines().any(shown), "config/switchd.toml has no line for `{}`", key.name);
        }
        for (_, header) in TABLES {
            assert!(reference.contains(header), "docs/configuration.md has no {header}");
        }
        for kind in KINDS {
            let written = format!("type = \"{}\"", kind.name);
            assert!(reference.contains(&written) && example.contains(&written), "{written} is not shown");
        }
    }

    /// Every row of the reference is about a key that exists.
    #[test]
    fn the_reference_tells_of_no_key_that_does_not_exist() {
        let known: Vec<&str> = all_keys().map(|key| key.name).collect();
        for line in include_str!("../../../docs/configuration.md").lines() {
            let row = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
            if let Some((key, _)) = row {
                assert!(known.contains(&key), "docs/configuration.md tells of `{key}`");
            }
        }
    }
}
