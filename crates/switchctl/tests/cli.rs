//! The command line against a running switch: what it prints, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod switch;

use std::io::BufRead;
use std::process::{Command, Stdio};

use control::pcapng::{self, Tail, Way};
use serde_json::{Value, json};
use switch::{Switch, failed};
use testbed::wait_until;

/// A switch with a host on p1 and a port `late` that waits.
fn start() -> Switch {
    Switch::of(1, "", &[], "[ports.late]\ntype = \"raw\"\ndevice = \"none0\"\n")
}

#[test]
fn the_fdb_is_shown_and_changed_as_with_bridge_fdb() {
    let switch = start();
    assert_eq!(switch.run("fdb add 02:00:00:00:00:0a --port p1"), "");
    switch.run("fdb replace 02:00:00:00:00:0b --dev p1 --kind sticky");
    switch.run("fdb add 02:00:00:00:00:0c --kind blackhole");
    switch.run("fdb add 02:00:00:00:00:0d --port p1 --kind local");
    assert_eq!(
        switch.run("fdb show"),
        "02:00:00:00:00:0a dev p1 master lab static\n\
         02:00:00:00:00:0b dev p1 sticky master lab static\n\
         02:00:00:00:00:0c blackhole master lab static\n\
         02:00:00:00:00:0d dev p1 master lab permanent\n"
    );
    assert_eq!(
        switch.json("fdb show --mac 02:00:00:00:00:0b"),
        json!([{"mac": "02:00:00:00:00:0b", "ifname": "p1", "flags": ["sticky"], "master": "lab", "state": "static"}])
    );
    switch.run("fdb add 02:00:00:00:00:0e --port p1 --kind dynamic");
    let shown = switch.json("-s fdb show --kind dynamic");
    assert_eq!((&shown[0]["updated"], &shown[0]["state"]), (&json!(0), &json!("")));
    assert_eq!(switch.run("fdb flush --port p1"), "1 removed\n");
    switch.run("fdb del 02:00:00:00:00:0c");
    let (code, said) = switch.fails("fdb del 02:00:00:00:00:0c");
    assert!(
        code == 1 && said.contains("can't remove 02:00:00:00:00:0c") && said.contains("no entry"),
        "{said}"
    );
}

#[test]
fn ports_and_the_bridge_are_shown_and_set() {
    let switch = start();
    switch.run("port set p1 --flood off --state learning --group-fwd-mask 0x4000 --max-macs 3");
    let port = &switch.json("port show p1")[0];
    assert_eq!(
        (&port["ifname"], &port["state"], &port["flood"], &port["group_fwd_mask"], &port["max_macs"]),
        (&json!("p1"), &json!("learning"), &json!(false), &json!("4000"), &json!(3))
    );
    assert_eq!(
        (&port["mtu"], &port["master"], &port["operstate"]),
        (&json!(1500), &json!("lab"), &json!("UP"))
    );
    let shown = switch.run("-d -s port show");
    assert!(shown.contains("p1: raw up mtu 1500 master lab state learning"), "{shown}");
    assert!(shown.contains("-: late@none0: raw waiting master lab state forwarding"), "{shown}");
    assert!(shown.contains("flood off") && shown.contains("socket_lost 0"), "{shown}");
    let (code, said) = switch.fails("port set late --flood off");
    assert!(code == 1 && said.contains("waits for its device none0"), "{said}");

    switch.run("bridge set --ageing-time 1500ms --no-linklocal-learn on");
    assert!(
        switch
            .run("bridge show")
            .starts_with("lab: ageing_time 1500ms group_fwd_mask 0x0 no_linklocal_learn on")
    );
    assert_eq!(switch.json("bridge show")[0]["ageing_time_ms"], json!(1500));
    switch.run("bridge set --default-pvid 7");
    switch.run("bridge set --vlan-filtering on --vlan-protocol 802.1ad");
    let shown = switch.run("bridge show");
    assert!(shown.contains("\n    vlan_filtering on vlan_protocol 802.1ad default_pvid 7\n"), "{shown}");
    let bridge = &switch.json("bridge show")[0];
    assert_eq!((&bridge["vlan_filtering"], &bridge["vlan_protocol"]), (&json!(1), &json!("802.1ad")));
    assert!(switch.run("vlan show").contains("7 PVID Egress Untagged"));
    assert!(switch.run("config show").contains("vlan_protocol = \"802.1ad\""));
}

#[test]
fn drops_are_shown_with_the_way_out() {
    let switch = start();
    assert_eq!(switch.run("drops show"), "no frame was dropped\n");
    switch.drop_one();
    let shown = switch.run("drops show --port p1");
    assert!(shown.starts_with("source_group: 1 on ingress (p1 1)\n") && shown.contains("-> "), "{shown}");
}

#[test]
fn how_it_ends_says_what_was_wrong() {
    let switch = start();
    assert!(switch.run("version").contains("bridge lab"));
    for (line, code, says) in [
        ("port set p1", 2, "required"),
        ("port set p1 --flood perhaps", 2, "on or off"),
        ("port set p1 --state asleep", 2, "forwarding"),
        ("fdb add 02:00:00:00:00:0a", 2, "--port"),
        ("bridge set --ageing-time soon", 2, "300s"),
        ("bridge set --vlan-protocol 802.1x", 2, "802.1ad"),
        ("bridge set --default-pvid 4095", 2, "4094"),
        ("port show p9", 1, "the ports are p1, late"),
        ("fdb show --mac 2:0", 1, "not a MAC address"),
        ("bridge set --ageing-time 100000h", 1, "out of range"),
    ] {
        let (ended, said) = switch.fails(line);
        assert!(ended == code && said.contains(says), "{line}: {ended}: {said}");
    }
    let nowhere = Command::new(env!("CARGO_BIN_EXE_switchctl"))
        .args(["--socket", "/nonexistent/control", "version"])
        .output()
        .unwrap();
    let (code, said) = failed(&nowhere);
    assert!(code == 3 && said.contains("no switchd listens there"), "{said}");
}

#[test]
fn what_happens_is_shown_as_it_happens_until_nobody_reads() {
    let switch = start();
    let mut child = switch.command("monitor").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut changes) = (String::new(), 0);
    // Nothing says when it has begun but what it shows.
    let flip = |changes: &mut i32| {
        *changes += 1;
        switch.run(if *changes % 2 == 0 { "port set p1 --flood on" } else { "port set p1 --flood off" });
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| lines.read_line(&mut line).unwrap());
        while !reader.is_finished() {
            flip(&mut changes);
        }
    });
    assert!(line.starts_with("port: port p1 was set: flood "), "{line}");
    drop(lines);
    wait_until(std::time::Duration::from_secs(10), "it ends", || {
        flip(&mut changes);
        child.try_wait().unwrap().is_some()
    })
    .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_who_goes_away_is_no_error() {
    let switch = start();
    let mut child = switch.command("port show").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(
        Command::new(env!("CARGO_BIN_EXE_switchctl"))
            .args(["completions", "bash"])
            .output()
            .unwrap()
            .stdout
            .len()
            > 1000
    );
}

#[test]
fn a_frame_is_explained_however_it_is_given_and_the_last_dropped_are_decoded() {
    let switch = start();
    let expected = switch.run("explain --port p1 dst=ff:ff:ff:ff:ff:ff src=02:00:00:00:00:01 type=arp");
    assert!(expected.contains("parse   came in on p1: for everybody"), "{expected}");
    assert!(expected.contains("decide  dropped, no_egress") && expected.contains("\n-> "), "{expected}");
    let hexadecimal = format!("ffffffffffff0200000000010806{}", "00".repeat(46));
    assert_eq!(switch.run(&format!("explain --port p1 {hexadecimal}")), expected);

    let directory = switch.switchd.directory().join("one.pcap");
    let mut file: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for byte in [0x11, 0xff] {
        file.extend([0_u32, 0, 60, 60].map(u32::to_le_bytes).concat());
        file.extend([&[byte; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], &[0; 46]].concat());
    }
    std::fs::write(&directory, file).unwrap();
    assert_eq!(switch.run(&format!("explain --port p1 {}:2", directory.display())), expected);
    let (code, said) = switch.fails(&format!("explain --port p1 {}:3", directory.display()));
    assert!(code == 1 && said.contains("fewer than 3 frames"), "{said}");
    // The same two in a pcapng file, the first in a block of the simple kind.
    let file = switch.switchd.directory().join("two.pcapng");
    let frame = |byte| [&[byte; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], &[0; 46]].concat();
    let tail = Tail::new(Way::In, Some("a comment"));
    let packet = |byte, length| {
        let whole = pcapng::packet_len(60, &tail) as u32;
        let head = pcapng::packet_head(0, 0, 60, length, &tail);
        [&head[..], &frame(byte), tail.bytes(), &whole.to_le_bytes()].concat()
    };
    let simple = [3_u32, 76, 60].map(u32::to_le_bytes).concat();
    let simple = [&simple[..], &frame(0x11), &76_u32.to_le_bytes()].concat();
    let head = [pcapng::section("a test"), pcapng::interface("p1", 262_144)].concat();
    let blocks = [head, simple, packet(0xff, 60), packet(0xff, 1514)].concat();
    std::fs::write(&file, &blocks).unwrap();
    assert_eq!(switch.run(&format!("explain --port p1 {}:2", file.display())), expected);
    for (number, says) in
        [("0", "from 1"), ("x", "from 1"), ("3", "not captured whole"), ("4", "fewer than 4")]
    {
        let (code, said) = switch.fails(&format!("explain --port p1 {}:{number}", file.display()));
        assert!(code == 1 && said.contains(says), "{number}: {said}");
    }
    std::fs::write(&file, b"neither").unwrap();
    let (code, said) = switch.fails(&format!("explain --port p1 {}:1", file.display()));
    assert!(code == 1 && said.contains("neither a pcap nor a pcapng file"), "{said}");

    let explained = switch.json(&format!("explain --port p1 {hexadecimal}"));
    assert_eq!((&explained["forwarded"], &explained["reason"]), (&json!(false), &json!("no_egress")));

    switch.drop_one();
    let last = switch.run("drops show --last --reason source_group");
    let says = "s ago source_group p1 length 60: ff:ff:ff:ff:ff:ff > ff:ff:ff:ff:ff:ff LLC\n";
    assert!(last.ends_with(says), "{last}");
    assert!(
        switch.run("-d drops show").ends_with(&format!("{}\n", last.trim_end().split_once(' ').unwrap().1))
    );
}

#[test]
fn vlans_are_shown_and_set_as_with_bridge_vlan() {
    let switch = Switch::of(1, "vlan_filtering = true\nvlan_stats = true", &[], "");
    switch.run("vlan add --vid 20-22 --port p1");
    switch.run("vlan set --vid 21 --dev p1 --state blocking");
    assert_eq!(
        switch.run("-d vlan show"),
        "port              vlan-id\n\
         p1                1 PVID Egress Untagged state forwarding\n\
         \x20                 20 state forwarding\n\
         \x20                 21 state blocking\n\
         \x20                 22 state forwarding\n"
    );
    switch.run("vlan del --vid 22 --port p1");
    let shown = switch.json("-s vlan show --port p1");
    let of = |at: usize, key: &str| shown[0]["vlans"][at][key].clone();
    assert_eq!((of(0, "vlan"), of(0, "flags")), (json!(1), json!(["PVID", "Egress Untagged"])));
    for key in ["rx_bytes", "rx_packets", "tx_bytes", "tx_packets"] {
        assert!(of(1, key).is_u64(), "{key}: {shown}");
    }
    assert_eq!(
        switch.json("vlan map"),
        json!([{ "ifname": "p1", "vlans": [
            { "vlan": 1, "flags": ["PVID", "Egress Untagged"] }, { "vlan": 20, "vlanEnd": 21 }
        ] }])
    );
    switch.run("fdb add 02:00:00:00:00:0a --port p1 --vlan 20 --kind dynamic");
    assert_eq!(switch.run("fdb flush --vlan 21"), "0 removed\n");
    assert_eq!(switch.run("fdb flush --vlan 20"), "1 removed\n");
    let (code, said) = switch.fails("vlan set --vid 30 --port p1 --state learning");
    assert!(code == 1 && said.contains("not a member of VLAN 30"), "{said}");
}

#[test]
fn every_verb_that_says_something_says_it_as_json_and_completions_know_them_all() {
    let switch = start();
    for line in [
        "version",
        "bridge show",
        "port show",
        "-d -s port show p1",
        "fdb show",
        "fdb flush",
        "vlan show",
        "vlan map",
        "drops show",
        "drops show --last",
        "mirror show",
        "config show",
        "config diff",
        "reload",
        "top --interval 100ms",
        "explain --port p1 dst=ff:ff:ff:ff:ff:ff src=02:00:00:00:00:01",
    ] {
        let value = switch.json(line);
        assert!(matches!(value, Value::Object(_) | Value::Array(_)), "{line}: {value}");
    }
    // One that only does something has nothing to say.
    assert_eq!(switch.run("--json port set p1 --flood off"), "");
    let completions = switch.run("completions bash");
    for verb in [
        "bridge", "port", "fdb", "vlan", "drops", "explain", "monitor", "capture", "mirror", "top", "config",
        "reload",
    ] {
        assert!(completions.contains(&format!("switchctl,{verb})")), "{verb}");
    }
}

#[test]
fn a_bridge_is_named_and_one_that_is_not_there_is_told_with_those_that_are() {
    // In a namespace of mounts of its own, so that /run/switchd has only what is put there.
    let switch = start();
    let script = "mount -t tmpfs none /run && mkdir -p /run/switchd/lab && ln -s \"$1\" /run/switchd/lab/control\n\
                  \"$2\" version && \"$2\" --bridge lab version && \"$2\" --bridge other version";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(switch.switchd.control_socket())
        .arg(env!("CARGO_BIN_EXE_switchctl"))
        .output()
        .unwrap();
    let (code, said) = failed(&output);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.matches("bridge lab").count(), 2, "{told}");
    assert!(code == 3 && said.contains("the bridges with a socket here are lab"), "{code}: {said}");
}

#[test]
fn who_may_not_is_told_so() {
    let switch = start();
    let directory = switch.switchd.directory();
    std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // Where everybody can start it.
    let copy = directory.join("switchctl");
    std::fs::copy(env!("CARGO_BIN_EXE_switchctl"), &copy).unwrap();
    let run = |line: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        command.arg("--socket").arg(switch.switchd.control_socket()).args(line.split(' '));
        failed(&command.output().unwrap())
    };
    assert_eq!(run("port show").0, 0);
    for line in ["port set p1 --flood off", "reload", "drops show --last", "capture -w /dev/null"] {
        let (code, said) = run(line);
        assert!(code == 4 && said.contains("only root"), "{line}: {code}: {said}");
    }
    std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}
