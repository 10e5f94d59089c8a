//! The checked configuration: plain data, which the daemon turns into a bridge and its ports.

use std::time::Duration;

use frame::MacAddr;

/// A configuration in which no mistake was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The switch itself.
    pub bridge: BridgeConfig,
    /// The ports, in the order of the file or of the arguments; at least one.
    pub ports: Vec<PortConfig>,
    /// Static FDB entries, in the order of the file.
    pub fdb: Vec<StaticEntry>,
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
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self { name: "switchd".to_owned(), ageing_time: Duration::from_secs(300), fdb_max: 65_536 }
    }
}

/// `[ports.NAME]`: one port of the switch.
#[derive(Clone, Debug, PartialEq)]
pub struct PortConfig {
    /// The name of the port, unique in the switch.
    pub name: String,
    /// The network interface that carries it; no two ports share one.
    pub device: String,
    /// How frames get in and out, with the options of that kind.
    pub kind: PortKind,
}

/// The kinds of port.
#[derive(Clone, Debug, PartialEq)]
pub enum PortKind {
    /// A TAP that the switch makes or attaches to.
    Tap(TapConfig),
    /// A raw socket on an interface that exists.
    Raw(RawConfig),
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
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { exclusive: None, offload: true }
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

/// `[[fdb]]`: an address that is always reached through one port.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticEntry {
    /// A station's address: neither a group nor zero.
    pub mac: MacAddr,
    /// The name of the port.
    pub port: String,
}
