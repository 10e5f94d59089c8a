//! What is noted of everything but the FDB: the configuration, what was set at run time, and what was counted. Written
//! whole each time, as JSON: names stand for what they mean, so that a version that has more of them reads what one
//! with fewer wrote, and the other way round.

use std::collections::BTreeMap;

use bridge::{BridgeSettings, PortId};
use config::Config;
use control::types::{BridgeChange, PortChange, Vlan, VlanCounters};
use serde::{Deserialize, Serialize};

use crate::assembly::bridge_settings;
use crate::attachment::Attachment;
use crate::command::Report;
use crate::state::places::Used;
use crate::steered;
use crate::vlans::KnownVlans;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    /// The text of the configuration file.
    pub(super) configuration: String,
    /// What was set at run time.
    pub(super) settings: BridgeChange,
    pub(super) ports: Vec<PortHead>,
    /// Processes that took up where another had ended.
    pub(super) restarts: u64,
    pub(super) fdb: BTreeMap<String, u64>,
    /// What each VLAN has seen, where that is counted of the bridge as a whole.
    pub(super) vlans: BTreeMap<u16, VlanCounters>,
    /// Where the FDB is.
    pub(super) area: u8,
    pub(super) used: Used,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PortHead {
    pub(super) name: String,
    /// Its number in the FDB.
    pub(super) id: u16,
    /// Something was set at run time, for the device that it has.
    pub(super) steered: bool,
    pub(super) settings: PortChange,
    /// All its VLANs, as they are shown: of one that was steered, or where they are counted at each port.
    pub(super) vlans: Vec<Vlan>,
    /// Frames that its packet socket lost.
    pub(super) socket_lost: u64,
    pub(super) counters: BTreeMap<String, u64>,
}

/// What a head is made of.
pub(crate) struct Known<'a> {
    pub(crate) attachments: &'a [Attachment],
    /// What the file says.
    pub(crate) config: &'a Config,
    pub(crate) report: &'a Report,
    pub(crate) vlans: KnownVlans,
}

impl Head {
    pub(super) fn new(known: &Known<'_>, configuration: &str, (area, used): (u8, Used)) -> Self {
        let Known { attachments, config, report, vlans } = known;
        let file: BridgeSettings = bridge_settings(config);
        let name = |id: PortId| {
            let port = attachments.iter().find(|port| port.id == id);
            port.map(|port| port.config.name.clone()).unwrap_or_default()
        };
        let ports = report.ports.iter().map(|port| {
            let attachment = attachments.iter().find(|attachment| attachment.id == port.id);
            let steered = attachment.filter(|attachment| attachment.steered);
            let settings = steered.map(|file| steered::of_port(&file.settings, &port.settings, name));
            PortHead {
                name: name(port.id),
                id: port.id.0,
                steered: steered.is_some(),
                settings: settings.unwrap_or_default(),
                vlans: vlans.ports.get(&port.id).cloned().unwrap_or_default(),
                socket_lost: port.socket_lost,
                counters: named(port.counters.clone().fields()),
            }
        });
        Self {
            configuration: configuration.to_owned(),
            settings: steered::of_bridge(&file, &report.settings),
            ports: ports.collect(),
            restarts: 0,
            fdb: named(report.fdb_counters.clone().fields().into_iter()),
            vlans: vlans.bridge.clone(),
            area,
            used,
        }
    }

    /// As it is written.
    pub(super) fn encode(&self) -> Vec<u8> {
        // Strings and numbers only, of which JSON has a form for each.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What can be understood of `bytes`; `None` if nothing.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What is known of a port.
    pub(super) fn of(&self, name: &str) -> Option<&PortHead> {
        self.ports.iter().find(|head| head.name == name)
    }
}

fn named<'a>(fields: impl Iterator<Item = (&'static str, &'a mut u64)>) -> BTreeMap<String, u64> {
    fields.filter(|(_, value)| **value > 0).map(|(name, value)| (name.to_owned(), *value)).collect()
}

/// Sets each counter to what was noted under its name.
pub(super) fn fill<'a>(
    fields: impl Iterator<Item = (&'static str, &'a mut u64)>,
    from: &BTreeMap<String, u64>,
) {
    for (name, value) in fields {
        *value = from.get(name).copied().unwrap_or(0);
    }
}
