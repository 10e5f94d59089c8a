//! One suite, two subjects: the kernel's bridge and switchd. The same random sequence of frames and
//! commands goes into both; after every step what came out, and where, and what their FDBs hold, must be
//! equal.
//!
//! ```text
//!   generator ─ steps ─┬─ kernel:  br0 and four veths in a namespace ─┐
//!                      ├─ daemon:  switchd, two veths, two TAPs       ├─ equal after every step?
//!                      ├─ core:    crates/bridge, a virtual clock     │
//!                      └─ model:   the slow reference of its tests ───┘
//! ```
//!
//! What is deliberately not the same is listed in [`differences`]. Never shipped.
#![forbid(unsafe_code)]

pub mod core;
pub mod differences;
pub mod generator;
pub mod model;
pub mod random;
pub mod run;
pub mod script;
pub mod shrink;
pub mod step;
pub mod subject;
pub mod wrong;

#[cfg(feature = "linux")]
pub mod daemon;
#[cfg(feature = "linux")]
pub mod kernel;
#[cfg(feature = "linux")]
mod netlink;
#[cfg(feature = "linux")]
mod socket;
#[cfg(feature = "linux")]
pub mod suite;
#[cfg(feature = "linux")]
mod wires;
