//! The slow reference model of `crates/bridge`'s own tests as a subject: another way to say the same rules, to
//! which tags are payload.

use anyhow::Result;
use bridge::{LocalKind, PortSettings};
use frame::MacAddr;

use crate::core::{bridge_settings, changed_bridge, changed_port, end, id, new_entry, port_of};
use crate::generator::{HOST_MAC, MTU};
use crate::step::{End, Entry, Step, Tags};
use crate::subject::{Subject, View};
use reference::Model as Reference;

#[path = "../../bridge/tests/reference/mod.rs"]
#[allow(dead_code, missing_docs, reason = "the tests of crates/bridge use the rest")]
mod reference;

/// The model, and what came out of it.
#[derive(Debug)]
pub struct Model {
    model: Reference,
    frames: Vec<(End, Vec<u8>)>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// A new bridge with all ports, their links up.
    #[must_use]
    pub fn new() -> Self {
        let mut model = Reference::new(bridge_settings(Tags::Opaque));
        model.now = 1_000_000;
        for end in End::all() {
            let settings = if end == End::Host { PortSettings::host() } else { PortSettings::default() };
            let _ = model.add_port(settings);
            model.set_link(id(end).0, true);
            let mtu = (end != End::Host).then_some(MTU);
            model.ports.entry(id(end).0).and_modify(|port| port.mtu = mtu);
        }
        model.set_local(id(End::Host).0, Some(HOST_MAC), LocalKind::HostPort);
        Self { model, frames: Vec::new() }
    }

    fn set(&mut self, step: &Step) -> bool {
        if let Some(settings) = changed_bridge(self.model.settings, step) {
            return self.model.set_settings(settings).is_ok();
        }
        let Some(port) = port_of(step).map(|end| id(end).0) else { return true };
        let before = self.model.ports.get(&port).map(|port| port.settings).unwrap_or_default();
        let after = changed_port(before, step).unwrap_or(before);
        self.model.set_port(port, after).is_ok()
    }

    fn forward(&mut self, from: End, bytes: &[u8]) {
        let address = |at: usize| bytes.get(at..at + 6).and_then(|six| six.try_into().ok()).map(MacAddr);
        let (Some(to), Some(source)) = (address(0), address(6)) else { return };
        // What the MTU judges: the outer tag does not count.
        let tagged = matches!(bytes.get(12..14), Some([0x81, 0] | [0x88, 0xa8])) && bytes.len() >= 18;
        let len = bytes.len() - if tagged { 4 } else { 0 };
        let targets = self.model.forward(id(from).0, to, source, len);
        self.frames.extend(targets.into_iter().map(|port| (end(bridge::PortId(port)), bytes.to_vec())));
    }
}

impl Subject for Model {
    fn name(&self) -> &'static str {
        "model"
    }

    fn apply(&mut self, step: &Step) -> Result<bool> {
        self.frames.clear();
        Ok(match step {
            Step::Frame { from, bytes } => {
                self.forward(*from, bytes);
                true
            }
            Step::Entry { mac, port, kind, replace, .. } => match new_entry(*kind, *port) {
                Some(new) => self.model.add_entry(*mac, new, *replace).is_ok(),
                None => false,
            },
            Step::Delete { mac, port, .. } => self.model.remove_entry(*mac, Some(id(*port))).is_ok(),
            Step::Flush { port, kind } => {
                self.model.flush(port.map(|port| id(End::Port(port)).0), *kind);
                true
            }
            Step::Link { port, up } => {
                self.model.set_link(id(End::Port(*port)).0, *up);
                true
            }
            Step::Mtu { port, mtu } => {
                let port = id(End::Port(*port)).0;
                self.model.ports.entry(port).and_modify(|port| port.mtu = Some(*mtu));
                true
            }
            Step::Wait { ms } => {
                self.model.now += ms;
                self.model.tick();
                true
            }
            _ => self.set(step),
        })
    }

    fn view(&mut self) -> Result<View> {
        let mut view = View { frames: std::mem::take(&mut self.frames), ..View::default() };
        for entry in self.model.fdb() {
            let port = entry.port.map_or(End::Host, end);
            view.fdb.push(Entry { mac: entry.mac, port, kind: entry.kind, vlan: None });
            view.ages.extend(entry.updated.map(|updated| (entry.mac, self.model.now - updated.0)));
        }
        view.fdb.sort_unstable();
        view.frames.sort_unstable();
        Ok(view)
    }
}
