//! What can be set: of the switch as a whole, and of each port. Defaults are Linux Bridge's; what Linux
//! refuses is refused.

use std::fmt;

use frame::{EtherType, Vid};

use crate::fdb::MAX_DYNAMIC;
use crate::moment::Span;
use crate::port::{MAX_PORTS, PortId};
use crate::rules::reserved::{BRIDGE_REFUSED, PORT_REFUSED};
use crate::rules::state::PortState;

/// Most dynamic entries that [`BridgeSettings::fdb_max`] can ask for.
pub const MAX_FDB: usize = MAX_DYNAMIC;

/// Settings of the whole switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// How long a silent station is remembered. Zero: nothing is learned and everything is flooded, as
    /// in Linux.
    pub ageing_time: Span,
    /// Most dynamic entries, up to [`MAX_FDB`]; memory for all of them is taken at once.
    pub fdb_max: usize,
    /// Most entries that are learned, those that the user made not counted: as in Linux, further stations
    /// are then not learned, and their frames still flow. 0: no limit but `fdb_max`, which makes room.
    pub fdb_max_learned: u32,
    /// Which of the addresses 01:80:c2:00:00:00 to 0f are forwarded, one bit each. Bits 0 to 2 can't be
    /// set here ([`BridgeSettings::check`]) and would have no effect.
    pub group_fwd_mask: u16,
    /// Nothing is learned from frames to those addresses that are not forwarded.
    pub no_linklocal_learn: bool,
    /// Beyond Linux Bridge: a learned station moves only once its old port has been silent for so long
    /// (up to a 16th less). Zero: at once.
    pub move_damping: Span,
    /// What it makes of VLAN tags.
    pub vlan: VlanSettings,
}

/// What a bridge makes of VLAN tags (`ip link set … type bridge vlan_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanSettings {
    /// VLANs are told apart; if not, tags are part of the payload, and all below only waits.
    pub filtering: bool,
    /// Which tags are VLANs.
    pub protocol: VlanProtocol,
    /// The VLAN that a new port gets, untagged and as its PVID; none if `None`.
    pub default_pvid: Option<Vid>,
    /// What each VLAN has seen is counted.
    pub stats: bool,
    /// The same for each port apart; only with `stats`.
    pub stats_per_port: bool,
}

impl Default for VlanSettings {
    /// As a new Linux bridge.
    fn default() -> Self {
        Self {
            filtering: false,
            protocol: VlanProtocol::Dot1q,
            default_pvid: Some(Vid::MIN),
            stats: false,
            stats_per_port: false,
        }
    }
}

/// Which tags are VLANs; others are payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum VlanProtocol {
    /// Those of 802.1Q, 0x8100.
    #[default]
    Dot1q,
    /// The service tags of 802.1ad, 0x88a8: customers' own tags are payload.
    Dot1ad,
}

impl VlanProtocol {
    /// The word for it, as `ip -d link` shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dot1q => "802.1Q",
            Self::Dot1ad => "802.1ad",
        }
    }

    /// The EtherType that introduces such a tag.
    #[must_use]
    pub const fn tpid(self) -> EtherType {
        match self {
            Self::Dot1q => EtherType::VLAN,
            Self::Dot1ad => EtherType::SERVICE_VLAN,
        }
    }
}

impl Default for BridgeSettings {
    /// 300 s, 65,536 entries, and otherwise as a new Linux bridge.
    fn default() -> Self {
        Self {
            ageing_time: Span::from_secs(300),
            fdb_max: 65_536,
            fdb_max_learned: 0,
            group_fwd_mask: 0,
            no_linklocal_learn: false,
            move_damping: Span::ZERO,
            vlan: VlanSettings::default(),
        }
    }
}

impl BridgeSettings {
    /// Refuses what Linux refuses (`BR_GROUPFWD_RESTRICTED`, `net/bridge/br_private.h`).
    ///
    /// # Errors
    /// [`SettingsRefused::BridgeMask`].
    pub fn check(&self) -> Result<(), SettingsRefused> {
        match self.group_fwd_mask & BRIDGE_REFUSED {
            0 => Ok(()),
            _ => Err(SettingsRefused::BridgeMask(self.group_fwd_mask)),
        }
    }
}

/// How a port behaves, whatever its device. The names are those of `ip link set … type bridge_slave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// It is the host's own port, the part that br0 plays: it gets broadcast, multicast and its own
    /// address, and no unknown unicast; of the settings below it has `enabled`, `learning` and `promisc`.
    pub host: bool,
    /// Of the host's port: it gets everything.
    pub promisc: bool,
    /// It takes part; if not, all is as with its link down.
    pub enabled: bool,
    /// What it does with frames while its link is up. Stays as it is set, whatever the link does.
    pub state: PortState,
    /// Sources of its frames are learned. Linux learns nothing from br0: see [`PortSettings::host`].
    pub learning: bool,
    /// It gets unicast to unknown stations.
    pub flood: bool,
    /// It gets multicast.
    pub mcast_flood: bool,
    /// It gets broadcast.
    pub bcast_flood: bool,
    /// Its own frames may come back to it.
    pub hairpin: bool,
    /// Nothing passes between two ports that have this.
    pub isolated: bool,
    /// Only stations that have an entry on this port may send.
    pub locked: bool,
    /// On a locked port: other stations get a locked entry, for the user to see and replace.
    pub mab: bool,
    /// Which of 01:80:c2:00:00:00 to 0f are forwarded from here, one bit each, beside the bridge's.
    pub group_fwd_mask: u16,
    /// Gets what is for a station behind this port while this one is down. Its entries then stay.
    pub backup_port: Option<PortId>,
    /// Beyond Linux Bridge: most stations that are learned here.
    pub max_macs: Option<u32>,
}

impl Default for PortSettings {
    /// As a new port of a Linux bridge.
    fn default() -> Self {
        Self {
            host: false,
            promisc: false,
            enabled: true,
            state: PortState::Forwarding,
            learning: true,
            flood: true,
            mcast_flood: true,
            bcast_flood: true,
            hairpin: false,
            isolated: false,
            locked: false,
            mab: false,
            group_fwd_mask: 0,
            backup_port: None,
            max_macs: None,
        }
    }
}

impl PortSettings {
    /// The host's own port, as br0: nothing is learned from it.
    #[must_use]
    pub fn host() -> Self {
        Self { host: true, learning: false, ..Self::default() }
    }

    /// Refuses what can't be, whatever the other ports are.
    ///
    /// # Errors
    /// A [`SettingsRefused`] says what is wrong.
    pub fn check(&self) -> Result<(), SettingsRefused> {
        if self.mab && !(self.locked && self.learning) {
            return Err(SettingsRefused::MabWithoutLock);
        }
        if self.group_fwd_mask & PORT_REFUSED != 0 {
            return Err(SettingsRefused::PortMask(self.group_fwd_mask));
        }
        if self.promisc && !self.host {
            return Err(SettingsRefused::PromiscIsForHost);
        }
        let Self { promisc, enabled, learning, max_macs, .. } = *self;
        let plain = Self { promisc, enabled, learning, max_macs, ..Self::host() };
        if self.host && *self != plain {
            return Err(SettingsRefused::NotForHost);
        }
        Ok(())
    }
}

/// Why settings are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsRefused {
    /// The bridge has [`MAX_PORTS`] ports already.
    TooManyPorts,
    /// There is no such port.
    NoSuchPort(PortId),
    /// A second host port.
    SecondHost,
    /// `mab` without `locked` and `learning`.
    MabWithoutLock,
    /// The bridge would forward spanning tree, PAUSE or LACP.
    BridgeMask(u16),
    /// The port would forward PAUSE.
    PortMask(u16),
    /// A port that is not the host's can't be promiscuous.
    PromiscIsForHost,
    /// The host's port has a setting that br0 has not.
    NotForHost,
    /// The backup of a port is the port itself, or there is no such port.
    Backup(PortId),
    /// The memory for `fdb_max` entries is taken when the bridge is made.
    FdbMax,
}

impl fmt::Display for SettingsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPorts => {
                write!(f, "a bridge has at most {MAX_PORTS} ports: run a second one for the others")
            }
            Self::NoSuchPort(port) => write!(f, "the bridge has no port number {}", port.0),
            Self::SecondHost => write!(f, "the bridge has a host port already: only one can be"),
            Self::MabWithoutLock => write!(f, "mab needs locked and learning: set both, or no mab"),
            Self::BridgeMask(mask) => write!(
                f,
                "group_fwd_mask {mask:#06x} of the bridge has bits 0 to 2: 01:80:c2:00:00:00 to 02 are forwarded by no bridge; 02 can be forwarded by a port's own mask"
            ),
            Self::PortMask(mask) => write!(
                f,
                "group_fwd_mask {mask:#06x} of the port has bit 1: 01:80:c2:00:00:01 (PAUSE) is never forwarded"
            ),
            Self::PromiscIsForHost => {
                write!(f, "only the host's port can be promiscuous: the others forward what they are to")
            }
            Self::NotForHost => {
                write!(f, "the host's port has only the settings enabled, learning, promisc and max_macs")
            }
            Self::Backup(port) => {
                write!(f, "port number {} can't be the backup: name another port of the bridge", port.0)
            }
            Self::FdbMax => write!(f, "fdb_max can't change while the bridge runs: start it anew"),
        }
    }
}

impl std::error::Error for SettingsRefused {}
