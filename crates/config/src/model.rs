//! The checked configuration: plain data, which the daemon turns into a bridge and its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use frame::{MacAddr, Vid};

/// A configuration in which no mistake was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The switch itself.
    pub bridge: BridgeConfig,
    /// What ports share, in the order of the file.
    pub profiles: Vec<Profile>,
    /// The ports, in the order of the file or of the arguments, and behind them those that patterns have made.
    pub ports: Vec<PortConfig>,
    /// What makes ports, in the order of the file. There is a port or a pattern.
    pub patterns: Vec<PatternConfig>,
    /// Private VLANs, in the order of the file; no VLAN is in two.
    pub private_vlans: Vec<PrivateVlanConfig>,
    /// Static FDB entries, in the order of the file.
    pub fdb: Vec<StaticEntry>,
    /// Mirrors, in the order of the file; no two to the same port.
    pub mirrors: Vec<MirrorConfig>,
    /// Where the metrics can be read, if they can.
    pub metrics: Option<Listen>,
    /// Who may use the control socket.
    pub control: ControlConfig,
}

/// `[control]`: who may use the control socket, beside root and the user that the switch runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlConfig {
    /// The group whose members may look; `None` for everybody.
    pub group: Option<String>,
    /// The group whose members may do everything.
    pub admin_group: Option<String>,
}

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On an address of this host, at a TCP port.
    Tcp(SocketAddr),
    /// On a Unix socket of that path.
    Unix(PathBuf),
}

/// As in the file.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[bridge]`: what belongs to the switch as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeConfig {
    /// The name of this switch among several on one host.
    pub name: String,
    /// How long an FDB entry lives without a frame from its address. Zero: nothing is learnt.
    pub ageing_time: Duration,
    /// The most entries that the FDB holds, static ones included.
    pub fdb_max: usize,
    /// The most entries that are learnt; further stations are not. Zero: no such limit.
    pub fdb_max_learned: u32,
    /// Which of 01:80:c2:00:00:00 to 0f are forwarded, one bit each; bits 0 to 2 are never set.
    pub group_fwd_mask: u16,
    /// Whether nothing is learned from frames to those that are not forwarded. Where the file says
    /// nothing: whether there is a locked port, which such a frame would open.
    pub no_linklocal_learn: bool,
    /// How long a port must be silent before a station leaves it. Zero: no time at all.
    pub move_damping: Duration,
    /// How long the switch goes on asking for frames after the last one before it sleeps. Zero: it sleeps at once.
    pub busy_poll: Duration,
    /// Threads that forward, at least one.
    pub workers: usize,
    /// What it makes of VLAN tags.
    pub vlan: VlanConfig,
}

/// What a switch makes of VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanConfig {
    /// Whether VLANs are told apart.
    pub filtering: bool,
    /// The VLAN of ports that say nothing of VLANs.
    pub default_pvid: Option<Vid>,
    /// Which tags are VLANs.
    pub protocol: VlanProtocol,
    /// Whether what each VLAN has seen is counted.
    pub stats: bool,
    /// Whether that is counted for each port apart; only with `stats`.
    pub stats_per_port: bool,
}

impl Default for VlanConfig {
    fn default() -> Self {
        Self {
            filtering: false,
            default_pvid: Some(Vid::MIN),
            protocol: VlanProtocol::Dot1q,
            stats: false,
            stats_per_port: false,
        }
    }
}

/// Which tags are VLANs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanProtocol {
    /// Those of 802.1Q.
    Dot1q,
    /// The service tags of 802.1ad.
    Dot1ad,
}

impl VlanProtocol {
    /// Each with its word in the file.
    pub(crate) const ALL: [(&str, Self); 2] = [("802.1Q", Self::Dot1q), ("802.1ad", Self::Dot1ad)];
}

/// The VLANs of one port: all that it is in, whatever other key says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortVlans {
    /// The one of what comes in untagged.
    pub pvid: Option<Vid>,
    /// All of them.
    pub members: BTreeSet<Vid>,
    /// Those whose frames leave without a tag.
    pub untagged: BTreeSet<Vid>,
    /// Of those that have another number in tags on this port's wire, that number.
    pub wires: BTreeMap<Vid, Vid>,
}

/// `[[private_vlan]]`: a VLAN whose ports are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateVlanConfig {
    /// The VLAN of promiscuous ports, which reach all others.
    pub primary: Vid,
    /// The VLAN of ports that reach the promiscuous ones only.
    pub isolated: Option<Vid>,
    /// VLANs of ports that also reach each other, in order; there is one or an isolated one.
    pub communities: Vec<Vid>,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            name: "switchd".to_owned(),
            ageing_time: Duration::from_secs(300),
            fdb_max: 65_536,
            fdb_max_learned: 0,
            group_fwd_mask: 0,
            no_linklocal_learn: false,
            move_damping: Duration::ZERO,
            busy_poll: Duration::ZERO,
            workers: 1,
            vlan: VlanConfig::default(),
        }
    }
}

/// `[ports.NAME]`: one port of the switch.
#[derive(Clone, Debug, PartialEq)]
pub struct PortConfig {
    /// The name of the port, unique in the switch.
    pub name: String,
    /// The network interface that carries it, or of a `vhost-user` port the path of its socket; no two ports share
    /// one.
    pub device: String,
    /// How frames get in and out, with the options of that kind.
    pub kind: PortKind,
    /// What the switch does there.
    pub rules: PortRules,
    /// The profile that it takes.
    pub profile: Option<Box<ProfileUse>>,
    /// The pattern that has made it; such a port does not stand in the file.
    pub made_by: Option<String>,
}

/// `[ports.NAME]` with a `*` in its device: a port for each interface that is called so.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternConfig {
    /// What each of them is, but for its name and device.
    pub port: PortConfig,
    /// The most that there are.
    pub max_ports: usize,
}

/// `[profiles.NAME]`: keys that ports share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name of the profile.
    pub name: String,
    /// Its keys with their values as they are written.
    pub keys: Vec<(String, String)>,
}

/// The profile of a port.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileUse {
    /// The name of the profile.
    pub name: String,
    /// What the port is where it says nothing itself.
    pub kind: PortKind,
    /// What the switch does there where the port says nothing itself.
    pub rules: PortRules,
}

/// What the switch does at a port, whatever carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct PortRules {
    /// Whether the port takes part.
    pub enabled: bool,
    /// Its state while its link is up.
    pub state: PortState,
    /// Whether sources of its frames are learned. Of the host's own port not, unless the file says so.
    pub learning: bool,
    /// Whether it gets unicast to unknown stations.
    pub flood: bool,
    /// Whether it gets multicast.
    pub mcast_flood: bool,
    /// Whether it gets broadcast.
    pub bcast_flood: bool,
    /// Whether its own frames may come back to it.
    pub hairpin: bool,
    /// Whether it is kept apart from other ports that are isolated.
    pub isolated: bool,
    /// Whether only stations with an entry on it may send.
    pub locked: bool,
    /// Whether a locked port notes the others; only with `locked` and `learning`.
    pub mab: bool,
    /// Which of 01:80:c2:00:00:00 to 0f are forwarded from it, one bit each; bit 1 is never set.
    pub group_fwd_mask: u16,
    /// The name of the port that stands in for it while it is down: another one, and not the host's.
    pub backup_port: Option<String>,
    /// The most stations that are learned on it.
    pub max_macs: Option<u32>,
    /// Of the host's own port: whether it gets everything.
    pub promisc: bool,
    /// Its VLANs; `None` for the default one.
    pub vlans: Option<PortVlans>,
}

impl Default for PortRules {
    fn default() -> Self {
        Self {
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
            promisc: false,
            vlans: None,
        }
    }
}

/// The states of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Nothing goes in or out.
    Disabled,
    /// The same, but it takes part in protocols.
    Blocking,
    /// The same.
    Listening,
    /// It learns, and forwards nothing.
    Learning,
    /// All of it.
    Forwarding,
}

impl PortState {
    /// Each with its word in the file.
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("disabled", Self::Disabled),
        ("blocking", Self::Blocking),
        ("listening", Self::Listening),
        ("learning", Self::Learning),
        ("forwarding", Self::Forwarding),
    ];
}

/// The kinds of port.
#[derive(Clone, Debug, PartialEq)]
pub enum PortKind {
    /// A TAP that the switch makes or attaches to.
    Tap(TapConfig),
    /// A raw socket on an interface that exists.
    Raw(RawConfig),
    /// A socket over which a virtual machine shares its memory.
    VhostUser(VhostUserConfig),
}

/// The options of a `vhost-user` port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostUserConfig {
    /// Who listens at the socket.
    pub mode: SocketMode,
    /// Whether frames may come and go with unfinished checksums and unsegmented.
    pub offload: bool,
}

impl Default for VhostUserConfig {
    fn default() -> Self {
        Self { mode: SocketMode::Server, offload: true }
    }
}

/// Who listens at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// The switch.
    Server,
    /// The program that runs the virtual machine; the switch connects.
    Client,
}

impl SocketMode {
    /// Each with its word in the file.
    pub(crate) const ALL: [(&str, Self); 2] = [("server", Self::Server), ("client", Self::Client)];

    /// The word in the file.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }
}

/// The options of a `tap` port.
#[derive(Clone, Debug, PartialEq)]
pub struct TapConfig {
    /// The MTU to set, in bytes; `None` leaves the device's own.
    pub mtu: Option<u32>,
    /// Whether the device stays when the switch ends.
    pub persist: bool,
    /// Who may open the device besides root.
    pub owner: Option<Owner>,
    /// Whether the interface is set up at start.
    pub up: bool,
    /// Whether this is the host's own port; at most one is.
    pub host: bool,
    /// Whether frames may come and go with unfinished checksums and unsegmented.
    pub offload: bool,
}

impl Default for TapConfig {
    fn default() -> Self {
        Self { mtu: None, persist: false, owner: None, up: true, host: false, offload: true }
    }
}

/// The options of a `raw` port.
#[derive(Clone, Debug, PartialEq)]
pub struct RawConfig {
    /// Whether the host's own stack is kept off the interface; `None` leaves it to what the interface
    /// carries when the switch starts.
    pub exclusive: Option<bool>,
    /// Whether frames may come and go with unfinished checksums and unsegmented.
    pub offload: bool,
    /// Whether frames go straight to the device, past its queueing discipline.
    pub qdisc_bypass: bool,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { exclusive: None, offload: true, qdisc_bypass: false }
    }
}

/// The user who may open a TAP.
#[derive(Clone, Debug, PartialEq)]
pub enum Owner {
    /// A user name, looked up when the port is made.
    Name(String),
    /// A numeric user id.
    Uid(u32),
}

/// `[[fdb]]`: an address of which the switch knows what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticEntry {
    /// A station's address: neither a group nor zero.
    pub mac: MacAddr,
    /// What kind of entry this is.
    pub kind: EntryType,
    /// The name of the port; a blackhole has none.
    pub port: Option<String>,
    /// The VLAN that it is for; `None` for all that its port is in.
    pub vlan: Option<Vid>,
}

/// The kinds of entry that a file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryType {
    /// Behind the port until the station speaks on another.
    Static,
    /// Behind the port for good.
    Sticky,
    /// This host's own.
    Local,
    /// Behind the port, and dynamic once the station speaks on another.
    ExternLearn,
    /// Silenced.
    Blackhole,
}

impl EntryType {
    /// Each with its word in the file.
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("static", Self::Static),
        ("sticky", Self::Sticky),
        ("local", Self::Local),
        ("extern_learn", Self::ExternLearn),
        ("blackhole", Self::Blackhole),
    ];
}

/// `[[mirror]]`: a port that gets a copy of what passes others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// The names of the ports that are looked at, or of patterns, which stand for all ports that they make; at least one.
    pub from: Vec<String>,
    /// The name of the port that gets the copies: none of those, nor of another mirror's, nor the host's. Where it is one
    /// that a pattern made, it is not looked at with the others of that.
    pub to: String,
    /// Which way what is copied goes.
    pub direction: MirrorDirection,
    /// The VLAN whose frames are copied; `None` for all.
    pub vlan: Option<Vid>,
}

/// Which way frames go that a mirror copies: into the switch, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorDirection {
    /// What comes in on the ports.
    Ingress,
    /// What they send.
    Egress,
    /// Both, each frame once.
    Both,
}

impl MirrorDirection {
    /// Each with its word in the file.
    pub const ALL: [(&str, Self); 3] =
        [("ingress", Self::Ingress), ("egress", Self::Egress), ("both", Self::Both)];

    /// The word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }
}
