//! Which frames a port takes in and sends by their VLAN (`br_allowed_ingress`, `br_should_learn` and
//! `br_allowed_egress` in `net/bridge/br_vlan.c`). The common case is a bit that [`Vlans`] has ready; this is
//! what stands behind it, and gives the reasons.

use frame::Vid;

use crate::port::PortId;
use crate::reason::DropReason;
use crate::rules::flood::Refusal;
use crate::rules::state::PortState;
use crate::vlans::{Came, Classified, VID, Vlans};

/// Whether a frame comes in: `Ok` with why it goes no further than to teach, if so. Where the port itself
/// `forwards` not, the state of the VLAN does not matter.
pub(crate) fn admit(
    vlans: &Vlans,
    port: PortId,
    classified: Classified,
    forwards: bool,
) -> Result<Option<DropReason>, DropReason> {
    if !vlans.on() {
        return Ok(None);
    }
    let vid = match classified.vid() {
        0 => return Err(DropReason::VlanNoPvid),
        // Its number has another one's meaning on this port's wire.
        VID if classified.came() == Came::Otherwise => return Err(DropReason::VlanNotMember),
        VID => return Err(DropReason::VlanReserved),
        vid => Vid::new(vid).ok_or(DropReason::VlanReserved)?,
    };
    let entry = vlans.entry(port, vid).ok_or(DropReason::VlanNotMember)?;
    match entry.state {
        _ if !forwards => Ok(None),
        PortState::Forwarding => Ok(None),
        PortState::Learning => Ok(Some(DropReason::VlanLearning)),
        PortState::Disabled | PortState::Blocking | PortState::Listening => Err(DropReason::VlanBlocked),
    }
}

/// Why a port does not send a frame.
pub(crate) fn refusal(vlans: &Vlans, port: PortId, classified: Classified) -> Option<Refusal> {
    if vlans.leaves(classified, port) {
        return None;
    }
    let vid = Vid::new(classified.vid());
    let sent_as = vid.and_then(|vid| vlans.sent_as(port, vid));
    Some(match sent_as {
        Some(entry) => Refusal::VlanState(entry.state),
        None if vid.is_some_and(|vid| vlans.shares(port, vid)) => Refusal::PrivateVlan,
        None => Refusal::NotInVlan,
    })
}
