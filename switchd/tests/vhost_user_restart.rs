//! A virtual machine that shares its memory does not notice that the process changes: under a real systemd, with a real
//! QEMU guest, by an orderly restart, by a takeover and by SIGKILL. QEMU's connection is the same one all the time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use testbed::guest::guest_to_namespace;
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{Guest, GuestOptions, VhostUser, wait_until};

const SOON: Duration = Duration::from_secs(20);
const SOCKET: &str = "/run/switchd/switchd/vm1.sock";

/// A way in which the process changes.
type Way = (&'static str, fn(&Service));

fn ways() -> [Way; 4] {
    [
        ("restart", |service| service.systemctl("restart switchd").unwrap()),
        ("takeover", |service| service.take_over().unwrap()),
        ("a takeover that fails", |service| {
            let (pid, file) = (service.property("MainPID"), "/etc/switchd/switchd.toml");
            service.machine.run(&format!("mv {file} {file}.away")).unwrap();
            service.machine.run(&format!("kill -USR2 {pid}")).unwrap();
            service.wait_for_log("ended before it was ready; this one goes on").unwrap();
            service.machine.run(&format!("mv {file}.away {file}")).unwrap();
        }),
        ("SIGKILL", |service| {
            service.systemctl("kill --signal=KILL switchd").unwrap();
            service.wait_for_restarts(1).unwrap();
        }),
    ]
}

fn config(port: &str) -> String {
    format!("{CONFIG}[ports.vm1]\n{port}")
}

fn vhost_user(socket: &str, mode: &str) -> String {
    config(&format!("type = \"vhost-user\"\nsocket = \"{socket}\"\nmode = \"{mode}\"\n"))
}

fn start(label: &str, mode: &str) -> (Guest, Service) {
    start_with(label, mode, "")
}

/// `card`: more of the guest's network card.
fn start_with(label: &str, mode: &str, card: &str) -> (Guest, Service) {
    let service = Service::start(label, &binary().unwrap(), &vhost_user(SOCKET, mode)).unwrap();
    let socket = service.machine.path(SOCKET);
    let listen = mode == "client";
    let options = GuestOptions {
        mac: "52:54:00:00:00:03".to_owned(),
        addresses: vec!["198.18.0.3/24".to_owned()],
        vhost_user: Some(VhostUser { listen, card: card.to_owned(), ..VhostUser::connecting(&socket) }),
        ..GuestOptions::default()
    };
    let mut guest = Guest::start(&service.host1, options).unwrap();
    if listen {
        wait_until(SOON, "QEMU listens", || socket.exists()).unwrap();
        // switchd is another user than QEMU here.
        std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    }
    guest.wait_ready().unwrap();
    wait_for_answer(&mut guest);
    (guest, service)
}

fn wait_for_answer(guest: &mut Guest) {
    let answered = || guest.ping("198.18.0.2", 1).is_ok_and(|ping| ping.lost() == 0);
    wait_until(SOON, "the guest reaches host 2", answered).unwrap();
}

fn is_up(service: &Service) -> bool {
    service.control().unwrap().show_port("vm1").unwrap().device.is_some_and(|device| device.up)
}

/// Pings over every change: nothing is lost, and QEMU's connection is the one that it has.
fn goes_on(guest: &mut Guest, service: &Service) {
    let before = connections(service);
    assert_eq!(before.0, 1, "{}", service.journal());
    for (what, change) in ways() {
        let pings = std::thread::scope(|scope| {
            let pings = scope.spawn(|| guest.ping("198.18.0.2", 15).unwrap());
            change(service);
            pings.join().unwrap()
        });
        assert_eq!(pings.lost(), 0, "{what}: {pings:?}\n{}", service.journal());
        assert_eq!(connections(service), before, "{what}: {}", service.journal());
        assert!(is_up(service), "{what}");
    }
}

/// How often a program of a guest has connected, and a link has gone down, in all processes together.
fn connections(service: &Service) -> (usize, usize) {
    let journal = service.journal();
    let count = |what: &str| journal.matches(what).count();
    (count("the program of a guest has connected"), count("link is down"))
}

#[test]
fn a_guest_loses_no_ping_and_stays_connected() {
    let (mut guest, service) = start("vhost", "server");
    goes_on(&mut guest, &service);
    // It can still say what it wants: a guest that begins anew sets its rings up over the same connection.
    guest.reboot().unwrap();
    wait_for_answer(&mut guest);
    assert_eq!(connections(&service).0, 1, "{}", service.journal());
}

/// Of a packed ring the guest's memory does not say how far it was used.
#[test]
fn one_with_packed_rings_loses_no_ping_either() {
    let (mut guest, service) = start_with("vhostpacked", "server", ",packed=on");
    goes_on(&mut guest, &service);
}

#[test]
fn one_whose_qemu_listens_does_so_too_until_the_port_is_another_one() {
    let (mut guest, service) = start("vhostclient", "client");
    goes_on(&mut guest, &service);
    let restart_with = |config: &str| {
        service.machine.write("/etc/switchd/switchd.toml", config).unwrap();
        service.systemctl("restart switchd").unwrap();
        wait_until(SOON, "it answers", || service.control().is_ok_and(|mut it| it.version().is_ok()))
            .unwrap();
    };
    restart_with(&vhost_user("/run/switchd/switchd/other.sock", "client"));
    assert!(!is_up(&service), "{}", service.journal());
    assert_eq!(guest.ping("198.18.0.2", 2).unwrap().received, 0);

    let tap = config("type = \"tap\"\ndevice = \"tap9\"\n");
    let number = || service.machine.namespace().run("cat /sys/class/net/tap9/ifindex").unwrap();
    restart_with(&tap);
    let first = number();
    restart_with(&tap);
    assert_eq!(number(), first, "{}", service.journal());
}

#[test]
fn a_transfer_goes_on_over_every_change() {
    let (mut guest, service) = start("vhosttcp", "server");
    for (what, change) in ways() {
        let transfer = std::thread::scope(|scope| {
            let (guest, host) = (&mut guest, &service.host2);
            let transfer = scope.spawn(move || guest_to_namespace(guest, host, "198.18.0.2", 400_000_000));
            change(&service);
            transfer.join().unwrap()
        });
        assert!(transfer.unwrap().intact, "{what}");
    }
    assert_eq!(connections(&service).0, 1, "{}", service.journal());
}
