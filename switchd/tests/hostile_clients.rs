//! Clients of the control socket that mean harm, or just don't read: they get nowhere, and neither
//! forwarding nor other clients notice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use control::types::{CaptureOptions, PortChange};
use control::{CallError, Client, ClientError};
use picture::{Picture, SOON, address};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::process::{Uid, getuid};
use testbed::{Ping, Switchd, ping, wait_until};

/// A user who is neither root nor switchd's own: nobody.
const OTHER: u32 = 65_534;

fn start() -> (Picture, Switchd) {
    let picture = Picture::of(2);
    let switchd = Switchd::start(&picture.switch, &picture.raw_ports()).unwrap();
    // Everybody may get as far as the socket, as in /run.
    fs::set_permissions(switchd.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    (picture, switchd)
}

/// Does something as another user, on a thread of its own.
fn as_other<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let run = || {
        assert!(getuid().is_root());
        rustix::thread::set_thread_uid(Uid::from_raw(OTHER)).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Pings from one host to the other while `work` goes on.
fn while_forwarding<R>(picture: &Picture, work: impl FnOnce() -> R) -> (Ping, R) {
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(picture.host(1), &address(2), 20).unwrap());
        let result = work();
        (pings.join().unwrap(), result)
    })
}

/// Memory of the daemon in KiB.
fn memory(switchd: &Switchd) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", switchd.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Whether the other end has closed.
fn is_closed(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(0) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
        Ok(_) => is_closed(stream),
    }
}

#[test]
fn a_thousand_connections_with_half_a_message_keep_out_neither_frames_nor_the_administrator() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (picture, switchd) = start();
    let path = switchd.control_socket();
    let before = memory(&switchd);
    let (pings, held) = while_forwarding(&picture, || {
        let held: Vec<UnixStream> = as_other(|| {
            let half = |_| {
                let mut stream = connect(&path);
                // Whoever is one too many is told so and closed, perhaps before this.
                let _ = stream.write_all(b"{\"method\":\"io.swi");
                stream
            };
            (0..1000).map(half).collect()
        });
        let mut client = switchd.control().unwrap();
        for _ in 0..100 {
            assert_eq!(client.show_ports(None).unwrap().len(), 2);
        }
        held
    });
    assert_eq!(pings.lost(), 0);
    assert!(memory(&switchd) < before + 16 * 1024, "{before} KiB, then {}", memory(&switchd));
    let busy = as_other(|| Client::connect(&path).unwrap().version());
    assert!(
        matches!(busy, Err(ClientError::Refused(CallError::Busy(_)) | ClientError::Broken(_))),
        "{busy:?}"
    );
    drop(held);
    wait_until(SOON, "there is room again", || {
        as_other(|| Client::connect(&path).unwrap().version().is_ok())
    })
    .unwrap();
}

#[test]
fn a_message_without_end_is_cut_off_and_takes_no_memory() {
    let (picture, switchd) = start();
    let path = switchd.control_socket();
    let before = memory(&switchd);
    let (pings, sent) = while_forwarding(&picture, || {
        as_other(|| {
            let mut stream = connect(&path);
            let part = vec![b'{'; 1 << 20];
            let sent = (0..100).take_while(|_| stream.write_all(&part).is_ok()).count();
            assert!(is_closed(&mut stream));
            sent
        })
    });
    assert!(sent < 2, "{sent} MB were taken");
    assert_eq!(pings.lost(), 0);
    assert!(memory(&switchd) < before + 4 * 1024, "{before} KiB, then {}", memory(&switchd));
    assert!(switchd.control().unwrap().version().is_ok());
}

#[test]
fn a_client_that_asks_and_does_not_read_is_asked_no_more() {
    let (picture, switchd) = start();
    let path = switchd.control_socket();
    let before = memory(&switchd);
    let request = b"{\"method\":\"io.switchd.ShowPorts\"}\0".repeat(1000);
    let (pings, ()) = while_forwarding(&picture, || {
        let mut stream = as_other(|| connect(&path));
        let taken = (0..1000).take_while(|_| stream.write_all(&request).is_ok()).count();
        assert!(taken < 100, "a million requests were taken");
        let mut client = switchd.control().unwrap();
        for _ in 0..100 {
            client.version().unwrap();
        }
        // It has its time, and is then closed.
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        wait_until(2 * SOON, "the connection is closed", || {
            stream.write_all(b"x").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
        })
        .unwrap();
    });
    assert_eq!(pings.lost(), 0);
    assert!(memory(&switchd) < before + 8 * 1024, "{before} KiB, then {}", memory(&switchd));
}

#[test]
fn what_is_no_varlink_is_closed_at_once() {
    let (_picture, switchd) = start();
    for text in
        [&b"GET /metrics HTTP/1.1\r\n\r\n\0"[..], b"\0", b"{}\0", b"[]\0", b"\xff\0", b"{\"method\":7}\0"]
    {
        let mut stream = connect(&switchd.control_socket());
        stream.write_all(text).unwrap();
        assert!(is_closed(&mut stream), "{text:?}");
    }
    let deep = [b"{\"method\":\"a.b\",\"parameters\":".to_vec(), b"[".repeat(100_000), vec![0]].concat();
    let mut stream = connect(&switchd.control_socket());
    stream.write_all(&deep).unwrap();
    assert!(is_closed(&mut stream));
    assert!(switchd.control().unwrap().version().is_ok());
}

#[test]
fn others_may_look_and_not_touch() {
    let (_picture, switchd) = start();
    let path = switchd.control_socket();
    as_other(|| {
        let mut client = Client::connect(&path).unwrap();
        assert_eq!(client.show_ports(None).unwrap().len(), 2);
        let change = PortChange { flood: Some(false), ..PortChange::default() };
        let denied = client.set_port("p1", &change);
        assert!(matches!(denied, Err(ClientError::Refused(CallError::NotPermitted(_)))), "{denied:?}");
        let denied = client.flush_fdb(None, None, None);
        assert!(matches!(denied, Err(ClientError::Refused(CallError::NotPermitted(_)))), "{denied:?}");
        assert!(client.show_port("p1").unwrap().settings.flood);
        let denied = client.capture(&CaptureOptions::default()).map(|_| ());
        assert!(matches!(denied, Err(ClientError::Refused(CallError::NotPermitted(_)))), "{denied:?}");
    });
}

#[test]
fn the_service_describes_itself_as_varlink_wants_it() {
    let (_picture, switchd) = start();
    let mut stream = connect(&switchd.control_socket());
    let ask = |stream: &mut UnixStream, text: &str| -> serde_json::Value {
        stream.write_all(text.as_bytes()).unwrap();
        stream.write_all(&[0]).unwrap();
        let mut reply = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).unwrap() == 1 && byte[0] != 0 {
            reply.push(byte[0]);
        }
        serde_json::from_slice(&reply).unwrap()
    };
    let info = ask(&mut stream, r#"{"method":"org.varlink.service.GetInfo"}"#);
    assert_eq!(info["parameters"]["interfaces"][1], "io.switchd");
    let of =
        r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.switchd"}}"#;
    assert_eq!(ask(&mut stream, of)["parameters"]["description"], control::DESCRIPTION);
    let missing = ask(&mut stream, r#"{"method":"io.switchd.Fly"}"#);
    assert_eq!(missing["error"], "org.varlink.service.MethodNotFound");
    // No reply to the first.
    stream.write_all(b"{\"method\":\"io.switchd.GetVersion\",\"oneway\":true}\0").unwrap();
    assert_eq!(ask(&mut stream, r#"{"method":"a.B"}"#)["error"], "org.varlink.service.InterfaceNotFound");
}
