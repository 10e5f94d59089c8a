//! Raw ports on veths: what the kernel takes out of frames comes back, what it refuses has a name.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use frame::offload::{LONG_HEADER, SHORT_HEADER};
use frame::{GsoType, Offload, Tag};
use ports::device::DeviceError;
use ports::raw::{self, OpenError, RawOptions, RawPort};
use ports::{Batch, Drained, RxQueue, SendError, TxQueue};
use rig::{PATIENCE, drain, frame, open, options, pair, quiet, receive, receive_each, wait};
use testbed::{End, FrameSocket, kernel_bridge, tcp_transfer, veth};

const C_TAG: [u8; 4] = [0x81, 0x00, 0xa0, 0x64];
const S_TAG: [u8; 4] = [0x88, 0xa8, 0x60, 0xc8];

/// Sends bytes as they are, as a port does that received them without offload header.
fn send(tx: &mut impl TxQueue, bytes: &[u8]) -> Result<(), SendError> {
    tx.send(&frame::Frame::parse(bytes, 0, None, Offload::default()).unwrap())
}

#[test]
fn tags_that_the_kernel_took_out_are_restored() {
    for short_header in [false, true] {
        let (switch, host) = pair(1500);
        let mut port = open(&switch, &RawOptions { short_header, ..options("port") });
        let mut sender = FrameSocket::open(&host, "eth0").unwrap();
        let tags: [&[[u8; 4]]; 6] =
            [&[], &[C_TAG], &[S_TAG], &[S_TAG, C_TAG], &[C_TAG, C_TAG], &[[0x81, 0, 0, 0]]];
        for tags in tags {
            let sent = frame(tags, 46);
            sender.send(&sent).unwrap();
            receive_each(&mut port.rx[0], 1, |frame| {
                assert_eq!(frame.tag(), tags.first().and_then(|tag| Tag::from_bytes(*tag)), "{tags:02x?}");
                assert_eq!(frame.to_vec(), sent, "{tags:02x?}");
            });
        }
    }
}

#[test]
fn tags_are_sent_as_they_came() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &options("port"));
    let capture = testbed::Capture::start(&host, "eth0", &["-Q", "in"]).unwrap();
    let all = [frame(&[], 46), frame(&[C_TAG], 46), frame(&[S_TAG], 46), frame(&[S_TAG, C_TAG], 46)];
    for bytes in &all {
        send(&mut port.tx[0], bytes).unwrap();
    }
    for sent in &all {
        capture.wait_for(PATIENCE, "the frame with its tags", |got| got == sent).unwrap();
    }
}

/// Carries frames both ways between two raw ports until told to stop. Returns the longest frame that
/// was to be cut.
fn carry(ports: [&mut RawPort; 2], stop: &AtomicBool, longest: &AtomicUsize) {
    let [a, b] = ports;
    let mut batch = Batch::new();
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        for (rx, tx) in [(&mut a.rx[0], &mut b.tx[0]), (&mut b.rx[0], &mut a.tx[0])] {
            batch.clear();
            rx.receive(&mut batch, 64);
            for index in 0..batch.len() {
                idle = false;
                let frame = batch.frame(index).unwrap();
                if frame.offload().gso != GsoType::None {
                    longest.fetch_max(frame.wire_len(), Ordering::Relaxed);
                }
                tx.send(&frame).unwrap();
            }
        }
        if idle {
            std::thread::yield_now();
        }
    }
}

fn tcp_crosses(options: impl Fn(&str) -> RawOptions, header: usize) {
    let (left, right, switch) = (quiet("left"), quiet("right"), quiet("switch"));
    veth(End::new(&switch, "p0"), End::new(&left, "eth0").address("198.18.0.1/24")).unwrap();
    veth(End::new(&switch, "p1"), End::new(&right, "eth0").address("198.18.0.2/24")).unwrap();
    let (mut a, mut b) = (open(&switch, &options("p0")), open(&switch, &options("p1")));
    assert_eq!(header_of(&mut a, &left), header);
    let (stop, longest) = (AtomicBool::new(false), AtomicUsize::new(0));
    let transfer = std::thread::scope(|scope| {
        scope.spawn(|| carry([&mut a, &mut b], &stop, &longest));
        let transfer = tcp_transfer(&left, &right, "198.18.0.2", 10_000_000);
        stop.store(true, Ordering::Relaxed);
        transfer.unwrap()
    });
    assert!(transfer.intact && transfer.bytes == 10_000_000, "{transfer:?}");
    assert!(longest.into_inner() > 10_000, "no large segment came across");
    // Without segments the same would take twenty times as long.
    assert!(transfer.bytes_per_second() > 12.5e6, "{transfer:?}");
}

/// PACKET_VNET_HDR_SZ is in every kernel from 6.5 on, and not in 6.1.
fn kernel_has_long_header() -> bool {
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(5))
}

/// Bytes of offload header in front of a frame as received.
fn header_of(port: &mut RawPort, host: &testbed::Namespace) -> usize {
    let sent = frame(&[], 46);
    FrameSocket::open(host, "eth0").unwrap().send(&sent).unwrap();
    let mut header = 0;
    receive_each(&mut port.rx[0], 1, |frame| {
        header = [LONG_HEADER, SHORT_HEADER, 0].into_iter().find(|&h| frame.verbatim(h).is_some()).unwrap();
    });
    header
}

#[test]
fn large_segments_cross_with_tcp_intact() {
    tcp_crosses(options, if kernel_has_long_header() { LONG_HEADER } else { SHORT_HEADER });
}

#[test]
fn large_segments_cross_with_the_short_header() {
    tcp_crosses(|device| RawOptions { short_header: true, ..options(device) }, SHORT_HEADER);
}

/// A TCP segment of IPv4 that is to be cut, as a port hands it on: the outer tag beside it, `inner` in line.
fn segment(inner: &[[u8; 4]], payload: usize) -> (Vec<u8>, Offload) {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(inner.concat());
    let total = (40 + payload) as u16;
    bytes.extend([0x08, 0x00, 0x45, 0, (total >> 8) as u8, total as u8, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend([198, 18, 0, 1, 198, 18, 0, 2]);
    bytes.extend([0x30, 0x39, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.resize(bytes.len() + payload, 0xab);
    let csum_start = (34 + 4 * inner.len()) as u16;
    let offload = Offload {
        needs_csum: true,
        gso: GsoType::Tcp4,
        gso_size: 1000,
        hdr_len: csum_start + 20,
        csum_start,
        csum_offset: 16,
        ..Offload::default()
    };
    (bytes, offload)
}

/// Offsets in the header count without the tag that the kernel takes out, and with any other.
#[test]
fn tagged_segments_cross_with_their_header() {
    for short_header in [false, true] {
        let (switch, host) = pair(1500);
        let options = |device| RawOptions { short_header, ..options(device) };
        let (mut port, mut far) = (open(&switch, &options("port")), open(&host, &options("eth0")));
        for (outer, inner) in
            [(None, &[][..]), (Some(C_TAG), &[][..]), (Some(S_TAG), &[][..]), (Some(S_TAG), &[C_TAG][..])]
        {
            let (bytes, offload) = segment(inner, 65_400);
            let tag = outer.and_then(Tag::from_bytes);
            far.tx[0].send(&frame::Frame::parse(&bytes, 0, tag, offload).unwrap()).unwrap();
            receive_each(&mut port.rx[0], 1, |frame| {
                assert_eq!(frame.tag(), tag);
                assert_eq!((frame.addresses(), frame.rest()), (&bytes[..12], &bytes[12..]));
                let got = *frame.offload();
                assert_eq!(Offload { hdr_len: 0, ..got }, Offload { hdr_len: 0, ..offload }, "{outer:02x?}");
            });
        }
    }
}

#[test]
fn without_offload_nothing_unfinished_may_be_sent() {
    let (switch, _host) = pair(1500);
    let port = open(&switch, &RawOptions { offload: false, ..options("port") });
    assert_eq!(port.tx[0].capabilities(), frame::Capabilities::default());
    let port = open(&switch, &options("port"));
    let can = port.tx[0].capabilities();
    assert!(can.checksum && can.tso4 && can.tso6 && can.tso_ecn);
}

#[test]
fn jumbo_frames_pass_both_ways() {
    let (switch, host) = pair(9000);
    let mut port = open(&switch, &options("port"));
    assert_eq!(port.mtu, 9000);
    let mut socket = FrameSocket::open(&host, "eth0").unwrap();
    let jumbo = frame(&[], 9002);
    socket.send(&jumbo).unwrap();
    assert_eq!(receive(&mut port.rx[0], 1), std::slice::from_ref(&jumbo));
    send(&mut port.tx[0], &jumbo).unwrap();
    assert_eq!(socket.receive(PATIENCE).unwrap(), jumbo);
}

#[test]
fn what_leaves_by_the_interface_is_not_received() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &options("port"));
    let mut far = FrameSocket::open(&host, "eth0").unwrap();
    let ours = frame(&[], 46);
    send(&mut port.tx[0], &ours).unwrap();
    assert_eq!(far.receive(PATIENCE).unwrap(), ours);
    let of_the_host = frame(&[], 60);
    FrameSocket::open(&switch, "port").unwrap().send(&of_the_host).unwrap();
    assert_eq!(far.receive(PATIENCE).unwrap(), of_the_host);
    // Both have left, and neither is here; the next that comes in is.
    let incoming = frame(&[], 80);
    far.send(&incoming).unwrap();
    assert_eq!(receive(&mut port.rx[0], 1), [incoming]);
    assert_eq!(drain(&mut port.rx[0]), (vec![], Drained::Empty));
}

#[test]
fn too_long_frames_are_refused_by_name() {
    let (switch, _host) = pair(1500);
    let mut port = open(&switch, &options("port"));
    assert_eq!(send(&mut port.tx[0], &frame(&[], 1502)), Ok(()));
    assert_eq!(send(&mut port.tx[0], &frame(&[C_TAG], 1502)), Ok(()));
    assert_eq!(send(&mut port.tx[0], &frame(&[], 1503)), Err(SendError::TooLong));
    assert_eq!(send(&mut port.tx[0], &frame(&[S_TAG], 1502)), Err(SendError::TooLong));
    assert_eq!(send(&mut port.tx[0], &frame(&[S_TAG, C_TAG], 1502)), Err(SendError::TooLong));
}

#[test]
fn down_is_not_gone() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &options("port"));
    let mut far = FrameSocket::open(&host, "eth0").unwrap();

    switch.ip("link set port down").unwrap();
    assert!(wait(port.rx[0].fd(), PATIENCE));
    assert_eq!(drain(&mut port.rx[0]), (vec![], Drained::Down));
    assert_eq!(drain(&mut port.rx[0]), (vec![], Drained::Empty));
    assert_eq!(send(&mut port.tx[0], &frame(&[], 46)), Err(SendError::Down));

    switch.ip("link set port up").unwrap();
    far.send(&frame(&[], 46)).unwrap();
    assert_eq!(receive(&mut port.rx[0], 1), [frame(&[], 46)]);
    assert_eq!(send(&mut port.tx[0], &frame(&[], 46)), Ok(()));

    switch.ip("link del port").unwrap();
    assert!(wait(port.rx[0].fd(), PATIENCE));
    assert_eq!(drain(&mut port.rx[0]), (vec![], Drained::Gone));
    assert_eq!(send(&mut port.tx[0], &frame(&[], 46)), Err(SendError::Gone));
}

#[test]
fn an_interface_deleted_while_down_is_gone() {
    let (switch, _host) = pair(1500);
    let mut port = open(&switch, &options("port"));
    switch.ip("link set port down").unwrap();
    assert_eq!(drain(&mut port.rx[0]).1, Drained::Down);
    switch.ip("link del port").unwrap();
    assert_eq!(drain(&mut port.rx[0]).1, Drained::Gone);
}

#[test]
fn an_interface_that_is_down_can_be_opened() {
    let (switch, host) = pair(1500);
    switch.ip("link set port down").unwrap();
    let mut port = open(&switch, &options("port"));
    switch.ip("link set port up").unwrap();
    let mut far = FrameSocket::open(&host, "eth0").unwrap();
    let capture_ready = frame(&[], 46);
    far.send(&capture_ready).unwrap();
    let (frames, _) = loop {
        wait(port.rx[0].fd(), PATIENCE);
        let (frames, drained) = drain(&mut port.rx[0]);
        if !frames.is_empty() {
            break (frames, drained);
        }
        assert_eq!(drained, Drained::Down, "only what opening it while down left behind");
    };
    assert_eq!(frames, [capture_ready]);
}

#[test]
fn frames_lost_in_a_full_receive_buffer_are_counted() {
    let (switch, host) = pair(1500);
    let mut port = open(&switch, &options("port"));
    let mut sender = open(&host, &options("eth0"));
    let bytes = frame(&[], 46);
    let mut sent = 0_u64;
    while port.rx[0].kernel_drops() == 0 && sent < 1_000_000 {
        for _ in 0..1000 {
            sent += u64::from(send(&mut sender.tx[0], &bytes).is_ok());
        }
    }
    let mut received = 0;
    while received + port.rx[0].kernel_drops() < sent {
        let (frames, _) = drain(&mut port.rx[0]);
        received += frames.len() as u64;
        assert!(!frames.is_empty() || wait(port.rx[0].fd(), PATIENCE), "{sent} sent, {received} received");
    }
    assert_eq!(received + port.rx[0].kernel_drops(), sent);
    assert!(port.rx[0].kernel_drops() > 0);
}

#[test]
fn what_cannot_be_a_port_is_refused_with_the_reason() {
    let (switch, _host) = pair(1500);
    kernel_bridge(&switch, "br0", &["port"]).unwrap();
    let refusal = |device: &str| {
        let error = switch.enter(|| raw::open(&options(device))).unwrap().unwrap_err();
        let text = error.to_string();
        (error, text)
    };
    let (error, text) = refusal("port");
    assert!(matches!(error, OpenError::Device(DeviceError::Taken { .. })));
    assert!(text.contains("port belongs to bridge br0"), "{text}");
    let (error, text) = refusal("lo");
    assert!(matches!(error, OpenError::Device(DeviceError::NotEthernet { .. })), "{text}");
    let (error, text) = refusal("br0");
    assert!(matches!(error, OpenError::Device(DeviceError::Bridge { .. })), "{text}");
    for missing in ["vnet7", "", "a-name-of-sixteen"] {
        let (error, text) = refusal(missing);
        assert!(matches!(error, OpenError::Device(DeviceError::Missing { .. })), "{text}");
    }
}

#[test]
fn a_missing_capability_is_named() {
    let (switch, _host) = pair(1500);
    let error = switch.enter(|| {
        let none = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none).unwrap();
        raw::open(&options("port")).unwrap_err().to_string()
    });
    assert!(error.unwrap().contains("CAP_NET_RAW is missing"));
}
