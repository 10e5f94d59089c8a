//! Frames that a process had received and not handed on when it was killed are handed on by the next one, once each.
//! The forwarding thread is stopped in the middle of it by a debugger's means.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{FrameSocket, Namespace, wait_until};

const SOON: Duration = Duration::from_secs(15);
const FRAMES: u8 = 10;
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// A frame of a protocol that nobody else speaks, with a number.
fn frame(to: [u8; 6], from: [u8; 6], number: u8) -> Vec<u8> {
    [&to[..], &from, &[0x88, 0xb5, number], &[0; 45]].concat()
}

/// Lets a stopped thread go on until it has sent one frame of that protocol: a host says something of its own now and then.
fn step_over_a_send(thread: Pid) {
    for stop in 1.. {
        ptrace::syscall(thread, None).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        // It stops before and after each call.
        if stop % 2 == 1 {
            continue;
        }
        let call = fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap();
        let words: Vec<&str> = call.split(' ').collect();
        let argument = |nth: usize| u64::from_str_radix(words[nth].trim_start_matches("0x"), 16).unwrap();
        let sends = [libc::SYS_write, libc::SYS_sendto].map(|number| number.to_string());
        if sends.iter().any(|number| number == words[0]) && argument(3) >= 60 {
            let mut sent = [0; 60];
            let memory = fs::File::open(format!("/proc/{thread}/mem")).unwrap();
            memory.read_exact_at(&mut sent, argument(2)).unwrap();
            // Behind addresses that begin so, and an offload header.
            if sent.windows(8).any(|bytes| bytes[..3] == [2, 0, 0] && bytes[6..] == [0x88, 0xb5]) {
                return;
            }
        }
    }
}

fn hands_on_after_a_kill(service: &Service, from: &Namespace, to: &Namespace, macs: [[u8; 6]; 2]) {
    let [source, target] = macs;
    let mut sender = FrameSocket::open(from, "eth0").unwrap();
    let mut receiver = FrameSocket::open(to, "eth0").unwrap();
    let mut number = || {
        let ours = |frame: &[u8]| frame.get(12..14) == Some(&[0x88, 0xb5]);
        receiver.receive_where(SOON, ours).unwrap()[14]
    };
    let threads = service.machine.threads("switchd.service").unwrap();
    let worker = threads.iter().find(|(_, name)| name == "forward").unwrap().0;
    let worker = Pid::from_raw(worker);
    ptrace::seize(worker, Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(worker).unwrap();
    waitpid(worker, Some(WaitPidFlag::__WALL)).unwrap();
    for number in 0..FRAMES {
        sender.send(&frame(target, source, number)).unwrap();
    }
    step_over_a_send(worker);
    service.systemctl("kill --signal=KILL switchd").unwrap();
    wait_until(SOON, "its end", || {
        // Its tracer must take notice of it, or the thread stays.
        let _ = waitpid(worker, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
        service.property("NRestarts") == "1" && service.property("ActiveState") == "active"
    })
    .unwrap();
    sender.send(&frame(target, source, FRAMES)).unwrap();
    let arrived: Vec<u8> = (0..=FRAMES).map(|_| number()).collect();
    assert_eq!(arrived, (0..=FRAMES).collect::<Vec<u8>>(), "{}", service.journal());
    assert!(service.journal().contains("goes out now"), "{}", service.journal());
}

#[test]
fn what_came_in_by_a_tap_is_handed_on_after_a_kill() {
    let service = Service::start("handtap", &binary().unwrap(), CONFIG).unwrap();
    hands_on_after_a_kill(&service, &service.host1, &service.host2, MACS);
}

#[test]
fn what_came_in_by_a_raw_port_is_handed_on_after_a_kill() {
    let service = Service::start("handraw", &binary().unwrap(), CONFIG).unwrap();
    let [mac1, mac2] = MACS;
    hands_on_after_a_kill(&service, &service.host2, &service.host1, [mac2, mac1]);
}
