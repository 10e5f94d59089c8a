//! To which VLAN a frame belongs, in one word: it goes through all stages, and of most frames they want no more than the
//! part that is their key in the FDB already.

use std::fmt;

use crate::fdb::Key;
use crate::vlans::{Came, VID};

/// Where the filtering identifier stands: where a key has it.
const FID: u32 = 48;
/// Where it stands how the frame came.
const CAME: u32 = 16;
const FOREIGN: u64 = 1 << 18;
const ENTERS: u64 = 1 << 19;

/// To which VLAN a frame belongs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Classified(u64);

impl Classified {
    /// None: VLANs are not told apart, and the frame comes in.
    pub(crate) const NONE: Self = Self(ENTERS);

    /// A frame whose stations are looked up in `fid`, and whose tag says `tci`, or would say it; the VLAN in that is 0
    /// if there is none for it.
    #[inline(always)]
    pub(super) fn new(fid: u16, tci: u16, came: Came) -> Self {
        Self(u64::from(fid) << FID | (came as u64) << CAME | u64::from(tci))
    }

    /// The same frame with a tag of another kind, which is payload.
    #[inline(always)]
    pub(super) fn with_foreign_tag(self) -> Self {
        Self(self.0 | FOREIGN)
    }

    /// The same frame, which comes in, and on, if `enters`.
    #[inline(always)]
    pub(super) fn entering(self, enters: bool) -> Self {
        Self(self.0 & !ENTERS | if enters { ENTERS } else { 0 })
    }

    /// Where its stations are looked up, by its number or its primary's; 0 where VLANs are not told apart.
    #[inline(always)]
    pub(crate) fn fid(self) -> u16 {
        (self.0 >> FID) as u16
    }

    /// The key of a station in its VLAN; of an address of 48 bits.
    #[inline(always)]
    pub(crate) fn key(self, address: u64) -> Key {
        Key::new(self.fid(), address)
    }

    /// Its tag control information.
    #[inline(always)]
    pub(crate) fn tci(self) -> u16 {
        self.0 as u16
    }

    /// Its VLAN; 0 for none, and 4095 is none either.
    #[inline(always)]
    pub(crate) fn vid(self) -> u16 {
        self.tci() & VID
    }

    /// How it came.
    #[inline(always)]
    pub(crate) fn came(self) -> Came {
        match self.0 >> CAME & 0b11 {
            0 => Came::Untagged,
            1 => Came::Tagged,
            _ => Came::Otherwise,
        }
    }

    /// Whether it has a tag of another kind, which is payload.
    #[inline(always)]
    pub(crate) fn is_foreign(self) -> bool {
        self.0 & FOREIGN != 0
    }

    /// Whether its port takes it in, and on, as far as its VLAN goes: known only of an [`super::Entrance`]'s.
    #[inline(always)]
    pub(crate) fn enters(self) -> bool {
        self.0 & ENTERS != 0
    }
}

impl fmt::Debug for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classified")
            .field("fid", &self.fid())
            .field("tci", &self.tci())
            .field("came", &self.came())
            .field("foreign", &self.is_foreign())
            .finish()
    }
}
