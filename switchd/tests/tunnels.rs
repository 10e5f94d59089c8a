//! Tunnels through the switch. The kernel reports a tunnel's 64 KiB segment as the inner TCP or UDP, which
//! no device can cut: we do, and every layer has to be right.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cable;
mod lan;
#[path = "../../crates/frame/tests/packets/mod.rs"]
mod packets;
mod yardstick;

use std::convert::Infallible;

use cable::{Cable, Read};
use frame::{Finisher, Frame};
use lan::{Lan, PAIRS, Plan, Port, RAW};
use packets::{Outer, Packet, Transport};
use ports::raw::kernel_has_udp_segmentation;
use testbed::checksum::{self, Verdict};
use testbed::link::add_address;
use testbed::{Namespace, Switchd, tcp_transfer};
use yardstick::Yardstick;

const FEW_BYTES: u64 = 1_000_000;

const VXLAN_PORT: [u8; 2] = 4789_u16.to_be_bytes();

const INNER: [&str; 2] = ["198.19.0.", "2001:db8:1::"];

/// Which IP carries the tunnel: the addresses before the host's number, and what to ask of the device.
#[derive(Clone, Copy, Debug)]
struct Underlay {
    net: &'static str,
    options: &'static str,
    /// Bytes of outer headers, from the outer to the inner Ethernet header.
    overhead: usize,
}

const IPV4: Underlay = Underlay { net: "198.18.0.", options: "udpcsum", overhead: 50 };
const IPV4_WITHOUT_CHECKSUM: Underlay = Underlay { options: "noudpcsum", ..IPV4 };
const IPV6: Underlay = Underlay { net: "2001:db8::", options: "", overhead: 70 };

fn add_tunnels(lan: &Lan, underlay: Underlay) {
    let Underlay { net, options, .. } = underlay;
    for (number, other) in [(1, 2), (2, 1)] {
        let host = lan.host(number);
        let ends = format!("local {net}{number} remote {net}{other}");
        host.ip(&format!("link add vx0 type vxlan id 42 {ends} dstport 4789 dev eth0 {options}")).unwrap();
        add_address(host, "vx0", &format!("198.19.0.{number}/24")).unwrap();
        add_address(host, "vx0", &format!("2001:db8:1::{number}/64")).unwrap();
        host.ip("link set vx0 up").unwrap();
    }
}

/// Outer and inner frames are both right, and the inner ones finished where the port takes nothing else.
fn check_frames(lan: &Lan, receiver: Port, underlay: Underlay, address: &str) {
    // Segments come to a port with offloads in trains, which its kernel cuts.
    let longest = if receiver.offload { 66_000 } else { 1600 };
    let capture = lan::capture(lan.host(2), longest);
    assert!(tcp_transfer(lan.host(1), lan.host(2), address, FEW_BYTES).unwrap().intact);
    let frames = capture.stop().unwrap();
    let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    assert!(bytes as u64 > FEW_BYTES, "{bytes} bytes in {} frames", frames.len());
    for frame in &frames {
        let mut layers = vec![&frame.bytes[..]];
        // The UDP port stands 14 bytes before the inner frame.
        if frame.bytes.get(underlay.overhead - 14..).is_some_and(|rest| rest.starts_with(&VXLAN_PORT)) {
            layers.push(&frame.bytes[underlay.overhead..]);
        }
        if frame.bytes.len() > 1514 {
            assert!(receiver.offload, "{receiver}: a frame of {} bytes was not cut", frame.bytes.len());
            assert_eq!(checksum::check(&frame.bytes), Verdict::Unfinished, "{receiver}");
            continue;
        }
        // The sum of an outer UDP header is over the inner frame as it will be once it is finished.
        let inner_first = layers.iter().rev();
        for layer in inner_first {
            let verdict = checksum::check(layer);
            let right = !matches!(verdict, Verdict::Wrong(_));
            assert!(right, "{receiver}: {verdict:?} in a layer of {} bytes", layer.len());
            if verdict == Verdict::Unfinished {
                assert!(receiver.offload, "{receiver}: a frame of {} bytes is not finished", layer.len());
                break;
            }
        }
    }
}

fn vxlan(underlay: Underlay, pairs: &[[Port; 2]]) {
    let yardstick = Yardstick::new(&Plan::of(&[RAW; 2]), |lan| add_tunnels(lan, underlay));
    for ports in pairs {
        let lan = Lan::build(&Plan::of(ports));
        add_tunnels(&lan, underlay);
        for net in INNER {
            check_frames(&lan, ports[1], underlay, &format!("{net}2"));
        }
        yardstick.check(&format!("VXLAN over {}", underlay.net), &lan, ports, INNER, false);
    }
}

#[test]
fn tcp_through_vxlan_over_ipv4() {
    vxlan(IPV4, &PAIRS);
}

#[test]
fn tcp_through_vxlan_over_ipv4_without_udp_checksums() {
    vxlan(IPV4_WITHOUT_CHECKSUM, &PAIRS[1..2]);
}

#[test]
fn tcp_through_vxlan_over_ipv6() {
    vxlan(IPV6, &PAIRS[..3]);
}

/// Every kind of tunnel with TCP, over both IPs, and UDP in some.
fn tunnels() -> Vec<Packet> {
    let v4 = |id| Outer::Ipv4 { id, options: 0 };
    let v6 = || Outer::Ipv6 { extensions: vec![] };
    let gre = |checksum, sequence| Outer::Gre { checksum, key: true, sequence, ethernet: false };
    let geneve = |checksum| Outer::Geneve { options: 3, checksum, ethernet: true };
    let gretap = Outer::Gre { checksum: false, key: false, sequence: None, ethernet: true };
    let carriers = [
        vec![gre(false, None)],
        vec![gre(true, Some(7))],
        vec![gretap],
        vec![geneve(false)],
        vec![geneve(true)],
        vec![geneve(true), Outer::Vlan(9)],
        vec![Outer::Vxlan { port: 4789, checksum: true }],
        vec![], // IP directly in IP
    ];
    let mut tunnels = Vec::new();
    for carrier in &carriers {
        for (outer, inner) in [(v4(1), v4(2)), (v4(3), v6()), (v6(), v4(0xfffe)), (v6(), v6())] {
            let outers = [vec![outer], carrier.clone(), vec![inner]].concat();
            let tcp = Transport::Tcp { sequence: 0xffff_f000, flags: 0x98, options: 3 };
            tunnels.push(Packet { outers: outers.clone(), transport: tcp });
            // Else no guest can hand it over.
            if kernel_has_udp_segmentation() {
                tunnels.push(Packet { outers, transport: Transport::Udp });
            }
        }
    }
    tunnels
}

/// The segments in what arrives: the datagrams of a train, or the one frame that it is.
fn finished(read: &Read) -> Vec<Vec<u8>> {
    let frame = Frame::parse(&read.bytes, 0, None, read.offload).unwrap();
    let mut segments = Vec::new();
    let kept = Finisher::new().finish(&frame, |segment| {
        segments.push(segment.to_vec());
        Ok::<(), Infallible>(())
    });
    kept.unwrap_or_else(|error| panic!("{error:?}: {:?}", read.offload));
    segments
}

/// Two guests on raw ports, the second one with offloads on its port or not.
fn carry_to(offload: bool) {
    let switch = Namespace::new("switch").unwrap();
    let mut guest = Cable::tap(&switch, "g1", true);
    let mut other = Cable::tap(&switch, "g2", true);
    let _switchd = Switchd::start(
        &switch,
        &format!("[ports.g1]\ntype = \"raw\"\n[ports.g2]\ntype = \"raw\"\noffload = {offload}\n"),
    )
    .unwrap();
    let payload: Vec<u8> = (0..40_000_u32).map(|at| (at * 7 + at / 256) as u8).collect();
    for packet in tunnels() {
        let (bytes, header) = packet.whole(&payload, 1300, 0x1234);
        guest.write(&bytes, header).unwrap();
        let wanted = packet.segments(&payload, 1300);
        let mut arrived = Vec::new();
        while arrived.len() < wanted.len() {
            for read in other.read_until(1, &format!("{packet:?}"), |_| true) {
                assert!(offload || read.offload.is_plain(), "{packet:?}: a frame is not finished");
                arrived.extend(finished(&read));
            }
        }
        for (number, (wanted, arrived)) in wanted.iter().zip(&arrived).enumerate() {
            let at = wanted.iter().zip(arrived).position(|(a, b)| a != b);
            assert!(wanted == arrived, "{packet:?}: segment {number} differs at {at:?}");
        }
        assert_eq!(arrived.len(), wanted.len(), "{packet:?}");
    }
}

#[test]
fn gre_geneve_and_ip_in_ip_are_cut_into_right_segments() {
    carry_to(true);
}

#[test]
fn gre_geneve_and_ip_in_ip_are_cut_into_right_segments_without_offloads() {
    carry_to(false);
}
