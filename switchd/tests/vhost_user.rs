//! Virtual machines that share their memory (`type = "vhost-user"`), with real QEMU guests at their default settings,
//! beside a namespace on a `tap` port and a host behind a `raw` one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;

use std::path::Path;
use std::time::Duration;

use testbed::guest::{fill_guest, guest_to_guest, guest_to_namespace, namespace_to_guest};
use testbed::link::move_device;
use testbed::{
    Card, End, FrameSocket, Guest, GuestOptions, Namespace, Stream, Switchd, VhostUser, ping, veth,
};

const OUTSIDE: u8 = 3;
const HOST: u8 = 4;
const SOON: Duration = Duration::from_secs(20);
/// Of what is sent in each direction.
const BYTES: u64 = 20_000_000;

struct Whole {
    outside: Namespace,
    host: Namespace,
    guests: Vec<Guest>,
    daemon: Switchd,
    switch: Namespace,
    sockets: tempfile::TempDir,
}

impl Whole {
    /// A switch with two ports for guests, of which `guests` are started; QEMU listens for the second.
    fn build(shape: impl Fn(&mut VhostUser)) -> Self {
        let new = |label| Namespace::new(label).unwrap();
        let (outside, host, switch) = (new("outside"), new("host"), new("switch"));
        let sockets = tempfile::tempdir().unwrap();
        veth(end(&outside, "eth0", OUTSIDE), End::new(&switch, "uplink")).unwrap();
        let socket = |number: u8| sockets.path().join(format!("vm{number}"));
        let daemon = Switchd::start(&switch, &config(sockets.path())).unwrap();
        move_device(&switch, "tap0", end(&host, "eth0", HOST)).unwrap();
        let start = |number: u8| {
            let mut shared = VhostUser::connecting(socket(number));
            shared.listen = number == 2;
            shape(&mut shared);
            guest(&switch, number, shared)
        };
        let mut guests: Vec<Guest> = [1, 2].map(start).into();
        guests.iter_mut().for_each(|guest| guest.wait_ready().unwrap());
        let mut whole = Self { outside, host, guests, daemon, switch, sockets };
        whole.wait_for_links();
        whole
    }

    fn wait_for_links(&mut self) {
        for number in [1, 2] {
            let from = &mut self.guests[number - 1];
            testbed::wait_until(SOON, "a guest reaches the host", || {
                from.ping(&v4(HOST), 1).is_ok_and(|ping| ping.lost() == 0)
            })
            .unwrap();
        }
    }
}

fn config(sockets: &Path) -> String {
    format!(
        "[ports.uplink]\ntype = \"raw\"\n[ports.lan]\ntype = \"tap\"\ndevice = \"tap0\"\n\
         [ports.vm1]\ntype = \"vhost-user\"\nsocket = \"{0}/vm1\"\n\
         [ports.vm2]\ntype = \"vhost-user\"\nsocket = \"{0}/vm2\"\nmode = \"client\"\n",
        sockets.display()
    )
}

fn end<'a>(namespace: &'a Namespace, device: &str, number: u8) -> End<'a> {
    End::new(namespace, device).address(&format!("{}/24", v4(number))).address(&format!("{}/64", v6(number)))
}

fn guest(switch: &Namespace, number: u8, shared: VhostUser) -> Guest {
    let monitor = shared.socket.with_extension("monitor");
    let options = GuestOptions {
        mac: format!("52:54:00:00:00:{number:02}"),
        addresses: vec![format!("{}/24", v4(number)), format!("{}/64", v6(number))],
        vhost_user: Some(shared),
        monitor: Some(monitor),
        ..GuestOptions::default()
    };
    Guest::start(switch, options).unwrap()
}

fn v4(number: u8) -> String {
    format!("198.18.0.{number}")
}

fn v6(number: u8) -> String {
    format!("2001:db8::{number}")
}

fn all_reach_each_other(whole: &mut Whole, bytes: u64) {
    for address in [v4, v6] {
        for guest in &mut whole.guests {
            for number in 1..=4 {
                assert_eq!(guest.ping(&address(number), 2).unwrap().lost(), 0, "{}", address(number));
            }
        }
        for number in [1, 2] {
            assert_eq!(ping(&whole.outside, &address(number), 2).unwrap().lost(), 0, "{}", address(number));
        }
        let [one, two] = &mut whole.guests[..] else { panic!("not two guests") };
        for transfer in [
            guest_to_guest(one, two, &address(2), bytes),
            guest_to_guest(two, one, &address(1), bytes),
            guest_to_namespace(one, &whole.outside, &address(OUTSIDE), bytes),
            namespace_to_guest(&whole.outside, one, &address(1), bytes),
            guest_to_namespace(two, &whole.host, &address(HOST), bytes),
            namespace_to_guest(&whole.host, two, &address(2), bytes),
        ] {
            assert!(transfer.unwrap().intact);
        }
    }
    accounts::check(&whole.daemon.summary().unwrap());
}

#[test]
fn guests_the_host_and_the_outside_reach_each_other_with_default_settings() {
    let mut whole = Whole::build(|_| {});
    all_reach_each_other(&mut whole, BYTES);
    let summary = whole.daemon.summary().unwrap();
    for (mac, port) in [("52:54:00:00:00:01", "vm1"), ("52:54:00:00:00:02", "vm2")] {
        assert_eq!(summary.port_of(mac), Some(port));
    }
}

/// To the other guest, to the host on its TAP and through the uplink, in both directions.
#[test]
fn iperf3_of_a_guest_reaches_all_others() {
    // Of 19.1: what is still on its way when the sender has ended is not counted.
    const MOST: f64 = 10.0;
    let mut whole = Whole::build(|_| {});
    let serve = |namespace: &Namespace| {
        let mut server = namespace.spawn("iperf3 --server --forceflush").unwrap();
        server.wait_for_line(0, SOON, |line| line.contains("listening")).unwrap();
        server
    };
    let _servers = [serve(&whole.outside), serve(&whole.host)];
    let [one, two] = &mut whole.guests[..] else { panic!("not two guests") };
    two.check("iperf3 --server --daemon").unwrap();
    for address in [2, OUTSIDE, HOST].into_iter().flat_map(|number| [v4(number), v6(number)]) {
        for reverse in ["", "--reverse"] {
            let command = format!("iperf3 --client {address} --bytes {BYTES} {reverse}");
            let answer = one.run(&command, 2 * SOON).unwrap();
            let received = answer.output.lines().find(|line| line.ends_with("receiver")).unwrap_or_default();
            let size = received.split(" MBytes").next().and_then(|before| before.split(' ').next_back());
            let megabytes: f64 = size.and_then(|size| size.parse().ok()).unwrap_or_default();
            assert!(answer.status == 0 && megabytes > MOST, "{command}\n{}", answer.output);
        }
    }
    accounts::check(&whole.daemon.summary().unwrap());
}

fn wait_for_answer(guest: &mut Guest, to: u8) {
    testbed::wait_until(SOON, "a guest reaches another", || {
        guest.ping(&v4(to), 1).is_ok_and(|ping| ping.lost() == 0)
    })
    .unwrap();
}

/// A guest that begins anew, a QEMU that is killed and another one in its place, and a switch that is killed and
/// started again: traffic resumes by itself.
#[test]
fn guests_and_the_switch_may_end_and_come_back() {
    let mut whole = Whole::build(|_| {});
    for _ in 0..2 {
        whole.guests[0].reboot().unwrap();
        wait_for_answer(&mut whole.guests[0], 2);
    }
    let open = |daemon: &Switchd| std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count();
    let before = open(&whole.daemon);
    for _ in 0..2 {
        let one = whole.guests.remove(0);
        drop(one);
        whole.daemon.wait_for_log("its program has closed the connection", SOON).unwrap();
        let shared = VhostUser::connecting(whole.sockets.path().join("vm1"));
        whole.guests.insert(0, guest(&whole.switch, 1, shared));
        wait_for_answer(&mut whole.guests[0], 2);
        wait_for_answer(&mut whole.guests[1], 1);
    }
    assert_eq!(open(&whole.daemon), before, "descriptors are left open");

    whole.daemon.kill9().unwrap();
    let _daemon = whole.daemon.start_again().unwrap();
    for (guest, other) in [(0, 2), (1, 1)] {
        wait_for_answer(&mut whole.guests[guest], other);
    }
}

/// Who cuts the file short that holds a guest's memory ends that guest's port, and nobody else notices.
#[test]
fn memory_that_is_cut_short_concerns_one_port_only() {
    let files = tempfile::tempdir_in("/dev/shm").unwrap();
    let memory = files.path().join("memory");
    let mut whole = Whole::build(|shared| {
        if !shared.listen {
            shared.memory = Some(memory.clone());
        }
    });
    let opened = std::fs::OpenOptions::new().write(true).open(&memory).unwrap();
    // Those who are not concerned: the host and the outside, and another guest and the host.
    let stream = Stream::start(&whole.outside, &whole.host, &v4(HOST), 2000).unwrap();
    let (outside, host) = (&whole.outside, &whole.host);
    let [one, two] = &mut whole.guests[..] else { panic!("not two guests") };
    let transfer = std::thread::scope(|scope| {
        let others = scope.spawn(|| guest_to_namespace(two, host, &v4(HOST), 3 * BYTES).unwrap());
        // It is in the midst of sending and receiving.
        let its_own = scope.spawn(|| one.ping(&v4(OUTSIDE), 20));
        ping(outside, &v4(1), 2).unwrap();
        opened.set_len(0).unwrap();
        // Frames for it are written where nothing is any more.
        ping(outside, &v4(1), 5).unwrap();
        drop(its_own.join());
        others.join().unwrap()
    });
    assert!(transfer.intact);
    let streamed = stream.stop().unwrap();
    assert_eq!(streamed.lost(), 0, "{streamed:?}");
    whole.daemon.wait_for_log("port=\"vm1\"", SOON).unwrap();
    assert_eq!(ping(&whole.host, &v4(2), 3).unwrap().lost(), 0);
}

/// A guest is written to a file and read again by another QEMU, twice. What switchd writes to its memory when all of it was
/// written down already, and nobody looks at before it goes on, is in the file nevertheless.
#[test]
fn a_guest_is_moved_while_it_receives() {
    let mut whole = Whole::build(|_| {});
    for nth in 0..2 {
        let (outside, one) = (&whole.outside, &mut whole.guests[0]);
        let file = whole.sockets.path().join(format!("moved{nth}"));
        let mut unread = None;
        let stood = one.move_through(&whole.switch, &file, |guest| {
            unread = Some(fill_guest(outside, guest, &v4(1), BYTES)?);
            Ok(())
        });
        println!("it stood for {:?}", stood.unwrap());
        assert!(unread.unwrap().read(one).unwrap().intact);
    }
    all_reach_each_other(&mut whole, BYTES / 10);
}

/// A guest without any offload beside one with all of them: it gets finished frames, and sends such.
#[test]
fn a_guest_without_offloads_beside_one_with_them() {
    let off = [
        "csum",
        "guest_csum",
        "gso",
        "guest_tso4",
        "guest_tso6",
        "guest_ecn",
        "host_tso4",
        "host_tso6",
        "host_ecn",
        "mrg_rxbuf",
    ];
    let card: String = off.iter().map(|feature| format!(",{feature}=off")).collect();
    let mut whole = Whole::build(|shared| {
        if shared.listen {
            shared.card.clone_from(&card);
        }
    });
    all_reach_each_other(&mut whole, BYTES / 5);
    let features = |whole: &Whole, port: &str| {
        whole.daemon.control().unwrap().show_port(port).unwrap().guest.unwrap().features
    };
    let segments = "guest_tso4".to_owned();
    assert!(features(&whole, "vm1").contains(&segments) && !features(&whole, "vm2").contains(&segments));
}

/// One guest with packed rings, one with split ones.
#[test]
fn a_guest_with_packed_rings_beside_one_with_split_ones() {
    let mut whole = Whole::build(|shared| {
        if !shared.listen {
            shared.card = ",packed=on".to_owned();
        }
    });
    all_reach_each_other(&mut whole, BYTES / 5);
    let features = whole.daemon.control().unwrap().show_port("vm1").unwrap().guest.unwrap().features;
    assert!(features.contains(&"packed".to_owned()), "{features:?}");
    whole.guests[0].reboot().unwrap();
    wait_for_answer(&mut whole.guests[0], 2);
}

/// Frames of all lengths, short ones that are copied and long ones that are lent, from a trunk to each kind of port as they
/// leave an access port, and back to the trunk with their tag.
#[test]
fn every_byte_arrives_whatever_becomes_of_the_tag() {
    let (switch, outside) = (Namespace::new("switch").unwrap(), Namespace::new("outside").unwrap());
    veth(End::new(&outside, "eth0"), End::new(&switch, "uplink")).unwrap();
    for end in [("uplink", &switch), ("eth0", &outside)] {
        end.1.ip(&format!("link set {} mtu 9000", end.0)).unwrap();
    }
    let sockets = tempfile::tempdir().unwrap();
    let config = format!(
        "[bridge]\nvlan_filtering = true\n\
         [ports.vm1]\ntype = \"vhost-user\"\nsocket = \"{0}/vm1\"\naccess = 10\n\
         [ports.vm2]\ntype = \"vhost-user\"\nsocket = \"{0}/vm2\"\ntrunk = [10]\n\
         [ports.uplink]\ntype = \"raw\"\naccess = 10\n\
         [ports.lan]\ntype = \"tap\"\ndevice = \"tap0\"\naccess = 10\n",
        sockets.path().display()
    );
    let daemon = Switchd::start(&switch, &config).unwrap();
    switch.ip("link set tap0 mtu 9000 up").unwrap();
    let card = |name: &str| Card::connect(&sockets.path().join(name)).unwrap();
    let (mut access, mut trunk) = (card("vm1"), card("vm2"));
    for port in ["vm1", "vm2", "uplink", "lan"] {
        daemon.wait_for_port(port).unwrap();
    }
    let mut wires =
        [FrameSocket::open(&outside, "eth0").unwrap(), FrameSocket::open(&switch, "tap0").unwrap()];
    for length in [60, 600, 1023, 1024, 1025, 1500, 4000, 8990] {
        // To a group, so that all get it.
        let head = [[0x33, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].concat();
        let rest: Vec<u8> =
            [0x88, 0xb5].into_iter().chain((0..length - 14).map(|at| (at % 251) as u8)).collect();
        let tagged = [&head[..], &[0x81, 0, 0, 10], &rest].concat();
        let plain = [&head[..], &rest].concat();
        trunk.send(&tagged).unwrap();
        for wire in &mut wires {
            let came = wire.receive_where(SOON, |frame| frame.starts_with(&head)).unwrap();
            assert!(came == plain, "{length}");
        }
        assert!(arrives(&mut access, &head) == plain, "{length}");
        let other = [0x33, 0, 0, 0, 0, 2];
        let back = |frame: &[u8]| [&other[..], &frame[6..]].concat();
        access.send(&back(&plain)).unwrap();
        assert!(arrives(&mut trunk, &other) == back(&tagged), "{length}");
    }
    drop(daemon);
}

/// The next frame that a card gets and that begins so.
fn arrives(card: &mut Card, beginning: &[u8]) -> Vec<u8> {
    let mut came = Vec::new();
    testbed::wait_until(SOON, "a frame arrives", || {
        came.extend(card.receive().unwrap().into_iter().filter(|frame| frame.starts_with(beginning)));
        !came.is_empty()
    })
    .unwrap();
    assert_eq!(came.len(), 1);
    came.remove(0)
}
