//! Our segments against the kernel's. A bridge of the kernel's floods every frame of a host to devices with
//! offloads, where we cut it, and to one without, where the kernel does: what comes of both is the same,
//! byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cable;
mod lan;
#[path = "../../crates/frame/tests/packets/mod.rs"]
mod packets;

use std::convert::Infallible;

use cable::{Cable, Read};
use frame::{Finisher, Frame, GsoType, Offload};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use packets::{Outer, Packet, Transport};
use testbed::link::{End, add_address, kernel_bridge, veth};
use testbed::{Namespace, tcp_transfer, wait_until};

/// Whom it talks to: never learned by the bridge, so that all for it is flooded.
const PEER: &str = "02:00:00:00:00:02";
const SENDER: &str = "02:00:00:00:00:03";
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A host, its peer, and between them the bridge whose ports the test holds.
struct Flood {
    /// With offloads.
    tap: Cable,
    /// The other end of a veth, which also lets tunnels pass uncut.
    veth: Cable,
    /// Without: the kernel cuts.
    plain: Cable,
    /// A guest, beside the host.
    guest: Cable,
    /// The peer's only device.
    to_peer: Cable,
    host: Namespace,
    peer: Namespace,
    _far: Namespace,
}

/// What was read from each of the three ports.
struct Seen {
    tap: Vec<Read>,
    veth: Vec<Read>,
    plain: Vec<Read>,
}

impl Flood {
    fn new() -> Self {
        let [host, peer, far] = ["host", "peer", "far"].map(|label| Namespace::new(label).unwrap());
        for namespace in [&host, &far] {
            namespace.run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1").unwrap();
        }
        veth(End::new(&host, "veth"), End::new(&far, "veth")).unwrap();
        let tap = Cable::tap(&host, "tap", true);
        let plain = Cable::tap(&host, "plain", false);
        let guest = Cable::tap(&host, "guest", true);
        let devices = ["tap", "veth", "plain"];
        kernel_bridge(&host, "br0", &[&devices[..], &["guest"]].concat()).unwrap();
        for device in devices {
            host.ip(&format!("link set {device} txqueuelen 20000")).unwrap();
            host.ip(&format!("link set {device} type bridge_slave learning off isolated on")).unwrap();
        }
        host.ip("link set br0 address 02:00:00:00:00:01").unwrap();
        let to_peer = Cable::tap(&peer, "eth0", true);
        peer.ip(&format!("link set eth0 address {PEER}")).unwrap();
        for (namespace, device, number) in [(&host, "br0", 1), (&peer, "eth0", 2)] {
            namespace.run(&format!("sysctl -q -w net.ipv6.conf.{device}.disable_ipv6=0")).unwrap();
            add_address(namespace, device, &format!("198.18.0.{number}/24")).unwrap();
            add_address(namespace, device, &format!("2001:db8::{number}/64")).unwrap();
        }
        // So that nobody asks: a question and a TCP segment may overtake each other.
        neighbours(&host, "br0", 2, PEER);
        neighbours(&peer, "eth0", 1, "02:00:00:00:00:01");
        wait_for_ports(&host, devices.len() + 1);
        let veth = Cable::raw(&far, "veth");
        Self { tap, veth, plain, guest, to_peer, host, peer, _far: far }
    }

    /// Carries frames between host and peer while `traffic` makes them, and returns those for the peer.
    fn record(&mut self, traffic: impl FnOnce(&Namespace, &Namespace, &mut Cable) + Send) -> Seen {
        let mut seen = Seen { tap: Vec::new(), veth: Vec::new(), plain: Vec::new() };
        let mut poll = Poll::new().unwrap();
        let done = &Waker::new(poll.registry(), Token(9)).unwrap();
        for cable in [&self.tap, &self.veth, &self.plain, &self.to_peer] {
            poll.registry().register(&mut SourceFd(&cable.fd()), Token(0), Interest::READABLE).unwrap();
        }
        let Self { tap, veth, plain, guest, to_peer, host, peer, .. } = self;
        std::thread::scope(|scope| {
            let (host, peer) = (&*host, &*peer);
            let traffic = scope.spawn(move || {
                // Also when `traffic` panics, or the other thread would wait for ever.
                let _done = WakeAtEnd(done);
                traffic(host, peer, guest);
                // Nothing comes after this, so all three ports have had the same.
                host.ip("link set br0 down").unwrap();
            });
            let mut events = Events::with_capacity(8);
            let mut ended = false;
            while !ended {
                match poll.poll(&mut events, None) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    other => other.unwrap(),
                }
                ended = events.iter().any(|event| event.token() == Token(9));
                drain(tap, |frame| {
                    let _ = to_peer.write(&frame.bytes, frame.offload);
                    seen.tap.push(frame);
                });
                drain(veth, |frame| seen.veth.push(frame));
                drain(plain, |frame| seen.plain.push(frame));
                drain(to_peer, |frame| {
                    let _ = tap.write(&frame.bytes, frame.offload);
                });
            }
            traffic.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        for frames in [&mut seen.tap, &mut seen.veth, &mut seen.plain] {
            frames.retain(|frame| frame.bytes[..6] == PEER_MAC);
        }
        seen
    }
}

/// A bridge port forwards from the moment when its bridge has noticed the link.
fn wait_for_ports(host: &Namespace, count: usize) {
    let forwarding = || host.run("bridge link").unwrap().matches("state forwarding").count() == count;
    wait_until(lan::SOON, "all ports forward", forwarding).unwrap();
}

fn neighbours(namespace: &Namespace, device: &str, number: usize, mac: &str) {
    for net in ["198.18.0.", "2001:db8::"] {
        namespace.ip(&format!("neighbour add {net}{number} lladdr {mac} dev {device}")).unwrap();
    }
}

struct WakeAtEnd<'a>(&'a Waker);

impl Drop for WakeAtEnd<'_> {
    fn drop(&mut self) {
        self.0.wake().unwrap();
    }
}

fn drain(cable: &mut Cable, mut each: impl FnMut(Read)) {
    loop {
        let frames = cable.read();
        if frames.is_empty() {
            return;
        }
        frames.into_iter().for_each(&mut each);
    }
}

/// Everything that comes of these frames.
fn finished(frames: &[Read]) -> Vec<Vec<u8>> {
    let mut finisher = Finisher::new();
    let mut out = Vec::new();
    for read in frames {
        let frame = Frame::parse(&read.bytes, 0, None, read.offload).unwrap();
        let keep = |segment: &Frame<'_>| {
            out.push(segment.to_vec());
            Ok::<(), Infallible>(())
        };
        finisher.finish(&frame, keep).unwrap_or_else(|error| panic!("{error:?}: {:?}", read.offload));
    }
    out
}

fn assert_same(what: &str, ours: &[Vec<u8>], kernels: &[&[u8]]) {
    for (number, (ours, kernels)) in ours.iter().zip(kernels).enumerate() {
        let at = ours.iter().zip(*kernels).position(|(a, b)| a != b);
        let (our_len, its_len) = (ours.len(), kernels.len());
        assert!(
            ours == kernels,
            "{what}: frame {number} of {our_len} bytes, the kernel's of {its_len}, differing at {at:?}\n\
             ours   {:02x?}\nkernel {:02x?}",
            &ours[..our_len.min(120)],
            &kernels[..its_len.min(120)],
        );
    }
    assert_eq!(ours.len(), kernels.len(), "{what}");
}

fn bytes(frames: &[Read]) -> Vec<&[u8]> {
    frames.iter().map(|read| &read.bytes[..]).collect()
}

/// Compares what came of both, and says how many frames there were to cut. What the two processors send over a veth
/// overtakes each other, so there any order will do.
fn compare(what: &str, seen: &Seen) -> [usize; 2] {
    let mut kernels = bytes(&seen.plain);
    assert_same(&format!("{what} from the TAP"), &finished(&seen.tap), &kernels);
    let mut over_veth = finished(&seen.veth);
    over_veth.sort_unstable();
    kernels.sort_unstable();
    assert_same(&format!("{what} from the veth"), &over_veth, &kernels);
    [&seen.tap, &seen.veth]
        .map(|frames| frames.iter().filter(|frame| frame.offload.gso != GsoType::None).count())
}

fn tcp_flow(address: &str, ecn: bool) {
    let mut flood = Flood::new();
    for host in [&flood.host, &flood.peer] {
        host.run(&format!("sysctl -q -w net.ipv4.tcp_ecn={}", u8::from(ecn))).unwrap();
        // Never more under way than the packet socket has room for, however late the test reads it.
        host.run("sysctl -q -w 'net.ipv4.tcp_wmem=4096 65536 1000000'").unwrap();
    }
    let seen = flood.record(|host, peer, _| {
        assert!(tcp_transfer(host, peer, address, 5_000_000).unwrap().intact);
    });
    let cut = compare(address, &seen);
    assert!(cut.iter().all(|cut| *cut > 50), "{cut:?} of {} frames were to be cut", seen.tap.len());
    let flags = if address.contains(':') { 14 + 40 + 13 } else { 14 + 20 + 13 };
    // ECE and CWR, in the SYN.
    assert_eq!(
        seen.plain.iter().any(|frame| frame.bytes.get(flags).is_some_and(|flags| flags & 0xc0 == 0xc0)),
        ecn
    );
}

#[test]
fn tcp_over_ipv4_is_cut_as_the_kernel_cuts_it() {
    tcp_flow("198.18.0.2", false);
}

#[test]
fn tcp_over_ipv6_is_cut_as_the_kernel_cuts_it() {
    tcp_flow("2001:db8::2", false);
}

#[test]
fn tcp_with_ecn_is_cut_as_the_kernel_cuts_it() {
    tcp_flow("198.18.0.2", true);
    tcp_flow("2001:db8::2", true);
}

/// Puts right what a packet leaves open for whoever cuts it: the kernel's bridge drops IP packets with
/// wrong lengths.
fn set_lengths(bytes: &mut [u8], ip: usize, transport: usize, udp: bool) {
    let (len, v6) = (bytes.len(), bytes[ip] >> 4 == 6);
    let mut set = |at: usize, value: usize| {
        bytes[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap().to_be_bytes());
    };
    if udp {
        set(transport + 4, len - transport);
    }
    if v6 {
        return set(ip + 4, len - ip - 40);
    }
    set(ip + 2, len - ip);
    let header = usize::from(bytes[ip] & 15) * 4;
    let sum = frame::checksum::Sum::of(&bytes[ip..ip + header]).checksum();
    bytes[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
}

/// Frames to be cut, each with a name, its own payload and segment size.
fn built() -> Vec<(String, Vec<u8>, Offload)> {
    let v4 = |options| vec![Outer::Ipv4 { id: 0xfffa, options }];
    let v6 = |extensions: &[(u8, usize)]| vec![Outer::Ipv6 { extensions: extensions.to_vec() }];
    let networks =
        [v4(0), v4(3), v4(10), v6(&[]), v6(&[(0, 0)]), v6(&[(60, 2)]), v6(&[(0, 1), (43, 0), (60, 0)])];
    let flags = [0x10, 0x18, 0x19, 0x90, 0xd8, 0x99];
    let tcp = flags.into_iter().zip([0, 3, 10, 0, 3, 5]).map(|(flags, options)| Transport::Tcp {
        sequence: 0xffff_e000,
        flags,
        options,
    });
    let transports: Vec<_> = tcp.chain([Transport::Udp]).collect();
    let mut frames = Vec::new();
    for tags in [vec![], vec![Outer::Vlan(7)], vec![Outer::Vlan(0xa007), Outer::Vlan(9)]] {
        for network in &networks {
            for transport in &transports {
                for (len, size) in [(20_000, 1200), (2400, 1200), (1201, 1200), (9_999, 536)] {
                    let outers = [tags.clone(), network.clone()].concat();
                    let packet = Packet { outers, transport: transport.clone() };
                    let payload: Vec<u8> = (0..len).map(|at: u32| (at * 13 + at / 256) as u8).collect();
                    let (mut bytes, mut offload) = packet.whole(&payload, size, 0);
                    let udp = matches!(transport, Transport::Udp);
                    set_lengths(&mut bytes, 14 + 4 * tags.len(), offload.csum_start.into(), udp);
                    let cwr = matches!(transport, Transport::Tcp { flags, .. } if flags & 0x80 != 0);
                    offload.ecn = cwr;
                    offload.hdr_len = (bytes.len() - payload.len()) as u16;
                    frames.push((format!("{packet:?}, {len} bytes by {size}"), bytes, offload));
                }
            }
        }
    }
    frames
}

#[test]
fn options_extensions_flags_udp_and_tags_are_cut_as_the_kernel_cuts_them() {
    let mut flood = Flood::new();
    let frames = built();
    let seen = flood.record(|_, _, guest| {
        for (what, bytes, offload) in &frames {
            guest.write(bytes, *offload).unwrap_or_else(|error| panic!("{error:?}: {what}"));
        }
    });
    let arrived = |bytes: &[u8]| seen.veth.iter().any(|read| read.bytes == bytes);
    let lost: Vec<_> = frames.iter().filter(|(_, bytes, _)| !arrived(bytes)).map(|(what, ..)| what).collect();
    assert!(lost.is_empty(), "the kernel lost {}: {lost:#?}", lost.len());
    let kernels = bytes(&seen.plain);
    let mut rest = &kernels[..];
    for ((what, bytes, offload), read) in frames.iter().zip(&seen.veth) {
        let segments = finished(std::slice::from_ref(read));
        let (kernels, further) = rest.split_at(segments.len().min(rest.len()));
        assert_same(what, &segments, kernels);
        assert_eq!((&read.bytes, read.offload.gso), (bytes, offload.gso), "{what}");
        rest = further;
    }
    assert!(rest.is_empty());
    compare("built frames", &seen);
}

#[test]
fn vxlan_is_cut_as_the_kernel_cuts_it() {
    for (net, options) in [
        ("198.18.0.", "udpcsum"),
        ("198.18.0.", "noudpcsum"),
        ("2001:db8::", ""),
        ("2001:db8::", "udp6zerocsumtx"),
    ] {
        let mut flood = Flood::new();
        // Behind a veth, as a bridge's own device takes no tunnels uncut.
        let sender = Namespace::new("sender").unwrap();
        let end = End::new(&sender, "eth0").mac(SENDER).address("198.18.0.3/24");
        veth(end.address("2001:db8::3/64"), End::new(&flood.host, "sender")).unwrap();
        flood.host.ip("link set sender master br0").unwrap();
        wait_for_ports(&flood.host, 5);
        neighbours(&sender, "eth0", 2, PEER);
        neighbours(&flood.peer, "eth0", 3, SENDER);
        let ends = format!("local {net}3 remote {net}2 dstport 4789 dev eth0");
        sender.ip(&format!("link add vx0 type vxlan id 42 {ends} {options}")).unwrap();
        // Its own reports to multicast groups would stand among the frames that are compared.
        sender.run("sysctl -qw net.ipv6.conf.vx0.disable_ipv6=1").unwrap();
        sender.ip("link set vx0 up").unwrap();

        let untagged: Vec<_> = built().into_iter().filter(|(what, ..)| !what.contains("Vlan")).collect();
        let seen = flood.record(|_, _, _| {
            let mut device = Cable::raw(&sender, "vx0");
            for (what, bytes, offload) in &untagged {
                device.write(bytes, *offload).unwrap_or_else(|error| panic!("{error:?}: {what}"));
            }
        });
        let [_, cut] = compare(&format!("VXLAN over {net} {options}"), &seen);
        assert_eq!(cut, untagged.len(), "frames that came whole");
    }
}
