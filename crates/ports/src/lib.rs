//! How frames get in and out: the contract of a port's two halves, the buffers between them, and the
//! kinds of port. The only crate where `unsafe` stands, all of it in [`sys`].
//!
//! Knows nothing of forwarding. A worker asks an [`RxQueue`] for a [`Batch`], lets the bridge decide,
//! and hands each frame to the [`TxQueue`] of every port that gets it.

pub mod batch;
pub mod bypass;
pub mod device;
pub mod exclusive;
pub mod features;
pub mod in_hand;
pub mod lent;
pub mod links;
pub mod memory;
mod netlink;
pub mod queue;
pub mod raw;
pub mod restore;
pub mod sys;
pub mod tap;
pub mod tap_state;

pub use batch::Batch;
pub use in_hand::InHand;
pub use queue::{Drained, Run, RxQueue, SendError, TxQueue};

/// Bytes that processors exchange with memory, and with each other, at once.
pub const CACHE_LINE: usize = 64;
