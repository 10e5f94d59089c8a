//! A new process takes the ports over while the old one forwards: nobody on a port notices, and one that fails is
//! not missed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use control::types::PortChange;
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{Stream, wait_until};

const SOON: Duration = Duration::from_secs(15);

/// Datagrams a second: what any machine that runs tests carries beside other tests.
const RATE: u32 = 5_000;

#[test]
fn a_takeover_loses_no_frame_and_nothing_of_what_was_known() {
    let service = Service::start("takeover", &binary().unwrap(), CONFIG).unwrap();
    let change = PortChange { isolated: Some(true), ..PortChange::default() };
    service.control().unwrap().set_port("lan", &change).unwrap();
    let (before, frames) = (service.stations().unwrap(), || {
        service.control().unwrap().show_port("wire").unwrap().counters.rx_frames
    });
    let counted = frames();
    let forth = Stream::start(&service.host1, &service.host2, "198.18.0.2", RATE).unwrap();
    let back = Stream::start(&service.host2, &service.host1, "198.18.0.1", RATE).unwrap();
    for _ in 0..3 {
        service.take_over().unwrap();
    }
    let (forth, back) = (forth.stop().unwrap(), back.stop().unwrap());
    assert_eq!((forth.lost(), back.lost()), (0, 0), "{forth:?} {back:?}\n{}", service.journal());
    wait_until(SOON, "the new one answers", || service.control().is_ok_and(|mut it| it.version().is_ok()))
        .unwrap();
    assert_eq!(service.stations().unwrap(), before);
    assert!(service.control().unwrap().show_port("lan").unwrap().settings.isolated);
    assert!(frames() >= counted + back.sent);
    assert_eq!(service.property("NRestarts"), "0");
    // What systemd keeps is the new one's: it survives that too.
    service.systemctl("restart switchd").unwrap();
    service.pings().unwrap();
    assert_eq!(service.stations().unwrap(), before);
    assert!(!service.journal().contains("opened anew"), "{}", service.journal());
    service.systemctl("stop switchd").unwrap();
    assert_eq!(service.property("Result"), "success");
    assert!(!service.machine.path("/run/switchd/switchd").exists());
}

#[test]
fn a_new_program_that_fails_is_not_missed() {
    let service = Service::start("failing", &binary().unwrap(), CONFIG).unwrap();
    let pid = service.property("MainPID");
    let stream = Stream::start(&service.host1, &service.host2, "198.18.0.2", RATE).unwrap();
    // One that gets the ports and ends, for its configuration is wrong.
    service.machine.write("/etc/switchd/switchd.toml", "[ports.lan]\ntype = \"tab\"\n").unwrap();
    service.machine.run(&format!("kill -USR2 {pid}")).unwrap();
    service.wait_for_log("ended before it was ready; this one goes on").unwrap();
    // One that can't be started at all.
    service.machine.run("chmod 644 /usr/sbin/switchd").unwrap();
    service.machine.run(&format!("kill -USR2 {pid}")).unwrap();
    service.wait_for_log("can't start /usr/sbin/switchd").unwrap();
    assert_eq!(service.property("MainPID"), pid);
    let streamed = stream.stop().unwrap();
    assert_eq!(streamed.lost(), 0, "{streamed:?}\n{}", service.journal());
    service.pings().unwrap();
}

/// Only root and the service's own user may have the descriptors.
#[test]
fn another_user_gets_no_port() {
    let service = Service::start("other-user", &binary().unwrap(), CONFIG).unwrap();
    service.machine.run("chmod 777 /run/switchd/switchd /run/switchd/switchd/handover").unwrap();
    let line = "setpriv --reuid=65534 --clear-groups env RUNTIME_DIRECTORY=/run/switchd/switchd \
                /usr/sbin/switchd --keep-ports --takeover --config /etc/switchd/switchd.toml";
    let asked = service.machine.exec(line).unwrap();
    assert!(!asked.status.success());
    service.wait_for_log("user 65534 asked for the ports; only root and user").unwrap();
    service.pings().unwrap();
}
