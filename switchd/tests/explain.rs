//! Why frames are dropped: the last ones are shown, and what would become of a frame is said before it comes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::collections::BTreeMap;

use control::types::{EntryKind, Explanation, NewFdbEntry, Port, PortChange};
use control::{CallError, Client, ClientError, hex};
use picture::{BROADCAST, Picture, SOON, frame, mac};
use testbed::{FrameSocket, Namespace, Switchd, wait_until};

fn start(hosts: u8) -> (Picture, Switchd, Client) {
    let picture = Picture::of(hosts);
    let switchd = Switchd::start(&picture.switch, &picture.raw_ports()).unwrap();
    let client = switchd.control().unwrap();
    (picture, switchd, client)
}

/// Sends a frame and waits until it is handled; the ports after that.
fn send(client: &mut Client, socket: &mut FrameSocket, port: &str, bytes: &[u8]) -> Vec<Port> {
    let before = client.show_port(port).unwrap().counters.rx_frames;
    socket.send(bytes).unwrap();
    let mut ports = Vec::new();
    wait_until(SOON, "the frame is handled", || {
        ports = client.show_ports(None).unwrap();
        ports.iter().any(|shown| shown.name == port && shown.counters.rx_frames > before)
    })
    .unwrap();
    ports
}

#[test]
fn the_last_frames_that_were_dropped_are_shown_with_where_and_why() {
    let (picture, _switchd, mut client) = start(2);
    let mut socket = picture.socket(1);
    let group = frame(BROADCAST, [1, 0, 0, 0, 0, 7], "from a group");
    send(&mut client, &mut socket, "p1", &group);
    picture.switch.run("ip link set p2 mtu 1000").unwrap();
    wait_until(SOON, "the MTU is known", || {
        client.show_port("p2").unwrap().device.is_some_and(|device| device.mtu == 1000)
    })
    .unwrap();
    let mut long = frame(BROADCAST, mac(1), "long");
    long.resize(1514, 0x5a);
    let tagged = [&long[..12], &[0x81, 0, 0, 10], &long[12..1400]].concat();
    send(&mut client, &mut socket, "p1", &tagged);

    let frames = client.show_dropped_frames(None, None).unwrap();
    let [newer, older] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!(
        (newer.reason.as_str(), newer.ingress.as_str(), newer.egress.as_deref()),
        ("mtu", "p1", Some("p2"))
    );
    assert_eq!((newer.length, newer.head.as_str()), (1404, hex::text(&tagged[..128]).as_str()));
    assert_eq!(
        (older.reason.as_str(), older.ingress.as_str(), older.egress.as_deref()),
        ("source_group", "p1", None)
    );
    assert_eq!((older.length, older.head.as_str()), (64, hex::text(&group).as_str()));
    assert!(newer.age <= older.age && older.age < 10_000);
    assert_eq!(client.show_dropped_frames(Some("p2"), None).unwrap().len(), 1);
    assert_eq!(client.show_dropped_frames(None, Some("source_group")).unwrap().len(), 1);
    let wrong = client.show_dropped_frames(None, Some("bad_mood"));
    assert!(matches!(wrong, Err(ClientError::Refused(CallError::InvalidParameter(_)))), "{wrong:?}");

    // Of a storm the first few in a second.
    for _ in 0..2000 {
        socket.send(&group).unwrap();
    }
    wait_until(SOON, "the storm is handled", || client.show_port("p1").unwrap().counters.rx_frames >= 2002)
        .unwrap();
    let kept = client.show_dropped_frames(None, Some("source_group")).unwrap().len();
    assert!((2..=16).contains(&kept), "{kept}");
    assert_eq!(client.show_dropped_frames(None, Some("mtu")).unwrap().len(), 1, "the other is still there");
}

/// A random number generator (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % bound
    }

    fn frame(&mut self) -> Vec<u8> {
        let station = |n: u64| [2, 0, 0, 0, 0, n as u8];
        let to = match self.roll(10) {
            0 => BROADCAST,
            1 => [1, 0x80, 0xc2, 0, 0, self.roll(16) as u8],
            2 => [1, 0, 0x5e, 0, 0, 1],
            _ => station(self.roll(20)),
        };
        let from = match self.roll(30) {
            0 => [3, 0, 0, 0, 0, 1],
            1 => [0; 6],
            _ => station(self.roll(20)),
        };
        let mut bytes = frame(to, from, "any");
        if self.roll(5) == 0 {
            bytes.splice(12..12, [0x81, 0, 0, self.roll(256) as u8]);
        }
        bytes.resize(60 + self.roll(1440) as usize, 0);
        bytes
    }
}

/// Frames handed to each port, and reasons for drops with their numbers, by port.
type Account = (BTreeMap<String, u64>, BTreeMap<(String, String), u64>);

fn account(ports: &[Port]) -> Account {
    let handed = ports.iter().map(|port| (port.name.clone(), port.counters.tx_frames)).collect();
    let drops = ports.iter().flat_map(|port| {
        port.drops.iter().map(|drop| ((port.name.clone(), drop.reason.clone()), drop.frames))
    });
    (handed, drops.collect())
}

/// What the account must be after a frame that was explained so.
fn expected(mut account: Account, ingress: &str, explained: &Explanation) -> Account {
    for port in &explained.ports {
        *account.0.get_mut(port).unwrap() += 1;
    }
    if let Some(reason) = &explained.reason {
        *account.1.entry((ingress.to_owned(), reason.clone())).or_default() += 1;
    }
    account
}

fn received(host: &Namespace) -> u64 {
    let shown: serde_json::Value =
        serde_json::from_str(&host.run("ip -j -s link show eth0").unwrap()).unwrap();
    shown[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
}

#[test]
fn a_thousand_random_frames_go_where_it_was_said() {
    let (picture, _switchd, mut client) = start(4);
    let plain = PortChange::default();
    for (port, change) in [
        ("p1", PortChange { isolated: Some(true), ..plain.clone() }),
        ("p2", PortChange { isolated: Some(true), hairpin: Some(true), ..plain.clone() }),
        ("p3", PortChange { locked: Some(true), mab: Some(true), ..plain.clone() }),
        ("p4", PortChange { max_macs: Some(2), mcast_flood: Some(false), flood: Some(false), ..plain }),
    ] {
        client.set_port(port, &change).unwrap();
    }
    picture.switch.run("ip link set p4 mtu 1000").unwrap();
    wait_until(SOON, "the MTU is known", || {
        client.show_port("p4").unwrap().device.is_some_and(|device| device.mtu == 1000)
    })
    .unwrap();
    for (mac, port, kind) in [
        ("02:00:00:00:00:03", Some("p3"), EntryKind::Static),
        ("02:00:00:00:00:04", Some("p4"), EntryKind::Sticky),
        ("02:00:00:00:00:05", None, EntryKind::Blackhole),
        ("02:00:00:00:00:06", Some("p2"), EntryKind::Local),
    ] {
        let entry = NewFdbEntry { mac: mac.into(), port: port.map(str::to_owned), kind, vlan: None };
        client.add_fdb(&entry).unwrap();
    }
    let mut sockets: Vec<_> = (1..=4).map(|number| picture.socket(number)).collect();
    let before: Vec<u64> = (1..=4).map(|number| received(picture.host(number))).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let first = account(&client.show_ports(None).unwrap());
    let mut now = first.clone();
    for _ in 0..1000 {
        let number = dice.roll(4) as usize;
        let (ingress, mut bytes) = (format!("p{}", number + 1), dice.frame());
        if number == 3 {
            // The wire itself takes no more.
            bytes.truncate(1000);
        }
        let explained = client.explain(&ingress, &bytes).unwrap();
        let mut wanted = expected(now, &ingress, &explained);
        now = account(&send(&mut client, &mut sockets[number], &ingress, &bytes));
        // A copy that is too long for its egress is a drop there, and the frame is forwarded all the same.
        let mtu = ("p4".to_owned(), "mtu".to_owned());
        if explained
            .steps
            .iter()
            .any(|step| step.words == "p4 does not get it: the frame is longer than its MTU allows")
        {
            *wanted.1.entry(mtu).or_default() += 1;
        }
        assert_eq!(now, wanted, "{ingress}: {} {explained:#?}", hex::text(&bytes));
    }
    assert!(now.1.len() > 10, "few reasons were met: {:?}", now.1);
    for number in 1..=4 {
        let name = format!("p{number}");
        let came = received(picture.host(number)) - before[usize::from(number) - 1];
        assert_eq!(came, now.0[&name] - first.0[&name], "what came out of {name}");
    }
}

#[test]
fn what_can_not_be_explained_is_refused() {
    let (_picture, _switchd, mut client) = start(2);
    let short = client.explain("p1", &[1, 2, 3]).unwrap();
    assert_eq!((short.forwarded, short.reason.as_deref()), (false, Some("runt")));
    assert!(short.hint.is_some() && short.ports.is_empty());
    let long = client.explain("p1", &[0; 70_000]);
    assert!(matches!(long, Err(ClientError::Refused(CallError::Refused(_)))), "{long:?}");
    let nowhere = client.explain("p7", &[0; 60]);
    assert!(matches!(nowhere, Err(ClientError::Refused(CallError::NoSuchPort { .. }))), "{nowhere:?}");
}
