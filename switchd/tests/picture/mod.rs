//! A switch and hosts on wires to it: host N has the address .N on its `eth0`, whose other end is `pN`
//! in the switch's namespace. All are quiet: no IPv6, so that nothing is on a wire that the test did not send.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testbed::{End, FrameSocket, Namespace, ping, veth, wait_until};

/// Ample time for something that happens at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// To everybody.
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];

/// EtherType of frames made by hand (IEEE 802 local experimental).
const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];

pub(crate) struct Picture {
    pub(crate) switch: Namespace,
    hosts: Vec<Namespace>,
}

impl Picture {
    /// A switch's namespace and so many hosts.
    pub(crate) fn of(hosts: u8) -> Self {
        let switch = quiet("switch");
        let hosts = (1..=hosts).map(|number| host(&switch, number)).collect();
        Self { switch, hosts }
    }

    /// Host number `number`, from 1.
    pub(crate) fn host(&self, number: u8) -> &Namespace {
        &self.hosts[usize::from(number) - 1]
    }

    /// A packet socket on the wire of a host, at its end.
    pub(crate) fn socket(&self, number: u8) -> FrameSocket {
        FrameSocket::open(self.host(number), "eth0").unwrap()
    }

    /// A configuration with a raw port `pN` for each host.
    pub(crate) fn raw_ports(&self) -> String {
        (1..=self.hosts.len()).map(|number| format!("[ports.p{number}]\ntype = \"raw\"\n")).collect()
    }
}

/// A namespace without IPv6.
pub(crate) fn quiet(label: &str) -> Namespace {
    let namespace = Namespace::new(label).unwrap();
    for which in ["all", "default"] {
        namespace.run(&format!("sysctl -qw net.ipv6.conf.{which}.disable_ipv6=1")).unwrap();
    }
    namespace
}

/// Gives a device another name; before Linux 6.2 only one that is down can have it.
pub(crate) fn rename(namespace: &Namespace, from: &str, to: &str) {
    let name = format!("link set {from} name {to}");
    if namespace.ip(&name).is_err() {
        namespace.ip(&format!("link set {from} down")).unwrap();
        namespace.ip(&name).unwrap();
        namespace.ip(&format!("link set {to} up")).unwrap();
    }
}

/// A host on a wire to `pN` of the switch's namespace.
pub(crate) fn host(switch: &Namespace, number: u8) -> Namespace {
    let host = quiet("host");
    wire(switch, &host, number);
    host
}

/// The wire between a host and `pN`.
pub(crate) fn wire(switch: &Namespace, host: &Namespace, number: u8) {
    let end = End::new(host, "eth0").mac(&mac_text(number)).address(&format!("{}/24", address(number)));
    veth(end, End::new(switch, &format!("p{number}"))).unwrap();
}

pub(crate) fn address(number: u8) -> String {
    format!("198.18.0.{number}")
}

pub(crate) fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

pub(crate) fn mac_text(number: u8) -> String {
    text_of(&mac(number))
}

pub(crate) fn text_of(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

pub(crate) fn address_of(text: &str) -> [u8; 6] {
    let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
    std::array::from_fn(|_| bytes.next().unwrap())
}

/// A frame of 64 bytes that says `word`.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], word: &str) -> Vec<u8> {
    let mut frame = [&to[..], &from, &EXPERIMENTAL, word.as_bytes()].concat();
    frame.resize(64, 0);
    frame
}

/// Whether a frame is one of those made by hand and says `word`.
pub(crate) fn says(frame: &[u8], word: &str) -> bool {
    frame.get(12..14) == Some(&EXPERIMENTAL)
        && frame.get(14..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
}

/// Waits until a host answers.
pub(crate) fn wait_for_ping(from: &Namespace, to: &str) {
    let what = format!("{to} answers {}", from.name());
    wait_until(SOON, &what, || ping(from, to, 1).unwrap().received == 1).unwrap();
}
