//! Nobody on a port notices that the process changes: under a real systemd, with traffic, by an orderly restart, by
//! SIGKILL, with another configuration and with another program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use control::types::{BridgeChange, FdbFilter, NewVlans, PortChange, PrivateKind, Vlan};
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{FrameSocket, Stream, wait_until};

const SOON: Duration = Duration::from_secs(15);

fn installed(label: &str) -> Service {
    Service::installed(label, &binary().unwrap()).unwrap()
}

fn start(label: &str, config: &str) -> Service {
    Service::start(label, &binary().unwrap(), config).unwrap()
}

/// The ways in which the process changes. Each goes on from what the one before has left.
const WAYS: [fn(&Service); 3] = [
    |service| service.systemctl("restart switchd").unwrap(),
    |service| service.take_over().unwrap(),
    |service| {
        service.systemctl("kill --signal=KILL switchd").unwrap();
        service.wait_for_restarts(1).unwrap();
    },
];

fn wait_for_answers(service: &Service) {
    wait_until(SOON, "it answers", || service.control().is_ok_and(|mut it| it.version().is_ok())).unwrap();
}

/// Datagrams a second: what any machine that runs tests carries beside other tests.
const RATE: u32 = 5_000;

/// What a host sees of its link, from now on.
struct Monitor {
    process: testbed::Process,
    /// Lines from before.
    heard: usize,
}

impl Monitor {
    fn start(namespace: &testbed::Namespace) -> Self {
        let process = namespace.spawn("stdbuf -oL ip monitor link").unwrap();
        // It says nothing at first: events of our own show that it listens.
        let mut number = 0;
        wait_until(SOON, "the monitor listens", || {
            number += 1;
            namespace.ip(&format!("link set lo alias look{number}")).unwrap();
            process.lines().iter().any(|line| line.contains(" lo: "))
        })
        .unwrap();
        let heard = process.lines().len();
        Self { process, heard }
    }

    fn assert_silent(&self) {
        let lines = self.process.lines().split_off(self.heard);
        let flap =
            |line: &&String| ["NO-CARRIER", "state DOWN", "Deleted"].iter().any(|sign| line.contains(sign));
        let flaps: Vec<_> = lines.iter().filter(flap).collect();
        assert!(flaps.is_empty(), "{flaps:#?}");
    }
}

/// Frames that came in on the port `wire`.
fn frames(service: &Service) -> u64 {
    service.control().unwrap().show_port("wire").unwrap().counters.rx_frames
}

#[test]
fn a_restart_loses_no_frame_and_nothing_of_what_was_known() {
    let service = start("restart", CONFIG);
    let monitors = [&service.host1, &service.host2, service.machine.namespace()].map(Monitor::start);
    let before = (frames(&service), service.stations().unwrap(), service.property("MainPID"));
    let forth = Stream::start(&service.host1, &service.host2, "198.18.0.2", RATE).unwrap();
    let back = Stream::start(&service.host2, &service.host1, "198.18.0.1", RATE).unwrap();
    for _ in 0..3 {
        service.systemctl("restart switchd").unwrap();
    }
    let (forth, back) = (forth.stop().unwrap(), back.stop().unwrap());
    assert_eq!((forth.lost(), back.lost()), (0, 0), "{forth:?} {back:?}\n{}", service.journal());
    monitors.iter().for_each(Monitor::assert_silent);
    let after = (frames(&service), service.stations().unwrap(), service.property("MainPID"));
    assert!(after.0 >= before.0 + back.sent, "{before:?} {after:?} {back:?}");
    assert_eq!(after.1, before.1);
    assert_ne!(after.2, before.2);
    assert!(!service.journal().contains("opened anew"), "{}", service.journal());
}

#[test]
fn a_kill_loses_nothing_and_what_was_known_a_second_ago_is_known() {
    let service = start("killed", CONFIG);
    let monitors = [&service.host1, &service.host2].map(Monitor::start);
    let mut socket = FrameSocket::open(&service.host2, "eth0").unwrap();
    for number in 0..10_000_u16 {
        let [high, low] = number.to_be_bytes();
        let frame = [&[2, 0, 0, 0, 0, 1, 2, 9, 9, 9, high, low, 0x88, 0xb5][..], &[0; 46]].concat();
        socket.send(&frame).unwrap();
    }
    wait_until(SOON, "all are learned", || service.macs() >= 10_002).unwrap();
    std::thread::sleep(Duration::from_secs(1)); // The promise is about this second.
    let before = frames(&service);
    let stream = Stream::start(&service.host1, &service.host2, "198.18.0.2", RATE).unwrap();
    service.systemctl("kill --signal=KILL switchd").unwrap();
    wait_until(SOON, "it is back", || {
        service.property("NRestarts") == "1" && service.property("ActiveState") == "active"
    })
    .unwrap();
    let streamed = stream.stop().unwrap();
    // One frame may have been on its way between two system calls.
    assert!(streamed.lost() <= 1, "{streamed:?}\n{}", service.journal());
    monitors.iter().for_each(Monitor::assert_silent);
    assert!(frames(&service) >= before);
    wait_until(SOON, "all are known", || service.macs() >= 10_002).unwrap();
}

#[test]
fn only_what_the_configuration_has_changed_changes() {
    let service = start("changed", &format!("{CONFIG}[ports.extra]\ntype = \"tap\"\n"));
    let monitors = [&service.host1, &service.host2].map(Monitor::start);
    assert!(service.machine.namespace().has_device("extra"));
    let stream = Stream::start(&service.host1, &service.host2, "198.18.0.2", RATE).unwrap();
    let config = format!("{CONFIG}isolated = true\n[ports.other]\ntype = \"tap\"\nmtu = 1400\n");
    service.machine.write("/etc/switchd/switchd.toml", &config).unwrap();
    service.systemctl("restart switchd").unwrap();
    let streamed = stream.stop().unwrap();
    assert_eq!(streamed.lost(), 0, "{streamed:?}\n{}", service.journal());
    monitors.iter().for_each(Monitor::assert_silent);
    let links = service.machine.namespace().ip("link").unwrap();
    assert!(!links.contains("extra") && links.contains("other:") && links.contains("mtu 1400"), "{links}");
    // A wrong one changes nothing either: the last one goes on.
    service.machine.write("/etc/switchd/switchd.toml", "[ports.lan]\ntype = \"tab\"\n").unwrap();
    service.systemctl("restart switchd").unwrap();
    service.wait_for_log("the configuration of the last run goes on").unwrap();
    service.pings().unwrap();
    monitors.iter().for_each(Monitor::assert_silent);
}

#[test]
fn a_stop_puts_everything_back_and_a_restart_nothing() {
    let service = installed("put-back");
    let machine = &service.machine;
    machine.run("ip tuntap add tap0 mode tap").unwrap();
    machine.run("ip link set tap0 up").unwrap();
    let look = || {
        let links = machine.run("ip -d link show dev tap0").unwrap()
            + &machine.run("ip -d link show dev p2").unwrap();
        // The kernel notes a lost carrier a moment later.
        links.replace("NO-CARRIER,", "").replace(",LOWER_UP", "")
    };
    let before = look();
    assert!(before.contains("qlen 1000"), "{before}");
    machine.write("/etc/switchd/switchd.toml", CONFIG).unwrap();
    service.systemctl("start switchd").unwrap();
    assert!(look().contains("qlen 10000"), "{}", look());
    service.systemctl("restart switchd").unwrap();
    assert!(look().contains("qlen 10000"), "{}", look());
    service.systemctl("stop switchd").unwrap();
    let back = wait_until(SOON, "as it was", || {
        look().replace("state DOWN", "state UP") == before.replace("state DOWN", "state UP")
    });
    assert!(back.is_ok(), "{before}\n{}\n{}", look(), service.journal());
    assert!(!machine.path("/run/switchd/switchd").exists());
    // And it starts again as if it had never been.
    service.systemctl("start switchd").unwrap();
    service.systemctl("stop switchd").unwrap();
}

#[test]
fn a_tap_that_was_deleted_meanwhile_is_made_anew() {
    let service = start("deleted", CONFIG);
    service
        .machine
        .write("/etc/systemd/system/switchd.service.d/slow.conf", "[Service]\nExecStartPre=/bin/sleep 1\n")
        .unwrap();
    service.systemctl("daemon-reload").unwrap();
    let pid = service.property("MainPID");
    service.systemctl("restart --no-block switchd").unwrap();
    wait_until(SOON, "the old one has ended", || service.property("MainPID") != pid).unwrap();
    service.host1.ip("link del eth0").unwrap();
    service.host2.ip("link set eth0 down").unwrap();
    service.wait_for_log("it is opened anew").unwrap();
    service.host2.ip("link set eth0 up").unwrap();
    wait_until(SOON, "another tap0", || service.machine.namespace().has_device("tap0")).unwrap();
    service.wire_tap().unwrap();
    service.pings().unwrap();
}

#[test]
fn what_was_set_at_run_time_stays_set_unless_the_file_says_otherwise() {
    let service = start("steered", CONFIG);
    let change = PortChange { isolated: Some(true), max_macs: Some(9), ..PortChange::default() };
    service.control().unwrap().set_port("lan", &change).unwrap();
    let change = BridgeChange { ageing_time: Some(77_000), ..BridgeChange::default() };
    service.control().unwrap().set_bridge(&change).unwrap();
    let look = || {
        let mut client = service.control().unwrap();
        let settings = client.show_port("lan").unwrap().settings;
        (settings.isolated, settings.max_macs, client.show_bridge().unwrap().ageing_time)
    };
    for _ in 0..2 {
        service.systemctl("restart switchd").unwrap();
        assert_eq!(look(), (true, Some(9), 77_000));
    }
    let config = CONFIG.replace("device = \"tap0\"\n", "device = \"tap0\"\nmax_macs = 5\n");
    service.machine.write("/etc/switchd/switchd.toml", &config).unwrap();
    service.systemctl("restart switchd").unwrap();
    assert_eq!(look(), (true, Some(5), 77_000));
}

/// VLANs that were added and taken away, their numbers on the wire, and what each VLAN has seen.
#[test]
fn vlans_that_were_set_at_run_time_stay_and_are_counted_on() {
    let counted = "[bridge]\nvlan_filtering = true\nvlan_stats = true\nvlan_stats_per_port = true\n";
    let service = start("vlans", &format!("{CONFIG}{counted}"));
    let mut client = service.control().unwrap();
    client.add_vlans(&NewVlans { vid: 77, last: Some(79), ..to_port("lan") }).unwrap();
    client.delete_vlans("lan", 78, 78).unwrap();
    client.add_vlans(&NewVlans { vid: 79, wire: Some(500), ..to_port("lan") }).unwrap();
    client.add_vlans(&NewVlans { vid: 5, untagged: true, ..to_port("wire") }).unwrap();
    let look = || service.control().unwrap().show_vlans(None).unwrap();
    let membership = |vlans: &[Vlan]| -> Vec<_> {
        let all = vlans.iter();
        all.map(|vlan| (vlan.port.clone(), vlan.vid, vlan.pvid, vlan.untagged, vlan.wire)).collect()
    };
    let frames = |vlans: &[Vlan]| vlans.iter().map(|vlan| vlan.counters.unwrap().rx_frames).sum::<u64>();
    let first = membership(&look());
    assert_eq!(first.len(), 5);
    for change in WAYS {
        service.pings().unwrap();
        let before = look();
        change(&service);
        wait_for_answers(&service);
        let after = look();
        assert_eq!(membership(&after), first);
        assert!(frames(&before) > 0 && frames(&after) >= frames(&before), "{before:?} {after:?}");
    }
    // The file has the last word on the port of which it says something else now.
    let config = CONFIG.replace("device = \"tap0\"\n", "device = \"tap0\"\naccess = 9\n");
    service.machine.write("/etc/switchd/switchd.toml", &format!("{config}{counted}")).unwrap();
    service.systemctl("restart switchd").unwrap();
    let (lan, wire): (Vec<_>, Vec<_>) = membership(&look()).into_iter().partition(|(port, ..)| port == "lan");
    assert_eq!(lan, [("lan".to_owned(), 9, true, true, None)]);
    assert_eq!(wire, first[3..]);
}

fn to_port(port: &str) -> NewVlans {
    NewVlans { port: port.to_owned(), ..NewVlans::default() }
}

/// In which parts of a private VLAN ports are, as the file says and as it was set at run time, and where its stations
/// are, which all parts share.
#[test]
fn private_vlans_stay_what_they_are_and_so_does_what_they_share() {
    let private = "[bridge]\nvlan_filtering = true\ndefault_pvid = 0\n\
                   [[private_vlan]]\nprimary = 100\nisolated = 101\ncommunities = [102]\n";
    let config = CONFIG.replace("\"tap0\"\n", "\"tap0\"\naccess = 101\n");
    let config = config.replace("\"p2\"\n", "\"p2\"\naccess = 100\n");
    let service = start("private", &format!("{config}{private}"));
    let mut client = service.control().unwrap();
    client.delete_vlans("lan", 101, 101).unwrap();
    client.add_vlans(&NewVlans { vid: 102, pvid: true, untagged: true, ..to_port("lan") }).unwrap();
    let parts = || -> Vec<_> {
        let vlans = service.control().unwrap().show_vlans(None).unwrap();
        vlans.into_iter().map(|vlan| (vlan.port, vlan.vid, vlan.private.unwrap().kind)).collect()
    };
    let expected =
        [("lan".to_owned(), 102, PrivateKind::Community), ("wire".to_owned(), 100, PrivateKind::Primary)];
    let known = || -> Vec<_> {
        let entries = service.control().unwrap().show_fdb(&FdbFilter::default()).unwrap();
        let hosts = entries.into_iter().filter(|entry| entry.mac.starts_with("02:00:00:00:00:0"));
        hosts.map(|entry| (entry.mac, entry.port.unwrap(), entry.vlan)).collect()
    };
    for change in WAYS {
        service.pings().unwrap();
        let before = known();
        assert!(before.len() == 2 && before.iter().all(|(.., vlan)| *vlan == Some(100)), "{before:?}");
        std::thread::sleep(Duration::from_secs(1)); // The promise is about this second.
        change(&service);
        wait_for_answers(&service);
        assert_eq!(parts(), expected);
        assert_eq!(known(), before);
    }
}

/// A state that nobody can read costs what was learned, and no more.
#[test]
fn a_state_that_is_damaged_or_of_another_version_is_told_and_the_ports_go_on() {
    let service = start("damaged", CONFIG);
    let monitor = Monitor::start(&service.host1);
    for (at, bytes, why) in [(0, vec![0xa5; 4096], "it is damaged"), (8, vec![9], "it is of version 9")] {
        let (pid, _) = service.machine.threads("switchd.service").unwrap()[0].clone();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
        let mut memory = open.filter(|path| {
            std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("switchd-state"))
        });
        let memory = std::fs::File::options().write(true).open(memory.next().unwrap()).unwrap();
        // Without a last word of the process itself.
        service.machine.run("systemctl kill --signal=STOP switchd").unwrap();
        for half in [0, 1 << 30] {
            std::os::unix::fs::FileExt::write_all_at(&memory, &bytes, half + at).unwrap();
        }
        let restarts: u32 = service.property("NRestarts").parse().unwrap();
        service.systemctl("kill --signal=KILL switchd").unwrap();
        let back = || {
            service.property("NRestarts") == (restarts + 1).to_string()
                && service.property("ActiveState") == "active"
        };
        wait_until(SOON, "it is back", back).unwrap();
        service.wait_for_log(why).unwrap();
        service.pings().unwrap();
    }
    monitor.assert_silent();
}

/// A packet socket reports an error when its interface goes down, and must not be dropped for that.
#[test]
fn a_link_that_is_set_down_while_the_process_changes_comes_back() {
    let service = start("down", CONFIG);
    let slow = "[Service]\nExecStartPre=/bin/sleep 1\n";
    service.machine.write("/etc/systemd/system/switchd.service.d/slow.conf", slow).unwrap();
    service.systemctl("daemon-reload").unwrap();
    let pid = service.property("MainPID");
    service.systemctl("restart --no-block switchd").unwrap();
    wait_until(SOON, "the old one has ended", || service.property("MainPID") != pid).unwrap();
    service.machine.run("ip link set p2 down").unwrap();
    wait_until(SOON, "it is back", || service.property("ActiveState") == "active").unwrap();
    wait_until(SOON, "one port", || service.property("StatusText").starts_with("1 of 2 ports up, ")).unwrap();
    service.machine.run("ip link set p2 up").unwrap();
    service.pings().unwrap();
    assert!(!service.journal().contains("opened anew"), "{}", service.journal());
}

#[test]
fn two_bridges_side_by_side_do_not_disturb_each_other() {
    let service = installed("two");
    for name in ["a", "b"] {
        let config =
            format!("[bridge]\nname = \"{name}\"\n[ports.one]\ntype = \"tap\"\ndevice = \"{name}1\"\n");
        service.machine.write(&format!("/etc/switchd/{name}.toml"), &config).unwrap();
        service.systemctl(&format!("start switchd@{name}")).unwrap();
    }
    let property =
        |name: &str, what: &str| service.machine.property(&format!("switchd@{name}"), what).unwrap();
    let pid = property("b", "MainPID");
    for _ in 0..2 {
        service.systemctl("restart switchd@a").unwrap();
    }
    assert_eq!((property("a", "ActiveState").as_str(), property("b", "MainPID")), ("active", pid));
    service.systemctl("stop switchd@a").unwrap();
    let there = |device: &str| service.machine.namespace().has_device(device);
    assert!(!there("a1") && there("b1"));
    assert!(
        !service.machine.path("/run/switchd/a").exists() && service.machine.path("/run/switchd/b").exists()
    );
}
