//! **emit**: for each target, whether it can carry the frame, and with what tag.

use frame::vlan::TAG_LEN;
use frame::{ETHERNET_HEADER, Frame, segment_len};

use super::{Decided, Targets};
use crate::bridge::Bridge;
use crate::deliveries::Deliveries;
use crate::port::PortId;
use crate::reason::DropReason;
use crate::samples::Lost;
use crate::vlans::{Classified, TagEdit};

impl Bridge {
    /// A copy for each target that can carry it.
    pub(super) fn emit<const VLANS: bool, const COUNTS: bool>(
        &mut self,
        decided: &Decided<'_>,
        index: u16,
        out: &mut Deliveries,
    ) {
        let &Decided { frame, vlan, .. } = decided;
        let mut copy = |bridge: &mut Self, port| {
            let edit = if VLANS { bridge.vlans.edit(vlan, port) } else { TagEdit::KEEP };
            bridge.copy::<COUNTS>(port, edit, frame, vlan, index, out);
        };
        match decided.targets {
            Targets::One(port) => copy(self, port),
            Targets::AndHost(port, host) => [port, host].into_iter().for_each(|port| copy(self, port)),
            Targets::Flood(class, origin, except) => {
                for place in 0..self.ports.flood(class, origin).len() {
                    let port = self.ports.flood(class, origin)[place];
                    if Some(port) != except && (!VLANS || self.sends(vlan, port)) {
                        copy(self, port);
                    }
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn copy<const COUNTS: bool>(
        &mut self,
        egress: PortId,
        edit: TagEdit,
        frame: &Frame<'_>,
        vlan: Classified,
        index: u16,
        out: &mut Deliveries,
    ) {
        let Some(port) = self.ports.get_mut(egress) else { return };
        port.counters.copies += 1;
        if COUNTS {
            let vid = self.vlans.counted_in(egress, vlan.vid());
            self.vlans.counting.sent(egress, vid, vlan_bytes(frame, vlan));
        }
        if judged_len(frame, vlan) > port.max_len {
            port.counters.drop(DropReason::Mtu, 1);
            out.lose(Lost { index, egress: Some(egress), reason: DropReason::Mtu });
        } else if !out.push(egress, index, edit) {
            port.counters.drop(DropReason::TxFull, 1);
        }
    }
}

/// What an egress MTU judges: a frame that is to be cut goes by its longest segment. A VLAN's tag does not
/// count, one that is payload does.
#[inline(always)]
pub(crate) fn judged_len(frame: &Frame<'_>, vlan: Classified) -> usize {
    segment_len(frame) + if vlan.is_foreign() { TAG_LEN } else { 0 }
}

/// What a frame adds to the bytes of its VLAN's counters.
pub(super) fn vlan_bytes(frame: &Frame<'_>, vlan: Classified) -> usize {
    frame.untagged_len() - ETHERNET_HEADER + if vlan.is_foreign() { TAG_LEN } else { 0 }
}
