//! What happens to a bridge under test, one thing at a time.

use std::fmt;

use bridge::{EntryKind, Membership, PortState, VlanProtocol};
use frame::{MacAddr, Vid};

/// Ports beside the host's own: `p1` to `p4`.
pub const PORTS: u8 = 4;

/// Where frames go in and come out: `br0`, the host's own port, or `p1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The host's own port, the part that br0 plays.
    Host,
    /// A port, from 1.
    Port(u8),
}

impl End {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Host).chain((1..=PORTS).map(Self::Port))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("br0"),
            Self::Port(port) => write!(f, "p{port}"),
        }
    }
}

/// Settings of a port that are on or off, with the words of `ip link set … type bridge_slave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of bridge::PortSettings, which explains them")]
pub enum Flag {
    Learning,
    Flood,
    McastFlood,
    BcastFlood,
    Hairpin,
    Isolated,
    Locked,
    Mab,
}

impl Flag {
    /// Each with its word.
    pub const ALL: [(&str, Self); 8] = [
        ("learning", Self::Learning),
        ("flood", Self::Flood),
        ("mcast_flood", Self::McastFlood),
        ("bcast_flood", Self::BcastFlood),
        ("hairpin", Self::Hairpin),
        ("isolated", Self::Isolated),
        ("locked", Self::Locked),
        ("mab", Self::Mab),
    ];
}

/// What a bridge under test makes of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// They are payload; any kernel's bridge can do that.
    Opaque,
    /// They are VLANs, which it tells apart.
    Vlans,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what they are called")]
pub enum Step {
    /// A frame arrives.
    Frame { from: End, bytes: Vec<u8> },
    /// A setting of a port.
    Flag { port: u8, flag: Flag, on: bool },
    /// A port's state.
    State { port: u8, state: PortState },
    /// `group_fwd_mask` of a port, or of the bridge.
    Mask { port: Option<u8>, mask: u16 },
    /// A port's `backup_port`.
    Backup { port: u8, backup: Option<u8> },
    /// The bridge's `ageing_time`, in milliseconds.
    Ageing { ms: u64 },
    /// The bridge's `no_linklocal_learn`.
    NoLinklocalLearn { on: bool },
    /// The bridge's `fdb_max_learned`.
    MaxLearned { max: u32 },
    /// Whether the host's own port is promiscuous.
    Promisc { on: bool },
    /// `bridge fdb add` and `replace`.
    Entry { mac: MacAddr, vlan: Option<Vid>, port: End, kind: EntryKind, replace: bool },
    /// `bridge fdb del`.
    Delete { mac: MacAddr, vlan: Option<Vid>, port: End },
    /// A flush of one port or all; of one kind, or of what ages.
    Flush { port: Option<u8>, kind: Option<EntryKind> },
    /// A port's device is set up or down.
    Link { port: u8, up: bool },
    /// A port's MTU, in bytes.
    Mtu { port: u8, mtu: u32 },
    /// Nothing, for so long.
    Wait { ms: u64 },
    /// The bridge's `vlan_filtering`.
    VlanFiltering { on: bool },
    /// The bridge's `vlan_protocol`.
    VlanProtocol { protocol: VlanProtocol },
    /// The bridge's `vlan_default_pvid`.
    DefaultPvid { vid: Option<Vid> },
    /// `bridge vlan add`.
    JoinVlan { port: End, vid: Vid, membership: Membership },
    /// `bridge vlan del`.
    LeaveVlan { port: End, vid: Vid },
    /// `bridge vlan set`.
    VlanState { port: u8, vid: Vid, state: PortState },
}

/// One entry of an FDB, as far as Linux tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The station.
    pub mac: MacAddr,
    /// Where it is.
    pub port: End,
    /// What kind of entry this is.
    pub kind: EntryKind,
    /// The VLAN; `None` for what is in none, or in all.
    pub vlan: Option<Vid>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.mac, self.port, self.kind.name())?;
        self.vlan.map_or(Ok(()), |vlan| write!(f, " vlan {vlan}"))
    }
}

/// A VLAN of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The port.
    pub port: End,
    /// The VLAN.
    pub vid: Vid,
    /// How the port belongs to it.
    pub membership: Membership,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in VLAN {}{}", self.port, self.vid, flags(self.membership))
    }
}

/// How a port belongs to a VLAN, in the words of `bridge vlan add`.
pub(crate) fn flags(membership: Membership) -> &'static str {
    match (membership.pvid, membership.untagged) {
        (false, false) => "",
        (true, false) => " pvid",
        (false, true) => " untagged",
        (true, true) => " pvid untagged",
    }
}
