//! EtherTypes: any 16-bit value, some of which have names (IEEE 802 numbers).

use std::fmt;

/// An EtherType in host order. Unknown values are values, not errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// 802.1Q customer tag (C-TAG).
    pub const VLAN: Self = Self(0x8100);
    /// 802.1ad service tag (S-TAG).
    pub const SERVICE_VLAN: Self = Self(0x88a8);
    /// Transparent Ethernet bridging: an Ethernet frame inside GRE or Geneve.
    pub const BRIDGED_ETHERNET: Self = Self(0x6558);

    /// Reads one from the first two bytes, which must be there.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }

    /// Whether this introduces a VLAN tag.
    #[must_use]
    pub fn is_vlan(self) -> bool {
        self == Self::VLAN || self == Self::SERVICE_VLAN
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4 => f.write_str("IPv4"),
            Self::ARP => f.write_str("ARP"),
            Self::IPV6 => f.write_str("IPv6"),
            Self::VLAN => f.write_str("802.1Q"),
            Self::SERVICE_VLAN => f.write_str("802.1ad"),
            Self(other) => write!(f, "{other:#06x}"),
        }
    }
}
