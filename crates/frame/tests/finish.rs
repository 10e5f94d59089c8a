//! What an egress takes, what the longest segment is, and each way in which finishing a frame can go,
//! on frames written down here one by one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use frame::{
    Capabilities, EtherType, FinishError, FinishFault, Finisher, Frame, GsoType, MAX_FRAME, MAX_SEGMENTS,
    Offload, Tag, Tunnel, segment_len, udp_tunnel,
};
use packets::{Outer, Packet, Transport, partial};

const TAKES_ALL: Capabilities =
    Capabilities { checksum: true, tso4: true, tso6: true, tso_ecn: true, uso: true, udp_tunnel: false };
const TAKES_NOTHING: Capabilities =
    Capabilities { checksum: false, tso4: false, tso6: false, tso_ecn: false, uso: false, udp_tunnel: false };

const IPV4: Outer = Outer::Ipv4 { id: 65_535, options: 0 };
const IPV6: Outer = Outer::Ipv6 { extensions: vec![] };
const VXLAN: Outer = Outer::Vxlan { port: 4789, checksum: false };
const TCP: Transport = Transport::Tcp { sequence: u32::MAX - 100, flags: 0x99, options: 3 };

fn packet(outers: &[Outer], transport: Transport) -> Packet {
    Packet { outers: outers.to_vec(), transport }
}

fn finish(bytes: &[u8], offload: Offload) -> Result<Vec<Vec<u8>>, FinishError<()>> {
    let frame = Frame::parse(bytes, 0, None, offload).unwrap();
    let mut segments = Vec::new();
    Finisher::new().finish(&frame, |segment| {
        segments.push(segment.to_vec());
        Ok(())
    })?;
    Ok(segments)
}

fn fault(bytes: &[u8], offload: Offload) -> Option<FinishFault> {
    match finish(bytes, offload) {
        Err(FinishError::Malformed(fault)) => Some(fault),
        _ => None,
    }
}

/// What an egress with the longest offload header is told of a tunnel (`struct virtio_net_hdr_v1_hash_tunnel`).
#[test]
fn an_egress_that_cuts_udp_tunnels_is_told_where_the_headers_are() {
    let can = Capabilities { udp_tunnel: true, ..TAKES_ALL };
    let (bytes, offload) = packet(&[Outer::Vlan(5), IPV4, VXLAN, IPV6], TCP).whole(&[7; 300], 100, 0);
    let mut frame = Frame::parse(&bytes, 0, None, offload).unwrap();
    assert!(can.takes(&frame) && !TAKES_ALL.takes(&frame));
    // Ethernet, the tag, IPv4; then UDP, VXLAN and Ethernet.
    let tunnel = Tunnel {
        outer_transport: 14 + 4 + 20,
        inner_network: 14 + 4 + 20 + 8 + 8 + 14,
        outer_ipv6: false,
        outer_checksum: false,
    };
    assert_eq!(udp_tunnel(&frame), Some(tunnel));
    let header = frame.pieces().offload.encode_with_tunnel(udp_tunnel(&frame));
    assert_eq!(header[..2], [1, 4 | 0x20], "flags and type");
    assert_eq!(header[20..], [38, 0, 68, 0]);
    assert_eq!(Offload::decode_with_tunnel(header.first_chunk().unwrap()), Ok(frame.pieces().offload));
    frame.set_tag(None);
    let untagged = Tunnel { outer_transport: 34, inner_network: 64, ..tunnel };
    assert_eq!(udp_tunnel(&frame), Some(untagged));

    let checked = Outer::Vxlan { port: 4789, checksum: true };
    let (bytes, offload) = packet(&[IPV6, checked.clone(), IPV4], TCP).whole(&[7; 300], 100, 0);
    let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
    let header = offload.encode_with_tunnel(udp_tunnel(&frame));
    assert_eq!(header[..2], [1 | 8, 1 | 0x40], "flags and type");

    // What such a header can't describe.
    let gre = Outer::Gre { checksum: false, key: false, sequence: None, ethernet: false };
    for outers in [&[IPV4, gre, IPV4][..], &[IPV4, VXLAN, IPV4, checked, IPV4], &[IPV4, IPV4]] {
        let (bytes, offload) = packet(outers, TCP).whole(&[7; 300], 100, 0);
        let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
        assert!(udp_tunnel(&frame).is_none() && !can.takes(&frame), "{outers:?}");
    }
    let (bytes, offload) = packet(&[IPV4], TCP).whole(&[7; 300], 100, 0);
    assert_eq!(udp_tunnel(&Frame::parse(&bytes, 0, None, offload).unwrap()), None);
}

#[test]
fn an_egress_takes_what_it_says_and_no_tunnel() {
    let takes = |bytes: &[u8], offload, capabilities: Capabilities| {
        capabilities.takes(&Frame::parse(bytes, 0, None, offload).unwrap())
    };
    let only = |set: fn(&mut Capabilities)| {
        let mut capabilities = Capabilities { checksum: true, ..TAKES_NOTHING };
        set(&mut capabilities);
        capabilities
    };
    let payload = [7; 300];
    let (bytes, tcp4) = packet(&[Outer::Vlan(5), Outer::Vlan(6), IPV4], TCP).whole(&payload, 100, 0);
    assert!(takes(&bytes, Offload::default(), TAKES_NOTHING));
    let checksum_only = Offload { gso: GsoType::None, gso_size: 0, ..tcp4 };
    assert!(takes(&bytes, checksum_only, only(|_| ())) && !takes(&bytes, checksum_only, TAKES_NOTHING));
    assert!(takes(&bytes, tcp4, only(|c| c.tso4 = true)));
    assert!(!takes(&bytes, tcp4, Capabilities { tso4: false, ..TAKES_ALL }));
    let ecn = Offload { ecn: true, ..tcp4 };
    assert!(takes(&bytes, ecn, TAKES_ALL));
    assert!(!takes(&bytes, ecn, Capabilities { tso_ecn: false, ..TAKES_ALL }));
    // TCP over IPv4 said to be over IPv6.
    assert!(!takes(&bytes, Offload { gso: GsoType::Tcp6, ..tcp4 }, TAKES_ALL));

    let (bytes, tcp6) = packet(&[IPV6], TCP).whole(&payload, 100, 0);
    assert!(takes(&bytes, tcp6, only(|c| c.tso6 = true)));
    assert!(!takes(&bytes, tcp6, Capabilities { tso6: false, ..TAKES_ALL }));
    let (bytes, udp) = packet(&[IPV6], Transport::Udp).whole(&payload, 100, 0);
    assert!(takes(&bytes, udp, only(|c| c.uso = true)));
    assert!(!takes(&bytes, udp, Capabilities { uso: false, ..TAKES_ALL }));

    let gre = Outer::Gre { checksum: false, key: true, sequence: None, ethernet: false };
    let geneve = Outer::Geneve { options: 2, checksum: true, ethernet: true };
    for outers in [
        vec![IPV4, IPV4],
        vec![IPV6, IPV4],
        vec![IPV4, VXLAN, IPV4],
        vec![IPV4, gre, IPV4],
        vec![IPV4, geneve, IPV4],
    ] {
        let (bytes, offload) = packet(&outers, TCP).whole(&payload, 100, 0);
        assert!(!takes(&bytes, offload, TAKES_ALL), "{outers:?}");
        let checksum_only = Offload { gso: GsoType::None, gso_size: 0, ..offload };
        assert!(takes(&bytes, checksum_only, TAKES_ALL), "{outers:?}");
    }
}

#[test]
fn the_longest_segment_is_headers_and_segment_size_but_no_more_than_the_frame() {
    let length = |bytes: &[u8], offload| segment_len(&Frame::parse(bytes, 0, None, offload).unwrap());
    let (bytes, tcp) = packet(&[Outer::Vlan(5), IPV4], TCP).whole(&[0; 5000], 1448, u16::MAX);
    assert_eq!(length(&bytes, tcp), 14 + 20 + 32 + 1448);
    assert_eq!(length(&bytes, Offload { gso_size: 9000, ..tcp }), bytes.len() - 4);
    assert_eq!(length(&bytes, Offload { gso: GsoType::None, ..tcp }), bytes.len() - 4);
    let (bytes, udp) = packet(&[IPV6], Transport::Udp).whole(&[0; 5000], 1200, 0);
    assert_eq!(length(&bytes, udp), 14 + 40 + 8 + 1200);
    assert_eq!(length(&bytes, Offload { gso: GsoType::Tcp6, csum_start: 5060, csum_offset: 0, ..udp }), 5062);
}

#[test]
fn a_plain_frame_is_handed_on_as_it_is() {
    let bytes = [1; 60];
    let frame = Frame::parse(&bytes, 0, None, Offload::default()).unwrap();
    let mut seen = None;
    let count = Finisher::new().finish(&frame, |same| {
        seen = same.verbatim(0).map(<[u8]>::as_ptr);
        Ok::<(), ()>(())
    });
    assert_eq!((count, seen), (Ok(1), Some(bytes.as_ptr())));
}

#[test]
fn a_tag_out_of_line_stays_there_and_header_and_segment_can_be_sent_in_one_piece_without_it() {
    let (bytes, offload) = packet(&[Outer::Vlan(6), IPV4], TCP).whole(&[7; 250], 100, 0);
    let outer = Tag { tpid: EtherType::SERVICE_VLAN, tci: 0x2007 };
    let mut frame = Frame::parse(&bytes, 0, Some(outer), offload).unwrap();
    let mut finisher = Finisher::new();
    let count = finisher.finish(&frame, |segment| {
        assert_eq!((segment.tag(), segment.ethertype()), (Some(outer), EtherType::VLAN));
        assert_eq!(segment.to_vec()[12..20], [0x88, 0xa8, 0x20, 0x07, 0x81, 0x00, 0x00, 0x06]);
        Ok::<(), ()>(())
    });
    assert_eq!(count, Ok(3));

    frame.set_tag(None);
    let count = finisher.finish(&frame, |segment| {
        let sent = segment.verbatim(12).unwrap();
        assert_eq!((&sent[..12], &sent[12..]), (&[0; 12][..], &segment.to_vec()[..]));
        Ok::<(), ()>(())
    });
    assert_eq!(count, Ok(3));
}

/// Field by field, without the help of anything that writes frames.
#[test]
fn numbers_lengths_and_flags_of_tcp_segments() {
    let (bytes, offload) = packet(&[IPV4], TCP).whole(&[7; 250], 100, 0xbeef);
    let segments = finish(&bytes, offload).unwrap();
    let fields: Vec<_> = segments
        .iter()
        .map(|s| {
            let be16 = |at: usize| u16::from_be_bytes([s[at], s[at + 1]]);
            let sequence = u32::from_be_bytes([s[38], s[39], s[40], s[41]]);
            (s.len(), be16(16), be16(18), sequence, s[47])
        })
        .collect();
    assert_eq!(
        fields,
        [(166, 152, 65_535, u32::MAX - 100, 0x90), (166, 152, 0, u32::MAX, 0x10), (116, 102, 1, 99, 0x19),]
    );
}

#[test]
fn a_segment_size_of_one_cuts_into_single_bytes_but_not_without_end() {
    let payload: Vec<u8> = (0..=MAX_SEGMENTS).map(|n| (n % 251) as u8).collect();
    let packet = packet(&[IPV4], TCP);
    let mut joined = Vec::new();
    let mut cut = |payload: &[u8]| {
        let (bytes, offload) = packet.whole(payload, 1, 0);
        let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
        Finisher::new().finish(&frame, |segment| {
            let bytes = segment.to_vec();
            assert_eq!(bytes.len(), 67);
            joined.push(bytes[66]);
            Ok::<(), ()>(())
        })
    };
    assert_eq!(cut(&payload), Err(FinishError::Malformed(FinishFault::TooMany)));
    assert_eq!(cut(&payload[1..]), Ok(MAX_SEGMENTS));
    assert_eq!(joined, payload[1..]);
}

#[test]
fn the_egress_can_stop_it_at_any_segment() {
    let (bytes, offload) = packet(&[IPV4], TCP).whole(&[7; 1000], 100, 0);
    let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
    let mut calls = 0;
    let result = Finisher::new().finish(&frame, |_| {
        calls += 1;
        if calls == 3 { Err("full") } else { Ok(()) }
    });
    assert_eq!((result, calls), (Err(FinishError::Egress("full")), 3));
}

/// The pseudo header has the last address of a routing header (RFC 8200, 8.1), which is not the IPv6
/// header's: only the sum that the frame brings knows it.
#[test]
fn a_source_route_keeps_its_last_address_in_the_checksum() {
    let packet = packet(&[Outer::Ipv6 { extensions: vec![(43, 2)] }], TCP);
    let payload = [7; 250];
    let on_its_way = |mut bytes: Vec<u8>| {
        bytes[14 + 24..14 + 40].fill(0x33);
        bytes[14 + 40 + 3] = 1;
        bytes
    };
    let (bytes, offload) = packet.whole(&payload, 100, 0);
    let expected: Vec<_> = packet.segments(&payload, 100).into_iter().map(on_its_way).collect();
    assert_eq!(finish(&on_its_way(bytes), offload), Ok(expected));
}

#[test]
fn a_checksum_covers_the_padding_and_is_never_written_as_zero() {
    let mut bytes = packet(&[IPV4], Transport::Udp).segments(&[1, 2], 2).remove(0);
    bytes.resize(60, 0);
    let offload = Offload { needs_csum: true, csum_start: 34, csum_offset: 6, ..Offload::default() };
    let right = [bytes[40], bytes[41]];
    bytes[40..42].copy_from_slice(&partial(false, 17, 10).to_be_bytes());
    assert_eq!(finish(&bytes, offload).unwrap()[0][40..42], right);

    // Padding that isn't zero is summed too, as the kernel sums it: here up to a sum of all ones.
    let unpadded = u16::from_be_bytes(right);
    bytes[58..60].copy_from_slice(&unpadded.to_be_bytes());
    assert_eq!(finish(&bytes, offload).unwrap()[0][40..42], [0xff, 0xff]);
}

#[test]
fn a_checksum_inside_a_tunnel_is_finished_where_it_is() {
    let inner = packet(&[IPV4, VXLAN, IPV4], TCP);
    let expected = inner.segments(b"hello", 100).remove(0);
    let (whole, offload) = inner.whole(b"hello", 100, 0);
    let mut bytes = expected.clone();
    let field = usize::from(offload.csum_start + offload.csum_offset);
    bytes[field..field + 2].copy_from_slice(&whole[field..field + 2]);
    let offload = Offload { gso: GsoType::None, gso_size: 0, ..offload };
    assert_eq!(finish(&bytes, offload), Ok(vec![expected]));
}

/// 0 in a UDP header says that there is no checksum (RFC 768): a sum of all ones is written as 0xffff.
#[test]
fn a_udp_checksum_of_a_segment_is_never_zero() {
    let udp = packet(&[IPV4], Transport::Udp);
    let (bytes, offload) = udp.whole(&[0; 4], 2, 0);
    let sum = finish(&bytes, offload).unwrap()[0][40..42].to_vec();
    let (bytes, offload) = udp.whole(&[sum.clone(), sum].concat(), 2, 0);
    assert_eq!(finish(&bytes, offload).unwrap()[0][40..42], [0xff, 0xff]);

    // The tunnel's own: two reserved bytes of the VXLAN header take up what is missing.
    let tunnel = packet(&[IPV4, Outer::Vxlan { port: 4789, checksum: true }, IPV4], TCP);
    let (mut bytes, offload) = tunnel.whole(b"hello", 100, 0);
    let sum = finish(&bytes, offload).unwrap()[0][40..42].to_vec();
    bytes[44..46].copy_from_slice(&sum);
    assert_eq!(finish(&bytes, offload).unwrap()[0][40..42], [0xff, 0xff]);
}

#[test]
fn tunnels_that_are_not_what_they_seem_are_refused() {
    let changed = |outers: &[Outer], at: usize, value: u8| {
        let (mut bytes, offload) = packet(outers, TCP).whole(&[7; 300], 100, 0);
        assert_eq!(fault(&bytes, offload), None, "{outers:?}");
        bytes[at] = value;
        fault(&bytes, offload)
    };
    let unknown = Some(FinishFault::UnknownHeader);
    // VXLAN without a valid VNI; Geneve of another version; GRE of another version, with source routing.
    assert_eq!(changed(&[IPV4, VXLAN, IPV4], 42, 0), unknown);
    let geneve = Outer::Geneve { options: 0, checksum: false, ethernet: false };
    assert_eq!(changed(&[IPV4, geneve, IPV4], 42, 0x40), unknown);
    let gre = Outer::Gre { checksum: false, key: false, sequence: None, ethernet: false };
    assert_eq!(changed(&[IPV4, gre.clone(), IPV4], 35, 1), unknown);
    assert_eq!(changed(&[IPV4, gre.clone(), IPV4], 34, 0x40), unknown);
    // ERSPAN in GRE.
    assert_eq!(changed(&[IPV4, gre, IPV4], 36, 0x88), unknown);
    // A tunnel's UDP checksum would need the last address of a source route; without one it can be cut.
    let routed = Outer::Ipv6 { extensions: vec![(43, 2)] };
    let summed = Outer::Vxlan { port: 4789, checksum: true };
    assert_eq!(changed(&[routed.clone(), summed, IPV4], 57, 1), unknown);
    assert_eq!(changed(&[routed, VXLAN, IPV4], 57, 1), None);
}

#[test]
fn each_fault_has_its_name() {
    let payload = [7; 300];
    let (good, offload) = packet(&[IPV4], TCP).whole(&payload, 100, 0);
    assert_eq!(fault(&good, offload), None);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        fault(&bytes, offload)
    };
    // A TCP header of 4 or 60 bytes in a frame that ends before; an IP header that reaches into TCP.
    assert_eq!(with(46, 0x10), Some(FinishFault::Truncated));
    assert_eq!(fault(&good[..34 + 32], offload), None);
    assert_eq!(fault(&good[..34 + 31], offload), Some(FinishFault::Truncated));
    assert_eq!(with(14, 0x46), Some(FinishFault::Truncated));
    // IPv4 that says it is 5; an EtherType that we don't know; SCTP before csum_start.
    assert_eq!(with(14, 0x55), Some(FinishFault::UnknownHeader));
    assert_eq!(with(13, 0x47), Some(FinishFault::UnknownHeader));
    assert_eq!(with(20, 0x20), Some(FinishFault::Fragment));
    assert_eq!(with(21, 1), Some(FinishFault::Fragment));
    assert_eq!(with(23, 132), Some(FinishFault::WrongType));
    let moved = |csum_start, csum_offset| fault(&good, Offload { csum_start, csum_offset, ..offload });
    assert_eq!(moved(38, 16), Some(FinishFault::UnknownHeader));
    assert_eq!(moved(30, 16), Some(FinishFault::Truncated));
    assert_eq!(moved(34, 18), Some(FinishFault::WrongType));
    // An IPv4 header of 16 bytes, and TCP right behind it.
    let mut short = good.clone();
    (short[14], short[42]) = (0x44, 0x50);
    let behind = Offload { csum_start: 30, ..offload };
    assert_eq!(fault(&short, behind), Some(FinishFault::UnknownHeader));

    let (mut bytes, offload) =
        packet(&[Outer::Ipv6 { extensions: vec![(60, 0)] }], TCP).whole(&payload, 100, 0);
    assert_eq!(fault(&bytes, Offload { gso: GsoType::Tcp4, ..offload }), Some(FinishFault::WrongType));
    assert_eq!(fault(&bytes, Offload { gso: GsoType::Udp, ..offload }), Some(FinishFault::WrongType));
    // Destination options that reach into TCP; a fragment.
    bytes[14 + 40 + 1] = 1;
    assert_eq!(fault(&bytes, offload), Some(FinishFault::Truncated));
    bytes[14 + 6] = 44;
    assert_eq!(fault(&bytes, offload), Some(FinishFault::Fragment));
    let deep = vec![IPV4; 9];
    let (bytes, offload) = packet(&deep, TCP).whole(&payload, 100, 0);
    assert_eq!(fault(&bytes, offload), Some(FinishFault::UnknownHeader));
    let (bytes, offload) = packet(&deep[1..], TCP).whole(&payload, 100, 0);
    assert_eq!(fault(&bytes, offload), None);
}

#[test]
fn what_no_ip_header_can_say_is_too_long() {
    let packet = packet(&[IPV4], TCP);
    // 52 bytes of headers.
    let (bytes, offload) = packet.whole(&[7; 65_484], u16::MAX, 0);
    assert_eq!(fault(&bytes, offload), Some(FinishFault::TooLong));
    let (bytes, offload) = packet.whole(&[7; 65_483], u16::MAX, 0);
    assert_eq!(fault(&bytes, offload), None);
    let (mut bytes, offload) = packet.whole(&[7; 65_483], 1000, 0);
    bytes.resize(MAX_FRAME, 0);
    assert_eq!(fault(&bytes, offload), None);
    bytes.push(0);
    assert_eq!(fault(&bytes, offload), Some(FinishFault::TooLong));
}
