//! A virtual machine that shares its memory does not notice that the process changes: under a real systemd, with a real
//! QEMU guest, by an orderly restart, by a takeover and by SIGKILL. QEMU's connection is the same one all the time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testbed::guest::guest_to_namespace;
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{Guest, GuestOptions, VhostUser, wait_until};

const SOON: Duration = Duration::from_secs(20);
const SOCKET: &str = "/run/switchd/switchd/vm1.sock";

/// A way in which the process changes.
type Way = (&'static str, fn(&Service));

fn ways() -> [Way; 3] {
    [
        ("restart", |service| service.systemctl("restart switchd").unwrap()),
        ("takeover", |service| service.take_over().unwrap()),
        ("SIGKILL", |service| {
            service.systemctl("kill --signal=KILL switchd").unwrap();
            service.wait_for_restarts(1).unwrap();
        }),
    ]
}

fn start(label: &str) -> (Guest, Service) {
    let config = format!("{CONFIG}[ports.vm1]\ntype = \"vhost-user\"\nsocket = \"{SOCKET}\"\n");
    let service = Service::start(label, &binary().unwrap(), &config).unwrap();
    let options = GuestOptions {
        mac: "52:54:00:00:00:03".to_owned(),
        addresses: vec!["198.18.0.3/24".to_owned()],
        vhost_user: Some(VhostUser::connecting(service.machine.path(SOCKET))),
        ..GuestOptions::default()
    };
    let mut guest = Guest::start(&service.host1, options).unwrap();
    guest.wait_ready().unwrap();
    wait_until(SOON, "the guest reaches host 2", || {
        guest.ping("198.18.0.2", 1).is_ok_and(|ping| ping.lost() == 0)
    })
    .unwrap();
    (guest, service)
}

/// How often a program of a guest has connected, and a link has gone down, in all processes together.
fn connections(service: &Service) -> (usize, usize) {
    let journal = service.journal();
    let count = |what: &str| journal.matches(what).count();
    (count("the program of a guest has connected"), count("link is down"))
}

#[test]
fn a_guest_loses_no_ping_and_stays_connected() {
    let (mut guest, service) = start("vhost");
    let before = connections(&service);
    assert_eq!(before.0, 1, "{}", service.journal());
    for (what, change) in ways() {
        let pings = std::thread::scope(|scope| {
            let pings = scope.spawn(|| guest.ping("198.18.0.2", 15).unwrap());
            change(&service);
            pings.join().unwrap()
        });
        assert_eq!(pings.lost(), 0, "{what}: {pings:?}\n{}", service.journal());
        assert_eq!(connections(&service), before, "{what}: {}", service.journal());
        assert!(
            service.control().unwrap().show_port("vm1").unwrap().device.is_some_and(|device| device.up),
            "{what}"
        );
    }
    // It can still say what it wants: a guest that begins anew sets its rings up over the same connection.
    guest.reboot().unwrap();
    wait_until(SOON, "the guest reaches host 2 again", || {
        guest.ping("198.18.0.2", 1).is_ok_and(|ping| ping.lost() == 0)
    })
    .unwrap();
    assert_eq!(connections(&service).0, 1, "{}", service.journal());
}

#[test]
fn a_transfer_goes_on_over_every_change() {
    let (mut guest, service) = start("vhosttcp");
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
