//! Frames for tests: from one station to another, as small as can be.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

use bridge::{Bridge, Deliveries, Moment, PortId};
use frame::{EtherType, Frame, MacAddr, Offload, Tag};

pub(crate) const BROADCAST: MacAddr = MacAddr::BROADCAST;

/// The address of station `n`.
pub(crate) fn station(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([2, 0, a, b, c, d])
}

/// `len` bytes from `source` to `destination`; an EtherType that means nothing, then zeros.
pub(crate) fn bytes(destination: MacAddr, source: MacAddr, len: usize) -> Vec<u8> {
    let mut bytes = [destination.0, source.0].concat();
    bytes.extend([0x88, 0xb5]);
    bytes.resize(len, 0);
    bytes
}

/// The same bytes with a tag.
pub(crate) fn tagged(bytes: &[u8], tpid: EtherType, tci: u16) -> Vec<u8> {
    [&bytes[..12], &Tag { tpid, tci }.to_bytes(), &bytes[12..]].concat()
}

/// Sends one 60-byte frame through the bridge and says which ports got it, in order.
pub(crate) fn send(
    bridge: &mut Bridge,
    ingress: PortId,
    to: MacAddr,
    from: MacAddr,
    now: Moment,
) -> Vec<u16> {
    send_bytes(bridge, ingress, &bytes(to, from, 60), now)
}

/// The same with any bytes.
pub(crate) fn send_bytes(bridge: &mut Bridge, ingress: PortId, bytes: &[u8], now: Moment) -> Vec<u16> {
    let frame = Frame::parse(bytes, 0, None, Offload::default());
    let mut out = Deliveries::new(1);
    bridge.forward(ingress, 0, bytes.len(), &frame, now, &mut out);
    let mut ports: Vec<u16> = out.iter().map(|(port, _)| port.0).collect();
    ports.sort_unstable();
    ports
}

/// Adds a port with its link up.
pub(crate) fn port(bridge: &mut Bridge) -> PortId {
    let port = bridge.add_port(bridge::PortSettings::default()).unwrap();
    bridge.set_link(port, true);
    port
}

/// Adds the host's own port with its link up.
pub(crate) fn host_port(bridge: &mut Bridge) -> PortId {
    let port = bridge.add_port(bridge::PortSettings::host()).unwrap();
    bridge.set_link(port, true);
    port
}

/// Sends bytes through the bridge and says what each port sends of them, in order.
pub(crate) fn carry(bridge: &mut Bridge, ingress: PortId, bytes: &[u8], now: Moment) -> Vec<(u16, Vec<u8>)> {
    let frame = Frame::parse(bytes, 0, None, Offload::default());
    let mut out = Deliveries::new(1);
    bridge.forward(ingress, 0, bytes.len(), &frame, now, &mut out);
    let sends = |(port, _): (PortId, &[u16])| {
        let mut frame = frame.unwrap();
        out.edit(port, 0).apply(bridge.vlan_tpid(), &mut frame);
        (port.0, frame.to_vec())
    };
    let mut all: Vec<_> = out.iter().map(sends).collect();
    all.sort_unstable();
    all
}
