//! Clients of the metrics that mean harm, or just don't read: neither forwarding nor control notice, and whoever
//! wants metrics gets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;
mod scrape;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use picture::{Picture, SOON, address};
use scrape::{LISTEN, connect, metrics};
use testbed::{Switchd, ping, wait_until};

fn start() -> (Picture, Switchd) {
    let picture = Picture::of(2);
    let config = format!("[metrics]\nlisten = \"{LISTEN}\"\n{}", picture.raw_ports());
    let switchd = Switchd::start(&picture.switch, &config).unwrap();
    (picture, switchd)
}

/// Pings go through and control answers at once while `work` goes on.
fn undisturbed<R>(picture: &Picture, switchd: &Switchd, work: impl FnOnce() -> R) -> R {
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(picture.host(1), &address(2), 20).unwrap());
        let asking = scope.spawn(|| {
            let mut client = switchd.control().unwrap();
            while !pings.is_finished() {
                client.show_bridge().unwrap();
            }
            pings.join().unwrap()
        });
        let result = work();
        assert_eq!(asking.join().unwrap().lost(), 0);
        result
    })
}

/// Descriptors that the daemon has open, and its memory in KiB.
fn held(switchd: &Switchd) -> (usize, u64) {
    let process = format!("/proc/{}", switchd.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory = memory.split_whitespace().next().unwrap().parse().unwrap();
    (fs::read_dir(format!("{process}/fd")).unwrap().count(), memory)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 4096]), Ok(read) if read > 0)
}

#[test]
fn clients_that_say_nothing_or_half_of_it_keep_nobody_out() {
    let (picture, switchd) = start();
    metrics(&picture.switch);
    let before = held(&switchd);
    let clients = undisturbed(&picture, &switchd, || {
        let mut clients: Vec<TcpStream> = Vec::new();
        for number in 0..300 {
            let mut client = connect(&picture.switch, LISTEN).unwrap();
            if number % 2 == 0 {
                client.write_all(b"GET /metrics HTTP/1.1\r\nX: y").unwrap();
            }
            clients.push(client);
            if number % 60 == 0 {
                metrics(&picture.switch);
            }
        }
        clients
    });
    metrics(&picture.switch);
    let (descriptors, memory) = held(&switchd);
    assert!(descriptors <= before.0 + 32, "{before:?}, then {descriptors}");
    assert!(memory < before.1 + 4 * 1024, "{before:?}, then {memory}");
    // Also the last of them has its time only.
    let mut last = clients.into_iter().next_back().unwrap();
    let began = Instant::now();
    last.set_read_timeout(Some(2 * SOON)).unwrap();
    assert!(is_closed(&mut last) && began.elapsed() < Duration::from_secs(15));
    wait_until(SOON, "nothing is held", || held(&switchd).0 <= before.0).unwrap();
}

#[test]
fn a_request_that_is_too_long_is_cut_off() {
    let (picture, switchd) = start();
    metrics(&picture.switch);
    let (_, before) = held(&switchd);
    undisturbed(&picture, &switchd, || {
        let mut client = connect(&picture.switch, LISTEN).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        let line = format!("X: {}\r\n", "y".repeat(1 << 20));
        let sent = (0..100).take_while(|_| client.write_all(line.as_bytes()).is_ok()).count();
        assert!(sent < 10, "{sent} MB were taken");
    });
    let mut client = connect(&picture.switch, LISTEN).unwrap();
    client.write_all(&[b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'y'; 8192]].concat()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
    let (_, memory) = held(&switchd);
    assert!(memory < before + 4 * 1024, "{before} KiB, then {memory}");
}

#[test]
fn a_client_that_asks_and_does_not_read_has_its_time_only() {
    let (picture, switchd) = start();
    metrics(&picture.switch);
    let (descriptors, before) = held(&switchd);
    undisturbed(&picture, &switchd, || {
        let request = b"GET /metrics HTTP/1.1\r\n\r\n".repeat(100);
        let mut clients: Vec<_> = (0..32).map(|_| connect(&picture.switch, LISTEN).unwrap()).collect();
        for client in &mut clients {
            let _ = client.write_all(&request);
        }
        for _ in 0..20 {
            metrics(&picture.switch);
        }
        let memory = held(&switchd).1;
        assert!(memory < before + 8 * 1024, "{before} KiB, then {memory}");
    });
    wait_until(SOON, "nothing is held", || held(&switchd).0 <= descriptors).unwrap();
}

/// However many ask, the switch is asked twice a second.
#[test]
fn a_flood_of_scrapes_costs_control_two_answers_a_second() {
    let (picture, switchd) = start();
    let distinct = undisturbed(&picture, &switchd, || {
        let mut distinct: Vec<String> = Vec::new();
        let end = Instant::now() + Duration::from_secs(2);
        let mut asked = 0;
        while Instant::now() < end {
            // With every ping, and every turn of the loop, some counter is another.
            let text = metrics(&picture.switch);
            if distinct.last() != Some(&text) {
                distinct.push(text);
            }
            asked += 1;
        }
        assert!(asked > 20, "{asked}");
        distinct.len()
    });
    assert!(distinct <= 6, "{distinct} answers in two seconds");
}
