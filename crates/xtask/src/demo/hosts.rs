//! The four hosts of the demo.

use testbed::{End, Namespace};

/// A host: what it is called and its addresses.
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) mac: &'static str,
    pub(super) address: &'static str,
}

/// Behind the uplink.
pub(super) const OUTSIDE: Host = Host { name: "outside", mac: "02:00:00:00:00:01", address: "198.18.0.1" };
/// In a namespace, on a TAP of the switch's.
pub(super) const HOST: Host = Host { name: "host", mac: "02:00:00:00:00:02", address: "198.18.0.2" };
/// The first virtual machine.
pub(super) const GUEST1: Host = Host { name: "guest1", mac: "52:54:00:00:00:01", address: "198.18.0.11" };
/// The second virtual machine.
pub(super) const GUEST2: Host = Host { name: "guest2", mac: "52:54:00:00:00:02", address: "198.18.0.12" };

/// All of them.
pub(super) const ALL: [&Host; 4] = [&OUTSIDE, &HOST, &GUEST1, &GUEST2];

impl Host {
    pub(super) fn with_prefix(&self) -> String {
        format!("{}/24", self.address)
    }

    /// Its network card, in a namespace.
    pub(super) fn end<'a>(&self, namespace: &'a Namespace) -> End<'a> {
        End::new(namespace, "eth0").mac(self.mac).address(&self.with_prefix())
    }
}
