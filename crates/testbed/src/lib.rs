//! What tests, benches and the demo are built on: network namespaces and the wires between them, virtual
//! hosts that send and check traffic, QEMU guests, a libvirt, machines that boot a systemd, packet capture, and a running `switchd` to put in the
//! middle. Never shipped.
//!
//! Everything here needs root and a Linux machine. Whatever it makes, a namespace, a guest, a process,
//! is removed when its value is dropped, also when a test panics; what a killed run left behind is
//! removed when the next one starts. Nothing outside the namespaces made here is touched.
//!
//! ```no_run
//! use testbed::{End, Namespace, veth};
//! # fn main() -> anyhow::Result<()> {
//! let (left, right) = (Namespace::new("left")?, Namespace::new("right")?);
//! veth(End::new(&left, "eth0").address("198.18.0.1/24"), End::new(&right, "eth0").address("198.18.0.2/24"))?;
//! assert_eq!(testbed::ping(&left, "198.18.0.2", 3)?.lost(), 0);
//! # Ok(())
//! # }
//! ```

pub mod capture;
pub mod card;
pub mod checksum;
pub mod command;
pub mod datagrams;
pub mod frame_socket;
pub mod guest;
pub mod libvirt;
pub mod link;
pub mod machine;
pub mod namespace;
pub mod page;
pub mod pattern;
pub mod pcap;
pub mod ping;
pub mod process;
pub mod service;
pub mod stream;
pub mod switchd;
pub mod target;
pub mod tcp;
pub mod terminal;
pub mod wait;

pub use capture::Capture;
pub use card::Card;
pub use datagrams::udp_exchange;
pub use frame_socket::FrameSocket;
pub use guest::{Guest, GuestOptions, Lab, VhostUser, test_in_lab};
pub use libvirt::Libvirt;
pub use link::{End, kernel_bridge, veth};
pub use machine::Machine;
pub use namespace::Namespace;
pub use ping::{Ping, ping};
pub use process::{Process, Signal};
pub use service::Service;
pub use stream::{Stream, Streamed};
pub use switchd::{Summary, Switchd};
pub use tcp::{Transfer, tcp_transfer};
pub use terminal::Terminal;
pub use wait::wait_until;
