//! The tables of docs/from-linux-bridge.md: each command of ours is taken by a running switch and does what the file's line
//! beside it says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;
use testbed::{End, Namespace, Process, Switchd, kernel_bridge, page, veth, wait_until};

const PAGE: &str = include_str!("../../../docs/from-linux-bridge.md");

const FILE: &str = "[bridge]\nname = \"br0\"\nvlan_filtering = true\n\
                    [ports.vnet0]\ntype = \"raw\"\n[ports.vnet1]\ntype = \"raw\"\n[ports.eth9]\ntype = \"raw\"\n";

/// One row: what stands between backquotes in the cells for the file and for a running switch.
type Row = (Vec<String>, Vec<String>);

fn rows(title: &str) -> Vec<Row> {
    let section = page::section(PAGE, title).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `") || line.starts_with("| an"));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(" |").collect();
        (quoted(cells[1]), quoted(cells[2]))
    };
    lines.map(row).collect()
}

struct Lab {
    switchd: Switchd,
    _hosts: Vec<Namespace>,
    namespace: Namespace,
}

impl Lab {
    fn new() -> Self {
        let namespace = Namespace::new("bridge").unwrap();
        let wired = |device: &&str| {
            let host = Namespace::new("host").unwrap();
            veth(End::new(&host, "eth0"), End::new(&namespace, device)).unwrap();
            host
        };
        let hosts = ["vnet0", "vnet1", "eth0"].iter().map(wired).collect();
        let switchd = Switchd::start(&namespace, FILE).unwrap();
        Self { switchd, _hosts: hosts, namespace }
    }

    /// The same as it was in the beginning.
    fn anew(self) -> Self {
        let Self { switchd, namespace, _hosts } = self;
        drop(switchd);
        Self { switchd: Switchd::start(&namespace, FILE).unwrap(), _hosts, namespace }
    }

    fn command(&self, line: &str) -> Command {
        let words = line.strip_prefix("switchctl ").unwrap_or_else(|| panic!("{line} is none of ours"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchctl"));
        command.arg("--socket").arg(self.switchd.control_socket()).args(words.split(' '));
        command
    }

    fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// It does not end, so it is watched until it has said something.
    fn monitor(&self, line: &str) {
        let monitor = Process::start(self.command(line)).unwrap();
        wait_until(std::time::Duration::from_secs(10), "the monitor tells of an entry", || {
            self.run("switchctl fdb replace 02:00:00:00:00:09 --port vnet1");
            self.run("switchctl fdb del 02:00:00:00:00:09 --port vnet1");
            !monitor.lines().is_empty()
        })
        .unwrap();
    }
}

#[test]
fn settings_at_run_time_are_those_of_the_file() {
    let mut lab = Lab::new();
    let rows = rows("Settings");
    assert!(rows.len() > 12, "{rows:?}");
    for (lines, commands) in &rows {
        assert_eq!(commands.len(), 1, "{commands:?}");
        lab.run(&commands[0]);
        let shown = lab.run("switchctl config show");
        let shown = config::parse("shown", &shown).unwrap_or_else(|problems| panic!("{problems}"));
        let of_bridge = commands[0].contains(" bridge set ");
        let table = if of_bridge { "[bridge]\n" } else { "[ports.vnet0]\n" };
        let file = FILE.replace(table, &format!("{table}{}\n", lines.join("\n")));
        let said = config::parse("file", &file).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(shown.ports[0].rules, said.ports[0].rules, "{commands:?}");
        if of_bridge {
            assert_eq!(shown.bridge, said.bridge, "{commands:?}");
        }
        lab = lab.anew();
    }
}

#[test]
fn every_command_of_the_tables_is_taken() {
    let lab = Lab::new();
    let rows = ["The bridge and its ports", "Stations and VLANs"].map(rows).concat();
    let commands = rows.iter().flat_map(|(_, commands)| commands);
    // The port that others name goes last.
    let (last, first): (Vec<_>, Vec<_>) = commands.partition(|command| command.contains("port del"));
    assert!(first.len() > 15 && last.len() == 1, "{first:?} {last:?}");
    for command in first.into_iter().chain(last) {
        match command.as_str() {
            "switchctl monitor" => lab.monitor(command),
            other => drop(lab.run(other)),
        }
    }
    let ports = lab.run("switchctl port show");
    assert!(ports.contains("eth0") && !ports.contains("vnet0"), "{ports}");
}

/// Each key that a port or an entry has of the kernel's bridge is called by us as by `bridge -j` and `ip -j`, and is of
/// the same kind; what we don't have is what a port of ours has not.
#[test]
fn json_has_the_keys_of_iproute2() {
    const NOT_OURS: [&str; 26] = [
        "link",
        "flags",
        "priority",
        "cost",
        "guard",
        "root_block",
        "fastleave",
        "mcast_router",
        "mcast_to_unicast",
        "neigh_suppress",
        "vlan_tunnel",
        "qdisc",
        "linkmode",
        "group",
        "txqlen",
        "link_type",
        "broadcast",
        "errors",
        "over_errors",
        "multicast",
        "carrier_errors",
        "collisions",
        "used",
        "rx",
        "link_netnsid",
        "link_index",
    ];
    let lab = Lab::new();
    lab.run("switchctl fdb add 02:00:00:00:00:0a --port vnet0");
    let json = |text: String| -> Vec<Value> { serde_json::from_str(&text).unwrap() };
    let ours = |line: &str| json(lab.run(&format!("switchctl --json -s {line}"))).remove(0);
    let kernel = Namespace::new("kernel").unwrap();
    let far = Namespace::new("far").unwrap();
    veth(End::new(&kernel, "p1"), End::new(&far, "eth0")).unwrap();
    kernel_bridge(&kernel, "br0", &["p1"]).unwrap();
    kernel.run("bridge fdb add 02:00:00:00:00:0a dev p1 master static").unwrap();
    let theirs = |line: &str| json(kernel.run(line).unwrap());
    let mut entries = theirs("bridge -j -s fdb show br br0 state static").into_iter();
    let entry = entries.find(|entry| entry["mac"] == "02:00:00:00:00:0a").unwrap();
    for (theirs, ours) in [
        (theirs("bridge -j -d link show dev p1").remove(0), ours("port show vnet0")),
        (theirs("ip -j -s link show dev p1").remove(0), ours("port show vnet0")),
        (entry, ours("fdb show")),
    ] {
        compare(&theirs, &ours, &NOT_OURS);
    }
}

fn compare(theirs: &Value, ours: &Value, not_ours: &[&str]) {
    for (key, value) in theirs.as_object().unwrap() {
        match &ours[key] {
            Value::Null => assert!(not_ours.contains(&key.as_str()), "no {key} in {ours}"),
            same if same.is_object() => compare(value, same, not_ours),
            same => assert_eq!(
                (same.is_string(), same.is_number(), same.is_array()),
                (value.is_string(), value.is_number(), value.is_array()),
                "{key}: {same} is not what {value} is"
            ),
        }
    }
}
