//! Answers to the calls of the control interface. Each is made of what control knows and of what the
//! worker is asked; nothing here waits for a client.

mod bridge;
mod capture;
mod config;
mod drops;
mod explain;
mod fdb;
mod mirror;
mod port;
mod talkers;
mod vlan;

pub(crate) use bridge::{settings_with as bridge_settings_with, shown_protocol};
pub(crate) use fdb::shown_kind;
pub(crate) use port::{core_state, settings_with, shown_state};

use ::bridge::PortId;
use control::types::Version;
use control::{Answer, Call, CallError, Handler};
use serde::Serialize;
use serde_json::{Value, json};

use crate::attachment::Attachment;
use crate::control::Control;
use crate::to_workers::NoAnswer;

impl Handler for Control {
    fn call(&mut self, call: Call) -> Answer {
        let streams = matches!(call, Call::ShowFdb(_) | Call::Monitor | Call::Explain(..));
        let answer = self.answer(call);
        if !streams {
            // Before anybody sees it: no counter is ever seen to run backwards, and no setting that was answered
            // for is forgotten, whatever ends this process.
            self.look();
        }
        answer
    }
}

impl Control {
    fn answer(&mut self, call: Call) -> Answer {
        Answer::Reply(match call {
            Call::GetVersion => value(Version {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                bridge: self.config.bridge.name.clone(),
                pid: std::process::id(),
            }),
            Call::ShowBridge => self.show_bridge().and_then(|bridge| field("bridge", bridge)),
            Call::SetBridge(change) => self.set_bridge(change).and_then(value),
            Call::ShowPorts(port) => self.show_ports(port.as_deref()).and_then(|ports| field("ports", ports)),
            Call::SetPort(port, change) => self.set_port(&port, &change).and_then(value),
            Call::ShowFdb(filter) => match self.show_fdb(&filter) {
                Ok(entries) => return Answer::Stream(entries),
                Err(error) => Err(error),
            },
            Call::AddFdb(entry) => self.make_entry(&entry, false).and_then(value),
            Call::ReplaceFdb(entry) => self.make_entry(&entry, true).and_then(value),
            Call::DeleteFdb(mac, port, vlan) => {
                self.delete_entry(&mac, vlan, port.as_deref()).and_then(value)
            }
            Call::ShowVlans(port) => self.show_vlans(port.as_deref()).and_then(|vlans| field("vlans", vlans)),
            Call::AddVlan(vlans) => self.add_vlans(&vlans).and_then(value),
            Call::SetVlan(change) => self.set_vlans(&change).and_then(value),
            Call::DeleteVlan(port, vid, last) => self.delete_vlans(&port, vid, last).and_then(value),
            Call::FlushFdb(port, kind, vlan) => {
                self.flush_fdb(port.as_deref(), kind, vlan).and_then(|removed| field("removed", removed))
            }
            Call::ShowDrops(port) => self.show_drops(port.as_deref()).and_then(|drops| field("drops", drops)),
            Call::ShowTalkers => self.show_talkers().and_then(|talkers| field("talkers", talkers)),
            Call::ShowMirrors => self.show_mirrors().and_then(|mirrors| field("mirrors", mirrors)),
            Call::ShowDroppedFrames(port, reason) => {
                let frames = self.show_dropped_frames(port.as_deref(), reason.as_deref());
                frames.and_then(|frames| field("frames", frames))
            }
            Call::Monitor => return Answer::Watch,
            Call::Capture(options) => match self.capture(&options) {
                Ok(answer) => return answer,
                Err(error) => Err(error),
            },
            Call::ShowConfig => self.show_config().and_then(|config| field("config", config)),
            Call::DiffConfig => self.diff_config().and_then(value),
            Call::Reload => self.reload_config().and_then(value),
            Call::AddPort(port, options) => self.add_port(&port, options).and_then(value),
            Call::DeletePort(port) => self.delete_port(&port).and_then(value),
            Call::Explain(port, frame) => {
                self.explain(&port, frame).and_then(|explanation| field("explanation", explanation))
            }
        })
    }
}

/// Nothing as an empty object, all else as it is.
fn value(reply: impl Serialize) -> Result<Value, CallError> {
    match serde_json::to_value(reply) {
        Ok(Value::Null) => Ok(json!({})),
        Ok(value) => Ok(value),
        // Only a map without texts as keys or a failing Serialize, of which there is none.
        Err(error) => Err(CallError::Other(error.to_string())),
    }
}

fn field(name: &str, reply: impl Serialize) -> Result<Value, CallError> {
    value(reply).map(|reply| json!({ name: reply }))
}

/// A change as `key value` for each thing that it changes.
fn words(change: &impl Serialize) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(change) else { return String::new() };
    let words: Vec<_> = fields.iter().map(|(key, value)| format!("{key} {value}")).collect();
    words.join(", ")
}

fn no_answer(error: NoAnswer) -> CallError {
    CallError::NoAnswer(error.to_string())
}

impl Control {
    /// The place of the port of that name.
    fn index_of(&self, name: &str) -> Result<usize, CallError> {
        self.attachments.iter().position(|attachment| attachment.config.name == name).ok_or_else(|| {
            let names: Vec<_> = self.attachments.iter().map(|port| port.config.name.as_str()).collect();
            let message = format!("there is no port {name}; the ports are {}", names.join(", "));
            CallError::NoSuchPort { port: name.to_owned(), message }
        })
    }

    fn port_of(&self, name: &str) -> Result<&Attachment, CallError> {
        Ok(&self.attachments[self.index_of(name)?])
    }

    /// The number of a port that is named, if one is.
    fn id_of(&self, name: Option<&str>) -> Result<Option<PortId>, CallError> {
        name.map(|name| self.port_of(name).map(|port| port.id)).transpose()
    }

    /// The place of a port that has a device: what is set at run time belongs to that.
    fn steerable(&self, name: &str) -> Result<usize, CallError> {
        let index = self.index_of(name)?;
        let attachment = &self.attachments[index];
        if attachment.held.is_some() {
            return Ok(index);
        }
        Err(CallError::Refused(format!(
            "port {name} waits for its device {}, to which settings made at run time belong: \
             set it once the device is there, or in the configuration",
            attachment.config.device
        )))
    }
}
