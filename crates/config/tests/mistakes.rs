//! Each mistake in a file is shown with its line, the offending text and what would be right.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "only tests are in here")]

use std::time::Duration;

use config::{
    EntryType, Owner, PortKind, PortRules, PortState, PortVlans, Problems, RawConfig, TapConfig, parse,
};

/// A file to which mistakes are added; it has eight lines.
const GOOD: &str = "[bridge]\nname = \"sw0\"\n[ports.lan]\ntype = \"tap\"\ndevice = \"tap0\"\n\
                    [ports.uplink]\ntype = \"raw\"\ndevice = \"eth0\"\n";

fn problems(text: &str) -> Problems {
    parse("sw.toml", text).expect_err(text)
}

/// The report on `GOOD` with `added` below it, which has a single problem.
#[track_caller]
fn report(added: &str) -> String {
    let problems = problems(&format!("{GOOD}{added}"));
    assert_eq!(problems.len(), 1, "{problems}");
    problems.to_string()
}

/// Asserts that the one problem of `text` is `message` in `line`, with carets below `offending`, and `help`.
#[track_caller]
fn one(text: &str, line: usize, offending: &str, message: &str, help: &str) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems}");
    let shown = problems.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], format!("error: sw.toml:{line}: {message}"));
    let source = text.lines().nth(line - 1).unwrap();
    assert_eq!(lines[1], format!(" {line} | {source}"));
    let carets = lines[2].find('^').unwrap();
    let marked: String = lines[1].chars().skip(carets).take(lines[2].len() - carets).collect();
    assert_eq!(marked, offending, "{shown}");
    assert_eq!(lines[3], format!("  help: {help}"));
}

/// Asserts the same of `GOOD` with `added` below it; lines count from the first one added.
#[track_caller]
fn added(text: &str, line: usize, offending: &str, message: &str, help: &str) {
    one(&format!("{GOOD}{text}"), GOOD.lines().count() + line, offending, message, help);
}

#[test]
fn the_whole_of_a_report() {
    assert_eq!(
        report("exclusve = true\n"),
        "error: sw.toml:9: unknown key `exclusve` in [ports.uplink]\n 9 | exclusve = true\n   \
         | ^^^^^^^^\n  help: did you mean `exclusive`?\n"
    );
}

#[test]
fn unknown_keys() {
    added(
        "vrf = 5",
        1,
        "vrf",
        "unknown key `vrf` in [ports.uplink]",
        "known here: type, device, profile, max_ports, enabled, state, learning, flood, mcast_flood, bcast_flood, hairpin, isolated, \
         locked, mab, group_fwd_mask, backup_port, max_macs, access, trunk, native, pvid, vlans, untagged, \
         translate, exclusive, offload, qdisc_bypass",
    );
    added(
        "[[fdb]]\nmac = \"02:00:5e:10:00:01\"\nport = \"lan\"\nprot = 1",
        4,
        "prot",
        "unknown key `prot` in [[fdb]]",
        "did you mean `port`?",
    );
    one(
        &GOOD.replace("name =", "nmae ="),
        2,
        "nmae",
        "unknown key `nmae` in [bridge]",
        "did you mean `name`?",
    );
    one(
        &format!("fdb_max = 5\n{GOOD}"),
        1,
        "fdb_max",
        "key `fdb_max` stands outside of every table",
        "it belongs below a line [bridge]",
    );
    one(
        &format!("mtu = 5\n{GOOD}"),
        1,
        "mtu",
        "key `mtu` stands outside of every table",
        "it belongs below a line [ports.NAME]",
    );
}

#[test]
fn unknown_tables() {
    one(&GOOD.replace("[bridge]", "[brige]"), 1, "brige", "unknown table `brige`", "did you mean [bridge]?");
    added("[[fbd]]\nx = 1", 1, "fbd", "unknown table `fbd`", "did you mean [[fdb]]?");
    added(
        "[vlans]",
        1,
        "vlans",
        "unknown table `vlans`",
        "the tables of this file are [bridge], [profiles.NAME], [ports.NAME], [[private_vlan]], [[fdb]], [[mirror]], [metrics], [control]",
    );
    added("[fdb]\nport = \"lan\"", 1, "fdb", "`fdb` is a single table here", "it is written as [[fdb]]");
    one(
        "[[ports]]\nname = \"lan\"\n",
        1,
        "ports",
        "`ports` is a list of tables here",
        "it is written as [ports.NAME]",
    );
    one("[port.lan]\ntype = \"tap\"\n", 1, "port", "unknown table `port`", "did you mean [ports.NAME]?");
}

#[test]
fn options_of_the_other_type() {
    added(
        "mtu = 9000",
        1,
        "mtu",
        "`mtu` is an option of ports with type = \"tap\"; this one is \"raw\"",
        "remove the line, or make it a port with type = \"tap\"",
    );
    let exclusive_tap = GOOD.replace("device = \"tap0\"", "exclusive = true");
    one(
        &exclusive_tap,
        5,
        "exclusive",
        "`exclusive` is an option of ports with type = \"raw\"; this one is \"tap\"",
        "remove the line, or make it a port with type = \"raw\"",
    );
}

#[test]
fn wrong_types() {
    let tap = |line: &str| format!("[ports.b]\ntype = \"tap\"\n{line}");
    added(
        &tap("mtu = \"1500\""),
        3,
        "\"1500\"",
        "`mtu` in [ports.b] must be a whole number, not text",
        "as `mtu = 1500`",
    );
    added(
        &tap("up = 1"),
        3,
        "1",
        "`up` in [ports.b] must be true or false, not a whole number",
        "as `up = true`",
    );
    added(
        &tap("owner = 1.5"),
        3,
        "1.5",
        "`owner` in [ports.b] must be a user's name in quotes or number, not a fraction",
        "as `owner = \"libvirt-qemu\"`",
    );
    added(
        "offload = \"yes\"",
        1,
        "\"yes\"",
        "`offload` in [ports.uplink] must be true or false, not text",
        "as `offload = true`",
    );
    one(
        &GOOD.replace("\"sw0\"", "[]"),
        2,
        "[]",
        "`name` in [bridge] must be text in quotes, not a list",
        "as `name = \"switchd\"`",
    );
    one(
        &GOOD.replace("\"eth0\"", "{}"),
        8,
        "{}",
        "`device` in [ports.uplink] must be text in quotes, not a table",
        "as `device = \"tap0\"`",
    );
    one(
        &GOOD.replace("name = \"sw0\"", "ageing_time = true"),
        2,
        "true",
        "`ageing_time` in [bridge] must be a time in quotes or whole seconds, not true or false",
        "as `ageing_time = \"300s\"`",
    );
    one(
        "[ports]\nlan = \"tap\"\n",
        2,
        "lan",
        "port `lan` must be a table, not text",
        "as [ports.lan] with its options in the lines below",
    );
    one(
        &format!("fdb = [1]\n{GOOD}"),
        1,
        "1",
        "a static entry must be a table, not a whole number",
        "as [[fdb]] with `mac` and `port` in the lines below",
    );
}

#[test]
fn numbers_out_of_range() {
    let bridge = |line: &str| GOOD.replace("name = \"sw0\"", line);
    for (written, value) in [("fdb_max = 0", "0"), ("fdb_max = 16777217", "16777217"), ("fdb_max = -1", "-1")]
    {
        one(&bridge(written), 2, value, "`fdb_max` in [bridge] is out of range", "from 1 to 16777216");
    }
    let learned = "`fdb_max_learned` in [bridge] is out of range";
    one(&bridge("fdb_max_learned = -1"), 2, "-1", learned, "from 0 to 16777216");
    for mtu in ["67", "65536", "99999999999999999999999"] {
        let text = format!("[ports.b]\ntype = \"tap\"\nmtu = {mtu}");
        added(&text, 3, mtu, "`mtu` in [ports.b] is out of range", "from 68 to 65535");
    }
    let range = "from 0 (learn nothing) to \"42949672s\"";
    for time in ["42949673", "-1", "\"42949673s\"", "\"99999999999h\"", "\"99999999999999999999999s\""] {
        let text = bridge(&format!("ageing_time = {time}"));
        one(&text, 2, time, "`ageing_time` in [bridge] is out of range", range);
    }
    let user = "a user's name, as \"libvirt-qemu\", or number, from 0 to 4294967294";
    for owner in ["-1", "4294967295", "\"4294967295\"", "\"\"", "\"a b\""] {
        let text = format!("[ports.b]\ntype = \"tap\"\nowner = {owner}");
        added(&text, 3, owner, "`owner` in [ports.b] is no user", user);
    }
}

#[test]
fn times_without_a_right_unit() {
    for time in ["\"5 minutes\"", "\"300\"", "\"1.5s\"", "\"\"", "\"-5s\""] {
        one(
            &GOOD.replace("name = \"sw0\"", &format!("ageing_time = {time}")),
            2,
            time,
            "`ageing_time` in [bridge] is no time",
            "a whole number and a unit: \"300s\", \"5m\", \"1500ms\", \"1h\"; or 0",
        );
    }
}

#[test]
fn types_of_port() {
    let listed = "A port's type is \"tap\" or \"raw\" or \"vhost-user\"";
    added(
        "[ports.b]\ntype = \"rwa\"",
        2,
        "\"rwa\"",
        "unknown type `rwa` in [ports.b]",
        &format!("did you mean \"raw\"? {listed}"),
    );
    added("[ports.b]\ntype = \"macvtap\"", 2, "\"macvtap\"", "unknown type `macvtap` in [ports.b]", listed);
    added(
        "[ports.b]\ndevice = \"b0\"",
        1,
        "b",
        "[ports.b] has no `type`",
        "add a line such as `type = \"tap\"`",
    );
}

#[test]
fn ports_on_sockets() {
    const EXAMPLE: &str = "as `socket = \"/run/vm/net0.sock\"`";
    let port = "[ports.b]\ntype = \"vhost-user\"\n";
    added(
        &format!("{port}socket = \"vm\""),
        3,
        "\"vm\"",
        "the socket `vm` is no absolute path of a file",
        EXAMPLE,
    );
    added(
        &format!("{port}socket = \"/vm\"\nmode = \"servre\""),
        4,
        "\"servre\"",
        "unknown mode `servre` in [ports.b]",
        "did you mean `server`?",
    );
    added(
        &format!("{port}socket = \"/vm\"\ndevice = \"eth1\""),
        4,
        "\"eth1\"",
        "[ports.b] has no `device`: it is on a socket",
        "remove the line; `socket = \"…\"` says where",
    );
}

#[test]
fn ports_named_twice() {
    added(
        "[ports.lan]\ntype = \"tap\"\nmtu = 1500",
        1,
        "lan",
        "port `lan` is named twice, in lines 3 and 9",
        "give one of the two another name, or make one table of both",
    );
    added(
        "[ports.'lan']\ndevice = \"tap9\"",
        1,
        "'lan'",
        "port `lan` is named twice, in lines 3 and 9",
        "give one of the two another name, or make one table of both",
    );
    one(
        &format!("ports.lan.type = \"tap\"\n{}", GOOD.replace("type = \"tap\"\n", "")),
        4,
        "lan",
        "port `lan` is named twice, in lines 1 and 4",
        "give one of the two another name, or make one table of both",
    );
}

#[test]
fn other_things_written_twice() {
    added(
        "device = \"eth1\"",
        1,
        "device",
        "`device` is written twice, in lines 8 and 9",
        "remove one of the two",
    );
    added(
        "[bridge]\nfdb_max = 5",
        1,
        "bridge",
        "[bridge] is there twice, in lines 1 and 9",
        "make one table of both",
    );
    // The same key in two entries is none of these.
    let entry = |last: u8| format!("[[fdb]]\nmac = \"02:00:5e:10:00:0{last}\"\nport = \"lan\"\n");
    assert!(parse("sw.toml", &format!("{GOOD}{}{}", entry(1), entry(2))).is_ok());
    added(
        &format!("{}{}port = \"lan\"", entry(1), entry(2)),
        7,
        "port",
        "`port` is written twice, in lines 14 and 15",
        "remove one of the two",
    );
}

#[test]
fn two_ports_on_one_device() {
    added(
        "[ports.b]\ntype = \"tap\"\ndevice = \"eth0\"",
        3,
        "\"eth0\"",
        "ports `uplink` and `b` are both on the device `eth0`",
        "a device carries one port; `uplink` took it in line 8",
    );
    // By its name alone, too.
    added(
        "[ports.tap0]\ntype = \"tap\"",
        1,
        "tap0",
        "ports `lan` and `tap0` are both on the device `tap0`",
        "a device carries one port; `lan` took it in line 5",
    );
}

#[test]
fn interface_names() {
    let device = |name: &str| format!("[ports.b]\ntype = \"tap\"\ndevice = \"{name}\"");
    for (name, wrong, help) in [
        ("sixteen-bytes-xx", "is longer than 15 bytes", "it has 16 bytes; Linux allows 15"),
        ("", "is empty", "the name of a network interface, as `ip link` shows it"),
        (".", "can't be an interface's", "Linux refuses `.` and `..`"),
        ("..", "can't be an interface's", "Linux refuses `.` and `..`"),
        ("a/b", "has the character '/'", "an interface name has no space and none of / : %"),
        ("a b", "has the character ' '", "an interface name has no space and none of / : %"),
        ("tap%d", "has the character '%'", "an interface name has no space and none of / : %"),
    ] {
        added(
            &device(name),
            3,
            &format!("\"{name}\""),
            &format!("the interface name `{name}` {wrong}"),
            help,
        );
    }
    let name = "a-port-with-a-long-name";
    added(
        &format!("[ports.{name}]\ntype = \"tap\""),
        1,
        name,
        &format!("the interface name `{name}` is longer than 15 bytes"),
        "it has 23 bytes; Linux allows 15; a port without `device` is on the interface of its own name: add `device = \"…\"`",
    );
}

#[test]
fn names_of_ports_and_of_the_switch() {
    let help = "1 to 32 of the characters A-Z a-z 0-9 . _ -";
    added(
        "[ports.\"a b\"]\ntype = \"tap\"",
        1,
        "\"a b\"",
        "the name of port `a b` has the character ' '",
        help,
    );
    added("[ports.\"\"]\ntype = \"tap\"", 1, "\"\"", "the name of port `` is empty", help);
    one(
        &GOOD.replace("sw0", &"n".repeat(33)),
        2,
        &format!("\"{}\"", "n".repeat(33)),
        "the name of the switch has more than 32 characters",
        help,
    );
    one(&GOOD.replace("sw0", "a/b"), 2, "\"a/b\"", "the name of the switch has the character '/'", help);
}

#[test]
fn a_second_host_port() {
    let text = GOOD.replace("type = \"tap\"\n", "type = \"tap\"\nhost = true\n");
    let text =
        format!("{text}[ports.b]\ntype = \"tap\"\nhost = true\n[ports.c]\ntype = \"tap\"\nhost = false\n");
    one(&text, 12, "true", "`b` is a second host port", "one port can be the host's; `lan` is, in line 5");
}

#[test]
fn static_entries() {
    let entry = |mac: &str, port: &str| format!("[[fdb]]\nmac = \"{mac}\"\nport = \"{port}\"\n");
    added(
        &entry("02:00:5e:10:00", "lan"),
        2,
        "\"02:00:5e:10:00\"",
        "`02:00:5e:10:00` is not a MAC address",
        "six bytes of two hexadecimal digits, as \"02:00:5e:10:00:01\"",
    );
    added(
        &entry("01:00:5e:00:00:fb", "lan"),
        2,
        "\"01:00:5e:00:00:fb\"",
        "01:00:5e:00:00:fb is a group address: it is no station's, and frames for it are for all ports",
        "the address of one station, whose first byte is even, as \"02:00:5e:10:00:01\"",
    );
    added(
        &entry("ff:ff:ff:ff:ff:ff", "lan"),
        2,
        "\"ff:ff:ff:ff:ff:ff\"",
        "ff:ff:ff:ff:ff:ff is a group address: it is no station's, and frames for it are for all ports",
        "the address of one station, whose first byte is even, as \"02:00:5e:10:00:01\"",
    );
    added(
        &entry("00:00:00:00:00:00", "lan"),
        2,
        "\"00:00:00:00:00:00\"",
        "the zero address is no station's",
        "the address of one station, as \"02:00:5e:10:00:01\"",
    );
    added(
        &entry("02:00:5e:10:00:01", "uplnk"),
        3,
        "\"uplnk\"",
        "no port `uplnk` for this static entry",
        "did you mean `uplink`?",
    );
    added(
        &entry("02:00:5e:10:00:01", "tap0"),
        3,
        "\"tap0\"",
        "no port `tap0` for this static entry",
        "did you mean `lan`?",
    );
    added(
        &entry("02:00:5e:10:00:01", "vnet7"),
        3,
        "\"vnet7\"",
        "no port `vnet7` for this static entry",
        "the ports of this file: `lan`, `uplink`",
    );
    let twice = entry("02:00:5e:10:00:0a", "lan") + &entry("02-00-5E-10-00-0A", "uplink");
    added(
        &twice,
        5,
        "\"02-00-5E-10-00-0A\"",
        "a second static entry for 02:00:5e:10:00:0a",
        "an address is on one port; the first entry is in line 10",
    );
    added(
        "[[fdb]]\nport = \"lan\"",
        1,
        "[[fdb]]",
        "[[fdb]] has no `mac`",
        "add a line such as `mac = \"02:00:5e:10:00:01\"`",
    );
    added(
        "[[fdb]]\nmac = \"02:00:5e:10:00:01\"",
        1,
        "[[fdb]]",
        "[[fdb]] has no `port`",
        "add a line such as `port = \"lan\"`",
    );
    let full = GOOD.replace("name = \"sw0\"", "fdb_max = 1")
        + &entry("02:00:5e:10:00:01", "lan")
        + &entry("02:00:5e:10:00:02", "lan");
    one(
        &full,
        12,
        "[[fdb]]",
        "2 static entries, but `fdb_max` is 1",
        "set `fdb_max` in [bridge] to 2 or more",
    );
}

#[test]
fn no_ports_at_all() {
    for text in ["", "# nothing\n", "[bridge]\nname = \"a\"\n", "[ports]\n"] {
        assert_eq!(
            problems(text).to_string(),
            "error: sw.toml: there are no ports: nothing to switch\n  help: the smallest file is:\n        \
             [ports.tap0]\n        type = \"tap\"\n        [ports.eth0]\n        type = \"raw\"\n"
        );
    }
    let shown = problems("").iter().next().unwrap().help.clone();
    let (_, example) = shown.split_once('\n').unwrap();
    assert_eq!(parse("sw.toml", example).unwrap().ports.len(), 2);
}

#[test]
fn text_that_is_no_toml() {
    one(
        &GOOD.replace("\"eth0\"", "eth0"),
        8,
        "eth0",
        "the value `eth0` is no TOML",
        "as `device = \"eth0\"`",
    );
    added("offload = True", 1, "True", "the value `True` is no TOML", "as `offload = true`");
    added(
        "[[fdb]]\nmac = 02:00:5e:10:00:01\nport = \"lan\"",
        2,
        "02:00:5e:10:00:01",
        "the value `02:00:5e:10:00:01` is no TOML",
        "as `mac = \"02:00:5e:10:00:01\"`",
    );
    let line = "a line is `key = value`, or a header as `[bridge]`, `[ports.lan]` or `[[fdb]]`";
    added("offload", 1, "", "key with no value, expected `=`", line);
}

/// The options of a port of unknown type are still looked at, each once.
#[test]
fn an_unknown_type_hides_no_wrong_option() {
    let text = format!("{GOOD}[ports.b]\ntype = \"x\"\noffload = 1\nmtu = 1\nexclusive = 2\nfoo = 3\n");
    let lines: Vec<usize> = problems(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [10, 11, 12, 13, 14]);
}

/// A line that can't be read hides neither the mistakes behind it nor makes up others, such as a missing
/// type, or an entry for a port that is not there.
#[test]
fn a_broken_line_hides_nothing_and_makes_nothing_up() {
    let text = "[ports.a]\ntype = tap\nmtu 1500\nup = 1\n[ports.b\ntype = \"raw\"\n[ports.c]\ndevice = \"c0\"\n\
                [[fdb]]\nmac = \"02:00:5e:10:00:01\"\nport = \"b\"\n";
    let found: Vec<(usize, String)> =
        problems(text).iter().map(|problem| (problem.line, problem.message.clone())).collect();
    let expected = [
        (2, "the value `tap` is no TOML"),
        (3, "key with no value, expected `=`"),
        (4, "`up` in [ports.a] must be true or false, not a whole number"),
        (5, "unclosed table, expected `]`"),
        (7, "[ports.c] has no `type`"),
    ];
    assert_eq!(found, expected.map(|(line, message)| (line, message.to_owned())));
}

#[test]
fn all_mistakes_at_once_in_the_order_of_the_file() {
    let text = "[bridge]\nagein_time = \"60s\"\nfdb_max = 0\n[ports.lan]\ntype = \"tpa\"\n[ports.uplink]\ntype = \"raw\"\n\
                device = \"averyverylonginterface\"\nmtu = 1500\n[ports.lan]\nup = \"yes\"\n\
                [[fdb]]\nmac = \"02:00:5e\"\nport = \"lna\"\n";
    let lines: Vec<usize> = problems(text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 5, 8, 9, 10, 11, 13, 14]);
    let shown = problems(text).to_string();
    assert_eq!(shown.matches("error: sw.toml:").count(), 9);
    assert_eq!(shown.matches("  help: ").count(), 9);
}

#[test]
fn a_problem_has_its_place_for_programs() {
    let text = format!("{GOOD}# ä\nöffload = 1");
    let problems = problems(&text.replace("öffload", "\"öffload\""));
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.line, problem.column), (10, 1));
    assert_eq!(&text.replace("öffload", "\"öffload\"")[problem.span.clone()], "\"öffload\"");
}

#[test]
fn a_text_over_one_mebibyte_is_refused() {
    let text = format!("{GOOD}#{}\n", "x".repeat(1 << 20));
    let shown = problems(&text).to_string();
    assert!(shown.starts_with("error: sw.toml: the file has "), "{shown}");
    assert!(shown.contains("help: at most 1048576"), "{shown}");
    let fits = format!("{GOOD}#{}", "x".repeat((1 << 20) - GOOD.len() - 1));
    assert!(parse("sw.toml", &fits).is_ok());
}

#[test]
fn what_is_right_is_read() {
    let text = "[bridge]\nageing_time = \"1500ms\"\nfdb_max = 16_777_216\nfdb_max_learned = 3\n[ports.z]\ntype = \"tap\"\nmtu = 9000\n\
                persist = true\nowner = \"libvirt-qemu\"\nup = false\nhost = true\noffload = false\n\
                [ports.a]\ntype = \"raw\"\ndevice = \"eth0\"\nexclusive = false\noffload = false\n\
                [ports.m]\ntype = \"tap\"\nowner = 1000\n[[fdb]]\nmac = \"02:00:5e:10:00:01\"\nport = \"a\"\n";
    let config = parse("sw.toml", text).unwrap();
    assert_eq!(config.bridge.name, "switchd");
    assert_eq!(config.bridge.ageing_time, Duration::from_millis(1500));
    assert_eq!((config.bridge.fdb_max, config.bridge.fdb_max_learned), (16_777_216, 3));
    let named: Vec<(&str, &str)> =
        config.ports.iter().map(|p| (p.name.as_str(), p.device.as_str())).collect();
    assert_eq!(named, [("z", "z"), ("a", "eth0"), ("m", "m")]);
    let owner = Some(Owner::Name("libvirt-qemu".to_owned()));
    let tap = TapConfig { mtu: Some(9000), persist: true, owner, up: false, host: true, offload: false };
    assert_eq!(config.ports[0].kind, PortKind::Tap(tap));
    assert_eq!(
        config.ports[1].kind,
        PortKind::Raw(RawConfig { exclusive: Some(false), offload: false, ..RawConfig::default() })
    );
    let plain = TapConfig { owner: Some(Owner::Uid(1000)), ..TapConfig::default() };
    assert_eq!(config.ports[2].kind, PortKind::Tap(plain));
    assert_eq!(
        (config.fdb[0].mac.to_string().as_str(), config.fdb[0].kind, config.fdb[0].port.as_deref()),
        ("02:00:5e:10:00:01", EntryType::Static, Some("a"))
    );
}

#[test]
fn ageing_times_are_seconds_or_text() {
    for (written, seconds) in [("0", 0), ("\"0\"", 0), ("90", 90), ("\"5m\"", 300), ("42949672", 42_949_672)]
    {
        let text = GOOD.replace("name = \"sw0\"", &format!("ageing_time = {written}"));
        assert_eq!(parse("sw.toml", &text).unwrap().bridge.ageing_time, Duration::from_secs(seconds));
    }
}

#[test]
fn rules_of_a_port() {
    added(
        "state = \"lerning\"",
        1,
        "\"lerning\"",
        "unknown state `lerning` in [ports.uplink]",
        "did you mean `learning`?",
    );
    added(
        "mab = true\nlocked = true\nlearning = false",
        1,
        "true",
        "`mab` in [ports.uplink] needs `locked` and `learning`",
        "add `locked = true` and leave `learning` on, or remove the line",
    );
    for mask in ["2", "0xffff"] {
        added(
            &format!("group_fwd_mask = {mask}"),
            1,
            mask,
            "`group_fwd_mask` in [ports.uplink] has a bit that is not allowed",
            "01:80:c2:00:00:01, PAUSE, can't be in it (bit 1); LACP is 0x0004",
        );
    }
    for mask in ["1", "0x4004"] {
        one(
            &GOOD.replace("name = \"sw0\"", &format!("group_fwd_mask = {mask}")),
            2,
            mask,
            "`group_fwd_mask` in [bridge] has a bit that is not allowed",
            "01:80:c2:00:00:00 to 02 can't be in it (bits 0 to 2); 02, LACP, can be in a port's; LLDP is 0x4000",
        );
    }
    added(
        "group_fwd_mask = 65536",
        1,
        "65536",
        "`group_fwd_mask` in [ports.uplink] is out of range",
        "from 0 to 65535",
    );
    added("max_macs = 0", 1, "0", "`max_macs` in [ports.uplink] is out of range", "from 1 to 16777216");
    one(
        &GOOD.replace("name = \"sw0\"", "move_damping = \"3 s\""),
        2,
        "\"3 s\"",
        "`move_damping` in [bridge] is no time",
        "a whole number and a unit: \"300s\", \"5m\", \"1500ms\", \"1h\"; or 0",
    );
    for (value, what, help) in [
        ("\"50\"", "is no time", "a whole number and a unit: \"50us\", \"1ms\"; or 0"),
        ("\"1s\"", "is no time", "a whole number and a unit: \"50us\", \"1ms\"; or 0"),
        ("\"1001ms\"", "is out of range", "from 0 (sleep at once) to \"1000ms\""),
    ] {
        let text = GOOD.replace("name = \"sw0\"", &format!("busy_poll = {value}"));
        one(&text, 2, value, &format!("`busy_poll` in [bridge] {what}"), help);
    }
    for value in ["0", "17"] {
        let text = GOOD.replace("name = \"sw0\"", &format!("workers = {value}"));
        one(&text, 2, value, "`workers` in [bridge] is out of range", "from 1 to 16");
    }
}

#[test]
fn backups_that_cannot_be() {
    let host = "[ports.h]\ntype = \"tap\"\nhost = true\n";
    let other = "name another port, other than the host's";
    added("backup_port = \"lna\"", 1, "\"lna\"", "no port `lna` as the backup", "did you mean `lan`?");
    added("backup_port = \"uplink\"", 1, "\"uplink\"", "`uplink` can't be the backup of `uplink`", other);
    added(&format!("backup_port = \"h\"\n{host}"), 1, "\"h\"", "`h` can't be the backup of `uplink`", other);
}

#[test]
fn options_that_the_host_port_has_not() {
    let host = "[ports.h]\ntype = \"tap\"\nhost = true\n";
    added(
        &format!("{host}isolated = false"),
        4,
        "false",
        "`isolated` in [ports.h] is not for the host's own port",
        "remove the line: it has `enabled`, `learning`, `promisc` and `max_macs`",
    );
    added(
        "[ports.b]\ntype = \"tap\"\npromisc = true",
        3,
        "true",
        "`promisc` in [ports.b] needs `host = true`",
        "remove the line: only the host's own port can get all frames",
    );
    added(
        "promisc = true",
        1,
        "promisc",
        "`promisc` is an option of ports with type = \"tap\"; this one is \"raw\"",
        "remove the line, or make it a port with type = \"tap\"",
    );
    added(
        &format!("{host}[[fdb]]\nmac = \"02:00:5e:10:00:01\"\nport = \"h\"\ntype = \"sticky\""),
        6,
        "\"h\"",
        "`h` is the host's own port: an entry on it can only be local",
        "add `type = \"local\"`",
    );
}

/// A file with VLANs to which mistakes are added, as lines of its second port.
const VLANS: &str = "[bridge]\nvlan_filtering = true\n[ports.lan]\ntype = \"tap\"\naccess = 10\n\
                     [ports.uplink]\ntype = \"raw\"\n";

#[track_caller]
fn of_vlans(added: &str, line: usize, offending: &str, message: &str, help: &str) {
    one(&format!("{VLANS}{added}"), line, offending, message, help);
}

#[test]
fn vlans_that_contradict_each_other() {
    of_vlans(
        "access = 10\ntrunk = [10]",
        8,
        "10",
        "`access` and `trunk` in [ports.uplink]: an access port is in one VLAN, untagged",
        "remove one of them",
    );
    of_vlans(
        "trunk = [\"1-5\"]\nuntagged = [1]",
        8,
        "[\"1-5\"]",
        "`trunk` and `untagged` in [ports.uplink]: `trunk` says which VLANs there are, and `native` which of them \
         is untagged",
        "remove one of them",
    );
    of_vlans(
        "native = 1",
        8,
        "1",
        "`native` in [ports.uplink] needs `trunk`",
        "a port with one untagged VLAN and no other has `access`",
    );
    for (written, what) in
        [("\"20-10\"", 0), ("0", 0), ("4095", 0), ("\"1,2\"", 0), ("true", 0), ("\"4000-5000\"", 0)]
    {
        let help = "VLANs are 1 to 4094: \"10\", or \"20-29\" for a range";
        let message = "`vlans` in [ports.uplink] has something that is no VLAN";
        of_vlans(&format!("vlans = [7, {written}]"), 8 + what, written, message, help);
    }
    of_vlans("access = 4095", 8, "4095", "`access` in [ports.uplink] is out of range", "from 1 to 4094");
    of_vlans(
        "vlans = 10",
        8,
        "10",
        "`vlans` in [ports.uplink] must be a list, not a whole number",
        "as `vlans = [\"10\", \"20-29\"]`",
    );
}

#[test]
fn numbers_on_the_wire_that_can_not_be() {
    let trunk = "trunk = [\"10-20\"]\nnative = 5\n";
    for (written, offending, wrong) in [
        ("10 = 10", "10 = 10", "VLAN 10 the number 10 on the wire: that is its number anyway"),
        (
            "100 = 10, 200 = 10",
            "200 = 10",
            "VLAN 10 the number 200 on the wire: it has the number 100 there already",
        ),
        ("100 = 30", "100 = 30", "VLAN 30 the number 100 on the wire: the port is not in it"),
        (
            "100 = 5",
            "100 = 5",
            "VLAN 5 the number 100 on the wire: it leaves untagged here, without any number",
        ),
    ] {
        let message = format!("`translate` in [ports.uplink] gives {wrong}");
        let text = format!("{trunk}translate = {{ {written} }}");
        of_vlans(&text, 10, offending, &message, "remove it, or name another VLAN of the port");
    }
    of_vlans(
        &format!("{trunk}translate = {{ 11 = 10 }}"),
        10,
        "{ 11 = 10 }",
        "`translate` in [ports.uplink] gives VLAN 10 the number 11 on the wire, which is VLAN 11's own",
        "give that one another number too, or take it from the port",
    );
    for wrong in
        ["0 = 10", "4095 = 10", "\"100-101\" = 10", "x = 10", "100 = 0", "100 = \"10\"", "100 = true"]
    {
        of_vlans(
            &format!("{trunk}translate = {{ {wrong} }}"),
            10,
            wrong,
            "`translate` in [ports.uplink] has something that is no VLAN",
            "as { 100 = 10 }: VLAN 10 has the number 100 on the wire; VLANs are 1 to 4094",
        );
    }
    of_vlans(
        &format!("{trunk}translate = [100, 10]"),
        10,
        "[100, 10]",
        "`translate` in [ports.uplink] must be a table, not a list",
        "as `translate = { 100 = 20 }`",
    );
}

#[test]
fn numbers_on_the_wire_that_are_swapped_are_two_again() {
    let text = format!("{VLANS}trunk = [10, 20]\ntranslate = {{ 10 = 20, 20 = 10 }}");
    let config = config::parse("sw.toml", &text).unwrap();
    let wires = config.ports[1].rules.vlans.clone().unwrap().wires;
    let wires: Vec<_> = wires.into_iter().map(|(vid, wire)| (vid.get(), wire.get())).collect();
    assert_eq!(wires, [(10, 20), (20, 10)]);
}

#[test]
fn vlans_that_would_keep_nothing_apart() {
    let text = VLANS.replace("vlan_filtering = true", "vlan_filtering = false");
    one(
        &text,
        5,
        "10",
        "VLANs of a port have no effect: the switch does not tell them apart",
        "add `vlan_filtering = true` to [bridge], or remove the line",
    );
    let text = VLANS.replace("true", "true\nvlan_protocol = \"802.1q\"");
    let help = "did you mean `802.1Q`?";
    one(&text, 3, "\"802.1q\"", "unknown protocol `802.1q` in [bridge]", help);
    let text = VLANS.replace("true", "true\nvlan_stats_per_port = true");
    let help = "add `vlan_stats = true`, or remove the line";
    one(&text, 3, "true", "`vlan_stats_per_port` in [bridge] needs `vlan_stats`", help);
}

#[test]
fn entries_in_vlans() {
    let entry = "[[fdb]]\nmac = \"02:00:5e:10:00:01\"\n";
    let help = "add the VLAN to the port, or name one that it is in";
    let added = format!("{entry}port = \"lan\"\nvlan = 1");
    of_vlans(&added, 11, "1", "port `lan` is not in VLAN 1", help);
    let added = format!("{entry}port = \"uplink\"\nvlan = 10");
    of_vlans(&added, 11, "10", "port `uplink` is not in VLAN 10", help);
    let both = format!(
        "{VLANS}{entry}port = \"lan\"\nvlan = 10\n{entry}port = \"uplink\"\nvlan = 1\n{entry}type = \"blackhole\""
    );
    let config = parse("sw.toml", &both).unwrap();
    let vlans: Vec<_> = config.fdb.iter().map(|entry| entry.vlan.map(frame::Vid::get)).collect();
    assert_eq!(vlans, [Some(10), Some(1), None]);
}

#[test]
fn vlans_that_are_right_are_read() {
    let read = |lines: &str| {
        let config = parse("sw.toml", &format!("{VLANS}{lines}")).unwrap();
        let PortVlans { pvid, members, untagged, .. } = config.ports[1].rules.vlans.clone().unwrap();
        let numbers = |vlans: std::collections::BTreeSet<frame::Vid>| {
            vlans.into_iter().map(frame::Vid::get).collect::<Vec<_>>()
        };
        (pvid.map(frame::Vid::get), numbers(members), numbers(untagged))
    };
    assert_eq!(read("access = 10"), (Some(10), vec![10], vec![10]));
    assert_eq!(read("trunk = [\"10-12\", 30]"), (None, vec![10, 11, 12, 30], vec![]));
    assert_eq!(read("trunk = [\"10-12\"]\nnative = 11"), (Some(11), vec![10, 11, 12], vec![11]));
    assert_eq!(read("trunk = [\"10\"]\nnative = 1"), (Some(1), vec![1, 10], vec![1]));
    assert_eq!(read("pvid = 5"), (Some(5), vec![5], vec![]));
    assert_eq!(read("vlans = [1]\nuntagged = [2]\npvid = 3"), (Some(3), vec![1, 2, 3], vec![2]));
    assert_eq!(read("vlans = []"), (None, vec![], vec![]));
}

#[test]
fn kinds_of_entry() {
    let entry = "[[fdb]]\nmac = \"02:00:5e:10:00:01\"\n";
    added(
        &format!("{entry}port = \"lan\"\ntype = \"stiky\""),
        4,
        "\"stiky\"",
        "unknown type `stiky` in [[fdb]]",
        "did you mean `sticky`?",
    );
    added(
        &format!("{entry}port = \"lan\"\ntype = \"blackhole\""),
        3,
        "\"lan\"",
        "a blackhole entry has no `port`",
        "remove the line: frames from and to the address are dropped on all ports",
    );
    for (written, kind) in [
        ("static", EntryType::Static),
        ("sticky", EntryType::Sticky),
        ("local", EntryType::Local),
        ("extern_learn", EntryType::ExternLearn),
    ] {
        let config = parse("sw.toml", &format!("{GOOD}{entry}port = \"lan\"\ntype = \"{written}\"")).unwrap();
        assert_eq!((config.fdb[0].kind, config.fdb[0].port.as_deref()), (kind, Some("lan")));
    }
    let config = parse("sw.toml", &format!("{GOOD}{entry}type = \"blackhole\"")).unwrap();
    assert_eq!((config.fdb[0].kind, config.fdb[0].port.as_deref()), (EntryType::Blackhole, None));
}

#[test]
fn rules_that_are_right_are_read() {
    let text = GOOD.replace("name = \"sw0\"", "group_fwd_mask = 0x4008\nmove_damping = \"3s\"")
        + "enabled = false\nstate = \"learning\"\nflood = false\nmcast_flood = false\nbcast_flood = false\n\
           hairpin = true\nisolated = true\nlocked = true\nmab = true\ngroup_fwd_mask = 5\n\
           backup_port = \"lan\"\nmax_macs = 9\n\
           [ports.h]\ntype = \"tap\"\nhost = true\npromisc = true\n";
    let config = parse("sw.toml", &text).unwrap();
    assert_eq!((config.bridge.group_fwd_mask, config.bridge.move_damping), (0x4008, Duration::from_secs(3)));
    let uplink = PortRules {
        enabled: false,
        state: PortState::Learning,
        learning: true,
        flood: false,
        mcast_flood: false,
        bcast_flood: false,
        hairpin: true,
        isolated: true,
        locked: true,
        mab: true,
        group_fwd_mask: 5,
        backup_port: Some("lan".to_owned()),
        max_macs: Some(9),
        promisc: false,
        vlans: None,
    };
    assert_eq!(config.ports[1].rules, uplink);
    let host = PortRules { learning: false, promisc: true, ..PortRules::default() };
    assert_eq!((&config.ports[0].rules, &config.ports[2].rules), (&PortRules::default(), &host));
}

/// A frame to a reserved address would open a locked port for its sender.
#[test]
fn nothing_is_learnt_from_reserved_addresses_where_a_port_is_locked_unless_the_file_says_so() {
    let off = GOOD.replace("name = \"sw0\"", "no_linklocal_learn = false");
    for (text, expected) in [
        (GOOD.to_owned(), false),
        (format!("{GOOD}locked = true"), true),
        (format!("{off}locked = true"), false),
        (off.replace("= false", "= true"), true),
    ] {
        assert_eq!(parse("sw.toml", &text).unwrap().bridge.no_linklocal_learn, expected, "{text}");
    }
}

#[test]
fn profiles() {
    added(
        "[profiles.vm]\nflood = 1",
        2,
        "1",
        "`flood` in [profiles.vm] must be true or false, not a whole number",
        "as `flood = true`",
    );
    // What is wrong in a profile is told once, however many take it.
    let taken = "[profiles.vm]\nflood = 1\n[ports.a]\ntype = \"raw\"\nprofile = \"vm\"\n[ports.b]\ntype = \"tap\"\nprofile = \"vm\"";
    added(
        taken,
        2,
        "1",
        "`flood` in [profiles.vm] must be true or false, not a whole number",
        "as `flood = true`",
    );
    added(
        "[profiles.vm]\ndevice = \"a\"",
        2,
        "device",
        "`device` can't stand in a profile",
        "it belongs to one port: write it below [ports.NAME]",
    );
    added(
        "[profiles.vm]\nfloot = true",
        2,
        "floot",
        "unknown key `floot` in [profiles.vm]",
        "did you mean `flood`?",
    );
    added(
        "[profiles]\nvm = 1",
        2,
        "vm",
        "profile `vm` must be a table, not a whole number",
        "as [profiles.vm] with its options in the lines below",
    );
    added(
        "profile = \"wm\"\n[profiles.vm]",
        1,
        "\"wm\"",
        "no profile `wm` for [ports.uplink]",
        "did you mean `vm`?",
    );
    added(
        "profile = \"x\"\n[profiles.guest]\n[profiles.router]",
        1,
        "\"x\"",
        "no profile `x` for [ports.uplink]",
        "known here: guest, router",
    );
    added(
        "profile = \"vm\"",
        1,
        "\"vm\"",
        "no profile `vm` for [ports.uplink]",
        "there are none: a profile begins with a line [profiles.NAME]",
    );
    // A key that the port's type has not.
    added(
        "profile = \"vm\"\n[profiles.vm]\nmtu = 1500",
        3,
        "mtu",
        "`mtu` is an option of ports with type = \"tap\"; this one is \"raw\"",
        "remove the line, or make it a port with type = \"tap\"",
    );
}

#[test]
fn patterns() {
    added(
        "[ports.a]\ntype = \"tap\"\ndevice = \"t*\"",
        3,
        "\"t*\"",
        "`device` in [ports.a] stands for many interfaces",
        "only ports with type = \"raw\" can be made for interfaces that appear",
    );
    added(
        "[ports.a]\ntype = \"raw\"\ndevice = \"*\"",
        3,
        "\"*\"",
        "the interface name `*` would take every interface of this host",
        "name what they have in common, as \"vnet*\"",
    );
    added(
        "max_ports = 3",
        1,
        "3",
        "`max_ports` in [ports.uplink] needs a `device` with a *",
        "remove the line: a port is on one interface",
    );
    added(
        "[ports.a]\ntype = \"raw\"\ndevice = \"v*\"\n[[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"a\"",
        6,
        "\"a\"",
        "`a` is no port: it makes one for each interface",
        "name a port whose `device` is one interface",
    );
    added(
        "backup_port = \"a\"\n[ports.a]\ntype = \"raw\"\ndevice = \"v*\"",
        1,
        "\"a\"",
        "`a` is no port: it makes one for each interface",
        "name a port whose `device` is one interface",
    );
    let only = parse("sw.toml", "[ports.a]\ntype = \"raw\"\ndevice = \"v*\"\n").unwrap();
    assert_eq!((only.ports.len(), only.patterns.len()), (0, 1));
}
