//! From a port of the configuration to an open device: the one place that knows every kind of port.

use anyhow::{Context, bail};
use config::{Owner, PortConfig, PortKind, RawConfig, TapConfig};
use ports::device::{self, Device, DeviceError};
use ports::raw::{self, RawOptions};
use ports::tap::{self, TapOptions};
use ports::{RxQueue, TxQueue};

use crate::attachment::Held;
use crate::run_dir::RunDir;

/// What our raw sockets mark frames with, by which the rules of an exclusive port know them.
const MARK: u32 = 0x5377_0001;

/// Forces the 10-byte offload header on raw ports, as on kernels before 6.2. For tests.
const SHORT_HEADER: &str = "SWITCHD_SHORT_HEADER";

/// A device that is ready to be driven.
pub(crate) struct Opened {
    pub(crate) rx: Box<dyn RxQueue>,
    pub(crate) tx: Box<dyn TxQueue>,
    pub(crate) held: Held,
}

/// Opens devices, and puts back what that changed on them.
pub(crate) struct Opener {
    short_header: bool,
}

impl Opener {
    /// # Errors
    /// If what an earlier process left to be put back can't be read.
    pub(crate) fn new(_run_dir: &RunDir) -> anyhow::Result<Self> {
        Ok(Self { short_header: std::env::var_os(SHORT_HEADER).is_some() })
    }

    /// Opens the device of a port; `None` if there is no such interface yet.
    ///
    /// # Errors
    /// Why the device can't be a port, and what to do.
    pub(crate) fn open(&mut self, port: &PortConfig) -> anyhow::Result<Option<Opened>> {
        match &port.kind {
            PortKind::Tap(options) => self.open_tap(port, options).map(Some),
            PortKind::Raw(options) => self.open_raw(port, options),
        }
    }

    fn open_tap(&mut self, port: &PortConfig, options: &TapConfig) -> anyhow::Result<Opened> {
        let name = &port.device;
        if let Some(before) = present(name)? {
            before.usable()?;
        }
        let tap = tap::open(&TapOptions {
            device: name.clone(),
            offload: options.offload,
            persist: options.persist,
            owner: options.owner.as_ref().map(uid_of).transpose()?,
        })?;
        let device = device::find(name)?;
        let held = Held {
            ifindex: device.ifindex,
            mac: device.mac,
            mtu: options.mtu.unwrap_or(device.mtu),
            up: options.up || device.up,
            exclusive: false,
            tap: Some(tap.handle),
            moved: false,
        };
        Ok(Opened { rx: Box::new(tap.rx), tx: Box::new(tap.tx), held })
    }

    fn open_raw(&mut self, port: &PortConfig, options: &RawConfig) -> anyhow::Result<Option<Opened>> {
        let Some(device) = present(&port.device)? else { return Ok(None) };
        device.usable()?;
        let raw = raw::open(&RawOptions {
            device: port.device.clone(),
            offload: options.offload,
            mark: Some(MARK),
            short_header: self.short_header,
        })?;
        let held = Held {
            ifindex: raw.ifindex,
            mac: raw.mac,
            mtu: raw.mtu,
            up: device.up && device.running,
            exclusive: false,
            tap: None,
            moved: false,
        };
        Ok(Some(Opened { rx: Box::new(raw.rx), tx: Box::new(raw.tx), held }))
    }

    /// Puts back what was changed on a device that the port lets go.
    pub(crate) fn release(&mut self, _port: &PortConfig, held: &Held) {
        if let Some(tap) = &held.tap {
            tap.clear_offload();
        }
    }

    /// Puts everything back; says what could not be.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// The interface of that name, if there is one.
fn present(name: &str) -> anyhow::Result<Option<Device>> {
    match device::find(name) {
        Ok(device) => Ok(Some(device)),
        Err(DeviceError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn uid_of(owner: &Owner) -> anyhow::Result<u32> {
    let name = match owner {
        Owner::Uid(uid) => return Ok(*uid),
        Owner::Name(name) => name,
    };
    match nix::unistd::User::from_name(name).with_context(|| format!("can't look up user {name}"))? {
        Some(user) => Ok(user.uid.as_raw()),
        None => bail!("there is no user {name}: create it, or give owner as a number"),
    }
}
