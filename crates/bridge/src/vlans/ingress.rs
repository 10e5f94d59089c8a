//! What a frame meets of VLANs where it comes in: to which one it belongs, and whether that lets it in. For frames
//! without a tag, which are most of them, it is worked out when something changes.

use frame::{Frame, Vid};

use crate::port::PortId;
use crate::vlans::{Came, Classified, PORTS, Table, VID, Vlans};

/// What a port makes of what comes in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ingress {
    /// Some VLAN has another number on the wire.
    pub(super) translates: bool,
    /// What becomes of frames without a tag, which are the PVID's.
    untagged: Entrance,
}

/// What becomes of a frame, as far as its VLAN goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entrance {
    /// Its VLAN, and whether it comes in.
    pub(crate) vlan: Classified,
    /// Which of the first 64 ports send it as it came.
    pub(crate) as_it_came: u64,
}

impl Entrance {
    /// That of a bridge that does not tell VLANs apart.
    pub(crate) const FREE: Self = Self { vlan: Classified::NONE, as_it_came: 0 };
}

impl Vlans {
    /// Works out what becomes of a port's untagged frames.
    pub(super) fn resolve_ingress(&mut self, port: PortId) {
        let table = self.table(port);
        let translates = table.is_some_and(Table::translates);
        let vlan = self.untagged(table.and_then(|table| table.pvid).map_or(0, Vid::get));
        let untagged = self.pass(vlan, port);
        self.ingress[usize::from(port.0) % PORTS] = Ingress { translates, untagged };
    }

    fn untagged(&self, pvid: u16) -> Classified {
        Classified::new(self.private.fid(pvid), pvid, Came::Untagged)
    }

    #[inline(always)]
    fn pass(&self, vlan: Classified, port: PortId) -> Entrance {
        let (enters, as_it_came) = self.lines.enters(vlan.vid(), vlan.came(), port);
        Entrance { vlan: vlan.entering(enters), as_it_came }
    }

    /// To which VLAN a frame from `port` belongs, if VLANs are told apart.
    pub(crate) fn classify_if_on(&self, port: PortId, frame: &Frame<'_>) -> Classified {
        if self.on() { self.classify(port, frame) } else { Classified::NONE }
    }

    // What follows is to be asked only where VLANs are told apart.

    /// What becomes of a frame from `port`.
    #[inline(always)]
    pub(crate) fn entrance(&self, port: PortId, frame: &Frame<'_>) -> Entrance {
        match frame.tag() {
            None => self.ingress[usize::from(port.0) % PORTS].untagged,
            Some(_) => self.pass(self.classify(port, frame), port),
        }
    }

    /// To which VLAN a frame from `port` belongs (`__allowed_ingress`): that of its tag, else the port's PVID,
    /// with the priority of the tag if there is one.
    #[inline(always)]
    pub(crate) fn classify(&self, port: PortId, frame: &Frame<'_>) -> Classified {
        let Ingress { translates, untagged } = &self.ingress[usize::from(port.0) % PORTS];
        let (tci, came) = match frame.tag() {
            None => return untagged.vlan,
            Some(tag) if tag.tpid != self.tpid => return untagged.vlan.with_foreign_tag(),
            Some(tag) if tag.vid() == 0 => (tag.tci | untagged.vlan.tci(), Came::Otherwise),
            Some(tag) if *translates => self.inside(port, tag.tci),
            Some(tag) => (tag.tci, Came::Tagged),
        };
        Classified::new(self.private.fid(tci & VID), tci, came)
    }

    /// The tag of a frame that came with `tci` on a port where numbers are others on the wire. One whose own
    /// number is not its VLAN's there is in none, which is written as the one that no frame can be in.
    fn inside(&self, port: PortId, tci: u16) -> (u16, Came) {
        let number = tci & VID;
        match self.table(port).map_or(Some(number), |table| table.inside(number)) {
            Some(inside) if inside == number => (tci, Came::Tagged),
            inside => (tci & !VID | inside.unwrap_or(VID), Came::Otherwise),
        }
    }
}
