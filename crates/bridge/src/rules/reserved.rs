//! 01:80:c2:00:00:00 to 0f, the addresses that stay on a link (IEEE 802.1Q table 8-1), and the masks that
//! make exceptions (`br_handle_frame` in `net/bridge/br_input.c`).

/// All but the last four bits of the reserved addresses.
const RESERVED: u64 = 0x0180_c200_0000;
/// 01:80:c2:00:00:01, PAUSE: means nothing beyond the device that receives it.
const PAUSE: u64 = 0x0180_c200_0001;

/// Bits that the bridge's mask can't have: spanning tree, PAUSE and LACP.
pub(crate) const BRIDGE_REFUSED: u16 = 0b111;
/// The bit that a port's mask can't have: PAUSE.
pub(crate) const PORT_REFUSED: u16 = 0b010;
/// 01:80:c2:00:00:00 passes a bridge that takes no part in the spanning tree, so that others see loops.
const WITHOUT_STP: u16 = 0b001;

/// Whether this is one of the sixteen.
#[inline]
pub(crate) fn is_reserved(destination: u64) -> bool {
    destination & !0xf == RESERVED
}

/// What a bridge of service VLANs always forwards: customers' spanning tree, 0b, 0c, 0d (their MVRP) and 0f
/// (`BR_GROUPFWD_8021AD`, `net/bridge/br_private.h`).
pub(crate) const BY_8021AD: u16 = 0xb801;

/// Whether a frame to a reserved address is forwarded like any multicast, with these masks of its ingress
/// and of the bridge; `required` is beyond either.
pub(crate) fn is_forwarded(destination: u64, port_mask: u16, bridge_mask: u16, required: u16) -> bool {
    let mask = WITHOUT_STP | required | port_mask & !PORT_REFUSED | bridge_mask & !BRIDGE_REFUSED;
    mask >> (destination & 0xf) & 1 == 1
}

/// Whether a frame to a reserved address that is not forwarded may teach.
pub(crate) fn may_teach(destination: u64, no_linklocal_learn: bool) -> bool {
    destination != PAUSE && !no_linklocal_learn
}
