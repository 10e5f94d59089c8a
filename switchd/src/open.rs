//! From a port of the configuration to an open device: the one place that knows every kind of port.

use anyhow::{Context, bail};
use config::{Owner, PortConfig, PortKind, RawConfig, TapConfig};
use ports::bypass::bypassed_rules;
use ports::device::{self, Device, DeviceError};
use ports::exclusive::Exclusive;
use ports::features::Setting;
use ports::raw::{self, RawOptions};
use ports::restore::Restore;
use ports::tap::{self, TapOptions};
use ports::tap_state::TapState;
use ports::{RxQueue, TxQueue};
use tracing::{info, warn};

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
    restore: Restore,
    /// Made with the first port that needs it.
    exclusive: Option<Exclusive>,
    short_header: bool,
}

impl Opener {
    /// Remembers what an earlier process of this bridge left to be put back.
    pub(crate) fn new(run_dir: &RunDir) -> Self {
        let (restore, problem) = Restore::open(&run_dir.restore_file());
        if let Some(problem) = problem {
            warn!("{problem}");
        }
        Self { restore, exclusive: None, short_header: std::env::var_os(SHORT_HEADER).is_some() }
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
        let before = present(name)?;
        if let Some(before) = &before {
            before.usable()?;
        }
        let tap_options = TapOptions {
            device: name.clone(),
            offload: options.offload,
            persist: options.persist,
            owner: options.owner.as_ref().map(uid_of).transpose()?,
        };
        // What is no TAP has no such state; opening it says so.
        if let Some(before) = &before
            && let Ok(state) = TapState::of(name)
        {
            self.restore.record(name, before.ifindex, Setting::Tap(state)).context("can't remember it")?;
        }
        let tap = tap::open(&tap_options).inspect_err(|_| drop(self.restore.put_back_device(name)))?;
        info!(
            port = port.name,
            "switchd holds {name}; a program such as QEMU can't open it. \
             For a VM let QEMU make its own TAP and give that to a port with type = \"raw\""
        );
        let settings = [options.mtu.map(Setting::Mtu), options.up.then_some(Setting::Up(true))];
        for setting in settings.into_iter().flatten() {
            self.set(name, before.as_ref(), setting)?;
        }
        let device = device::find(name)?;
        let held = Held {
            ifindex: device.ifindex,
            name: device.name,
            mac: device.mac,
            mtu: device.mtu,
            up: device.up && device.running,
            exclusive: false,
            tap: Some(tap.handle),
            moved: false,
        };
        Ok(Opened { rx: Box::new(tap.rx), tx: Box::new(tap.tx), held })
    }

    /// Of an interface that was there before us, what it was is put back at the end.
    fn set(&mut self, name: &str, before: Option<&Device>, to: Setting) -> anyhow::Result<()> {
        let result = match before {
            Some(device) => self.restore.change(name, device.ifindex, to).map(|_| ()),
            None => to.apply(name),
        };
        result.with_context(|| format!("can't set {to} on {name}"))
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
        let exclusive = self.keep_host_off(port, options, &device)?;
        self.tune(port, &device);
        for rule in bypassed_rules(&device) {
            warn!(port = port.name, "{} has {rule}, which a raw port passes by", port.device);
        }
        let held = Held {
            ifindex: raw.ifindex,
            name: device.name,
            mac: raw.mac,
            mtu: raw.mtu,
            up: device.up && device.running,
            exclusive,
            tap: None,
            moved: false,
        };
        Ok(Some(Opened { rx: Box::new(raw.rx), tx: Box::new(raw.tx), held }))
    }

    /// Whether the port is exclusive: as configured, else wherever nothing is cut off by it.
    fn keep_host_off(
        &mut self,
        port: &PortConfig,
        options: &RawConfig,
        device: &Device,
    ) -> anyhow::Result<bool> {
        let safe = device::default_exclusive(device);
        if !options.exclusive.unwrap_or(safe.is_ok()) {
            let why = match safe {
                Err(why) if options.exclusive.is_none() => why.to_string(),
                _ => "the configuration says so".to_owned(),
            };
            info!(
                port = port.name,
                "{} is shared with this host's own stack: {why}. VMs and this host can't reach each other \
                 through it: for that use a port with host = true",
                device.name
            );
            return Ok(false);
        }
        if let Err(why) = safe {
            warn!(port = port.name, "{} is exclusive although {why}: that is cut off now", device.name);
        }
        match self.hold(device) {
            Ok(()) => Ok(true),
            Err(error) if options.exclusive.is_none() => {
                warn!(port = port.name, "{error:#}; {} is shared with this host's own stack", device.name);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn hold(&mut self, device: &Device) -> anyhow::Result<()> {
        let exclusive = match &mut self.exclusive {
            Some(exclusive) => exclusive,
            none => none.insert(Exclusive::new(MARK).context("can't talk to nftables")?),
        };
        Ok(exclusive.hold(&device.name, device.ifindex)?)
    }

    /// Lets the kernel join what it can, but nothing that can't be cut again. Not every device has both.
    fn tune(&mut self, port: &PortConfig, device: &Device) {
        for setting in [Setting::Gro(true), Setting::Lro(false)] {
            if let Err(error) = self.restore.change(&device.name, device.ifindex, setting) {
                tracing::debug!(port = port.name, "{}: {setting} not set: {error}", device.name);
            }
        }
    }

    /// Puts back what was changed on a device that the port lets go. Its descriptors are closed by then,
    /// but for the one in `held`.
    pub(crate) fn release(&mut self, port: &PortConfig, held: Held) {
        if let Some(tap) = &held.tap {
            tap.clear_offload();
        }
        if held.exclusive
            && let Some(exclusive) = &mut self.exclusive
            && let Err(error) = exclusive.release(&port.device)
        {
            warn!(port = port.name, "{error}");
        }
        drop(held);
        for problem in self.restore.put_back_device(&port.device) {
            warn!(port = port.name, "{problem}");
        }
    }

    /// Puts back all that is left; says what could not be.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        self.restore.put_back_all()
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
