//! The methods of the interface, as the server hears them: name and parameters become one checked value.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CallError;
use crate::types::{
    BridgeChange, CaptureOptions, EntryKind, FdbFilter, NewFdbEntry, NewVlans, PortChange, VlanChange,
};
use crate::{INTERFACE, hex};

/// A method with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GetVersion`.
    GetVersion,
    /// `ShowBridge`.
    ShowBridge,
    /// `SetBridge`.
    SetBridge(BridgeChange),
    /// `ShowPorts`: one port, or all.
    ShowPorts(Option<String>),
    /// `SetPort`.
    SetPort(String, Box<PortChange>),
    /// `ShowFdb`.
    ShowFdb(FdbFilter),
    /// `AddFdb`.
    AddFdb(NewFdbEntry),
    /// `ReplaceFdb`.
    ReplaceFdb(NewFdbEntry),
    /// `DeleteFdb`: address, port, and VLAN.
    DeleteFdb(String, Option<String>, Option<u16>),
    /// `ShowVlans`: of one port, or all.
    ShowVlans(Option<String>),
    /// `AddVlan`.
    AddVlan(NewVlans),
    /// `DeleteVlan`: port, and the first and last VLAN.
    DeleteVlan(String, u16, u16),
    /// `SetVlan`.
    SetVlan(VlanChange),
    /// `FlushFdb`: of which port, which kind, and in which VLAN.
    FlushFdb(Option<String>, Option<EntryKind>, Option<u16>),
    /// `ShowDrops`: at one port, or all.
    ShowDrops(Option<String>),
    /// `ShowDroppedFrames`: at one port, or all; for one reason, or all.
    ShowDroppedFrames(Option<String>, Option<String>),
    /// `ShowTalkers`.
    ShowTalkers,
    /// `ShowMirrors`.
    ShowMirrors,
    /// `Monitor`.
    Monitor,
    /// `Capture`.
    Capture(CaptureOptions),
    /// `ShowConfig`.
    ShowConfig,
    /// `DiffConfig`.
    DiffConfig,
    /// `Reload`.
    Reload,
    /// `AddPort`: name, and keys with their values.
    AddPort(String, BTreeMap<String, Value>),
    /// `DeletePort`.
    DeletePort(String),
    /// `Explain`: port, and bytes of the frame.
    Explain(String, Vec<u8>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPort {
    #[serde(default)]
    port: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPort {
    port: String,
    change: PortChange,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteFdb {
    mac: String,
    #[serde(default)]
    port: Option<String>,
    #[serde(default)]
    vlan: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteVlan {
    port: String,
    vid: u16,
    #[serde(default)]
    last: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlushFdb {
    #[serde(default)]
    port: Option<String>,
    #[serde(default)]
    kind: Option<EntryKind>,
    #[serde(default)]
    vlan: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowDroppedFrames {
    #[serde(default)]
    port: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddPort {
    port: String,
    options: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletePort {
    port: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    port: String,
    frame: String,
}

impl Call {
    /// The names of all methods.
    pub const METHODS: &[&str] = &[
        "GetVersion",
        "ShowBridge",
        "SetBridge",
        "ShowPorts",
        "SetPort",
        "ShowFdb",
        "AddFdb",
        "ReplaceFdb",
        "DeleteFdb",
        "FlushFdb",
        "ShowVlans",
        "AddVlan",
        "SetVlan",
        "DeleteVlan",
        "ShowDrops",
        "ShowDroppedFrames",
        "Explain",
        "ShowTalkers",
        "ShowMirrors",
        "Monitor",
        "Capture",
        "ShowConfig",
        "DiffConfig",
        "Reload",
        "AddPort",
        "DeletePort",
    ];

    /// Reads a request.
    ///
    /// # Errors
    /// There is no such method, or its parameters are others.
    pub fn read(method: &str, parameters: Option<Value>) -> Result<Self, CallError> {
        let (interface, name) = method.rsplit_once('.').unwrap_or(("", method));
        if interface != INTERFACE {
            return Err(CallError::InterfaceNotFound(interface.to_owned()));
        }
        Ok(match name {
            "GetVersion" => read(parameters, |Nothing {}| Self::GetVersion)?,
            "ShowBridge" => read(parameters, |Nothing {}| Self::ShowBridge)?,
            "SetBridge" => read(parameters, Self::SetBridge)?,
            "ShowPorts" => read(parameters, |OfPort { port }| Self::ShowPorts(port))?,
            "SetPort" => read(parameters, |SetPort { port, change }| Self::SetPort(port, Box::new(change)))?,
            "ShowFdb" => read(parameters, Self::ShowFdb)?,
            "AddFdb" => read(parameters, Self::AddFdb)?,
            "ReplaceFdb" => read(parameters, Self::ReplaceFdb)?,
            "DeleteFdb" => {
                read(parameters, |DeleteFdb { mac, port, vlan }| Self::DeleteFdb(mac, port, vlan))?
            }
            "ShowVlans" => read(parameters, |OfPort { port }| Self::ShowVlans(port))?,
            "AddVlan" => read(parameters, Self::AddVlan)?,
            "SetVlan" => read(parameters, Self::SetVlan)?,
            "DeleteVlan" => read(parameters, |DeleteVlan { port, vid, last }| {
                Self::DeleteVlan(port, vid, last.unwrap_or(vid))
            })?,
            "FlushFdb" => read(parameters, |FlushFdb { port, kind, vlan }| Self::FlushFdb(port, kind, vlan))?,
            "ShowDrops" => read(parameters, |OfPort { port }| Self::ShowDrops(port))?,
            "ShowDroppedFrames" => {
                read(parameters, |ShowDroppedFrames { port, reason }| Self::ShowDroppedFrames(port, reason))?
            }
            "ShowTalkers" => read(parameters, |Nothing {}| Self::ShowTalkers)?,
            "ShowMirrors" => read(parameters, |Nothing {}| Self::ShowMirrors)?,
            "Monitor" => read(parameters, |Nothing {}| Self::Monitor)?,
            "Capture" => read(parameters, Self::Capture)?,
            "ShowConfig" => read(parameters, |Nothing {}| Self::ShowConfig)?,
            "DiffConfig" => read(parameters, |Nothing {}| Self::DiffConfig)?,
            "Reload" => read(parameters, |Nothing {}| Self::Reload)?,
            "AddPort" => read(parameters, |AddPort { port, options }| Self::AddPort(port, options))?,
            "DeletePort" => read(parameters, |DeletePort { port }| Self::DeletePort(port))?,
            "Explain" => {
                let mut frame = None;
                let call = read(parameters, |Explain { port, frame: text }| {
                    frame = hex::bytes(&text);
                    Self::Explain(port, frame.clone().unwrap_or_default())
                })?;
                if frame.is_none() {
                    let message = "frame: two hexadecimal digits for each byte".to_owned();
                    return Err(CallError::InvalidParameter(message));
                }
                call
            }
            _ => return Err(CallError::MethodNotFound(method.to_owned())),
        })
    }

    /// Whether the connection carries something else than varlink behind the reply.
    #[must_use]
    pub fn upgrades(&self) -> bool {
        matches!(self, Self::Capture(_))
    }

    /// Whether only an administrator may call it: it changes something, or shows what stations say.
    #[must_use]
    pub fn is_administrative(&self) -> bool {
        match self {
            Self::GetVersion
            | Self::ShowBridge
            | Self::ShowPorts(_)
            | Self::ShowFdb(_)
            | Self::ShowVlans(_)
            | Self::ShowDrops(_)
            | Self::ShowMirrors
            | Self::ShowTalkers
            | Self::Monitor
            | Self::ShowConfig
            | Self::Explain(..) => false,
            // It reads a file that not everybody may.
            Self::DiffConfig | Self::Reload | Self::AddPort(..) | Self::DeletePort(_) => true,
            Self::ShowDroppedFrames(..)
            | Self::Capture(_)
            | Self::SetBridge(_)
            | Self::AddVlan(_)
            | Self::SetVlan(_)
            | Self::DeleteVlan(..)
            | Self::SetPort(..)
            | Self::AddFdb(_)
            | Self::ReplaceFdb(_)
            | Self::DeleteFdb(..)
            | Self::FlushFdb(..) => true,
        }
    }
}

fn read<P: DeserializeOwned>(
    parameters: Option<Value>,
    make: impl FnOnce(P) -> Call,
) -> Result<Call, CallError> {
    let parameters = parameters.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if !parameters.is_object() {
        return Err(CallError::InvalidParameter("the parameters are no object".to_owned()));
    }
    match serde_json::from_value(parameters) {
        Ok(parameters) => Ok(make(parameters)),
        Err(error) => Err(CallError::InvalidParameter(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_methods_are_those_of_the_description() {
        assert!(crate::DESCRIPTION.contains(&format!("\ninterface {INTERFACE}\n")));
        let lines = crate::DESCRIPTION.lines();
        let mut described: Vec<&str> =
            lines.filter_map(|line| line.strip_prefix("method ")?.split('(').next()).collect();
        let mut known = Call::METHODS.to_vec();
        described.sort_unstable();
        known.sort_unstable();
        assert_eq!(described, known);
        for name in known {
            let read = Call::read(&format!("io.switchd.{name}"), None);
            assert!(!matches!(read, Err(CallError::MethodNotFound(_))), "{name}: {read:?}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let change = json!({"port": "a", "change": {"flood": false, "state": "learning"}});
        let expected = PortChange {
            flood: Some(false),
            state: Some(crate::types::PortState::Learning),
            ..PortChange::default()
        };
        assert_eq!(
            Call::read("io.switchd.SetPort", Some(change)),
            Ok(Call::SetPort("a".into(), Box::new(expected)))
        );
        for (method, parameters) in [
            ("SetPort", json!({"port": "a"})),
            ("SetPort", json!({"port": "a", "change": {"hairy": true}})),
            ("SetPort", json!({"port": "a", "change": {"group_fwd_mask": 65536}})),
            ("ShowFdb", json!({"kind": "unknown"})),
            ("GetVersion", json!({"of": "what"})),
            ("ShowPorts", json!([])),
        ] {
            let read = Call::read(&format!("io.switchd.{method}"), Some(parameters.clone()));
            assert!(matches!(read, Err(CallError::InvalidParameter(_))), "{parameters}: {read:?}");
        }
        assert!(matches!(Call::read("io.switchd.Fly", None), Err(CallError::MethodNotFound(_))));
        assert!(matches!(Call::read("org.example.Fly", None), Err(CallError::InterfaceNotFound(_))));
        assert!(matches!(Call::read("Fly", None), Err(CallError::InterfaceNotFound(_))));
    }
}
