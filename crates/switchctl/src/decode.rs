//! A frame, or the first bytes of one, in one line for people.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{EtherType, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice};
use frame::MacAddr;

/// As `02:… > ff:… vlan 10 ARP who has 198.18.0.2, tell 198.18.0.1`.
pub(crate) fn line(head: &[u8]) -> String {
    let Ok(packet) = LaxSlicedPacket::from_ethernet(head) else {
        return format!("no Ethernet frame: {}", control::hex::text(head));
    };
    let mut words = Vec::new();
    let mut ethertype = EtherType(0);
    if let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link {
        words.push(format!("{} > {}", MacAddr(ethernet.source()), MacAddr(ethernet.destination())));
        ethertype = ethernet.ether_type();
    }
    for extension in &packet.link_exts {
        if let LaxLinkExtSlice::Vlan(tag) = extension {
            words.push(format!("vlan {}", tag.vlan_identifier().value()));
            ethertype = tag.ether_type();
        }
    }
    match &packet.net {
        Some(net) => words.push(of_net(net)),
        // IEEE 802.3 clause 3.2.6: up to 1500 it is a length, and LLC follows.
        None if ethertype.0 <= 1500 => words.push("LLC".to_owned()),
        None => words.push(format!("type {:#06x}", ethertype.0)),
    }
    if let Some(transport) = &packet.transport {
        words.push(of_transport(transport));
    }
    words.join(" ")
}

fn of_net(net: &LaxNetSlice<'_>) -> String {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            format!("IPv4 {} > {}", header.source_addr(), header.destination_addr())
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            format!("IPv6 {} > {}", Ipv6Addr::from(header.source()), Ipv6Addr::from(header.destination()))
        }
        LaxNetSlice::Arp(arp) => {
            let address =
                |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            let sender = address(arp.sender_protocol_addr()).unwrap_or_default();
            let target = address(arp.target_protocol_addr()).unwrap_or_default();
            match arp.operation().0 {
                1 => format!("ARP who has {target}, tell {sender}"),
                2 => format!("ARP {sender} is here"),
                other => format!("ARP operation {other}"),
            }
        }
    }
}

fn of_transport(transport: &TransportSlice<'_>) -> String {
    match transport {
        TransportSlice::Udp(udp) => format!("UDP {} > {}", udp.source_port(), udp.destination_port()),
        TransportSlice::Tcp(tcp) => format!("TCP {} > {}", tcp.source_port(), tcp.destination_port()),
        TransportSlice::Icmpv4(_) => "ICMP".to_owned(),
        TransportSlice::Icmpv6(_) => "ICMPv6".to_owned(),
        TransportSlice::Igmp(_) => "IGMP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};

    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn frames_whole_or_cut_are_named() {
        let mut udp = Vec::new();
        let builder = PacketBuilder::ethernet2(A, B)
            .single_vlan(etherparse::VlanId::try_new(10).unwrap())
            .ipv4([198, 18, 0, 1], [198, 18, 0, 2], 64)
            .udp(68, 67);
        builder.write(&mut udp, &[0; 300]).unwrap();
        let whole = "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 10 IPv4 198.18.0.1 > 198.18.0.2 UDP 68 > 67";
        assert_eq!((line(&udp).as_str(), line(&udp[..128]).as_str()), (whole, whole));

        let arp = ArpPacket::new(
            ArpHardwareId::ETHERNET,
            EtherType::IPV4,
            ArpOperation::REQUEST,
            &A,
            &[198, 18, 0, 1],
            &[0; 6],
            &[198, 18, 0, 2],
        )
        .unwrap();
        let mut request = Vec::new();
        PacketBuilder::ethernet2(A, [0xff; 6]).arp(arp).write(&mut request).unwrap();
        assert!(line(&request).ends_with("ARP who has 198.18.0.2, tell 198.18.0.1"), "{}", line(&request));

        let mut other = [B, A].concat();
        other.extend([0x88, 0xb5, 0, 0]);
        assert_eq!(line(&other), "02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x88b5");
        assert_eq!(line(&[1, 2, 3]), "no Ethernet frame: 010203");
        // Whatever the bytes are, there is a line.
        for cut in 0..udp.len() {
            assert!(!line(&udp[..cut]).is_empty());
        }
    }
}
