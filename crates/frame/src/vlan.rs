//! One VLAN tag as a value (IEEE 802.1Q clause 9): the TPID that introduces it and its 16 bits.

use crate::EtherType;

/// Bytes that a tag occupies in line.
pub const TAG_LEN: usize = 4;

/// A VLAN tag: TPID (802.1Q or 802.1ad) and TCI (PCP 3 bits, DEI 1, VID 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// 0x8100 or 0x88a8.
    pub tpid: EtherType,
    /// Tag control information.
    pub tci: u16,
}

impl Tag {
    /// The VLAN identifier, 0..=4095; 0 means "priority only".
    #[must_use]
    pub fn vid(self) -> u16 {
        self.tci & 0x0fff
    }

    /// The tag as it stands in line, between the source address and the EtherType.
    #[must_use]
    pub fn to_bytes(self) -> [u8; TAG_LEN] {
        let [a, b] = self.tpid.0.to_be_bytes();
        let [c, d] = self.tci.to_be_bytes();
        [a, b, c, d]
    }

    /// Reads a tag from its in-line form; `None` if the TPID is not one of a VLAN tag.
    #[must_use]
    pub fn from_bytes([a, b, c, d]: [u8; TAG_LEN]) -> Option<Self> {
        let tpid = EtherType::from_bytes([a, b]);
        tpid.is_vlan().then_some(Self { tpid, tci: u16::from_be_bytes([c, d]) })
    }
}
