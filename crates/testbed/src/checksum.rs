//! Whether the checksums and lengths of a captured frame are right, by an implementation that is not ours
//! (etherparse).

use etherparse::checksum::Sum16BitWords;
use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice, UdpSlice};

/// What the checksums of a frame are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that it has are right: IPv4 header, TCP, UDP, `ICMPv6`.
    Right,
    /// TCP or UDP holds the sum of the pseudo header only: the sender left the rest to hardware
    /// (`CHECKSUM_PARTIAL`). On a veth or TAP with offloads that is as it should be.
    Unfinished,
    /// It has none to check: no IP, or a fragment.
    Nothing,
    /// Something is wrong: what.
    Wrong(String),
}

/// Judges one Ethernet frame, with or without VLAN tags. A length field that does not fit is wrong too.
#[must_use]
pub fn check(frame: &[u8]) -> Verdict {
    let packet = match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet,
        Err(error) => return Verdict::Wrong(error.to_string()),
    };
    let addresses = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let (claimed, computed) =
                (ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            if claimed != computed {
                return wrong("IPv4 header", claimed, computed);
            }
            Addresses::V4(ip.header().source(), ip.header().destination())
        }
        Some(NetSlice::Ipv6(ip)) => Addresses::V6(ip.header().source(), ip.header().destination()),
        _ => return Verdict::Nothing,
    };
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => addresses.check_tcp(tcp),
        Some(TransportSlice::Udp(udp)) => addresses.check_udp(udp),
        Some(TransportSlice::Icmpv6(icmp)) => match addresses {
            Addresses::V6(from, to) if !icmp.is_checksum_valid(from, to) => Verdict::Wrong("ICMPv6".into()),
            _ => Verdict::Right,
        },
        _ if packet.is_ip_payload_fragmented() => Verdict::Nothing,
        _ => Verdict::Right,
    }
}

/// The frames of a capture that are wrong, each with its position and the reason.
#[must_use]
pub fn wrong_ones<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let verdicts = frames.into_iter().map(check).enumerate();
    let wrong = verdicts.filter_map(|(number, verdict)| match verdict {
        Verdict::Wrong(what) => Some(format!("frame {number}: {what}")),
        _ => None,
    });
    wrong.collect()
}

#[derive(Clone, Copy)]
enum Addresses {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Addresses {
    fn check_tcp(self, tcp: &TcpSlice<'_>) -> Verdict {
        let computed = match self {
            Self::V4(from, to) => tcp.calc_checksum_ipv4(from, to),
            Self::V6(from, to) => tcp.calc_checksum_ipv6(from, to),
        };
        match computed {
            Ok(computed) => self.compare("TCP", 6, tcp.slice().len(), tcp.checksum(), computed),
            Err(error) => Verdict::Wrong(error.to_string()),
        }
    }

    fn check_udp(self, udp: &UdpSlice<'_>) -> Verdict {
        let header = udp.to_header();
        let computed = match self {
            // RFC 768: zero means that the sender made none; RFC 8200 forbids it over IPv6.
            Self::V4(..) if header.checksum == 0 => return Verdict::Right,
            Self::V4(from, to) => header.calc_checksum_ipv4_raw(from, to, udp.payload()),
            Self::V6(from, to) => header.calc_checksum_ipv6_raw(from, to, udp.payload()),
        };
        match computed {
            Ok(computed) => self.compare("UDP", 17, udp.slice().len(), header.checksum, computed),
            Err(error) => Verdict::Wrong(error.to_string()),
        }
    }

    fn compare(self, what: &str, protocol: u8, length: usize, claimed: u16, computed: u16) -> Verdict {
        if claimed == computed {
            Verdict::Right
        } else if claimed == self.pseudo_header(protocol, length) {
            Verdict::Unfinished
        } else {
            wrong(what, claimed, computed)
        }
    }

    /// The sum that a stack leaves in the field for hardware to go on from.
    fn pseudo_header(self, protocol: u8, length: usize) -> u16 {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let sum = match self {
            Self::V4(from, to) => Sum16BitWords::new().add_4bytes(from).add_4bytes(to),
            Self::V6(from, to) => Sum16BitWords::new().add_16bytes(from).add_16bytes(to),
        };
        !sum.add_2bytes([0, protocol]).add_4bytes(length.to_be_bytes()).ones_complement().to_be()
    }
}

fn wrong(what: &str, claimed: u16, computed: u16) -> Verdict {
    Verdict::Wrong(format!("{what} checksum is {claimed:#06x}, should be {computed:#06x}"))
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn frame() -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .single_vlan(etherparse::VlanId::try_new(7).unwrap())
            .ipv6([1; 16], [2; 16], 64)
            .tcp(1, 2, 3, 4);
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &[1, 2, 3, 4, 5]).unwrap();
        bytes
    }

    #[test]
    fn one_changed_byte_shows() {
        assert_eq!(check(&frame()), Verdict::Right);
        for at in [30, 60, frame().len() - 1] {
            let mut frame = frame();
            frame[at] ^= 1;
            assert!(matches!(check(&frame), Verdict::Wrong(_)), "byte {at}");
        }
    }

    #[test]
    fn a_sum_left_to_hardware_is_known_for_what_it_is() {
        let mut frame = frame();
        let addresses = Addresses::V6([1; 16], [2; 16]);
        frame[18 + 40 + 16..][..2].copy_from_slice(&addresses.pseudo_header(6, 25).to_be_bytes());
        assert_eq!(check(&frame), Verdict::Unfinished);
    }
}
