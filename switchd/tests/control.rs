//! The control socket of a running switch: what it shows is what is, what it sets is what happens next.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use control::types::{BridgeChange, EntryKind, FdbEntry, FdbFilter, NewFdbEntry, PortChange, PortState};
use control::{CallError, Client, ClientError};
use picture::{BROADCAST, Picture, SOON, frame, mac, mac_text, wire};
use testbed::{Switchd, wait_until};

/// A switch with two hosts, one connection to its control socket, and the name of a third port, whose device
/// is not there.
fn start() -> (Picture, Switchd, Client) {
    let picture = Picture::of(2);
    let config = picture.raw_ports()
        + "[ports.late]\ntype = \"raw\"\n[[fdb]]\nmac = \"02:00:00:00:00:77\"\nport = \"p2\"\n";
    let switchd = Switchd::start(&picture.switch, &config).unwrap();
    let client = switchd.control().unwrap();
    (picture, switchd, client)
}

fn entry(mac: &str, port: &str, kind: EntryKind) -> NewFdbEntry {
    NewFdbEntry { mac: mac.into(), port: Some(port.into()), kind, vlan: None }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.unwrap_err() {
        ClientError::Refused(CallError::Refused(message) | CallError::NoSuchPort { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

/// Entries that are not the devices' own.
fn entries(client: &mut Client) -> Vec<(String, Option<String>, EntryKind)> {
    let all = client.show_fdb(&FdbFilter::default()).unwrap();
    all.into_iter().map(|FdbEntry { mac, port, kind, .. }| (mac, port, kind)).collect()
}

/// Waits until all frames that came in on a port are handled.
fn handled(client: &mut Client, port: &str, frames: u64) {
    wait_until(SOON, "the frames are handled", || {
        client.show_port(port).unwrap().counters.rx_frames >= frames
    })
    .unwrap();
}

#[test]
fn what_is_shown_is_what_is() {
    let (picture, switchd, mut client) = start();
    let version = client.version().unwrap();
    assert_eq!((version.bridge.as_str(), version.pid), ("switchd", switchd.id()));
    let mut socket = picture.socket(1);
    for _ in 0..5 {
        socket.send(&frame(BROADCAST, mac(1), "hello")).unwrap();
    }
    socket.send(&frame(BROADCAST, [1, 0, 0, 0, 0, 1], "from a group")).unwrap();
    handled(&mut client, "p1", 6);
    let ports = client.show_ports(None).unwrap();
    let names: Vec<_> = ports.iter().map(|port| (port.name.as_str(), port.device.is_some())).collect();
    assert_eq!(names, [("p1", true), ("p2", true), ("late", false)]);
    let counters = ports[0].counters;
    assert_eq!((counters.rx_frames, counters.rx_bytes, counters.forwarded), (6, 6 * 64, 5));
    assert_eq!((ports[0].drops.len(), ports[0].drops[0].frames), (1, 1));
    assert_eq!((ports[1].counters.tx_frames, ports[1].kernel.device_tx_dropped), (5, Some(0)));
    assert_eq!(
        entries(&mut client),
        [
            (mac_text(1), Some("p1".into()), EntryKind::Dynamic),
            ("02:00:00:00:00:77".into(), Some("p2".into()), EntryKind::Static),
        ]
    );
    let of_p2 = client.show_fdb(&FdbFilter { port: Some("p2".into()), ..FdbFilter::default() }).unwrap();
    assert_eq!((of_p2.len(), of_p2[0].age), (1, None));
    let drops = client.show_drops(None).unwrap();
    assert_eq!((drops.len(), drops[0].reason.as_str(), drops[0].ports["p1"]), (1, "source_group", 1));
    assert!(client.show_drops(Some("p2")).unwrap().is_empty());
    let bridge = client.show_bridge().unwrap();
    assert_eq!((bridge.ageing_time, bridge.fdb_entries, bridge.fdb_counters.learned), (300_000, 2, 1));
    assert!(refusal(client.show_port("p9")).contains("the ports are p1, p2, late"));
}

#[test]
fn a_setting_is_obeyed_by_the_next_frame() {
    let (picture, _switchd, mut client) = start();
    let (mut one, mut two) = (picture.socket(1), picture.socket(2));
    client.set_port("p2", &PortChange { bcast_flood: Some(false), ..PortChange::default() }).unwrap();
    one.send(&frame(BROADCAST, mac(1), "lost")).unwrap();
    handled(&mut client, "p1", 1);
    client.set_port("p2", &PortChange { bcast_flood: Some(true), ..PortChange::default() }).unwrap();
    one.send(&frame(BROADCAST, mac(1), "found")).unwrap();
    let got = two.receive_where(SOON, |frame| frame.len() > 14).unwrap();
    assert!(picture::says(&got, "found"));

    client.set_port("p1", &PortChange { state: Some(PortState::Blocking), ..PortChange::default() }).unwrap();
    one.send(&frame(BROADCAST, mac(1), "blocked")).unwrap();
    handled(&mut client, "p1", 3);
    let port = client.show_port("p1").unwrap();
    assert_eq!(port.settings.state, PortState::Blocking);
    assert_eq!((port.drops[0].reason.as_str(), port.drops[0].frames), ("ingress_blocked", 1));

    let change =
        BridgeChange { ageing_time: Some(60_000), move_damping: Some(500), ..BridgeChange::default() };
    client.set_bridge(&change).unwrap();
    let bridge = client.show_bridge().unwrap();
    assert_eq!((bridge.ageing_time, bridge.move_damping, bridge.group_fwd_mask), (60_000, 500, 0));
    client.set_bridge(&BridgeChange { ageing_time: Some(0), ..BridgeChange::default() }).unwrap();
    assert!(entries(&mut client).iter().all(|(.., kind)| *kind == EntryKind::Static), "all others have aged");
}

#[test]
fn a_lock_put_on_at_run_time_is_not_opened_by_a_frame_to_a_reserved_address() {
    const PORT_ACCESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x03];
    let (picture, _switchd, mut client) = start();
    let mut one = picture.socket(1);
    let learned = |client: &mut Client| entries(client).iter().any(|(mac, ..)| *mac == mac_text(1));
    client.set_port("p1", &PortChange { locked: Some(true), ..PortChange::default() }).unwrap();
    one.send(&frame(PORT_ACCESS, mac(1), "let me in")).unwrap();
    handled(&mut client, "p1", 1);
    assert!(!learned(&mut client), "and so the lock is not opened");
    let change = BridgeChange { no_linklocal_learn: Some(false), ..BridgeChange::default() };
    client.set_bridge(&change).unwrap();
    client.set_port("p1", &PortChange { flood: Some(false), ..PortChange::default() }).unwrap();
    one.send(&frame(PORT_ACCESS, mac(1), "as in Linux")).unwrap();
    handled(&mut client, "p1", 2);
    assert!(learned(&mut client), "who says so gets what Linux does");
}

#[test]
fn what_the_bridge_does_not_take_is_refused_with_the_reason_and_changes_nothing() {
    let (_picture, _switchd, mut client) = start();
    let plain = PortChange::default();
    for (port, change, says) in [
        ("p1", PortChange { mab: Some(true), ..plain.clone() }, "mab needs locked"),
        ("p1", PortChange { group_fwd_mask: Some(2), flood: Some(false), ..plain.clone() }, "PAUSE"),
        ("p1", PortChange { promisc: Some(true), ..plain.clone() }, "only the host's port"),
        ("p1", PortChange { backup_port: Some("p1".into()), ..plain.clone() }, "port p1 can't be the backup"),
        ("p1", PortChange { backup_port: Some("p7".into()), ..plain.clone() }, "there is no port p7"),
        ("late", PortChange { flood: Some(false), ..plain }, "waits for its device late"),
    ] {
        let message = refusal(client.set_port(port, &change));
        assert!(message.contains(says), "{message}");
    }
    assert!(client.show_port("p1").unwrap().settings.flood);
    let mask = BridgeChange { group_fwd_mask: Some(1), ..BridgeChange::default() };
    assert!(refusal(client.set_bridge(&mask)).contains("bits 0 to 2"));
    let long = BridgeChange { ageing_time: Some(1 << 60), ..BridgeChange::default() };
    assert!(refusal(client.set_bridge(&long)).contains("out of range"));
}

#[test]
fn entries_come_and_go_as_with_bridge_fdb() {
    let (picture, _switchd, mut client) = start();
    let station = "02:00:00:00:00:aa";
    client.add_fdb(&entry(station, "p1", EntryKind::Sticky)).unwrap();
    assert!(refusal(client.add_fdb(&entry(station, "p2", EntryKind::Static))).contains("already"));
    client.replace_fdb(&entry(station, "p2", EntryKind::Static)).unwrap();
    let shown = client.show_fdb(&FdbFilter { mac: Some(station.into()), ..FdbFilter::default() }).unwrap();
    assert_eq!((shown.len(), shown[0].port.as_deref(), shown[0].kind), (1, Some("p2"), EntryKind::Static));

    let mut two = picture.socket(2);
    picture.socket(1).send(&frame([2, 0, 0, 0, 0, 0xaa], mac(1), "to the entry")).unwrap();
    two.receive_where(SOON, |frame| picture::says(frame, "to the entry")).unwrap();

    assert!(refusal(client.delete_fdb(station, Some("p1"))).contains("no entry"));
    client.delete_fdb(station, Some("p2")).unwrap();
    let hole = NewFdbEntry { mac: station.into(), port: None, kind: EntryKind::Blackhole, vlan: None };
    client.add_fdb(&hole).unwrap();
    client.delete_fdb(station, None).unwrap();
    assert!(refusal(client.add_fdb(&entry(station, "p1", EntryKind::Blackhole))).contains("no port"));
    assert!(
        refusal(client.add_fdb(&entry("01:00:00:00:00:01", "p1", EntryKind::Static))).contains("unicast")
    );
    assert!(refusal(client.add_fdb(&entry(station, "late", EntryKind::Static))).contains("waits"));
    assert!(refusal(client.add_fdb(&entry(station, "p1", EntryKind::Locked))).contains("mab"));
    let wrong = client.add_fdb(&entry("2:0", "p1", EntryKind::Static));
    assert!(matches!(wrong, Err(ClientError::Refused(CallError::InvalidParameter(_)))), "{wrong:?}");

    client.add_fdb(&entry(station, "p1", EntryKind::Dynamic)).unwrap();
    assert_eq!(client.flush_fdb(Some("p2"), None, None).unwrap(), 0);
    assert_eq!(client.flush_fdb(None, None, None).unwrap(), 2, "host 1 and the dynamic one");
    assert_eq!(client.flush_fdb(None, Some(EntryKind::Static), None).unwrap(), 1);
    assert!(entries(&mut client).is_empty());
}

#[test]
fn a_large_fdb_is_shown_whole() {
    let (picture, _switchd, mut client) = start();
    let mut socket = picture.socket(1);
    for n in 0..5_000_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        socket.send(&frame(BROADCAST, [2, 1, 0, b, c, d], "one of many")).unwrap();
        if n % 500 == 499 {
            handled(&mut client, "p1", u64::from(n) + 1);
        }
    }
    let shown = client.show_fdb(&FdbFilter::default()).unwrap();
    let mut macs: Vec<_> = shown.iter().map(|entry| &entry.mac).collect();
    macs.dedup();
    assert_eq!((shown.len(), macs.len()), (5_001, 5_001));
    let single: Result<serde_json::Value, _> = client.call("ShowFdb", &FdbFilter::default());
    assert!(matches!(single, Err(ClientError::Refused(CallError::ExpectedMore))), "{single:?}");
}

#[test]
fn what_was_set_at_run_time_goes_with_the_device() {
    let (picture, mut switchd, mut client) = start();
    client.set_port("p2", &PortChange { isolated: Some(true), ..PortChange::default() }).unwrap();
    client.add_fdb(&entry("02:00:00:00:00:aa", "p2", EntryKind::Static)).unwrap();
    client.delete_fdb("02:00:00:00:00:77", Some("p2")).unwrap();
    let lines = switchd.log().len();
    picture.switch.run("ip link del p2").unwrap();
    switchd.wait_for_log_after(lines, "the port is down until", SOON).unwrap();
    wire(&picture.switch, picture.host(2), 2);
    switchd.wait_for_log_after(lines, "port attached", SOON).unwrap();
    assert!(!client.show_port("p2").unwrap().settings.isolated);
    let of_p2 = client.show_fdb(&FdbFilter { port: Some("p2".into()), ..FdbFilter::default() }).unwrap();
    let macs: Vec<_> = of_p2.iter().map(|entry| entry.mac.as_str()).collect();
    assert_eq!(macs, ["02:00:00:00:00:77"], "the entry of the file is back, the other gone");
}
