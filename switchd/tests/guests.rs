//! The whole picture with real QEMU guests at their default settings: an outside host behind the uplink, a
//! namespace on a `tap` port, and two guests whose TAPs QEMU holds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;

use std::thread;

use testbed::guest::{guest_to_guest, guest_to_namespace, namespace_to_guest};
use testbed::link::move_device;
use testbed::{
    End, FrameSocket, Guest, GuestOptions, Namespace, Switchd, guest as machine, page, ping, veth,
};

const CONFIG: &str = r#"
[ports.uplink]
type = "raw"
[ports.lan]
type = "tap"
device = "tap0"
[ports.vm1]
type = "raw"
device = "vnet1"
[ports.vm2]
type = "raw"
device = "vnet2"
"#;

const SOON: std::time::Duration = std::time::Duration::from_secs(10);

const OUTSIDE: u8 = 3;
const HOST: u8 = 4;

struct Whole {
    outside: Namespace,
    host: Namespace,
    guests: [Guest; 2],
    daemon: Switchd,
    _switch: Namespace,
}

impl Whole {
    /// switchd starts before the guests' TAPs exist, so the ports of the guests wait for them.
    fn build() -> Self {
        let new = |label| Namespace::new(label).unwrap();
        let (outside, host, switch) = (new("outside"), new("host"), new("switch"));
        veth(end(&outside, "eth0", OUTSIDE), End::new(&switch, "uplink")).unwrap();
        let mut daemon = Switchd::start(&switch, CONFIG).unwrap();
        move_device(&switch, "tap0", end(&host, "eth0", HOST)).unwrap();
        let mut guests = [guest(&switch, 1), guest(&switch, 2)];
        guests.iter_mut().for_each(|guest| guest.wait_ready().unwrap());
        daemon.wait_for_log("vnet2", std::time::Duration::from_secs(10)).unwrap();
        Self { outside, host, guests, daemon, _switch: switch }
    }
}

fn end<'a>(namespace: &'a Namespace, device: &str, number: u8) -> End<'a> {
    End::new(namespace, device).address(&format!("{}/24", v4(number))).address(&format!("{}/64", v6(number)))
}

fn guest(switch: &Namespace, number: u8) -> Guest {
    let options = GuestOptions {
        tap: format!("vnet{number}"),
        mac: format!("52:54:00:00:00:{number:02}"),
        addresses: vec![format!("{}/24", v4(number)), format!("{}/64", v6(number))],
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

#[test]
fn guests_the_host_and_the_outside_reach_each_other_with_default_settings() {
    let mut whole = Whole::build();
    for address in [v4, v6] {
        for guest in &mut whole.guests {
            for number in 1..=4 {
                assert_eq!(guest.ping(&address(number), 3).unwrap().lost(), 0, "{}", address(number));
            }
        }
        for number in [1, 2, HOST] {
            assert_eq!(ping(&whole.outside, &address(number), 3).unwrap().lost(), 0, "{}", address(number));
        }
        let [one, two] = &mut whole.guests;
        for transfer in [
            guest_to_guest(one, two, &address(2), 20_000_000),
            guest_to_guest(two, one, &address(1), 20_000_000),
            guest_to_namespace(one, &whole.outside, &address(OUTSIDE), 20_000_000),
            namespace_to_guest(&whole.outside, one, &address(1), 20_000_000),
            guest_to_namespace(two, &whole.host, &address(HOST), 20_000_000),
            namespace_to_guest(&whole.host, two, &address(2), 20_000_000),
        ] {
            assert!(transfer.unwrap().intact);
        }
        let lan = testbed::tcp_transfer(&whole.host, &whole.outside, &address(OUTSIDE), 100_000_000).unwrap();
        assert!(lan.intact);
    }
    let summary = whole.daemon.summary().unwrap();
    accounts::check(&summary);
    for (mac, port) in [("52:54:00:00:00:01", "vm1"), ("52:54:00:00:00:02", "vm2")] {
        assert_eq!(summary.port_of(mac), Some(port));
    }
}

/// What a guest does not read is lost in its TAP: handed on by us, counted by the device, and nobody else waits.
#[test]
fn a_stopped_guest_is_accounted_for_and_slows_nobody() {
    const FRAMES: u64 = 5_000;
    let mut whole = Whole::build();
    let [stopped, _] = &mut whole.guests;
    assert_eq!(stopped.ping(&v4(OUTSIDE), 1).unwrap().lost(), 0);
    let before = whole.daemon.summary().unwrap();
    stopped.stop().unwrap();

    let mut socket = FrameSocket::open(&whole.outside, "eth0").unwrap();
    let mut frame = vec![0x52, 0x54, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0xb5];
    frame.resize(60, 0);
    let pings = thread::scope(|scope| {
        let others = scope.spawn(|| ping(&whole.host, &v4(OUTSIDE), 20).unwrap());
        (0..FRAMES).for_each(|_| socket.send(&frame).unwrap());
        others.join().unwrap()
    });
    assert_eq!(pings.lost(), 0, "{pings:?}");

    let after = whole.daemon.summary().unwrap();
    accounts::check(&after);
    let grown = |key: &str| {
        let count = |summary: &testbed::switchd::Summary| summary.port("vm1").unwrap().number(key).unwrap();
        count(&after) - count(&before)
    };
    let egress_drops = grown("copies") - grown("tx_frames");
    assert!(grown("copies") >= FRAMES, "{after:?}");
    // A TAP queues txqueuelen frames, 1000, and loses the rest; the switch handed on what it did not drop.
    let lost = grown("device_tx_dropped") + egress_drops;
    assert!((FRAMES - 1_100..=FRAMES + 100).contains(&lost), "{lost} of {FRAMES} lost: {after:?}");

    whole.guests[0].cont().unwrap();
    assert_eq!(ping(&whole.outside, &v4(2), 3).unwrap().lost(), 0);
    testbed::wait_until(std::time::Duration::from_secs(20), "the guest to answer again", || {
        ping(&whole.outside, &v4(1), 1).is_ok_and(|ping| ping.lost() == 0)
    })
    .unwrap();
}

/// The commands of docs/machines.md, with what a guest boots in place of the dots.
#[test]
fn qemu_by_hand_as_the_page_says() {
    let page = include_str!("../../docs/machines.md");
    let config = page::block(page::section(page, "libvirt").unwrap(), "toml", 0).unwrap();
    let commands = page::block(page::section(page, "QEMU by hand").unwrap(), "sh", 0).unwrap();
    let (host, outside) = (Namespace::new("host").unwrap(), Namespace::new("outside").unwrap());
    veth(End::new(&host, "eth0"), end(&outside, "eth0", OUTSIDE)).unwrap();
    let daemon = Switchd::start(&host, config).unwrap();
    let mut client = daemon.control().unwrap();
    let mut has_link = || client.show_port("vnet0").is_ok_and(|port| port.device.is_some_and(|on| on.up));

    let directory = tempfile::TempDir::with_prefix("by-hand-").unwrap();
    let console = directory.path().join("console");
    let (kernel, root, line) = machine::boot_files(&format!("{}/24", v4(1))).unwrap();
    let dots = format!(
        "-accel tcg -M q35 -m 256 -nodefaults -display none -serial file:{} -kernel {} -initrd {} -append \"{line}\" \
         -global virtio-net-pci.romfile=",
        console.display(),
        kernel.display(),
        root.display(),
    );
    let (before, qemu) = commands.split_once("qemu-system").unwrap();
    host.run(&format!("env USER=root sh -e -c '{before}'")).unwrap();
    testbed::wait_until(SOON, "the TAP has a port", || client_has(&daemon, "vnet0")).unwrap();
    assert!(!has_link(), "nobody holds the TAP");
    let start = format!("exec qemu-system{}", qemu.replace('…', &dots));
    let process = host.spawn(&format!("sh -e -c '{start}'")).unwrap();
    let booted = machine::wait_for_boot(&console, 0);
    booted.unwrap_or_else(|error| panic!("{error:#}\n{:?}", process.lines()));
    assert_eq!(ping(&outside, &v4(1), 3).unwrap().lost(), 0);
    assert!(has_link());
    drop(process);
    testbed::wait_until(SOON, "the link ends with QEMU", || !has_link()).unwrap();
}

fn client_has(daemon: &Switchd, port: &str) -> bool {
    daemon.control().unwrap().show_port(port).is_ok()
}
