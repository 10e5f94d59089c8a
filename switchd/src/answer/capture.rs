//! Captures: begun here, written by the forwarding thread, and sent over the connection that asked for them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bridge::PortId;
use control::types::{CaptureOptions, Direction};
use control::{Answer, CallError, pcapng};
use rtrb::RingBuffer;
use serde_json::json;
use tracing::info;

use crate::answer::no_answer;
use crate::captures::{Capture, CaptureFeed, Filter, MAX_CAPTURES, Rings};
use crate::command::Command;
use crate::control::Control;

/// Bytes that wait for a client at most.
const ROOM: usize = 4 << 20;

/// So much of a frame is captured where nobody says how much: all of it.
const SNAPLEN: u32 = 262_144;

impl Control {
    /// Begins a capture.
    pub(super) fn capture(&mut self, options: &CaptureOptions) -> Result<Answer, CallError> {
        for name in &options.ports {
            self.port_of(name)?;
        }
        if options.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) {
            return Err(CallError::Refused("VLANs are 1 to 4094".to_owned()));
        }
        if self.captures.count() >= MAX_CAPTURES {
            let message = format!("there are {MAX_CAPTURES} captures already: end one of them first");
            return Err(CallError::Refused(message));
        }
        let snaplen = options.snaplen.filter(|snaplen| *snaplen > 0).unwrap_or(SNAPLEN).min(SNAPLEN);
        let wanted = |name: &String| options.ports.is_empty() || options.ports.contains(name);
        let ports = self.attachments.iter().filter(|port| wanted(&port.config.name));
        let (ids, names): (Vec<PortId>, Vec<&str>) =
            ports.map(|port| (port.id, port.config.name.as_str())).unzip();
        let mut before = pcapng::section(concat!("switchd ", env!("CARGO_PKG_VERSION")));
        before.extend(names.iter().flat_map(|name| pcapng::interface(name, snaplen)));
        let reply = json!({ "ports": names });
        info!(ports = names.join(" "), "a capture has begun");

        let filter = Filter {
            incoming: options.direction != Direction::Out,
            outgoing: options.direction != Direction::In,
            drops: options.drops,
            vlan: options.vlan,
            snaplen,
        };
        let (id, desk) = self.captures.begin(&options.ports, snaplen);
        let waits = Arc::new(AtomicBool::new(true));
        let mut rings = Vec::new();
        let begun = self.workers.hear(|begun| {
            let (to_ring, ring) = RingBuffer::new(ROOM);
            rings.push(ring);
            let capture = Capture::new(id, filter, &ids, to_ring, Arc::clone(&waits));
            Command::Capture(Box::new(capture), begun)
        });
        // From now on nothing is missed.
        begun.map_err(no_answer)?;
        let (workers, rings) = (self.workers.clone(), Rings::new(rings));
        let feed = CaptureFeed { id, workers, before, after: Vec::new(), rings, waits, desk, stopped: false };
        Ok(Answer::Upgrade(reply, Box::new(feed)))
    }
}
