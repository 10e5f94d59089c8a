//! The control interface: what can be asked of a running switch, in the words of
//! [varlink](https://varlink.org), and both ends of the socket.
//!
//! [`DESCRIPTION`] is the interface, `io.switchd`, as any varlink client can ask for it. [`types`] has its
//! values, [`call`] its methods, [`error`] its errors, [`pcapng`] the form of captures. [`server`] is the daemon's end, driven by the
//! daemon's own event loop; it knows nothing of bridges. [`client`] is the other end, for `switchctl` and
//! for tests.
//!
//! The server is made for clients that mean harm: a connection holds at most one message of
//! [`connection::MAX_MESSAGE`] bytes and a bounded number of unsent replies, gets one answer in turn with
//! the others, and is closed when it stops in the middle of a message or does not read.
#![forbid(unsafe_code)]

pub mod call;
pub mod capture;
pub mod client;
pub mod connection;
pub mod error;
pub mod feed;
mod gate;
pub mod hex;
pub mod pcapng;
pub mod server;
pub mod types;

pub use call::Call;
pub use client::{Client, ClientError};
pub use error::CallError;
pub use feed::Feed;
pub use gate::Gate;
pub use server::{Answer, Handler, Peer, Server};

/// The name of the interface.
pub const INTERFACE: &str = "io.switchd";

/// The interface in varlink's own language.
pub const DESCRIPTION: &str = include_str!("io.switchd.varlink");

/// The name of the socket in the run directory of a bridge.
pub const SOCKET: &str = "control";
