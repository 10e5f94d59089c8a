//! What a switch decides, and nothing else: state, a frame and a time go in, the ports that get the
//! frame come out. No I/O and no clock; the worker in `switchd` is the only one who sees both this
//! crate and the ports.
//!
//! [`Bridge::forward`] is the switch on one screen: **parse → admit → learn → decide → emit**, in the
//! order of Linux Bridge (`net/bridge/br_input.c`). What depends only on configuration or link state is
//! worked out when those change, not per frame.
//!
//! Every frame counted in `rx_frames` of its ingress is either `forwarded` or dropped for one
//! [`DropReason`]; every copy queued for an egress is either sent or dropped for one.
#![forbid(unsafe_code)]

mod bridge;
mod counters;
mod deliveries;
mod entries;
mod event;
mod explain;
mod fdb;
mod inherit;
mod membership;
mod mirror;
mod moment;
mod order;
mod pipeline;
mod port;
mod private_vlans;
mod reason;
mod replicas;
mod rules;
mod samples;
mod settings;
mod sync;
mod vlan_counters;
mod vlans;

pub use bridge::Bridge;
pub use counters::PortCounters;
pub use deliveries::Deliveries;
pub use entries::{Address, EntryRefused, NewEntry};
pub use event::Event;
pub use explain::{Explanation, Kind, Step, Verdict, VlanBy, VlanStep};
pub use fdb::{EntryKind, FdbChange, FdbCounters, FdbEntry, FdbPlace, Happened, Lesson};
pub use membership::VlanRefused;
pub use mirror::{Mirror, MirrorCounters, MirrorRefused, Seen};
pub use moment::{Moment, Span};
pub use port::{LocalKind, MAX_PORTS, PortId};
pub use reason::{DropReason, Side};
pub use rules::flood::{Class, Refusal};
pub use rules::state::PortState;
pub use samples::{Beginning, DropSamples, DroppedFrame, Lost, SAMPLE_HEAD};
pub use settings::{BridgeSettings, MAX_FDB, PortSettings, SettingsRefused, VlanProtocol, VlanSettings};
pub use vlan_counters::VlanCounters;
pub use vlans::{Membership, PrivateKind, PrivateRole, PrivateVlan, TagEdit, VlanEntry};
