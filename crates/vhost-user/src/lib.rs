//! vhost-user ports: a virtual machine shares its memory, and frames go from there and to there without a system
//! call each (the back-end of `docs/interop/vhost-user.rst` of QEMU, for a network card of VIRTIO 1.2, 5.1).
//!
//! [`open`] makes the two halves that a worker drives, and a [`Session`] that speaks with the program that runs the
//! guest, on a thread of its own: it maps the memory and hands rings over, each behind a lock that is taken once a
//! burst. Whatever a guest or its program does ends the use of that port only, with a reason ([`Status::why`]).
#![forbid(unsafe_code)]

mod backend;
mod broken;
mod burst;
mod conversation;
#[cfg(test)]
mod crossing;
mod device;
mod enable;
mod features;
mod gate;
mod keepsake;
mod log;
mod memory;
mod port;
mod position;
mod record;
mod ring;
mod rx;
mod session;
mod status;
#[cfg(test)]
mod testing;
mod turn;
mod tx;

pub use broken::Broken;
pub use keepsake::Keepsake;
pub use port::{Handle, OpenError, Options, VhostPort, adopt, open};
pub use rx::VhostRx;
pub use session::Session;
pub use status::Status;
pub use tx::VhostTx;
