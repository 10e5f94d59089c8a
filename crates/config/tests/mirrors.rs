//! `[[mirror]]`: what it says, and each mistake in it.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

use config::{MirrorConfig, MirrorDirection, changes, parse, to_toml};
use frame::Vid;

const PORTS: &str = "[ports.a]\ntype = \"raw\"\n[ports.b]\ntype = \"raw\"\n[ports.probe]\ntype = \"raw\"\n\
                     [ports.h]\ntype = \"tap\"\nhost = true\n";

fn mirrors(before: &str, after: &str) -> Vec<MirrorConfig> {
    parse("sw.toml", &format!("{before}{PORTS}{after}")).unwrap().mirrors
}

#[test]
fn a_mirror_is_a_table_of_a_list_or_stands_alone() {
    let both = MirrorConfig {
        from: vec!["a".into(), "b".into()],
        to: "probe".into(),
        direction: MirrorDirection::Both,
        vlan: None,
    };
    assert_eq!(mirrors("", ""), []);
    assert_eq!(
        mirrors("", "[[mirror]]\nfrom = [\"a\", \"b\"]\nto = \"probe\"\n"),
        std::slice::from_ref(&both)
    );
    assert_eq!(
        mirrors("mirror = { from = [\"a\", \"b\"], to = \"probe\" }\n", ""),
        std::slice::from_ref(&both)
    );
    let more = "[[mirror]]\nfrom = [\"a\"]\nto = \"b\"\ndirection = \"ingress\"\nvlan = 10\n\
                [[mirror]]\nfrom = [\"a\"]\nto = \"probe\"\ndirection = \"egress\"\n";
    let one = MirrorConfig { from: vec!["a".into()], ..both };
    let expected = [
        MirrorConfig {
            to: "b".into(),
            direction: MirrorDirection::Ingress,
            vlan: Vid::new(10),
            ..one.clone()
        },
        MirrorConfig { direction: MirrorDirection::Egress, ..one },
    ];
    assert_eq!(mirrors("", more), expected);
    // All that a pattern makes, or one of them, also before it is there.
    let many = "[ports.many]\ntype = \"raw\"\ndevice = \"vnet*\"\n";
    let made = mirrors(many, "[[mirror]]\nfrom = [\"many\", \"vnet7\"]\nto = \"vnet9\"\n");
    assert_eq!((made[0].from.join(" "), made[0].to.as_str()), ("many vnet7".into(), "vnet9"));
}

#[test]
fn what_would_go_round_or_lead_nowhere_is_told_with_the_way_out() {
    let many =
        |mirror: &str| format!("[ports.many]\ntype = \"raw\"\ndevice = \"vnet*\"\n[[mirror]]\n{mirror}");
    let with = |rest: &str| format!("[[mirror]]\nfrom = [\"a\"]\nto = \"probe\"\n{rest}");
    for (text, says, help) in [
        ("[[mirror]]\nto = \"probe\"\n".to_owned(), "[[mirror]] has no `from`", "from = [\"lan\"]"),
        ("[[mirror]]\nfrom = []\nto = \"probe\"\n".into(), "`from` in [[mirror]] is empty", "name the ports"),
        ("[[mirror]]\nfrom = \"a\"\nto = \"probe\"\n".into(), "must be a list of ports", "from"),
        ("[[mirror]]\nfrom = [7]\nto = \"probe\"\n".into(), "has a whole number", "names of ports in quotes"),
        (
            "[[mirror]]\nfrom = [\"a\", \"a\"]\nto = \"probe\"\n".into(),
            "`a` stands in `from` twice",
            "remove",
        ),
        ("[[mirror]]\nfrom = [\"a\"]\n".into(), "[[mirror]] has no `to`", "to"),
        ("[[mirror]]\nfrom = [\"a\"]\nto = \"prob\"\n".into(), "no port `prob` to mirror to", "`probe`?"),
        (
            "[[mirror]]\nfrom = [\"c7\"]\nto = \"probe\"\n".into(),
            "no port `c7` to be mirrored",
            "ports of this",
        ),
        ("[[mirror]]\nfrom = [\"a\"]\nto = \"h\"\n".into(), "the host's own port", "port of their own"),
        ("[[mirror]]\nfrom = [\"a\", \"b\"]\nto = \"b\"\n".into(), "would be mirrored itself", "remove it"),
        (with("[[mirror]]\nfrom = [\"probe\"]\nto = \"b\"\n"), "would be mirrored itself", "remove it"),
        (
            with("[[mirror]]\nfrom = [\"b\"]\nto = \"probe\"\n"),
            "a second mirror to `probe`",
            "stands in line 12",
        ),
        (with("direction = \"in\"\n"), "unknown direction `in`", "ingress"),
        (with("vlan = 4095\n"), "`vlan` in [[mirror]]", "4094"),
        (with("color = 1\n"), "unknown key `color` in [[mirror]]", "from"),
        (many("from = [\"a\"]\nto = \"many\"\n"), "`many` is no port", "one interface"),
        (many("from = [\"vnet*\"]\nto = \"probe\"\n"), "no port `vnet*` to be mirrored", "`many`?"),
        (many("from = [\"veth0\"]\nto = \"probe\"\n"), "no port `veth0` to be mirrored", "ports of this"),
        (many("from = [\"many\", \"vnet0\"]\nto = \"vnet0\"\n"), "would be mirrored itself", "remove it"),
        (
            with("[[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"probe\"\n"),
            "nobody is behind `probe`",
            "takes no other part",
        ),
        ("mirror = 7\n".into(), "unknown key `mirror` in [ports.h]", ""),
    ] {
        let problems = parse("sw.toml", &format!("{PORTS}{text}")).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems}");
        let shown = problems.to_string();
        assert!(shown.contains(says) && shown.contains(help), "{shown}");
    }
    let backup = PORTS.replace("[ports.b]", "backup_port = \"probe\"\n[ports.b]");
    let problems = parse("sw.toml", &format!("{backup}{}", with(""))).unwrap_err();
    assert!(problems.to_string().contains("`probe` can't be a backup"), "{problems}");
}

#[test]
fn what_changes_is_told_and_what_is_written_is_read_again() {
    let read = |text: &str| parse("sw.toml", &format!("{PORTS}{text}")).unwrap();
    let before = read(
        "[[mirror]]\nfrom = [\"a\"]\nto = \"probe\"\nvlan = 7\n[[mirror]]\nfrom = [\"a\"]\nto = \"b\"\n",
    );
    let after = read("[[mirror]]\nfrom = [\"a\", \"b\"]\nto = \"probe\"\ndirection = \"ingress\"\n");
    let there = changes(&before, &after);
    assert!(there.mirrors);
    assert_eq!(
        there.words,
        [
            "mirror to b removed",
            "mirror to probe: from [\"a\"] -> [\"a\", \"b\"], vlan 7 -> default, direction default -> \"ingress\"",
        ]
    );
    assert_eq!(changes(&after, &before).words[1], "mirror to b added, from a");
    assert!(!changes(&before, &before).mirrors);
    assert_eq!(parse("again.toml", &to_toml(&before)).unwrap(), before);
}
