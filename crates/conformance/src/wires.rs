//! The namespaces of one subject: the switch's, and the one where the ends of its wires are. All are quiet:
//! nothing is on a wire but what the test sends.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Card, Namespace, wait_until};

use crate::generator::HOST_MAC;
use crate::socket::EndSocket;
use crate::step::End;
use crate::subject::Delivery;

/// The MTU of what is not under test, in bytes: no frame is too long for it.
const AMPLE: u32 = 4000;

/// Ample time for the kernel to have noticed what it was told.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Namespaces, wires, and sockets at their ends.
#[derive(Debug)]
pub(crate) struct Wires {
    pub(crate) switch: Namespace,
    ends: Namespace,
    far: BTreeMap<End, Far>,
}

/// What is at the far end of a wire.
#[derive(Debug)]
enum Far {
    Socket(EndSocket),
    /// Of a port that shares memory.
    Card(Box<Card>),
}

impl Far {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Socket(socket) => socket.send(bytes),
            Self::Card(card) => card.send(bytes),
        }
    }

    fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::Socket(socket) => socket.receive(),
            Self::Card(card) => card.receive(),
        }
    }
}

impl Wires {
    /// Two namespaces, and a veth from `pN` in the switch's to `eN` in the other for each of these ports.
    pub(crate) fn new(label: &str, ports: impl Iterator<Item = u8>) -> Result<Self> {
        let wires = Self { switch: quiet(label)?, ends: quiet("ends")?, far: BTreeMap::new() };
        let (here, there) = (wires.switch.name(), wires.ends.name());
        for port in ports {
            testbed::command::run(&format!(
                "ip -n {here} link add p{port} address {HOST_MAC} type veth peer name e{port} mtu {AMPLE} netns {there}"
            ))?;
            wires.ends.ip(&format!("link set e{port} up"))?;
            wires.switch.ip(&format!("link set p{port} up"))?;
        }
        Ok(wires)
    }

    /// Opens the socket of an end: on `eN` if the port is on a wire, else on the device of the switch.
    pub(crate) fn open(&mut self, end: End) -> Result<()> {
        let far = match end {
            End::Port(port) if self.ends.has_device(&format!("e{port}")) => Some(format!("e{port}")),
            _ => None,
        };
        let socket = match far {
            Some(device) => EndSocket::open(&self.ends, &device)?,
            None => EndSocket::open(&self.switch, &end.to_string())?,
        };
        self.far.insert(end, Far::Socket(socket));
        Ok(())
    }

    /// Connects a card to a port that shares memory, in place of what was there.
    pub(crate) fn connect(&mut self, port: u8, socket: &Path) -> Result<()> {
        self.far.insert(End::Port(port), Far::Card(Box::new(Card::connect(socket)?)));
        Ok(())
    }

    pub(crate) fn send(&mut self, end: End, bytes: &[u8]) -> Result<()> {
        self.far.get_mut(&end).with_context(|| format!("nothing at {end}"))?.send(bytes)
    }

    /// What came out anywhere since the last call.
    pub(crate) fn receive(&mut self) -> Result<Vec<Delivery>> {
        let mut all = Vec::new();
        for (end, far) in &mut self.far {
            all.extend(far.receive()?.into_iter().map(|bytes| (*end, bytes)));
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Sets a port's device up or down and waits until the kernel has told everybody, the far end too.
    pub(crate) fn set_link(&mut self, port: u8, up: bool) -> Result<()> {
        if let Some(Far::Card(card)) = self.far.get_mut(&End::Port(port)) {
            return card.set_link(up);
        }
        self.switch.ip(&format!("link set p{port} {}", if up { "up" } else { "down" }))?;
        let state = if up { "UP" } else { "DOWN" };
        let mut devices = vec![(&self.switch, format!("p{port}"))];
        if self.ends.has_device(&format!("e{port}")) {
            devices.push((&self.ends, format!("e{port}")));
        }
        for (namespace, device) in devices {
            wait_until(SOON, &format!("{device} {state}"), || {
                // A far end without carrier says LOWERLAYERDOWN.
                let shown = namespace.ip(&format!("-br link show dev {device}")).unwrap_or_default();
                shown.split_whitespace().nth(1).is_some_and(|shown| shown.ends_with(state))
            })?;
        }
        Ok(())
    }

    pub(crate) fn set_mtu(&self, port: u8, mtu: u32) -> Result<()> {
        self.switch.ip(&format!("link set p{port} mtu {mtu}")).map(drop)
    }
}

/// A namespace where nobody speaks but the test.
fn quiet(label: &str) -> Result<Namespace> {
    let namespace = Namespace::new(label)?;
    for which in ["all", "default"] {
        namespace.run(&format!("sysctl -qw net.ipv6.conf.{which}.disable_ipv6=1"))?;
    }
    for what in ["iptables", "ip6tables", "arptables"] {
        // Not there where br_netfilter is not.
        let _ = namespace.run(&format!("sysctl -qw net.bridge.bridge-nf-call-{what}=0"));
    }
    Ok(namespace)
}
