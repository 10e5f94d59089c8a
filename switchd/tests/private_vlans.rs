//! Private VLANs end to end, with the documentation's own examples: who reaches whom, on one switch and over a link
//! between two, also by frames that no ARP came before; and what a reload makes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use control::types::{FdbFilter, NewVlans, PrivateKind};
use control::{CallError, Client, ClientError};
use picture::{BROADCAST, address, frame, mac, mac_text, quiet};
use testbed::{Capture, End, FrameSocket, Namespace, Switchd, ping, veth};

/// The example that is shipped: the documentation's, with a link to a second switch.
const SHIPPED: &str = include_str!("../../config/private-vlans.toml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// Ports of the example and their devices.
const DEVICES: [(&str, &str); 5] =
    [("router", "eth0"), ("room1", "vnet1"), ("room2", "vnet2"), ("desk1", "vnet3"), ("desk2", "vnet4")];

/// The documentation's section on private VLANs.
fn section() -> &'static str {
    let section = REFERENCE.split("\n## `[[private_vlan]]`").nth(1).unwrap();
    section.split("\n## ").next().unwrap()
}

/// The example in it.
fn documented() -> &'static str {
    section().split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
}

/// Who reaches whom by the table in it.
fn reaches() -> BTreeMap<(&'static str, &'static str), bool> {
    let rows = section().lines().skip_while(|line| !line.starts_with("| from \\ to |"));
    let mut rows = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let names = rows.next().unwrap();
    let pairs = rows.skip(1).flat_map(|row| {
        let cells = row.iter().copied().zip(&names).skip(1).filter(|(cell, _)| !cell.is_empty());
        cells.map(|(cell, to)| ((row[0], *to), cell == "yes")).collect::<Vec<_>>()
    });
    pairs.collect()
}

/// A host for each port, numbered from `first`, with the addresses of all who are called so known.
struct Hosts(Vec<(&'static str, u8, Namespace)>);

impl Hosts {
    fn new(switch: &Namespace, ports: &[(&'static str, &str)], first: u8) -> Self {
        let host = |(number, (name, device)): (u8, &(&'static str, &str))| {
            let host = quiet("host");
            let end = End::new(&host, "eth0").mac(&mac_text(number));
            veth(end.address(&format!("{}/24", address(number))), End::new(switch, device)).unwrap();
            // So that what is kept apart is not only kept from asking.
            for other in (1..=9).filter(|other| *other != number) {
                let (to, mac) = (address(other), mac_text(other));
                host.ip(&format!("neighbour add {to} lladdr {mac} dev eth0 nud permanent")).unwrap();
            }
            (*name, number, host)
        };
        Self((first..).zip(ports).map(host).collect())
    }

    fn get(&self, name: &str) -> (u8, &Namespace) {
        self.0.iter().find(|(known, ..)| *known == name).map(|(_, number, host)| (*number, host)).unwrap()
    }

    fn socket(&self, name: &str) -> FrameSocket {
        FrameSocket::open(self.get(name).1, "eth0").unwrap()
    }
}

/// Everybody says once who it is, so that all are known.
fn everybody_speaks(hosts: &[&Hosts]) {
    for (name, number, _) in hosts.iter().flat_map(|hosts| &hosts.0) {
        let mut socket =
            hosts.iter().find(|hosts| hosts.0.iter().any(|(known, ..)| known == name)).unwrap().socket(name);
        socket.send(&frame(BROADCAST, mac(*number), "here I am")).unwrap();
    }
}

/// Pings from each to each, all at once, and says who was answered.
fn who_answers(hosts: &[&Hosts]) -> BTreeMap<(&'static str, &'static str), bool> {
    let all: Vec<_> = hosts.iter().flat_map(|hosts| &hosts.0).collect();
    std::thread::scope(|scope| {
        let pings: Vec<_> = all
            .iter()
            .flat_map(|from| all.iter().filter(|to| to.0 != from.0).map(move |to| (from, to)))
            .map(|(from, to)| {
                let answered = scope.spawn(|| ping(&from.2, &address(to.1), 3).unwrap().received > 0);
                ((from.0, to.0), answered)
            })
            .collect();
        pings.into_iter().map(|(pair, answered)| (pair, answered.join().unwrap())).collect()
    })
}

fn drops(client: &mut Client, port: &str, reason: &str) -> u64 {
    let drops = client.show_port(port).unwrap().drops;
    drops.iter().find(|drop| drop.reason == reason).map_or(0, |drop| drop.frames)
}

#[test]
fn who_reaches_whom_is_what_the_documentation_says() {
    let switch = quiet("switch");
    let hosts = Hosts::new(&switch, &DEVICES, 1);
    let switchd = Switchd::start(&switch, documented()).unwrap();
    let captures: Vec<_> = hosts
        .0
        .iter()
        .map(|(name, _, host)| (*name, Capture::start(host, "eth0", &["-Q", "in"]).unwrap()))
        .collect();
    everybody_speaks(&[&hosts]);
    let said = reaches();
    assert_eq!(said.len(), 20, "{said:?}");
    assert_eq!(who_answers(&[&hosts]), said);
    // Nothing else came, of what was for all or for one.
    for (name, capture) in captures {
        let sources: BTreeSet<u8> = capture.stop().unwrap().iter().map(|frame| frame.bytes[11]).collect();
        let expected = said.iter().filter(|((_, to), reached)| *to == name && **reached);
        assert_eq!(sources, expected.map(|((from, _), _)| hosts.get(from).0).collect(), "at {name}");
    }

    let mut client = switchd.control().unwrap();
    for (port, kept) in [("router", false), ("room1", true), ("room2", true), ("desk1", true)] {
        assert_eq!(drops(&mut client, port, "private_vlan") > 0, kept, "{port}");
    }
    // What is learned is known under the number of the primary, and found by that of each.
    let filter = |vlan| FdbFilter { vlan: Some(vlan), ..FdbFilter::default() };
    for vlan in [100, 101, 102] {
        let known = client.show_fdb(&filter(vlan)).unwrap();
        assert!(known.len() == 5 && known.iter().all(|entry| entry.vlan == Some(100)), "{vlan}: {known:?}");
    }
    let parts = client.show_vlans(None).unwrap().into_iter().map(|vlan| {
        let private = vlan.private.unwrap();
        (vlan.port, vlan.vid, private.kind, private.primary)
    });
    let expected = [
        ("router", 100, PrivateKind::Primary),
        ("room1", 101, PrivateKind::Isolated),
        ("room2", 101, PrivateKind::Isolated),
        ("desk1", 102, PrivateKind::Community),
        ("desk2", 102, PrivateKind::Community),
    ];
    let expected = expected.map(|(port, vid, kind)| (port.to_owned(), vid, kind, 100));
    assert_eq!(parts.collect::<Vec<_>>(), expected);
    let explained = client.explain("room1", &frame(mac(3), mac(2), "hello")).unwrap();
    assert_eq!(explained.reason.as_deref(), Some("private_vlan"));
    let vlan = explained.steps.iter().find(|step| step.stage == "vlan").unwrap();
    assert!(vlan.words.starts_with("VLAN 101 (isolated, of 100), "), "{}", vlan.words);
}

#[test]
fn a_second_switch_keeps_apart_what_the_first_does() {
    let switches = [quiet("switch"), quiet("switch")];
    veth(End::new(&switches[0], "eth1"), End::new(&switches[1], "eth1")).unwrap();
    let here = Hosts::new(&switches[0], &DEVICES, 1);
    // The second one has no router.
    let further = [("room3", "vnet1"), ("desk3", "vnet3")];
    let there = Hosts::new(&switches[1], &further, 6);
    let _running = [0, 1].map(|number| Switchd::start(&switches[number], SHIPPED).unwrap());
    everybody_speaks(&[&here, &there]);
    let kind = |name: &'static str| name.trim_end_matches(char::is_numeric);
    let expected = |from: &'static str, to: &'static str| {
        [from, to].contains(&"router") || kind(from) == "desk" && kind(to) == "desk"
    };
    for ((from, to), answered) in who_answers(&[&here, &there]) {
        assert_eq!(answered, expected(from, to), "from {from} to {to}");
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused(CallError::Refused(words))) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reload_begins_and_ends_it_and_what_does_not_go_together_is_refused() {
    let switch = quiet("switch");
    let _hosts = Hosts::new(&switch, &DEVICES, 1);
    let entry = format!("[[fdb]]\nmac = \"{}\"\nport = \"room2\"\nvlan = 101\n", mac_text(9));
    let private = format!("{}{entry}", documented());
    let begin = private.find("[[private_vlan]]").unwrap();
    let end = begin + private[begin..].find("\n\n").unwrap();
    let plain = format!("{}{}", &private[..begin], &private[end..]);
    let switchd = Switchd::start(&switch, &plain).unwrap();
    let mut client = switchd.control().unwrap();
    let file = switchd.directory().join("switchd.toml");
    // VLANs like others: rooms reach each other, and not the router.
    let ports = |client: &mut Client, from: &str, to: [u8; 6]| {
        let explained = client.explain(from, &frame(to, mac(2), "who"));
        explained.unwrap().ports
    };
    assert_eq!(ports(&mut client, "room1", BROADCAST), ["room2"]);
    assert_eq!(ports(&mut client, "router", mac(9)), [""; 0], "not known there");

    fs::write(&file, &private).unwrap();
    assert_eq!(client.reload().unwrap().changes, ["private VLAN 100 added"]);
    assert_eq!(ports(&mut client, "room1", BROADCAST), ["router"]);
    assert_eq!(ports(&mut client, "router", mac(9)), ["room2"], "a static entry is known in all parts");
    let shown = client.show_config().unwrap();
    assert!(
        shown.contains("[[private_vlan]]\nprimary = 100\nisolated = 101\ncommunities = [\"102\"]\n"),
        "{shown}"
    );
    assert!(shown.contains("port = \"room2\"\ntype = \"static\"\nvlan = 101\n"), "{shown}");

    // A port is one thing, also at run time.
    let second = NewVlans { port: "room1".into(), vid: 102, ..NewVlans::default() };
    let words = refusal(client.add_vlans(&second));
    assert!(words.starts_with("port room1 can't be in VLANs 101 and 102 so"), "{words}");
    client.add_vlans(&NewVlans { vid: 7, ..second }).unwrap();
    // So a room is moved to the reception.
    client.delete_vlans("room2", 101, 101).unwrap();
    let desk = NewVlans { port: "room2".into(), vid: 102, pvid: true, untagged: true, ..NewVlans::default() };
    client.add_vlans(&desk).unwrap();
    assert_eq!(ports(&mut client, "desk1", BROADCAST), ["router", "room2", "desk2"]);

    fs::write(&file, private.replace("communities = [102]", "communities = [102, 101]")).unwrap();
    assert!(refusal(client.reload()).contains("VLAN 101 can't be two parts of private VLANs"));
    fs::write(&file, &plain).unwrap();
    assert_eq!(client.reload().unwrap().changes, ["private VLAN 100 removed"]);
    assert_eq!(ports(&mut client, "router", BROADCAST), [""; 0]);
    assert_eq!(ports(&mut client, "desk1", BROADCAST), ["room2", "desk2"], "as it was set at run time");
}
