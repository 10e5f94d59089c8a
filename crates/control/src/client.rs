//! The other end of the socket: one connection, one call at a time, each answered before the next.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use varlink::sansio::serialize_request;

use crate::capture::Capture;
use crate::error::CallError;
use crate::types::{
    Bridge, BridgeChange, CaptureOptions, Changes, DropReason, DroppedFrame, EntryKind, Event, Explanation,
    FdbEntry, FdbFilter, Mirror, NewFdbEntry, NewVlans, Port, PortChange, Talker, Version, Vlan, VlanChange,
};
use crate::{INTERFACE, SOCKET, hex};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest reply that is believed, in bytes.
const MAX_REPLY: usize = 64 << 20;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("can't reach {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to switchd broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is not what the interface says: another version, or no switchd.
    #[error("this is not an answer of the interface io.switchd: {0}")]
    Strange(String),
    /// The call was refused.
    #[error(transparent)]
    Refused(#[from] CallError),
}

/// A connection to a running switch.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects to the socket of the bridge of that name, below `/run/switchd`.
    ///
    /// # Errors
    /// Nobody listens there, or the user may not.
    pub fn of_bridge(name: &str) -> Result<Self, ClientError> {
        Self::connect(&Path::new("/run/switchd").join(name).join(SOCKET))
    }

    /// Connects to a socket.
    ///
    /// # Errors
    /// Nobody listens there, or the user may not.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path)
            .map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// What runs there.
    ///
    /// # Errors
    /// As all calls: a [`ClientError`] says whether the connection or the switch failed it.
    pub fn version(&mut self) -> Result<Version, ClientError> {
        self.call("GetVersion", &json!({}))
    }

    /// The bridge as a whole.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_bridge(&mut self) -> Result<Bridge, ClientError> {
        self.field("ShowBridge", &json!({}), "bridge")
    }

    /// Changes settings of the bridge.
    ///
    /// # Errors
    /// As all calls.
    pub fn set_bridge(&mut self, change: &BridgeChange) -> Result<(), ClientError> {
        self.done("SetBridge", change)
    }

    /// One port, or all.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_ports(&mut self, port: Option<&str>) -> Result<Vec<Port>, ClientError> {
        self.field("ShowPorts", &json!({ "port": port }), "ports")
    }

    /// One port.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_port(&mut self, port: &str) -> Result<Port, ClientError> {
        let ports = self.show_ports(Some(port))?;
        ports.into_iter().next().ok_or_else(|| ClientError::Strange("no port".to_owned()))
    }

    /// Changes settings of a port.
    ///
    /// # Errors
    /// As all calls.
    pub fn set_port(&mut self, port: &str, change: &PortChange) -> Result<(), ClientError> {
        self.done("SetPort", &json!({ "port": port, "change": change }))
    }

    /// The entries that fit, in order of their addresses.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_fdb(&mut self, filter: &FdbFilter) -> Result<Vec<FdbEntry>, ClientError> {
        let mut entries = Vec::new();
        self.call_more("ShowFdb", filter, |mut part| {
            let part = part.get_mut("entries").map(Value::take).unwrap_or_default();
            entries.extend(serde_json::from_value::<Vec<FdbEntry>>(part)?);
            Ok(())
        })?;
        entries.sort_unstable();
        Ok(entries)
    }

    /// Makes an entry for an address that has none.
    ///
    /// # Errors
    /// As all calls.
    pub fn add_fdb(&mut self, entry: &NewFdbEntry) -> Result<(), ClientError> {
        self.done("AddFdb", entry)
    }

    /// Makes an entry in place of what there is.
    ///
    /// # Errors
    /// As all calls.
    pub fn replace_fdb(&mut self, entry: &NewFdbEntry) -> Result<(), ClientError> {
        self.done("ReplaceFdb", entry)
    }

    /// Removes an entry; a blackhole has no port.
    ///
    /// # Errors
    /// As all calls.
    pub fn delete_fdb(&mut self, mac: &str, port: Option<&str>) -> Result<(), ClientError> {
        self.delete_fdb_in(mac, port, None)
    }

    /// The VLANs of one port, or of all.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_vlans(&mut self, port: Option<&str>) -> Result<Vec<Vlan>, ClientError> {
        self.field("ShowVlans", &json!({ "port": port }), "vlans")
    }

    /// Makes a port a member of VLANs.
    ///
    /// # Errors
    /// As all calls.
    pub fn add_vlans(&mut self, vlans: &NewVlans) -> Result<(), ClientError> {
        self.done("AddVlan", vlans)
    }

    /// Sets what a port does with the frames of VLANs that it is in.
    ///
    /// # Errors
    /// As all calls.
    pub fn set_vlans(&mut self, change: &VlanChange) -> Result<(), ClientError> {
        self.done("SetVlan", change)
    }

    /// Takes a port out of the VLANs from `vid` to `last`.
    ///
    /// # Errors
    /// As all calls.
    pub fn delete_vlans(&mut self, port: &str, vid: u16, last: u16) -> Result<(), ClientError> {
        self.done("DeleteVlan", &json!({ "port": port, "vid": vid, "last": last }))
    }

    /// Removes an entry in one VLAN, or in all of the port.
    ///
    /// # Errors
    /// As all calls.
    pub fn delete_fdb_in(
        &mut self,
        mac: &str,
        port: Option<&str>,
        vlan: Option<u16>,
    ) -> Result<(), ClientError> {
        self.done("DeleteFdb", &json!({ "mac": mac, "port": port, "vlan": vlan }))
    }

    /// Removes the entries of one port or all, of one kind or those that age, in one VLAN or all; says how many.
    ///
    /// # Errors
    /// As all calls.
    pub fn flush_fdb(
        &mut self,
        port: Option<&str>,
        kind: Option<EntryKind>,
        vlan: Option<u16>,
    ) -> Result<u64, ClientError> {
        self.field("FlushFdb", &json!({ "port": port, "kind": kind, "vlan": vlan }), "removed")
    }

    /// The reasons for which frames were dropped, at one port or all.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_drops(&mut self, port: Option<&str>) -> Result<Vec<DropReason>, ClientError> {
        self.field("ShowDrops", &json!({ "port": port }), "drops")
    }

    /// The last frames that were dropped, newest first: at one port or all, for one reason or all.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_dropped_frames(
        &mut self,
        port: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Vec<DroppedFrame>, ClientError> {
        self.field("ShowDroppedFrames", &json!({ "port": port, "reason": reason }), "frames")
    }

    /// Who has sent of late, whoever sent most first; asked again within ten seconds, since the first time.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_talkers(&mut self) -> Result<Vec<Talker>, ClientError> {
        self.field("ShowTalkers", &json!({}), "talkers")
    }

    /// The mirrors.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_mirrors(&mut self) -> Result<Vec<Mirror>, ClientError> {
        self.field("ShowMirrors", &json!({}), "mirrors")
    }

    /// Hands over what happens, as it happens, until the connection ends or `each` has enough; the first call
    /// comes at once, without an event, when it begins.
    ///
    /// # Errors
    /// As all calls; the switch ends.
    pub fn monitor(mut self, mut each: impl FnMut(Vec<Event>) -> bool) -> Result<(), ClientError> {
        self.send("Monitor", &json!({}), true)?;
        // Nothing may happen for long.
        self.stream.set_read_timeout(None)?;
        loop {
            let (mut reply, _) = self.reply()?;
            let events = reply.get_mut("events").map(Value::take).unwrap_or_default();
            let events =
                serde_json::from_value(events).map_err(|error| ClientError::Strange(error.to_string()))?;
            if !each(events) {
                return Ok(());
            }
        }
    }

    /// Begins to capture frames, which come as a pcapng stream.
    ///
    /// # Errors
    /// As all calls; there are as many captures as there may be.
    pub fn capture(mut self, options: &CaptureOptions) -> Result<Capture, ClientError> {
        self.send_as("Capture", options, |request| request.upgrade = Some(true))?;
        let (mut reply, _) = self.reply()?;
        let ports = reply.get_mut("ports").map(Value::take).unwrap_or_default();
        let ports = serde_json::from_value(ports).map_err(|error| ClientError::Strange(error.to_string()))?;
        // No frame may pass for long.
        self.stream.set_read_timeout(None)?;
        Ok(Capture::new(ports, self.stream, self.received))
    }

    /// The configuration that runs, as the text of a file.
    ///
    /// # Errors
    /// As all calls.
    pub fn show_config(&mut self) -> Result<String, ClientError> {
        self.field("ShowConfig", &json!({}), "config")
    }

    /// What a reload would do.
    ///
    /// # Errors
    /// As all calls; the configuration is wrong.
    pub fn diff_config(&mut self) -> Result<Changes, ClientError> {
        self.call("DiffConfig", &json!({}))
    }

    /// Reads the configuration again and does what has changed.
    ///
    /// # Errors
    /// As all calls; the configuration is wrong, and nothing was changed.
    pub fn reload(&mut self) -> Result<Changes, ClientError> {
        self.call("Reload", &json!({}))
    }

    /// Adds a port with these keys of a configuration, until the next reload.
    ///
    /// # Errors
    /// As all calls.
    pub fn add_port(&mut self, port: &str, options: &BTreeMap<String, Value>) -> Result<(), ClientError> {
        self.done("AddPort", &json!({ "port": port, "options": options }))
    }

    /// Takes a port away, until the next reload.
    ///
    /// # Errors
    /// As all calls.
    pub fn delete_port(&mut self, port: &str) -> Result<(), ClientError> {
        self.done("DeletePort", &json!({ "port": port }))
    }

    /// What would become of a frame that came in on a port.
    ///
    /// # Errors
    /// As all calls.
    pub fn explain(&mut self, port: &str, frame: &[u8]) -> Result<Explanation, ClientError> {
        self.field("Explain", &json!({ "port": port, "frame": hex::text(frame) }), "explanation")
    }

    /// Calls any method of the interface.
    ///
    /// # Errors
    /// As all calls.
    pub fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
    ) -> Result<R, ClientError> {
        self.send(method, parameters, false)?;
        let (reply, _) = self.reply()?;
        serde_json::from_value(reply).map_err(|error| ClientError::Strange(error.to_string()))
    }

    /// Calls a method that answers in several parts, and hands over each.
    ///
    /// # Errors
    /// As all calls.
    pub fn call_more(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        mut each: impl FnMut(Value) -> serde_json::Result<()>,
    ) -> Result<(), ClientError> {
        self.send(method, parameters, true)?;
        loop {
            let (part, continues) = self.reply()?;
            each(part).map_err(|error| ClientError::Strange(error.to_string()))?;
            if !continues {
                return Ok(());
            }
        }
    }

    fn field<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        field: &str,
    ) -> Result<R, ClientError> {
        let mut reply: Value = self.call(method, parameters)?;
        let value = reply.get_mut(field).map(Value::take).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| ClientError::Strange(format!("{field}: {error}")))
    }

    fn done(&mut self, method: &str, parameters: &impl Serialize) -> Result<(), ClientError> {
        self.call::<Value>(method, parameters).map(|_| ())
    }

    fn send(&mut self, method: &str, parameters: &impl Serialize, more: bool) -> Result<(), ClientError> {
        self.send_as(method, parameters, |request| request.more = more.then_some(true))
    }

    fn send_as(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        form: impl FnOnce(&mut varlink::Request<'_>),
    ) -> Result<(), ClientError> {
        let strange = |error: String| ClientError::Strange(error);
        let parameters = serde_json::to_value(parameters).map_err(|error| strange(error.to_string()))?;
        let mut request = varlink::Request::create(format!("{INTERFACE}.{method}"), Some(parameters));
        form(&mut request);
        let message = serialize_request(&request).map_err(|error| strange(error.to_string()))?;
        self.stream.write_all(&message)?;
        Ok(())
    }

    /// The next reply, and whether more follow.
    fn reply(&mut self) -> Result<(Value, bool), ClientError> {
        let message = self.message()?;
        let reply: varlink::Reply =
            serde_json::from_slice(&message).map_err(|error| ClientError::Strange(error.to_string()))?;
        let parameters = reply.parameters.unwrap_or_else(|| json!({}));
        match reply.error {
            Some(error) => Err(CallError::from_wire(&error, &parameters).into()),
            None => Ok((parameters, reply.continues.unwrap_or(false))),
        }
    }

    fn message(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut scanned = 0;
        let mut buffer = [0; 64 * 1024];
        loop {
            let rest = self.received.get(scanned..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == 0) {
                let end = scanned + end;
                let after = self.received.split_off(end + 1);
                let mut message = std::mem::replace(&mut self.received, after);
                message.truncate(end);
                return Ok(message);
            }
            scanned = self.received.len();
            if scanned > MAX_REPLY {
                return Err(ClientError::Strange(format!("a reply of more than {MAX_REPLY} bytes")));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
