//! The bytes of one Ethernet frame, and nothing else: addresses, EtherTypes, VLAN tags, the checked
//! view of a frame in flight, its offload header, and the one place where a frame is cut into
//! segments or has its checksum finished for a port that can't do so itself.
//!
//! No I/O, no clock, no allocation on the per-frame path. `bridge` decides with these types,
//! `ports` carries them; neither is known here.
//!
//! ```text
//!   as received    [virtio header 0|10|12] dst(6) src(6) [tag(4)] ethertype(2) payload…
//!   in flight      Frame { the same bytes, borrowed; the outer tag and the offload as values }
//!   as sent        the same bytes again, or three pieces: addresses, tag, rest
//!   or finished    the egress doesn't take its offload header: Finisher -> plain frames, one a segment
//! ```
#![forbid(unsafe_code)]

pub mod checksum;
pub mod ethertype;
pub mod finish;
mod headers;
pub mod mac;
pub mod offload;
mod segment;
mod train;
mod tunnel;
pub mod view;
pub mod vlan;

pub use ethertype::EtherType;
pub use finish::{FinishError, FinishFault, Finisher, MAX_SEGMENTS, segment_len, udp_tunnel};
pub use mac::MacAddr;
pub use offload::{Capabilities, GsoType, Offload, OffloadFault, Tunnel};
pub use view::{Frame, FrameFault, Pieces};
pub use vlan::{Tag, Vid};

/// Bytes of an Ethernet header without a tag: two addresses and the EtherType.
pub const ETHERNET_HEADER: usize = 14;

/// The longest frame that any port hands us, in bytes without the offload header: a 64 KiB IP packet,
/// the Ethernet header and two VLAN tags.
pub const MAX_FRAME: usize = 65_535 + ETHERNET_HEADER + 8;
