//! Property tests of the cutting of frames: for any headers, payload and segment size, each segment is,
//! byte for byte, what etherparse writes for it; and no input at all makes it panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use frame::{Capabilities, Finisher, Frame, GsoType, Offload, segment_len};
use packets::{Outer, Packet, Transport, V4, V6};
use proptest::prelude::*;

const TAKES_ALL: Capabilities =
    Capabilities { checksum: true, tso4: true, tso6: true, tso_ecn: true, uso: true, udp_tunnel: false };

fn ipv4() -> impl Strategy<Value = Outer> {
    (any::<u16>(), 0usize..=10).prop_map(|(id, options)| Outer::Ipv4 { id, options })
}

fn ipv6() -> impl Strategy<Value = Outer> {
    let others = prop::collection::vec((prop::sample::select(vec![43u8, 60]), 0usize..4), 0..3);
    (prop::option::of(0usize..3), others).prop_map(|(hop_by_hop, others)| {
        let mut extensions: Vec<_> = hop_by_hop.map(|more| (0, more)).into_iter().collect();
        extensions.extend(others);
        Outer::Ipv6 { extensions }
    })
}

fn ip() -> impl Strategy<Value = Outer> {
    prop_oneof![3 => ipv4(), 2 => ipv6()]
}

fn tags(most: usize) -> impl Strategy<Value = Vec<Outer>> {
    prop::collection::vec(any::<u16>().prop_map(Outer::Vlan), 0..=most)
}

/// What leads from one IP header to the next, tags only behind an Ethernet header.
fn encapsulation() -> impl Strategy<Value = Vec<Outer>> {
    let outer = prop_oneof![
        Just(None),
        (prop::sample::select(vec![4789u16, 8472, 12_345]), any::<bool>())
            .prop_map(|(port, checksum)| Some(Outer::Vxlan { port, checksum })),
        (0usize..=63, any::<bool>(), any::<bool>())
            .prop_map(|(options, checksum, ethernet)| Some(Outer::Geneve { options, checksum, ethernet })),
        (any::<bool>(), any::<bool>(), any::<Option<u32>>(), any::<bool>()).prop_map(
            |(checksum, key, sequence, ethernet)| Some(Outer::Gre { checksum, key, sequence, ethernet })
        ),
    ];
    (outer, tags(2)).prop_map(|(outer, tags)| match outer {
        None => vec![],
        Some(outer @ (Outer::Geneve { ethernet: false, .. } | Outer::Gre { ethernet: false, .. })) => {
            vec![outer]
        }
        Some(outer) => [vec![outer], tags].concat(),
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    let tcp = (any::<u32>(), any::<u8>(), 0usize..=10);
    prop_oneof![
        3 => tcp.prop_map(|(sequence, flags, options)| Transport::Tcp { sequence, flags, options }),
        1 => Just(Transport::Udp),
    ]
}

fn packet(most_tunnels: usize) -> impl Strategy<Value = Packet> {
    let tunnels = prop::collection::vec((encapsulation(), ip()), 0..=most_tunnels);
    (tags(3), ip(), tunnels, transport()).prop_map(|(tags, ip, tunnels, transport)| {
        let mut outers = [tags, vec![ip]].concat();
        for (encapsulation, ip) in tunnels {
            outers.extend(encapsulation);
            outers.push(ip);
        }
        Packet { outers, transport }
    })
}

/// Payload and segment size: any, with short ends and exact multiples among them.
fn payload() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let length = prop_oneof![0usize..200, 0usize..20_000, (0usize..10).prop_map(|n| n * 1448)];
    let size = prop_oneof![4 => 200u16..3000, 1 => Just(1448u16), 1 => 20u16..200, 1 => any::<u16>().prop_map(|n| n.max(500))];
    (length, any::<u8>(), size).prop_map(|(length, seed, size)| {
        ((0..length).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed) ^ (n >> 8) as u8).collect(), size)
    })
}

fn finish(frame: &Frame<'_>) -> Result<Vec<Vec<u8>>, frame::FinishError<()>> {
    let mut segments = Vec::new();
    let count = Finisher::new().finish(frame, |segment| {
        assert!(segment.offload().is_plain());
        assert_eq!(segment.tag(), frame.tag());
        segments.push(segment.to_vec());
        Ok(())
    })?;
    assert_eq!(count, segments.len());
    Ok(segments)
}

/// Reads a segment without a tunnel and checks its sums; its payload.
fn checked_payload(bytes: &[u8]) -> Vec<u8> {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let v6 = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            false
        }
        _ => true,
    };
    match packet.transport.as_ref().unwrap() {
        TransportSlice::Tcp(tcp) => {
            let (header, payload) = (tcp.to_header(), tcp.payload());
            let sum = match v6 {
                true => header.calc_checksum_ipv6_raw(V6[0], V6[1], payload),
                false => header.calc_checksum_ipv4_raw(V4[0], V4[1], payload),
            };
            assert_eq!(header.checksum, sum.unwrap());
            payload.to_vec()
        }
        TransportSlice::Udp(udp) => {
            let (header, payload) = (udp.to_header(), udp.payload());
            let sum = match v6 {
                true => header.calc_checksum_ipv6_raw(V6[0], V6[1], payload),
                false => header.calc_checksum_ipv4_raw(V4[0], V4[1], payload),
            };
            assert_eq!(header.checksum, sum.unwrap());
            payload.to_vec()
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn each_segment_is_what_etherparse_writes(
        packet in packet(2),
        (payload, size) in payload(),
        junk in any::<u16>(),
    ) {
        let (bytes, offload) = packet.whole(&payload, size, junk);
        let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
        let segments = finish(&frame).unwrap();
        let expected = packet.segments(&payload, size);
        prop_assert_eq!(segments.len(), expected.len());
        for (index, (segment, expected)) in segments.iter().zip(&expected).enumerate() {
            prop_assert_eq!(segment, expected, "segment {}", index);
        }

        prop_assert_eq!(TAKES_ALL.takes(&frame), !packet.is_tunnel());
        let tag = frame.wire_len() - frame.untagged_len();
        prop_assert_eq!(Some(segment_len(&frame) + tag), expected.iter().map(Vec::len).max());
    }

    /// A train cut as UDP gives the same segments as the frame cut at once.
    #[test]
    fn trains_for_an_egress_that_cuts_udp_hold_the_same_segments(
        packet in packet(2),
        (payload, size) in payload(),
        junk in any::<u16>(),
    ) {
        let (bytes, offload) = packet.whole(&payload, size, junk);
        let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
        let mut finisher = Finisher::new();
        let mut segments = Vec::new();
        let count = finisher.finish_for(TAKES_ALL, &frame, |train| {
            prop_assert!(TAKES_ALL.takes(train), "{:?}", train.offload());
            prop_assert_eq!(train.tag(), frame.tag());
            // What goes out behind the offload header in one write is the same frame.
            if let Some(written) = train.verbatim(12) {
                let header = *written.first_chunk().unwrap();
                let again = Frame::parse(written, 12, None, Offload::decode(&header).unwrap());
                prop_assert_eq!(*again.unwrap().offload(), *train.offload());
            }
            segments.extend(finish(train).unwrap());
            Ok(())
        });
        let count = count.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(count, packet.segments(&payload, size).len());
        prop_assert_eq!(segments, packet.segments(&payload, size));
        // And leaves nothing behind for the next frame.
        prop_assert_eq!(finish(&frame).unwrap(), packet.segments(&payload, size));
    }

    #[test]
    fn segments_parse_and_their_payloads_are_the_whole_payload(
        packet in packet(0),
        (payload, size) in payload(),
        junk in any::<u16>(),
    ) {
        let (bytes, offload) = packet.whole(&payload, size, junk);
        let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
        let parts: Vec<u8> = finish(&frame).unwrap().iter().flat_map(|bytes| checked_payload(bytes)).collect();
        prop_assert_eq!(parts, payload);
    }

    #[test]
    fn an_unfinished_checksum_of_a_small_frame_is_finished(
        packet in packet(0),
        (payload, _) in payload(),
    ) {
        let payload = &payload[..payload.len().min(1400)];
        let expected = &packet.segments(payload, 1400)[0];
        // The frame as it belongs, but for the checksum of its transport header.
        let (whole, offload) = packet.whole(payload, 1400, 0);
        let offload = Offload { gso: GsoType::None, gso_size: 0, hdr_len: 0, ..offload };
        let field = usize::from(offload.csum_start + offload.csum_offset);
        let mut bytes = expected.clone();
        bytes[field..field + 2].copy_from_slice(&whole[field..field + 2]);

        let frame = Frame::parse(&bytes, 0, None, offload).unwrap();
        prop_assert!(TAKES_ALL.takes(&frame));
        prop_assert!(!Capabilities::default().takes(&frame));
        let mut finished = finish(&frame).unwrap();
        prop_assert_eq!(finished.len(), 1);
        // As the kernel, we write 0 as 0xffff in any protocol; to TCP both are the same number.
        if finished[0][field..field + 2] == [0xff, 0xff] && expected[field..field + 2] == [0, 0] {
            finished[0][field..field + 2].fill(0);
        }
        prop_assert_eq!(&finished[0], expected);
    }

    #[test]
    fn random_bytes_with_a_random_offload_header_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 14..400),
        header in any::<[u8; 10]>(),
        gso in prop::sample::select(vec![0u8, 1, 4, 5]),
        start in 0u8..120,
    ) {
        let mut header = header;
        (header[0], header[1]) = (1, gso);
        (header[6], header[7]) = (start, 0);
        hold_true(&bytes, Offload::decode(&header).unwrap());
    }

    #[test]
    fn a_damaged_frame_is_refused_or_cut_but_never_panics(
        packet in packet(3),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        size in 1u16..200,
        damage in prop::collection::vec((0usize..400, any::<u8>()), 1..6),
        moved in prop::option::of(any::<i8>()),
        kept in 14usize..600,
    ) {
        let (mut bytes, mut offload) = packet.whole(&payload, size, 0xffff);
        bytes.truncate(kept.max(usize::from(offload.csum_start)));
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        offload.csum_start = offload.csum_start.saturating_add_signed(moved.unwrap_or(0).into());
        hold_true(&bytes, offload);
    }
}

/// What must be true of any frame that gets past [`Frame::parse`].
fn hold_true(bytes: &[u8], offload: Offload) {
    let Ok(frame) = Frame::parse(bytes, 0, None, offload) else { return };
    let longest = segment_len(&frame);
    assert!(longest <= frame.untagged_len());
    let taken = TAKES_ALL.takes(&frame);
    match finish(&frame) {
        Err(_) => assert!(!taken, "taken, although it can't be cut: {offload:?}"),
        Ok(segments) => {
            let tag = frame.wire_len() - frame.untagged_len();
            assert_eq!(segments.iter().map(Vec::len).max(), Some(longest + tag));
            assert!(segments.len() <= bytes.len());
        }
    }
}
