//! Wires between namespaces: veth pairs, and a bridge of the kernel's to compare with.

use anyhow::Result;

use crate::{Namespace, command};

/// One end of a veth pair: in which namespace, under which name, with what on it.
#[derive(Clone, Debug)]
pub struct End<'a> {
    namespace: &'a Namespace,
    device: String,
    mac: Option<String>,
    mtu: Option<u32>,
    addresses: Vec<String>,
}

impl<'a> End<'a> {
    /// An end called `device`, without an address and otherwise as the kernel makes it.
    #[must_use]
    pub fn new(namespace: &'a Namespace, device: &str) -> Self {
        Self { namespace, device: device.into(), mac: None, mtu: None, addresses: Vec::new() }
    }

    /// Sets the MAC address.
    #[must_use]
    pub fn mac(mut self, mac: &str) -> Self {
        self.mac = Some(mac.into());
        self
    }

    /// Sets the MTU in bytes.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Adds an IPv4 or IPv6 address with its prefix length, usable at once.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.addresses.push(address.into());
        self
    }

    fn link_options(&self) -> String {
        let mac = self.mac.as_ref().map(|mac| format!(" address {mac}"));
        let mtu = self.mtu.map(|mtu| format!(" mtu {mtu}"));
        mac.unwrap_or_default() + &mtu.unwrap_or_default()
    }

    fn bring_up(&self) -> Result<()> {
        for address in &self.addresses {
            add_address(self.namespace, &self.device, address)?;
        }
        self.namespace.ip(&format!("link set {} up", self.device)).map(drop)
    }
}

/// Makes a veth pair with all offloads as the kernel sets them, both ends up.
///
/// # Errors
/// `ip` fails, for instance because a name is taken.
pub fn veth(a: End<'_>, b: End<'_>) -> Result<()> {
    command::run(&format!(
        "ip -n {} link add {}{} type veth peer name {}{} netns {}",
        a.namespace.name(),
        a.device,
        a.link_options(),
        b.device,
        b.link_options(),
        b.namespace.name(),
    ))?;
    a.bring_up()?;
    b.bring_up()
}

/// Adds an address with its prefix length to a device. IPv6 addresses are usable at once (`nodad`).
///
/// # Errors
/// `ip` refuses it.
pub fn add_address(namespace: &Namespace, device: &str, address: &str) -> Result<()> {
    let nodad = if address.contains(':') { " nodad" } else { "" };
    namespace.ip(&format!("address add {address} dev {device}{nodad}")).map(drop)
}

/// Makes a bridge of the kernel's, up, over `members`, which are set up too.
///
/// # Errors
/// `ip` fails.
pub fn kernel_bridge(namespace: &Namespace, name: &str, members: &[&str]) -> Result<()> {
    namespace.ip(&format!("link add {name} type bridge"))?;
    namespace.ip(&format!("link set {name} up"))?;
    for member in members {
        namespace.ip(&format!("link set {member} up master {name}"))?;
    }
    Ok(())
}

/// Moves a device to another namespace, with its addresses set there and up. This is what happens to the
/// interface end of a TAP whose descriptor a switch holds.
///
/// # Errors
/// `ip` fails.
pub fn move_device(from: &Namespace, device: &str, to: End<'_>) -> Result<()> {
    let rename = if device == to.device { String::new() } else { format!(" name {}", to.device) };
    from.ip(&format!("link set {device} netns {}{rename}", to.namespace.name()))?;
    let options = to.link_options();
    if !options.is_empty() {
        to.namespace.ip(&format!("link set {}{options}", to.device))?;
    }
    to.bring_up()
}
