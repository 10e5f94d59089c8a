//! What is deliberately not as in Linux, and frames that can't be compared: each with its reason. The suite
//! leaves these steps out, or prepares the kernel so that they make no difference, and
//! `docs/linux-bridge.md` shows the list; a test compares.

use bridge::{EntryKind, PortState};
use frame::MacAddr;

use crate::generator::{HOST_MAC, MTU};
use crate::run::World;
use crate::step::{End, PORTS, Step};

/// One deliberate difference.
#[derive(Clone, Copy)]
pub struct Difference {
    /// What it is about.
    pub about: &'static str,
    /// What Linux does.
    pub linux: &'static str,
    /// What switchd does.
    pub switchd: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Whether a step would show it.
    leaves_out: fn(&World, &Step) -> bool,
}

/// All of them.
pub const ALL: [Difference; 12] = [
    Difference {
        about: "A port's `state` without spanning tree",
        linux: "`blocking` becomes forwarding at once; `learning` does, and `listening` learning, when `forward_delay` (15 s) \
                has passed since the port came up; any state is forwarding again after the link was down, `disabled` also \
                after `ip link set … type bridge_slave`",
        switchd: "stays as it is set",
        reason: "a state that someone has set means something, and a loop must not close when a link flaps",
        leaves_out: |_, step| matches!(step, Step::State { state: PortState::Blocking, .. }),
    },
    Difference {
        about: "A frame from the host with a group address or zero as its source",
        linux: "forwarded",
        switchd: "dropped, as from any port (`source_group`, `source_zero`)",
        reason: "no station has such an address, whoever sends it",
        leaves_out: |_, step| matches!(step, Step::Frame { from: End::Host, bytes } if !is_station(source(bytes))),
    },
    Difference {
        about: "An FDB entry made for a group address, for an address of the bridge's own devices, or as `extern_learn` \
                and something else",
        linux: "accepted; the first is never used, the second takes the device's own entry away, the third is both",
        switchd: "refused; an entry is of one kind: the last command's; and `add` refuses an address that has an entry",
        reason: "none of them can do what its maker means",
        leaves_out: |world, step| match step {
            Step::Entry { mac, kind, .. } => {
                let mut found = world.fdb.iter().filter(|entry| entry.mac == *mac);
                let is_external = *kind == EntryKind::External;
                unusual(*mac) || found.any(|found| is_external || found.kind == EntryKind::External)
            }
            Step::Delete { mac, .. } => unusual(*mac),
            _ => false,
        },
    },
    Difference {
        about: "A command about VLANs that does half of what it says, or nothing",
        linux: "`bridge fdb add` without a VLAN makes an entry in each VLAN of the port, also while `vlan_filtering` is \
                off, up to one that is there already; `bridge vlan del` of a VLAN that the port is not in says nothing; \
                `bridge fdb del` of an entry that stayed in a VLAN which the port has left is refused",
        switchd: "entries in each VLAN only while it is on, and all or none; refused; deleted",
        reason: "a command that fails has changed nothing, and one that changes nothing fails",
        leaves_out: |world, step| match *step {
            Step::Entry { mac, vlan: None, replace, .. } if !world.vlans.is_empty() => {
                !world.bridge.vlan.filtering || !replace && world.fdb.iter().any(|entry| entry.mac == mac)
            }
            Step::Delete { vlan: None, .. } => !world.vlans.is_empty() && !world.bridge.vlan.filtering,
            Step::Delete { vlan: Some(vid), port, .. } => !world.is_member(port, vid),
            Step::LeaveVlan { port, vid } => !world.is_member(port, vid),
            _ => false,
        },
    },
    Difference {
        about: "Frames longer than the MTU, by four bytes at most, out of a `raw` port",
        linux: "pass",
        switchd: "a packet socket may not send them, but for 802.1Q frames (`tx_too_long`)",
        reason: "the kernel refuses them: give our side of a veth an MTU that is 4 bytes larger, 8 for QinQ",
        leaves_out: |world, step| match step {
            Step::Frame { bytes, .. } if world.bridge.vlan.filtering => {
                (1..=RAW).any(|port| only_just_with_tags(bytes, world.mtu(port)))
            }
            Step::Frame { bytes, .. } => (1..=RAW).any(|port| only_just(bytes, world.mtu(port))),
            _ => false,
        },
    },
    Difference {
        about: "A port's own MAC address",
        linux: "a local entry: delivered to br0",
        switchd: "a local entry only where the host shares the device (dropped as `to_host`; the host has its own \
                  copy) and for the host port",
        reason: "the device is a cable of the switch, not a station",
        leaves_out: |_, _| false,
    },
    Difference {
        about: "A full FDB",
        linux: "unlimited",
        switchd: "bounded (`fdb_max`): the port that holds most entries gives up its oldest. `fdb_max_learned` is \
                  there too, with the meaning it has in Linux",
        reason: "one guest that makes up addresses can't use up the memory or keep the others out",
        leaves_out: |_, _| false,
    },
    Difference {
        about: "An entry past its ageing time",
        linux: "used until the next clean-up, which can be late",
        switchd: "not used",
        reason: "frames to a station that has moved would go to its old port",
        leaves_out: |_, _| false,
    },
    Difference {
        about: "`locked` ports",
        linux: "a frame to 01:80:c2:00:00:03 opens the port for its sender unless `no_linklocal_learn` is set",
        switchd: "`no_linklocal_learn` is on by itself where the configuration has a locked port, and when one is \
                  locked later",
        reason: "a lock that one frame opens is none",
        leaves_out: |_, _| false,
    },
    Difference {
        about: "Multicast",
        linux: "snooped (`mcast_snooping`)",
        switchd: "goes to every port that has `mcast_flood`, as with `mcast_snooping 0`",
        reason: "switchd does not look into IGMP and MLD",
        leaves_out: |_, _| false,
    },
    Difference {
        about: "nftables, ebtables, br_netfilter",
        linux: "see every frame; br_netfilter drops malformed IP, PPPoE and QinQ frames",
        switchd: "see none",
        reason: "frames do not go through the host's network stack",
        leaves_out: |_, _| false,
    },
    Difference {
        about: "`type` of an `[[fdb]]` entry that says nothing",
        linux: "local (`bridge fdb add` without a word)",
        switchd: "static",
        reason: "it is what everybody means; a local entry takes frames away from the port that it names",
        leaves_out: |_, _| false,
    },
];

/// Ports up to this one are `raw` at switchd, the others TAPs.
pub const RAW: u8 = PORTS / 2;

/// The first difference that a step would show.
#[must_use]
pub fn leaves_out(world: &World, step: &Step) -> Option<&'static str> {
    // Nothing comes in through a cable that is out.
    if matches!(step, Step::Frame { from: End::Port(port), .. } if world.down.contains(port)) {
        return Some("from a port that is down");
    }
    if matches!(step, Step::Frame { bytes, .. } if world.bridge.vlan.filtering && is_bare(bytes)) {
        return Some("with nothing behind the EtherType");
    }
    ALL.iter().find(|difference| (difference.leaves_out)(world, step)).map(|difference| difference.about)
}

/// Whether a step shows that a port has an MTU: one that shares memory with a guest has none.
#[must_use]
pub(crate) fn needs_mtu(step: &Step) -> bool {
    match step {
        Step::Mtu { .. } => true,
        Step::Frame { bytes, .. } => bytes.len() > 14 + MTU as usize,
        _ => false,
    }
}

/// The table of the documentation.
#[must_use]
pub fn table() -> String {
    let mut table = "| | Linux Bridge | switchd | why |\n|---|---|---|---|\n".to_owned();
    for Difference { about, linux, switchd, reason, .. } in &ALL {
        table += &format!("| {about} | {linux} | {switchd} | {reason} |\n");
    }
    table
}

/// Whether less than two bytes follow the EtherType. With a tag in front of it the kernel drops such a frame where it
/// receives it (`skb_vlan_untag`), from us as from anybody; a bridge of its own carries the tag beside it.
fn is_bare(bytes: &[u8]) -> bool {
    let tagged = matches!(bytes.get(12..14), Some([0x81, 0] | [0x88, 0xa8]));
    bytes.len() < if tagged { 20 } else { 16 }
}

fn source(bytes: &[u8]) -> MacAddr {
    bytes.get(6..12).and_then(|six| six.try_into().ok()).map_or(MacAddr::ZERO, MacAddr)
}

fn is_station(mac: MacAddr) -> bool {
    !mac.is_group() && !mac.is_zero()
}

/// Whether nothing can be sent to this address, or it is the bridge's own.
fn unusual(mac: MacAddr) -> bool {
    mac.is_group() || mac == HOST_MAC
}

/// The same where a tag may be pushed or popped.
fn only_just_with_tags(bytes: &[u8], mtu: u32) -> bool {
    let payload = bytes.len().saturating_sub(14);
    (mtu as usize - 8..mtu as usize + 16).contains(&payload)
}

/// Whether the kernel lets a frame pass that a packet socket may not send.
fn only_just(bytes: &[u8], mtu: u32) -> bool {
    let tagged = |tpid: [u8; 2]| bytes.get(12..14) == Some(&tpid[..]);
    let payload = bytes.len().saturating_sub(14);
    let (judged, sent) = match () {
        () if tagged([0x81, 0]) => (payload - 4, payload - 4),
        () if tagged([0x88, 0xa8]) => (payload - 4, payload),
        () => (payload, payload),
    };
    judged <= mtu as usize + 4 && sent > mtu as usize
}
