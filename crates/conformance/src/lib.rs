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
pub mod daemon;
pub mod differences;
pub mod generator;
pub mod kernel;
pub mod model;
mod netlink;
pub mod random;
pub mod run;
pub mod script;
pub mod shrink;
mod socket;
pub mod step;
pub mod subject;
pub mod suite;
mod wires;
pub mod wrong;
