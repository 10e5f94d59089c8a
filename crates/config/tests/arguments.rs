//! A configuration from the command line, and what is said of a wrong one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "only tests are in here")]

use config::{PortKind, RawConfig, TapConfig, from_arguments, parse};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn report(name: Option<&str>, taps: &[&str], raws: &[&str]) -> String {
    from_arguments(name, &owned(taps), &owned(raws)).unwrap_err().to_string()
}

#[test]
fn ports_have_the_names_of_their_devices_and_every_default() {
    let config = from_arguments(Some("sw1"), &owned(&["tap0", "tap1"]), &owned(&["eth0"])).unwrap();
    assert_eq!(config.bridge.name, "sw1");
    let ports: Vec<(&str, &str)> =
        config.ports.iter().map(|p| (p.name.as_str(), p.device.as_str())).collect();
    assert_eq!(ports, [("tap0", "tap0"), ("tap1", "tap1"), ("eth0", "eth0")]);
    assert_eq!(config.ports[0].kind, PortKind::Tap(TapConfig::default()));
    assert_eq!(config.ports[2].kind, PortKind::Raw(RawConfig::default()));
}

#[test]
fn a_file_and_arguments_that_say_the_same_give_the_same() {
    let text = "[ports.tap0]\ntype = \"tap\"\n[ports.eth0]\ntype = \"raw\"\n";
    let arguments = from_arguments(None, &owned(&["tap0"]), &owned(&["eth0"]));
    assert_eq!(parse("sw.toml", text).unwrap(), arguments.unwrap());
}

#[test]
fn a_mistake_names_the_argument() {
    assert_eq!(
        report(None, &["tap0"], &["sixteen-bytes-xx"]),
        "error: --raw `sixteen-bytes-xx`: the interface name is longer than 15 bytes\n  \
         | --tap tap0 --raw sixteen-bytes-xx\n  |            ^^^^^^^^^^^^^^^^^^^^^^\n  \
         help: it has 16 bytes; Linux allows 15\n"
    );
}

#[test]
fn all_mistakes_in_arguments_at_once() {
    let shown = report(Some("a b"), &["tap0", "", "a/b"], &["tap0", "tap@x", "a\nb"]);
    for expected in [
        "error: --name `a b`: the name of the switch has the character ' '",
        "error: --tap ``: the interface name is empty",
        "error: --tap `a/b`: the interface name has the character '/'",
        "error: --raw `tap0`: another port is on this device",
        "error: --raw `tap@x`: the port is named like its device, and the name has the character '@'",
        "error: --raw `a\u{fffd}b`: the interface name has the character '\\n'",
    ] {
        assert!(shown.contains(expected), "{expected}\n in \n{shown}");
    }
    assert_eq!(shown.matches("error:").count(), 6, "{shown}");
}

#[test]
fn no_ports_is_a_mistake() {
    assert_eq!(
        report(None, &[], &[]),
        "error: there are no ports: nothing to switch\n  help: as `switchd --tap tap0 --raw eth0`\n"
    );
}
