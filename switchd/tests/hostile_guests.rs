//! Programs of guests that share their memory, and say what they must not: each is cut off with a reason, the next one is
//! served, and two other guests talk on all the time and lose nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use testbed::{Card, Namespace, Switchd, wait_until};

const SOON: Duration = Duration::from_secs(20);

// Requests, as `docs/interop/vhost-user.rst` of QEMU numbers them.
const GET_FEATURES: u32 = 1;
const SET_FEATURES: u32 = 2;
const SET_MEM_TABLE: u32 = 5;
const SET_LOG_BASE: u32 = 6;
const SET_VRING_NUM: u32 = 8;
const SET_VRING_ADDR: u32 = 9;
const SET_VRING_BASE: u32 = 10;
const SET_VRING_KICK: u32 = 12;
const SET_PROTOCOL_FEATURES: u32 = 16;
const SET_VRING_ENABLE: u32 = 18;
const ADD_MEM_REG: u32 = 37;

/// Protocol features and version 1.
const FEATURES: u64 = 1 << 30 | 1 << 32;
/// Several queues, and a log in shared memory.
const PROTOCOL: u64 = 0b11;
const MEMORY: u64 = 1 << 20;

/// One that has connected.
struct Program(UnixStream);

impl Program {
    fn say(&self, request: u32, body: &[u64]) {
        self.say_with(request, body, &[]);
    }

    fn say_with(&self, request: u32, body: &[u64], descriptors: &[BorrowedFd<'_>]) {
        let body: Vec<u8> = body.iter().flat_map(|word| word.to_le_bytes()).collect();
        let head = [request, 1, body.len() as u32].map(u32::to_le_bytes);
        let message = [head.as_flattened(), &body].concat();
        let mut space = [MaybeUninit::uninit(); 256];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        // It may be cut off already for what it said before.
        let _ = sendmsg(&self.0, &[IoSlice::new(&message)], &mut ancillary, SendFlags::NOSIGNAL);
    }

    /// What all say first, up to the memory.
    fn introduce(&self, memory: &File) {
        self.say(GET_FEATURES, &[]);
        self.0.try_clone().unwrap().read_exact(&mut [0; 20]).unwrap();
        self.say(SET_FEATURES, &[FEATURES]);
        self.say(SET_PROTOCOL_FEATURES, &[PROTOCOL]);
        self.say_with(SET_MEM_TABLE, &[1, 0, MEMORY, 0x1000_0000, 0], &[memory.as_fd()]);
    }

    /// Sets a ring up at this place of the program's addresses, and puts it to use.
    fn use_ring(&self, queue: u64, at: u64) {
        let kick = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        self.say(SET_VRING_NUM, &[queue | 256 << 32]);
        self.say(SET_VRING_BASE, &[queue]);
        self.say(SET_VRING_ADDR, &[queue, at, at + 0x8000, at + 0x4000, 0]);
        self.say_with(SET_VRING_KICK, &[queue], &[kick.as_fd()]);
        self.say(SET_VRING_ENABLE, &[queue | 1 << 32]);
    }
}

fn file(len: u64) -> File {
    let file = memfd_create("hostile", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, len).unwrap();
    file.into()
}

type Deed = (&'static str, fn(&mut Program));

/// What each does, and by what it is told in the log.
const DEEDS: [Deed; 16] = [
    ("left a message half sent", |it| it.0.write_all(&[1, 0, 0, 0, 1]).unwrap()),
    ("left a message half sent", |it| it.0.write_all(&[2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 7]).unwrap()),
    ("longer than any is", |it| it.0.write_all(&[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]).unwrap()),
    ("answers unread", |it| {
        it.0.set_nonblocking(true).unwrap();
        while it.0.write(&[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).is_ok() {}
    }),
    ("was refused", |it| it.say(0, &[])),
    ("was refused", |it| it.say(4711, &[1])),
    ("longer than any is", |it| it.0.write_all(&[0xff; 64]).unwrap()),
    ("were not all offered", |it| {
        it.say(GET_FEATURES, &[]);
        it.say(SET_FEATURES, &[u64::MAX]);
    }),
    ("was refused", |it| {
        it.introduce(&file(MEMORY));
        it.say(SET_MEM_TABLE, &[1, 0, MEMORY, 0, 0]);
    }),
    ("was refused", |it| it.introduce(&file(MEMORY - 1))),
    ("was refused", |it| {
        it.introduce(&file(MEMORY));
        it.say_with(ADD_MEM_REG, &[0, 0, MEMORY, 0, 0], &[file(MEMORY).as_fd()]);
    }),
    ("a ring of 3 descriptors", |it| {
        it.introduce(&file(MEMORY));
        it.say(SET_VRING_NUM, &[3 << 32]);
    }),
    ("is no eventfd", |it| {
        it.introduce(&file(MEMORY));
        it.say_with(SET_VRING_KICK, &[0], &[file(8).as_fd()]);
    }),
    ("outside the memory that is shared", |it| {
        it.introduce(&file(MEMORY));
        it.use_ring(0, 0x2000_0000);
    }),
    ("was refused", |it| {
        it.introduce(&file(MEMORY));
        it.say_with(SET_LOG_BASE, &[8192, 0], &[file(4096).as_fd()]);
    }),
    ("a ring lies outside its memory", |it| {
        it.introduce(&file(MEMORY));
        it.use_ring(1, 0x1000_0000);
        // All begins there, but not all ends there.
        it.use_ring(0, 0x1000_0000 + MEMORY - 0x8800);
    }),
];

/// A frame from `from` to `to`, which both are the last bytes of addresses.
fn frame(from: u8, to: u8) -> Vec<u8> {
    let mut frame = [[2, 0, 0, 0, 0, to], [2, 0, 0, 0, 0, from]].concat();
    frame.extend([0x88, 0xb5]);
    frame.resize(1500, from);
    frame
}

/// One tells the other something, and it arrives.
fn tell(from: &mut Card, to: &mut Card, frame: &[u8]) {
    from.send(frame).unwrap();
    let mut came = Vec::new();
    wait_until(SOON, "a frame arrives", || {
        came.extend(to.receive().unwrap());
        came.iter().any(|arrived| arrived == frame)
    })
    .unwrap();
    assert_eq!(came.iter().filter(|arrived| *arrived == frame).count(), 1);
}

#[test]
fn each_is_cut_off_with_a_reason_and_nobody_else_notices() {
    let switch = Namespace::new("switch").unwrap();
    let sockets = tempfile::tempdir().unwrap();
    let socket = |number: u8| sockets.path().join(format!("vm{number}"));
    let port = |number: u8| {
        format!("[ports.vm{number}]\ntype = \"vhost-user\"\nsocket = \"{}\"\n", socket(number).display())
    };
    let mut daemon = Switchd::start(&switch, &[port(1), port(2), port(3)].concat()).unwrap();
    let [mut two, mut three] = [2, 3].map(|number| Card::connect(&socket(number)).unwrap());
    for port in ["vm2", "vm3"] {
        daemon.wait_for_port(port).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut told = 0;
            while !done.load(Ordering::Relaxed) {
                tell(&mut two, &mut three, &frame(2, 3));
                tell(&mut three, &mut two, &frame(3, 2));
                told += 1;
            }
            told
        });
        let deeds = || {
            for (nth, (reason, deed)) in DEEDS.iter().enumerate() {
                let lines = daemon.log().len();
                let mut program = Program(UnixStream::connect(socket(1)).unwrap());
                deed(&mut program);
                let said = daemon.wait_for_log_after(lines, reason, SOON);
                let said = said.unwrap_or_else(|error| panic!("deed {nth}: {error:#}"));
                assert!(said.contains("port=\"vm1\""), "deed {nth}: {said}");
                drop(program);
                // The next one is served.
                drop(Card::connect(&socket(1)).unwrap());
            }
        };
        let did = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deeds));
        done.store(true, Ordering::Relaxed);
        assert!(others.join().unwrap() > 100);
        did.unwrap();
    });
}
