//! The values of the interface, field by field as in `io.switchd.varlink`, where they are explained.
//! Times are in milliseconds.
#![allow(missing_docs, reason = "the interface description says what each field is")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The reply of `GetVersion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub bridge: String,
    pub pid: u32,
}

/// The bridge as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    pub name: String,
    pub ageing_time: u64,
    pub fdb_max: usize,
    pub fdb_max_learned: u32,
    pub group_fwd_mask: u16,
    pub no_linklocal_learn: bool,
    pub move_damping: u64,
    pub vlan_filtering: bool,
    pub vlan_protocol: VlanProtocol,
    pub default_pvid: u16,
    /// Threads that forward.
    pub workers: usize,
    pub fdb_entries: usize,
    pub fdb_counters: FdbCounters,
}

/// What has happened to dynamic entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbCounters {
    pub learned: u64,
    pub moved: u64,
    pub aged: u64,
    pub evicted: u64,
    pub refused: u64,
    pub postponed: u64,
}

/// What is to be changed at the bridge; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ageing_time: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fdb_max_learned: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_fwd_mask: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_linklocal_learn: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_damping: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_filtering: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_protocol: Option<VlanProtocol>,
    /// 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_pvid: Option<u16>,
}

/// Which tags are VLANs, as `ip -d link` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanProtocol {
    #[serde(rename = "802.1Q")]
    Dot1q,
    #[serde(rename = "802.1ad")]
    Dot1ad,
}

impl VlanProtocol {
    /// Both, with the word for it.
    pub const ALL: [(&str, Self); 2] = [("802.1Q", Self::Dot1q), ("802.1ad", Self::Dot1ad)];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// The state of a port, as in `bridge link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    Disabled,
    Blocking,
    Listening,
    Learning,
    Forwarding,
}

impl PortState {
    /// Every state, with the word for it.
    pub const ALL: [(&str, Self); 5] = [
        ("disabled", Self::Disabled),
        ("blocking", Self::Blocking),
        ("listening", Self::Listening),
        ("learning", Self::Learning),
        ("forwarding", Self::Forwarding),
    ];
}

/// What the switch does at a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSettings {
    pub host: bool,
    pub promisc: bool,
    pub enabled: bool,
    pub state: PortState,
    pub learning: bool,
    pub flood: bool,
    pub mcast_flood: bool,
    pub bcast_flood: bool,
    pub hairpin: bool,
    pub isolated: bool,
    pub locked: bool,
    pub mab: bool,
    pub group_fwd_mask: u16,
    #[serde(default)]
    pub backup_port: Option<String>,
    #[serde(default)]
    pub max_macs: Option<u32>,
}

/// What is to be changed at a port; what is `None` stays. An empty `backup_port` and a `max_macs` of zero
/// take it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promisc: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PortState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flood: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcast_flood: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bcast_flood: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hairpin: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mab: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_fwd_mask: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_port: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_macs: Option<u32>,
}

/// The device that a port has at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub ifindex: u32,
    pub name: String,
    pub mac: String,
    pub mtu: u32,
    pub up: bool,
    pub exclusive: bool,
    #[serde(default)]
    pub qdisc_bypass: bool,
    pub moved: bool,
}

/// What a port has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub forwarded: u64,
    pub copies: u64,
    pub tx_frames: u64,
    pub tx_bytes: u64,
    pub tx_segments: u64,
    pub moved: u64,
    pub own_source: u64,
    pub limited: u64,
    pub damped: u64,
}

/// What the kernel lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelLosses {
    #[serde(default)]
    pub device_tx_dropped: Option<u64>,
    pub socket_lost: u64,
}

/// Frames dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    pub reason: String,
    pub frames: u64,
}

/// Who shares memory with a `vhost-user` port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub connected: bool,
    pub queue_pairs: u32,
    pub features: Vec<String>,
    pub disconnects: u64,
    #[serde(default)]
    pub why: Option<String>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    pub kind: String,
    pub device_name: String,
    #[serde(default)]
    pub device: Option<Device>,
    pub settings: PortSettings,
    pub counters: Counters,
    pub drops: Vec<DropCount>,
    pub kernel: KernelLosses,
    #[serde(default)]
    pub guest: Option<Guest>,
}

/// The kinds of FDB entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Dynamic,
    Locked,
    Static,
    Sticky,
    ExternLearn,
    Local,
    Blackhole,
}

impl EntryKind {
    /// Every kind, with the word for it.
    pub const ALL: [(&str, Self); 7] = [
        ("dynamic", Self::Dynamic),
        ("locked", Self::Locked),
        ("static", Self::Static),
        ("sticky", Self::Sticky),
        ("extern_learn", Self::ExternLearn),
        ("local", Self::Local),
        ("blackhole", Self::Blackhole),
    ];
}

/// One FDB entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FdbEntry {
    pub mac: String,
    #[serde(default)]
    pub port: Option<String>,
    pub kind: EntryKind,
    #[serde(default)]
    pub age: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

/// A VLAN of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    pub port: String,
    pub vid: u16,
    pub pvid: bool,
    pub untagged: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<PrivateRole>,
    pub state: PortState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<VlanCounters>,
}

/// What a VLAN is in the private VLAN of that primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateRole {
    pub kind: PrivateKind,
    pub primary: u16,
}

/// The parts of a private VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateKind {
    Primary,
    Isolated,
    Community,
}

/// What a VLAN has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanCounters {
    pub rx_frames: u64,
    pub rx_bytes: u64,
    pub tx_frames: u64,
    pub tx_bytes: u64,
}

/// The VLANs from `vid` to `last`, or that one, and how a port is to be a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewVlans {
    pub port: String,
    pub vid: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u16>,
    #[serde(default)]
    pub pvid: bool,
    #[serde(default)]
    pub untagged: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<u16>,
}

/// What a port is to do with the frames of the VLANs from `vid` to `last`, or of that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VlanChange {
    pub port: String,
    pub vid: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u16>,
    pub state: PortState,
}

/// Which entries are meant; what is `None` makes no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FdbFilter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EntryKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

/// An entry to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFdbEntry {
    pub mac: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    pub kind: EntryKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

/// One reason for drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropReason {
    pub reason: String,
    pub side: String,
    pub explanation: String,
    pub hint: String,
    pub frames: u64,
    pub ports: BTreeMap<String, u64>,
}

/// A frame that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedFrame {
    pub age: u64,
    pub reason: String,
    pub ingress: String,
    #[serde(default)]
    pub egress: Option<String>,
    pub length: u32,
    pub head: String,
}

/// A station that sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    pub mac: String,
    pub port: String,
    pub frames: u64,
    pub bytes: u64,
}

/// A mirror, and what it has copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    pub from: Vec<String>,
    pub to: String,
    pub direction: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The port that gets the copies is still to be made.
    #[serde(default)]
    pub waits: bool,
    pub frames: u64,
    pub missed: u64,
}

/// What is to be captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureOptions {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    #[serde(default)]
    pub direction: Direction,
    #[serde(default)]
    pub drops: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
}

/// Which way frames go: into the switch, or out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    In,
    Out,
    #[default]
    Both,
}

impl Direction {
    /// Every direction, with the word for it.
    pub const ALL: [(&str, Self); 3] = [("in", Self::In), ("out", Self::Out), ("both", Self::Both)];
}

/// One step of a frame's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub stage: String,
    pub words: String,
}

/// What would become of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub forwarded: bool,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub hint: Option<String>,
    pub ports: Vec<String>,
    pub steps: Vec<Step>,
}

/// What a reload does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub changes: Vec<String>,
    pub restart: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EntryKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl Event {
    /// So many events were too many to be told.
    #[must_use]
    pub fn lost(lost: u64) -> Self {
        Self { topic: "lost".to_owned(), lost: Some(lost), ..Self::default() }
    }
}
