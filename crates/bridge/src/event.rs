//! What is worth a line in a log, as data: the core writes no logs. Events are written into the same
//! output as the frames, [`crate::Deliveries`], which keeps a few and counts the rest.

use frame::MacAddr;

use crate::port::PortId;

/// Something remarkable about a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A station spoke on another port than before. Often: two stations with one address, or a loop.
    MacMoved {
        /// The station.
        mac: MacAddr,
        /// Where it was.
        from: PortId,
        /// Where it is now.
        to: PortId,
        /// The VLAN of the frame; 0 where VLANs are not told apart.
        vid: u16,
    },
    /// A frame came in whose source is an address of the bridge itself: a sign of a loop.
    OwnSource {
        /// The address.
        mac: MacAddr,
        /// Where the frame came in.
        port: PortId,
        /// Its VLAN; 0 where VLANs are not told apart.
        vid: u16,
    },
}
