//! Every example that is shipped is right, and shows the defaults that it says it shows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "only tests are in here")]

use std::path::{Path, PathBuf};

use config::{BridgeConfig, EntryType, PortKind, PortRules, RawConfig, TapConfig, parse};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

#[test]
fn every_example_is_right() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            parse(&path.display().to_string(), &text).unwrap_or_else(|problems| panic!("{problems}"));
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    for name in ["host-port.toml", "namespaces.toml", "switchd.toml", "two-vms-and-uplink.toml"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
}

/// The commented options of switchd.toml are the defaults: with and without the comment signs, the file
/// says the same but for the options that have no value by default.
#[test]
fn the_commented_example_shows_the_defaults() {
    let text = std::fs::read_to_string(directory().join("switchd.toml")).unwrap();
    let config = parse("switchd.toml", &text).unwrap();
    assert_eq!(config.bridge, BridgeConfig::default());
    assert_eq!(config.ports[0].kind, PortKind::Tap(TapConfig::default()));
    assert_eq!(config.ports[1].kind, PortKind::Raw(RawConfig::default()));

    let option = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
    let uncommented: Vec<&str> =
        text.lines().map(|line| if option(line) { line.trim_start_matches('#') } else { line }).collect();
    let config =
        parse("switchd.toml", &uncommented.join("\n")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.bridge, BridgeConfig::default());
    let rules = &config.ports[0].rules;
    assert!(rules.backup_port.is_some() && rules.max_macs.is_some());
    assert_eq!(PortRules { backup_port: None, max_macs: None, ..rules.clone() }, PortRules::default());
    assert_eq!(config.fdb[0].kind, EntryType::Static);
    let (PortKind::Tap(tap), PortKind::Raw(raw)) = (&config.ports[0].kind, &config.ports[1].kind) else {
        panic!("switchd.toml shows a tap port, then a raw one");
    };
    assert!(tap.mtu.is_some() && tap.owner.is_some() && raw.exclusive.is_some());
    assert_eq!(TapConfig { mtu: None, owner: None, ..tap.clone() }, TapConfig::default());
    assert_eq!(RawConfig { exclusive: None, ..raw.clone() }, RawConfig::default());
}

/// The reference's own examples hold: each block of TOML in it is right, and the report is the real one.
#[test]
fn the_reference_shows_what_is_so() {
    let reference = include_str!("../../../docs/configuration.md");
    let blocks: Vec<&str> =
        reference.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    let machines = include_str!("../../../docs/machines.md").split("```toml\n").skip(1);
    let machines = machines.filter_map(|rest| rest.split("```").next());
    for block in blocks.into_iter().chain(machines) {
        parse("an example", block).unwrap_or_else(|problems| panic!("{problems}"));
    }
    let report = reference.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let text = "\n[bridge]\nagein_time = \"60s\"\n[ports.a]\ntype = \"tap\"\n";
    let shown = parse("switchd.toml", text).unwrap_err().to_string();
    assert_eq!(shown, report);
}
