//! Frames in and out of a device by hand, as bytes.
//!
//! A packet socket gives a frame without its outer VLAN tag; where tags matter, read them with
//! [`Capture`](crate::Capture). Sending with tags in line works.

use std::fmt;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use pnet::datalink::{self, Channel, DataLinkReceiver, DataLinkSender};

use crate::Namespace;

/// How long one look for a frame takes.
const LOOK: Duration = Duration::from_millis(20);

/// A packet socket on a device of a namespace, promiscuous.
pub struct FrameSocket {
    device: String,
    own: Option<[u8; 6]>,
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
}

impl FrameSocket {
    /// Opens it. Frames that arrive from now on are kept for [`FrameSocket::receive`].
    ///
    /// # Errors
    /// There is no such device.
    pub fn open(namespace: &Namespace, device: &str) -> Result<Self> {
        namespace.enter(|| {
            let interface = datalink::interfaces().into_iter().find(|interface| interface.name == device);
            let interface = interface.with_context(|| format!("{}: no device {device}", namespace.name()))?;
            let config = datalink::Config {
                read_buffer_size: 1 << 17,
                write_buffer_size: 1 << 17,
                read_timeout: Some(LOOK),
                ..datalink::Config::default()
            };
            let own = interface.mac.map(|mac| mac.octets());
            match datalink::channel(&interface, config) {
                Ok(Channel::Ethernet(sender, receiver)) => {
                    Ok(Self { device: device.into(), own, sender, receiver })
                }
                Ok(_) => bail!("{device}: not an Ethernet channel"),
                Err(error) => Err(error).with_context(|| format!("can't open a packet socket on {device}")),
            }
        })?
    }

    /// Sends one frame, from its destination address on.
    ///
    /// # Errors
    /// The device is down, or the frame longer than it takes.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let sent = self.sender.send_to(frame, None);
        sent.unwrap_or_else(|| Err(ErrorKind::InvalidInput.into()))
            .with_context(|| format!("sending {} bytes on {}", frame.len(), self.device))
    }

    /// The next frame that comes in on the device. What its own host sends is not shown: frames from the
    /// device's own MAC address are passed over.
    ///
    /// # Errors
    /// None came within `timeout`.
    pub fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.receive_where(timeout, |_| true)
    }

    /// The next frame that comes in for which `wanted` holds; others are passed over.
    ///
    /// # Errors
    /// None came within `timeout`.
    pub fn receive_where(&mut self, timeout: Duration, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.receiver.next() {
                Ok(frame)
                    if frame.get(6..12) != self.own.as_ref().map(<[u8; 6]>::as_slice) && wanted(frame) =>
                {
                    return Ok(frame.to_vec());
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => return Err(error).with_context(|| self.device.clone()),
            }
            if Instant::now() >= deadline {
                return Err(anyhow!("no such frame came in on {} within {timeout:?}", self.device));
            }
        }
    }
}

impl fmt::Debug for FrameSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSocket").field("device", &self.device).finish_non_exhaustive()
    }
}
