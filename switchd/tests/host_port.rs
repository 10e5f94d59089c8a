//! The host's address moves to a host port and back, by the very commands of `docs/host-port.md`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod picture;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use picture::{SOON, quiet, wait_for_ping};
use testbed::link::add_address;
use testbed::{End, Namespace, Switchd, page, ping, veth};

const PAGE: &str = include_str!("../../docs/host-port.md");

/// Beyond the router of the page.
const FAR: &str = "198.18.99.1";
const HOST: &str = "198.18.0.2";

fn block(language: &str, number: usize) -> &'static str {
    page::block(PAGE, language, number).unwrap()
}

struct World {
    host: Namespace,
    outside: Namespace,
    vm: Namespace,
}

fn world() -> World {
    let (host, outside, vm) = (quiet("host"), quiet("outside"), quiet("vm"));
    veth(
        End::new(&host, "eth0").address("198.18.0.2/24"),
        End::new(&outside, "eth0").address("198.18.0.1/24"),
    )
    .unwrap();
    veth(End::new(&host, "vnet0"), End::new(&vm, "eth0").address("198.18.0.3/24")).unwrap();
    add_address(&outside, "lo", "198.18.99.1/32").unwrap();
    for namespace in [&host, &vm] {
        namespace.ip("route add default via 198.18.0.1").unwrap();
    }
    World { host, outside, vm }
}

fn by(host: &Namespace) -> String {
    host.ip(&format!("route get {FAR}")).unwrap()
}

fn run(host: &Namespace, script: &str) {
    host.run(&format!("sh -e -c '{script}'")).unwrap();
}

/// A connection from outside to the host, as that of whoever types the commands.
fn connect(world: &World) -> (TcpStream, TcpStream) {
    let listener = world.host.enter(|| TcpListener::bind((HOST, 22))).unwrap().unwrap();
    let outside = world.outside.enter(|| TcpStream::connect((HOST, 22))).unwrap().unwrap();
    let host = listener.accept().unwrap().0;
    for stream in [&host, &outside] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    (host, outside)
}

fn still_works((host, outside): &(TcpStream, TcpStream)) {
    let mut byte = [0];
    for (mut from, mut to) in [(host, outside), (outside, host)] {
        from.write_all(&[7]).unwrap();
        to.read_exact(&mut byte).unwrap();
    }
}

#[test]
fn the_commands_of_the_page_move_the_address_and_back() {
    let world = world();
    let World { host, outside, vm } = &world;
    let reachable = || {
        assert_eq!(ping(host, FAR, 3).unwrap().lost(), 0);
        assert_eq!(ping(outside, HOST, 3).unwrap().lost(), 0);
    };
    reachable();
    let session = connect(&world);
    for _ in 0..2 {
        assert!(by(host).contains("dev eth0"), "{}", by(host));
        let mut daemon = Switchd::start(host, block("toml", 0)).unwrap();
        run(host, block("sh", 0));
        assert!(by(host).contains("dev br0"), "{}", by(host));
        // Nobody outside had to learn anything: the very first ping arrives.
        reachable();
        still_works(&session);
        for to in [FAR, HOST] {
            wait_for_ping(vm, to);
            assert_eq!(ping(vm, to, 3).unwrap().lost(), 0);
        }
        assert_eq!(ping(host, "198.18.0.3", 3).unwrap().lost(), 0);
        accounts::check(&daemon.summary().unwrap());

        assert!(daemon.terminate().unwrap().success());
        run(host, block("sh", 1));
        reachable();
        still_works(&session);
    }
}

#[test]
fn a_port_that_persists_keeps_the_address_over_a_restart() {
    let world = world();
    let host = &world.host;
    let config = block("toml", 0).replace("host = true", "host = true\npersist = true");
    let mut daemon = Switchd::start(host, &config).unwrap();
    run(host, block("sh", 0));
    for _ in 0..2 {
        assert_eq!(ping(host, FAR, 3).unwrap().lost(), 0);
        daemon.kill9().unwrap();
        daemon = daemon.start_again().unwrap();
        wait_for_ping(host, FAR);
    }
    assert!(daemon.terminate().unwrap().success());
    host.ip("link del br0").unwrap();
    run(host, block("sh", 1));
    assert_eq!(ping(host, FAR, 3).unwrap().lost(), 0);
}
