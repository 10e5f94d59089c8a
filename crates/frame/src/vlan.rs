//! One VLAN tag as a value (IEEE 802.1Q clause 9): the TPID that introduces it and its 16 bits.

use std::fmt;

use crate::EtherType;

/// Bytes that a tag occupies in line.
pub const TAG_LEN: usize = 4;

/// The number of a VLAN: 1 to 4094. 0 means "no VLAN, a priority only", and 4095 is reserved (IEEE 802.1Q,
/// table 9-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vid(u16);

impl Vid {
    /// The lowest.
    pub const MIN: Self = Self(1);
    /// The highest.
    pub const MAX: Self = Self(4094);

    /// The VLAN of this number; `None` for 0, 4095 and what has more than 12 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// All VLANs from this one to `last`.
    pub fn to(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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

/// The tags that are written between the addresses and the EtherType: none, one or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TagBytes {
    bytes: [u8; 2 * TAG_LEN],
    len: u8,
}

impl TagBytes {
    /// The tags that there are, outermost first.
    #[inline]
    #[must_use]
    pub fn of(tags: [Option<Tag>; 2]) -> Self {
        let mut out = Self::default();
        for tag in tags.into_iter().flatten() {
            let start = usize::from(out.len);
            out.bytes[start..start + TAG_LEN].copy_from_slice(&tag.to_bytes());
            out.len += TAG_LEN as u8;
        }
        out
    }

    /// 0, 4 or 8 bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_number_are_no_vlans() {
        let valid = |number| Vid::new(number).map(Vid::get);
        assert_eq!([0, 1, 4094, 4095, u16::MAX].map(valid), [None, Some(1), Some(4094), None, None]);
        assert_eq!(Vid::MIN.to(Vid::MAX).count(), 4094);
    }
}
