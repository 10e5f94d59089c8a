//! Ports for interfaces that appear: they come and go with them, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::collections::BTreeMap;
use std::fs;

use control::types::{Changes, PortChange};
use control::{CallError, Client, ClientError};
use picture::{Picture, SOON, address, host, wait_for_ping};
use serde_json::json;
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{Switchd, ping, wait_until};

/// `p1` and `p2` stand in the file; all other `p…` are a pattern's.
const FILE: &str = "[profiles.vm]\ntype = \"raw\"\nmax_macs = 4\n[ports.p1]\ntype = \"raw\"\n\
                    [ports.p2]\nprofile = \"vm\"\n[ports.guests]\nprofile = \"vm\"\ndevice = \"p*\"\n";

fn names(client: &mut Client) -> Vec<String> {
    client.show_ports(None).unwrap().into_iter().map(|port| port.name).collect()
}

fn wait_for_ports(client: &mut Client, expected: &[&str]) {
    let mut found = Vec::new();
    let waited = wait_until(SOON, "the ports are there", || {
        found = names(client);
        found == expected
    });
    assert!(waited.is_ok(), "{found:?}, not {expected:?}");
}

#[test]
fn ports_come_and_go_with_their_interfaces_and_others_lose_nothing() {
    let picture = Picture::of(2);
    let switchd = Switchd::start(&picture.switch, FILE).unwrap();
    let mut client = switchd.control().unwrap();
    wait_for_ping(picture.host(1), &address(2));
    assert_eq!(names(&mut client), ["p1", "p2"]);
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(picture.host(1), &address(2), 50).unwrap());
        let mut rounds = 0;
        while !pings.is_finished() {
            let guest = host(&picture.switch, 3);
            wait_for_ping(&guest, &address(1));
            let port = client.show_port("p3").unwrap();
            assert_eq!((port.settings.max_macs, port.settings.mcast_flood), (Some(4), true));
            // Of this guest alone, and with nothing of what was set for one before.
            assert!(port.counters.rx_frames < 50, "{}", port.counters.rx_frames);
            client.set_port("p3", &PortChange { mcast_flood: Some(false), ..PortChange::default() }).unwrap();
            picture.switch.ip("link del p3").unwrap();
            wait_for_ports(&mut client, &["p1", "p2"]);
            rounds += 1;
        }
        assert_eq!((pings.join().unwrap().lost(), rounds > 2), (0, true));
    });
    // One that is called otherwise is another one; one that was there before a start gets a port too.
    let _guest = host(&picture.switch, 4);
    wait_for_ports(&mut client, &["p1", "p2", "p4"]);
    picture.switch.ip("link set p4 down").unwrap();
    picture.switch.ip("link set p4 name p7").unwrap();
    picture.switch.ip("link set p7 up").unwrap();
    wait_for_ports(&mut client, &["p1", "p2", "p7"]);
    drop(client);
    let switchd = switchd.start_again().unwrap();
    assert_eq!(names(&mut switchd.control().unwrap()), ["p1", "p2", "p7"]);
}

#[test]
fn the_first_pattern_counts_and_what_can_t_be_a_port_is_told() {
    let picture = Picture::of(0);
    let file = "[ports.p5]\ntype = \"raw\"\ndevice = \"eth9\"\n\
                [ports.apart]\ntype = \"raw\"\ndevice = \"p3*\"\nisolated = true\n\
                [ports.rest]\ntype = \"raw\"\ndevice = \"p*\"\nmax_ports = 1\n";
    let mut switchd = Switchd::start(&picture.switch, file).unwrap();
    let mut client = switchd.control().unwrap();
    let mut hosts: Vec<_> = [3, 4, 5, 6].map(|number| host(&picture.switch, number)).into();
    wait_for_ports(&mut client, &["p5", "p3", "p4"]);
    assert!(client.show_port("p3").unwrap().settings.isolated);
    assert!(!client.show_port("p4").unwrap().settings.isolated);
    switchd.wait_for_log("p5 gets no port: there is another port named p5", SOON).unwrap();
    switchd.wait_for_log("p6 gets no port: rest has 1 ports already: max_ports says so", SOON).unwrap();
    // More of them change nothing, and what was told is not told again.
    hosts.push(host(&picture.switch, 8));
    switchd.wait_for_log("p8 gets no port", SOON).unwrap();
    assert_eq!(switchd.log().iter().filter(|line| line.contains("p6 gets no port")).count(), 1);
    assert_eq!(names(&mut client), ["p5", "p3", "p4"]);
    // Where there is room again the next one gets it.
    picture.switch.ip("link del p4").unwrap();
    wait_for_ports(&mut client, &["p5", "p3", "p6"]);
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.unwrap_err() {
        ClientError::Refused(CallError::Refused(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reload_changes_what_a_pattern_has_made() {
    let picture = Picture::of(3);
    let switchd = Switchd::start(&picture.switch, FILE).unwrap();
    let mut client = switchd.control().unwrap();
    wait_for_ping(picture.host(3), &address(1));
    let counted = client.show_port("p3").unwrap().counters.rx_frames;
    let write = |text: &str| fs::write(switchd.directory().join("switchd.toml"), text).unwrap();
    write(&FILE.replace("max_macs = 4", "max_macs = 5"));
    let expected = ["profile vm: max_macs 4 -> 5", "port p2: max_macs 4 -> 5", "port p3: max_macs 4 -> 5"];
    let mut changes = client.diff_config().unwrap().changes;
    changes.retain(|change| !change.starts_with("ports of"));
    assert_eq!(changes, expected);
    client.reload().unwrap();
    let port = client.show_port("p3").unwrap();
    assert_eq!(port.settings.max_macs, Some(5));
    assert!(port.counters.rx_frames >= counted, "it is the same port");
    // What runs is shown as the file has it, and is no change.
    let shown = client.show_config().unwrap();
    assert!(
        shown.contains("[profiles.vm]\nmax_macs = 5\ntype = \"raw\"\n")
            || shown.contains("[profiles.vm]\ntype = \"raw\"\nmax_macs = 5\n"),
        "{shown}"
    );
    assert!(shown.contains("[ports.guests]\ntype = \"raw\"\nprofile = \"vm\"\ndevice = \"p*\"\n"), "{shown}");
    assert!(!shown.contains("p3"), "{shown}");
    write(&shown);
    assert_eq!(client.diff_config().unwrap(), Changes::default());
    assert!(refusal(client.delete_port("p3")).contains("guests makes it"));
    // Patterns come and go at run time too.
    client.delete_port("guests").unwrap();
    assert_eq!(names(&mut client), ["p1", "p2"]);
    let options =
        [("profile", json!("vm")), ("device", json!("*3"))].map(|(key, value)| (key.to_owned(), value));
    client.add_port("threes", &BTreeMap::from(options)).unwrap();
    assert_eq!(names(&mut client), ["p1", "p2", "p3"]);
    wait_for_ping(picture.host(3), &address(1));
    client.reload().unwrap();
    assert_eq!(names(&mut client), ["p1", "p2", "p3"]);
    assert!(client.show_config().unwrap().contains("[ports.guests]"));
}

#[test]
fn over_a_restart_they_stay() {
    let text = CONFIG.replace("device = \"p2\"", "device = \"p*\"");
    assert_ne!(text, CONFIG);
    let service = Service::start("patterns", &binary().unwrap(), &text).unwrap();
    service.pings().unwrap();
    let frames = || {
        let ports = service.control().unwrap().show_ports(None).unwrap();
        ports.into_iter().find(|port| port.name == "p2").map(|port| port.counters.rx_frames).unwrap()
    };
    let before = frames();
    service.systemctl("restart switchd").unwrap();
    assert!(frames() >= before);
    service.take_over().unwrap();
    service.pings().unwrap();
    assert!(frames() > before);
    assert!(!service.journal().contains("opened anew"), "{}", service.journal());
}
