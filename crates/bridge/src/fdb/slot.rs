//! One place of the hash table: 16 bytes that say where a station is and what kind of entry that is.

use crate::fdb::lru::NodeId;
use crate::port::PortId;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Learned, or made so by the user; ages, and goes with the port's link.
    Dynamic,
    /// Made by a locked port with `mab`: frames find the station, but its own are dropped until the user
    /// replaces the entry. Ages, and goes with the port's link; plain again when the station speaks on a
    /// port that is not locked.
    Locked,
    /// Configured; does not age, moves with the station, as in Linux, and goes with the port.
    Static,
    /// Configured; neither ages nor moves.
    Sticky,
    /// Made by another program (`extern_learn`): does not age; a frame from another port makes it dynamic.
    External,
    /// An address of this host: frames to it are for the host. Never moves.
    Local,
    /// Beyond Linux Bridge: frames from and to it are dropped.
    Blackhole,
}

impl EntryKind {
    /// The word for it in the configuration, logs and the control interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Locked => "locked",
            Self::Static => "static",
            Self::Sticky => "sticky",
            Self::External => "extern_learn",
            Self::Local => "local",
            Self::Blackhole => "blackhole",
        }
    }
}

/// What becomes of a frame to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It goes to the entry's port.
    Port,
    /// It is for the host behind its port.
    Host,
    /// The kernel has its own copy.
    Kernel,
    /// It is dropped.
    Nowhere,
}

/// What a lookup says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) port: PortId,
    pub(crate) way: Way,
}

/// In [`Slot::node`], beside the number of a node: the entry is a locked one.
pub(super) const LOCKED: u32 = 1 << 30;
/// The same: the user made this entry that ages, or what it was before, so it does not count as learned.
pub(super) const BY_USER: u32 = 1 << 29;
/// Values of [`Slot::node`] for entries without a node; all from the first on are such.
const FIXED: u32 = u32::MAX - 15;
pub(super) const STATIC: u32 = FIXED;
pub(super) const STICKY: u32 = FIXED + 1;
pub(super) const EXTERNAL: u32 = FIXED + 2;
/// From here on entries that no frame changes and that a frame from there is remarkable for.
pub(super) const UNTOUCHED: u32 = LOCAL;
pub(super) const LOCAL: u32 = FIXED + 3;
pub(super) const KERNEL: u32 = FIXED + 4;
pub(super) const BLACKHOLE: u32 = FIXED + 5;

/// Most dynamic entries that can be asked for; keeps node numbers clear of the values above.
pub(crate) const MAX_DYNAMIC: usize = 1 << 24;

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) key: u64,
    pub(super) node: u32,
    pub(super) port: u16,
    /// Low 16 bits of the tick of the last refresh. A tick is at least a 32,768th of the ageing time, so
    /// an entry whose tick came round again has expired long ago and can't be taken for a fresh one.
    pub(super) tick: u16,
}

impl Slot {
    pub(super) fn kind(&self) -> EntryKind {
        match self.node {
            STATIC => EntryKind::Static,
            STICKY => EntryKind::Sticky,
            EXTERNAL => EntryKind::External,
            LOCAL | KERNEL => EntryKind::Local,
            BLACKHOLE => EntryKind::Blackhole,
            node if node & LOCKED != 0 => EntryKind::Locked,
            _ => EntryKind::Dynamic,
        }
    }

    /// The place in the list of ages, of an entry that ages.
    #[inline]
    pub(super) fn node_id(&self) -> Option<NodeId> {
        (self.node < FIXED).then_some(NodeId(self.node & !(LOCKED | BY_USER)))
    }

    /// Whether it counts against `fdb_max_learned`.
    pub(super) fn is_learned(&self) -> bool {
        self.node < FIXED && self.node & BY_USER == 0
    }

    /// The same entry with another place in the list of ages.
    pub(super) fn with_node(self, NodeId(node): NodeId) -> Self {
        Self { node: self.node & (LOCKED | BY_USER) | node, ..self }
    }

    #[inline]
    pub(super) fn found(&self) -> Found {
        let way = match self.node {
            LOCAL => Way::Host,
            KERNEL => Way::Kernel,
            BLACKHOLE => Way::Nowhere,
            _ => Way::Port,
        };
        Found { port: PortId(self.port), way }
    }
}
