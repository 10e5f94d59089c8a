//! A new process takes the ports from the old one while that forwards, in two steps: it gets all descriptors and
//! prepares everything; then the old one stops, notes what it knows, and the new one goes on. Until the new one says
//! that it forwards, the old one can go on as if nothing had been.
//!
//! ```text
//! new                              old
//!  ├──────── connects ────────────▶ who is it?
//!  ◀─── Descriptors (of all ports) ─┤           forwards on
//!  prepares
//!  ├──────── Prepared ────────────▶ stops, notes what it knows
//!  ◀──────── Go ────────────────────┤           ┐
//!  reads that, forwards                          │ nobody forwards
//!  ├──────── Forwarding ──────────▶             ┘
//!  ◀──────── Main ──────────────────┤ tells systemd who is in charge, ends
//! ```

mod channel;
mod giving;
mod taking;

pub(crate) use giving::{Giving, Recipient};
pub(crate) use taking::Taking;
