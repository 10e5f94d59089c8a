//! `[[private_vlan]]`: what it says, and each mistake in it.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

use config::{PrivateVlanConfig, changes, parse, to_toml};
use frame::Vid;

const PORTS: &str = "[bridge]\nvlan_filtering = true\n[ports.a]\ntype = \"raw\"\naccess = 101\n\
                     [ports.b]\ntype = \"raw\"\ntrunk = [\"100-103\"]\n[ports.c]\ntype = \"raw\"\n";
const GUESTS: &str = "[[private_vlan]]\nprimary = 100\nisolated = 101\ncommunities = [\"102-103\"]\n";

fn private_vlans(before: &str, after: &str) -> Vec<PrivateVlanConfig> {
    parse("sw.toml", &format!("{before}{PORTS}{after}")).unwrap().private_vlans
}

fn vid(number: u16) -> Vid {
    Vid::new(number).unwrap()
}

#[test]
fn a_private_vlan_is_a_table_of_a_list_or_stands_alone() {
    let guests = PrivateVlanConfig {
        primary: vid(100),
        isolated: Some(vid(101)),
        communities: vec![vid(102), vid(103)],
    };
    let lab = PrivateVlanConfig { primary: vid(7), isolated: None, communities: vec![vid(8)] };
    assert_eq!(private_vlans("", ""), []);
    assert_eq!(
        private_vlans("private_vlan = { primary = 7, communities = [8] }\n", ""),
        std::slice::from_ref(&lab)
    );
    let both = format!("{GUESTS}[[private_vlan]]\nprimary = 7\ncommunities = [8]\n");
    assert_eq!(private_vlans("", &both), [guests, lab]);
}

#[test]
fn what_keeps_nothing_apart_or_is_two_things_is_told_with_the_way_out() {
    let port = |vlans: &str| format!("{GUESTS}[ports.d]\ntype = \"raw\"\n{vlans}\n");
    for (text, says, help) in [
        (
            "[[private_vlan]]\nisolated = 101\n".to_owned(),
            "[[private_vlan]] has no `primary`",
            "primary = 100",
        ),
        ("[[private_vlan]]\nprimary = 100\n".into(), "nobody would be kept apart", "isolated = 101"),
        ("[[private_vlan]]\nprimary = 4095\nisolated = 1\n".into(), "`primary` in [[private_vlan]]", "4094"),
        ("[[private_vlan]]\nprimary = 9\ncommunities = [0]\n".into(), "is no VLAN", "20-29"),
        ("[[private_vlan]]\nprimary = 9\nisolated = 9\n".into(), "VLAN 9 can't be two parts", "of line 11"),
        (
            format!("{GUESTS}[[private_vlan]]\nprimary = 9\nisolated = 102\n"),
            "VLAN 102 can't be two parts",
            "it has one in the [[private_vlan]] of line 11",
        ),
        (format!("{GUESTS}color = 1\n"), "unknown key `color` in [[private_vlan]]", "primary"),
        ("[[private_vlans]]\nprimary = 9\nisolated = 10\n".into(), "unknown table", "[[private_vlan]]?"),
        (port("vlans = [101, 102]"), "`d` is in 101 and 102, two secondaries of VLAN 100", "100 too"),
        (
            port("trunk = [100]\nnative = 103"),
            "`d` is in the primary VLAN 100 and, untagged, in 103",
            "`access`",
        ),
        (
            format!("{GUESTS}[[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\nvlan = 7\n"),
            "port `a` is not in VLAN 7",
            "name one that it is in",
        ),
        (
            format!(
                "{GUESTS}[[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\nvlan = 101\n\
                 [[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"b\"\nvlan = 102\n"
            ),
            "a second static entry for 02:00:00:00:00:01, which has one in VLAN 101",
            "VLANs 101 and 102 are parts of one private VLAN",
        ),
    ] {
        let problems = parse("sw.toml", &format!("{PORTS}{text}")).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems}");
        let shown = problems.to_string();
        assert!(shown.contains(says) && shown.contains(help), "{shown}");
    }
    let off = format!("[ports.c]\ntype = \"raw\"\n{GUESTS}");
    let problems = parse("sw.toml", &off).unwrap_err().to_string();
    assert!(
        problems.contains("a private VLAN has no effect") && problems.contains("vlan_filtering"),
        "{problems}"
    );
    for fine in [
        port("access = 100"),
        port("trunk = [100, 102, 7]\nnative = 100"),
        port("pvid = 101\nvlans = [7]"),
        format!("{GUESTS}[[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"\nvlan = 100\n"),
    ] {
        parse("sw.toml", &format!("{PORTS}{fine}")).unwrap();
    }
}

#[test]
fn what_changes_is_told_and_what_is_written_is_read_again() {
    let read = |text: &str| parse("sw.toml", &format!("{PORTS}{text}")).unwrap();
    let before = read(&format!("{GUESTS}[[private_vlan]]\nprimary = 7\nisolated = 8\n"));
    let after = read("[[private_vlan]]\nprimary = 100\ncommunities = [\"102\"]\n");
    let there = changes(&before, &after);
    assert!(there.private_vlans);
    assert_eq!(
        there.words,
        [
            "private VLAN 100: isolated 101 -> default, communities [\"102-103\"] -> [\"102\"]",
            "private VLAN 7 removed",
        ]
    );
    assert_eq!(changes(&after, &before).words[1], "private VLAN 7 added");
    assert!(!changes(&before, &before).private_vlans);
    assert_eq!(parse("again.toml", &to_toml(&before)).unwrap(), before);
}
