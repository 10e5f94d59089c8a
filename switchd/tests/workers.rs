//! Several workers (`workers = 3`): flows spread over them, each in order, and for who looks from outside it is one
//! switch: what one worker has learned all know, a command holds for all, and what is counted is counted together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod picture;
mod scrape;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use control::Client;
use control::pcapng::{self, Block};
use control::types::{CaptureOptions, FdbFilter, PortChange};
use picture::{BROADCAST, Picture, SOON, address, frame, mac, mac_text, says, wire};
use scrape::{LISTEN, metrics, value};
use testbed::link::move_device;
use testbed::{End, FrameSocket, Switchd, ping, tcp_transfer, wait_until};

const WORKERS: usize = 3;

/// So many that each worker has some.
const FLOWS: u16 = 48;

fn bridge(more: &str) -> String {
    format!("[metrics]\nlisten = \"{LISTEN}\"\n[bridge]\nworkers = {WORKERS}\n{more}\n")
}

/// Hosts on raw ports, the first one on a TAP if it is asked for.
fn start(hosts: u8, tap: bool, more: &str) -> (Picture, Switchd, Vec<FrameSocket>) {
    let picture = Picture::of(hosts);
    let mut ports = picture.raw_ports();
    if tap {
        picture.switch.ip("link del p1").unwrap();
        ports = ports.replace("[ports.p1]\ntype = \"raw\"", "[ports.p1]\ntype = \"tap\"");
    }
    let mut switchd = Switchd::start(&picture.switch, &(bridge(more) + &ports)).unwrap();
    if tap {
        let end = End::new(picture.host(1), "eth0").mac(&mac_text(1)).address(&format!("{}/24", address(1)));
        move_device(&picture.switch, "p1", end).unwrap();
        switchd.wait_for_log("p1 was moved to another network namespace", SOON).unwrap();
    }
    let mut client = switchd.control().unwrap();
    let up = |client: &mut Client| {
        let ports = client.show_ports(None).unwrap();
        ports.iter().all(|port| port.device.as_ref().is_some_and(|device| device.up))
    };
    wait_until(SOON, "all ports are up", || up(&mut client)).unwrap();
    let sockets = (1..=hosts).map(|number| picture.socket(number)).collect();
    (picture, switchd, sockets)
}

/// A UDP datagram of a flow with a number in it.
fn datagram(to: u8, from: u8, flow: u16, number: u32) -> Vec<u8> {
    let ip = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, from, 198, 18, 0, to];
    let ports = [(1000 + flow).to_be_bytes(), 7u16.to_be_bytes()].concat();
    let rest = [&ports[..], &26u16.to_be_bytes(), &[0, 0], &number.to_be_bytes(), &[0; 14]].concat();
    [&mac(to)[..], &mac(from), &[8, 0], &ip, &rest].concat()
}

/// Its flow and its number, if it is such a datagram.
fn read(frame: &[u8]) -> Option<(u8, u16, u32)> {
    let udp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&17);
    let port = u16::from_be_bytes(frame.get(34..36)?.try_into().unwrap()).checked_sub(1000)?;
    let number = u32::from_be_bytes(frame.get(42..46)?.try_into().unwrap());
    udp.then_some((frame[29], port, number))
}

/// The next so many datagrams.
fn receive(socket: &mut FrameSocket, count: usize) -> Vec<(u8, u16, u32)> {
    let next = |_| read(&socket.receive_where(SOON, |frame| read(frame).is_some()).unwrap()).unwrap();
    (0..count).map(next).collect()
}

/// Lets a host be known to all.
fn announce(from: &mut FrameSocket, source: [u8; 6], by: &mut FrameSocket, word: &str) {
    from.send(&frame(BROADCAST, source, word)).unwrap();
    by.receive_where(SOON, |seen| says(seen, word)).unwrap();
}

/// Two of the sockets.
fn two(sockets: &mut [FrameSocket], a: usize, b: usize) -> (&mut FrameSocket, &mut FrameSocket) {
    let [a, b] = sockets.get_disjoint_mut([a - 1, b - 1]).unwrap();
    (a, b)
}

/// Batches of each worker that had frames.
fn batches(picture: &Picture) -> Vec<f64> {
    let text = metrics(&picture.switch);
    let of = |worker| {
        let labels = format!("bridge=\"switchd\",worker=\"{worker}\"");
        value(&text, &format!("switchd_batch_frames_count{{{labels}}}"))
    };
    (0..WORKERS).map(of).collect()
}

#[test]
fn each_flow_keeps_its_order_and_loses_nothing_and_all_workers_carry_some() {
    let (picture, mut switchd, mut sockets) = start(3, true, "");
    for (a, b) in [(1, 2), (2, 3), (3, 1)] {
        let (from, by) = two(&mut sockets, a, b);
        announce(from, mac(a as u8), by, &format!("host {a}"));
    }
    // TAP to raw, raw to raw, raw to TAP; and all ways back at the same time.
    let ways = [(1_u8, 2_u8), (2, 3), (3, 1), (2, 1), (3, 2), (1, 3)];
    for turn in 0..12 {
        for number in 2 * turn..2 * turn + 2 {
            for flow in 0..FLOWS {
                for (from, to) in ways {
                    sockets[usize::from(from) - 1].send(&datagram(to, from, flow, number)).unwrap();
                }
            }
        }
        for (index, socket) in sockets.iter_mut().enumerate() {
            let mut next = BTreeMap::new();
            for (from, flow, number) in receive(socket, 4 * usize::from(FLOWS)) {
                let next = next.entry((from, flow)).or_insert(2 * turn);
                assert_eq!(number, *next, "flow {flow} from host {from} to host {}", index + 1);
                *next += 1;
            }
            assert!(next.len() == 2 * usize::from(FLOWS) && next.values().all(|next| *next == 2 * turn + 2));
        }
    }
    let carried = batches(&picture);
    assert!(carried.iter().all(|batches| *batches > 10.0), "{carried:?}");

    // Whole connections, and both directions of them.
    for (from, to) in [(1, 2), (3, 1)] {
        for _ in 0..3 {
            assert!(
                tcp_transfer(picture.host(from), picture.host(to), &address(to), 3_000_000).unwrap().intact
            );
        }
    }
    accounts::check(&switchd.summary().unwrap());
    let shown = switchd.control().unwrap().show_bridge().unwrap();
    assert_eq!((shown.workers, shown.fdb_entries), (WORKERS, 3));
}

/// Sends a datagram of every flow, and then one to all, as flows have no order among each other.
fn send_flows(to: [u8; 6], from: &mut FrameSocket) {
    for to in [to, BROADCAST] {
        for flow in 0..FLOWS {
            let mut datagram = datagram(9, 1, flow, 0);
            datagram[..6].copy_from_slice(&to);
            from.send(&datagram).unwrap();
        }
    }
}

/// How many datagrams a host sees that were not sent to all, until it has seen all that were.
fn seen_by(socket: &mut FrameSocket) -> usize {
    let (mut seen, mut through) = (0, 0);
    while through < FLOWS {
        match socket.receive_where(SOON, |frame| read(frame).is_some()).unwrap()[..6] == BROADCAST {
            true => through += 1,
            false => seen += 1,
        }
    }
    seen
}

const STATION: [u8; 6] = [2, 0, 0, 0, 0, 0x58];

#[test]
fn what_one_worker_has_learned_or_was_told_holds_for_all() {
    let (_picture, mut switchd, mut sockets) = start(3, false, "ageing_time = \"2s\"");
    let mut client = switchd.control().unwrap();
    let [one, two, three] = &mut sockets[..] else { panic!() };
    const ALL: usize = FLOWS as usize;
    // Unknown: flooded by each. Known by one frame: by none.
    send_flows(STATION, one);
    assert_eq!((seen_by(two), seen_by(three)), (ALL, ALL));
    announce(two, STATION, three, "here");
    send_flows(STATION, one);
    assert_eq!((seen_by(two), seen_by(three)), (ALL, 0));
    // Moved by one frame.
    announce(three, STATION, two, "there");
    send_flows(STATION, one);
    assert_eq!((seen_by(two), seen_by(three)), (0, ALL));

    // It speaks by one flow only, for longer than its time: nobody forgets it.
    let spoke = Instant::now();
    while spoke.elapsed() < Duration::from_millis(2_600) {
        let mut word = datagram(2, 1, 7, 0);
        word[6..12].copy_from_slice(&STATION);
        three.send(&word).unwrap();
        two.receive_where(SOON, |frame| read(frame).is_some()).unwrap();
    }
    send_flows(STATION, one);
    assert_eq!((seen_by(two), seen_by(three)), (0, ALL));
    let silent = Instant::now();
    let filter = FdbFilter { mac: Some("02:00:00:00:00:58".to_owned()), ..FdbFilter::default() };
    wait_until(SOON, "it is forgotten", || client.show_fdb(&filter).unwrap().is_empty()).unwrap();
    assert!(silent.elapsed() > Duration::from_secs(1), "{:?}", silent.elapsed());
    send_flows(STATION, one);
    assert_eq!((seen_by(two), seen_by(three)), (ALL, ALL));

    // A command holds for every frame that is sent after its answer.
    for flood in [false, true, false, true] {
        let change = PortChange { flood: Some(flood), ..PortChange::default() };
        client.set_port("p3", &change).unwrap();
        send_flows(STATION, one);
        assert_eq!((seen_by(two), seen_by(three)), (ALL, if flood { ALL } else { 0 }));
    }
    accounts::check(&switchd.summary().unwrap());
}

/// Where the frame lies in the block of a packet (pcapng, 4.3).
const PACKET: usize = 28;

#[test]
fn counters_drops_talkers_and_captures_are_those_of_all_workers() {
    let (picture, mut switchd, mut sockets) = start(2, false, "");
    let (one, two) = two(&mut sockets, 1, 2);
    announce(two, mac(2), one, "here");
    let mut client = switchd.control().unwrap();
    client.show_talkers().unwrap();
    let before = client.show_port("p1").unwrap().counters.rx_frames;
    let options = CaptureOptions { ports: vec!["p1".into()], ..CaptureOptions::default() };
    let mut capture = switchd.control().unwrap().capture(&options).unwrap();
    for number in 0..4 {
        (0..FLOWS).for_each(|flow| one.send(&datagram(2, 1, flow, number)).unwrap());
        receive(two, usize::from(FLOWS));
    }
    // To a group, from a group: dropped by every worker.
    for flow in 0..FLOWS {
        let mut wrong = datagram(2, 1, flow, 9);
        wrong[6..12].copy_from_slice(&[3, 0, 0, 0, 0, 1]);
        one.send(&wrong).unwrap();
    }
    let sent = 5 * u64::from(FLOWS);
    let received = |client: &mut Client| client.show_port("p1").unwrap().counters.rx_frames - before;
    wait_until(SOON, "all are handled", || received(&mut client) == sent).unwrap();
    let port = client.show_port("p1").unwrap();
    assert_eq!(port.counters.forwarded, 4 * u64::from(FLOWS));
    let drops = client.show_drops(Some("p1")).unwrap();
    let dropped = drops.iter().find(|drop| drop.reason == "source_group").unwrap();
    assert_eq!(dropped.frames, u64::from(FLOWS));
    assert!(!client.show_dropped_frames(Some("p1"), Some("source_group")).unwrap().is_empty());
    let talkers = client.show_talkers().unwrap();
    let talker = talkers.iter().find(|talker| talker.mac == mac_text(1)).unwrap();
    assert_eq!((talker.port.as_str(), talker.frames), ("p1", 4 * u64::from(FLOWS)));
    assert_eq!(talkers.iter().filter(|talker| talker.mac == mac_text(1)).count(), 1);
    let text = metrics(&picture.switch);
    let series = "switchd_port_receive_frames_total{bridge=\"switchd\",port=\"p1\"}";
    assert_eq!(value(&text, series) as u64, before + sent);

    capture.stopper().unwrap().stop();
    let mut bytes = Vec::new();
    capture.read_to_end(&mut bytes).unwrap();
    let (mut rest, mut numbers, mut tallies) = (&bytes[..], BTreeMap::<_, Vec<_>>::new(), Vec::new());
    while let Some((block, length)) = pcapng::first(rest).unwrap() {
        match block {
            Block::Packet => {
                let (_, flow, number) = read(&rest[PACKET..length]).unwrap();
                numbers.entry(flow).or_default().push(number);
            }
            Block::Statistics(tally) => tallies.push(tally),
            Block::Other => {}
        }
        rest = &rest[length..];
    }
    assert_eq!((tallies.len(), tallies[0].received, tallies[0].missed), (1, sent, 0));
    assert_eq!(numbers.len(), usize::from(FLOWS));
    assert!(numbers.values().all(|numbers| *numbers == [0, 1, 2, 3, 9]), "{numbers:?}");
    accounts::check(&switchd.summary().unwrap());
}

#[test]
fn ports_come_and_go_with_all_their_queues() {
    let (picture, mut switchd, mut sockets) = start(2, false, "");
    let (one, other) = two(&mut sockets, 1, 2);
    announce(one, mac(1), other, "here");
    // The device of a port is deleted, and there is another one of its name.
    let path = |switchd: &Switchd| format!("/proc/{}/fd", switchd.id());
    let descriptors = |switchd: &Switchd| std::fs::read_dir(path(switchd)).unwrap().count();
    let mut client = switchd.control().unwrap();
    client.version().unwrap();
    let before = descriptors(&switchd);
    for _ in 0..3 {
        picture.switch.ip("link del p2").unwrap();
        switchd.wait_for_log("the port is down until there is a p2 again", SOON).unwrap();
        wire(&picture.switch, picture.host(2), 2);
        wait_until(SOON, "the port works again", || {
            ping(picture.host(1), &address(2), 1).is_ok_and(|ping| ping.received == 1)
        })
        .unwrap();
        assert!(tcp_transfer(picture.host(1), picture.host(2), &address(2), 500_000).unwrap().intact);
    }
    wait_until(SOON, "nothing is left open", || descriptors(&switchd) == before).unwrap();
    // An interface may be down when its port is made.
    client.delete_port("p2").unwrap();
    picture.switch.ip("link set p2 down").unwrap();
    client.add_port("p2", &BTreeMap::from([("type".to_owned(), "raw".into())])).unwrap();
    picture.switch.ip("link set p2 up").unwrap();
    wait_until(SOON, "the port works", || {
        ping(picture.host(1), &address(2), 1).is_ok_and(|ping| ping.received == 1)
    })
    .unwrap();
    wait_until(SOON, "nothing is left open", || descriptors(&switchd) == before).unwrap();
    // Ports are added, of every kind; a TAP that has one queue only works as well.
    picture.switch.ip("tuntap add single mode tap").unwrap();
    picture.switch.ip("tuntap add several mode tap multi_queue").unwrap();
    for tap in ["single", "several", "fresh"] {
        client.add_port(tap, &BTreeMap::from([("type".to_owned(), "tap".into())])).unwrap();
        picture.switch.ip(&format!("addr add {}/24 dev {tap}", address(77))).unwrap();
        wait_until(SOON, "the TAP works", || {
            ping(picture.host(1), &address(77), 1).is_ok_and(|ping| ping.received == 1)
        })
        .unwrap();
        assert!(tcp_transfer(picture.host(1), &picture.switch, &address(77), 500_000).unwrap().intact);
        client.delete_port(tap).unwrap();
        let _ = picture.switch.ip(&format!("addr flush dev {tap}"));
        picture.host(1).ip("neigh flush dev eth0").unwrap();
    }
    switchd.wait_for_log("single has fewer queues than there are workers", SOON).unwrap();
    wait_until(SOON, "nothing is left open", || descriptors(&switchd) == before).unwrap();
    assert_eq!(client.show_ports(None).unwrap().len(), 2);
}
