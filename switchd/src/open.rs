//! From a port of the configuration to an open device: the one place that knows every kind of port.

use std::mem::discriminant;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, bail};
use config::{Config, Owner, PortConfig, PortKind, RawConfig, TapConfig, VhostUserConfig};
use frame::MacAddr;
use mio::Waker;
use ports::bypass::bypassed_rules;
use ports::device::{self, Device, DeviceError};
use ports::exclusive::Exclusive;
use ports::features::Setting;
use ports::raw::{self, OpenError, RawOptions, RawPort};
use ports::restore::Restore;
use ports::tap::{self, TapOptions, TapPort};
use ports::tap_state::TapState;
use ports::{RxQueue, TxQueue};
use tracing::{info, warn};
use vhost_user::Keepsake;

use crate::attachment::{Attachment, Held};
use crate::guests;
use crate::heirlooms::Heirlooms;
use crate::run_dir::RunDir;
use crate::store::Store;

/// What our raw sockets mark frames with, by which the rules of an exclusive port know them.
const MARK: u32 = 0x5377_0001;

/// Forces the 10-byte offload header on raw ports, as on kernels before 6.2. For tests.
const SHORT_HEADER: &str = "SWITCHD_SHORT_HEADER";

/// A device that is ready to be driven.
pub(crate) struct Opened {
    /// As many as there are workers; or fewer, where the device has no more.
    pub(crate) rx: Vec<Box<dyn RxQueue>>,
    /// One for each worker.
    pub(crate) tx: Vec<Box<dyn TxQueue>>,
    pub(crate) held: Held,
    /// An earlier process had it open, and it is the same device.
    pub(crate) resumed: bool,
}

/// Frames that a TAP queues at most while the process changes, 100 ms at 100,000 a second: the kernel's 1000 are
/// too few for that.
const GAP_QUEUE: u32 = 10_000;

/// Opens devices, and puts back what that changed on them.
pub(crate) struct Opener {
    restore: Restore,
    /// Made with the first port that needs it.
    exclusive: Option<Exclusive>,
    short_header: bool,
    store: Store,
    heirlooms: Heirlooms,
    /// Wakes control when a guest comes or goes.
    wake: Arc<Waker>,
    /// Threads that want a queue of each port.
    workers: usize,
}

impl Opener {
    /// Remembers what an earlier process of this bridge left to be put back, and goes on with the interfaces that
    /// it kept the host off.
    pub(crate) fn new(
        run_dir: &RunDir,
        store: Store,
        mut heirlooms: Heirlooms,
        wake: Arc<Waker>,
        workers: usize,
    ) -> Self {
        let (restore, problem) = Restore::open(&run_dir.restore_file());
        if let Some(problem) = problem {
            warn!("{problem}");
        }
        let exclusive = heirlooms.exclusive().and_then(|socket| match Exclusive::adopt(socket, MARK) {
            Ok(exclusive) => Some(exclusive),
            Err(error) => {
                warn!("can't go on with the rules that keep the host off its interfaces: {error}");
                store.forget_exclusive();
                None
            }
        });
        let short_header = std::env::var_os(SHORT_HEADER).is_some();
        Self { restore, exclusive, short_header, store, heirlooms, wake, workers }
    }

    /// Opens the device of a port; `None` if there is no such interface yet, or it can't be used before it is up.
    ///
    /// # Errors
    /// Why the device can't be a port, and what to do.
    pub(crate) fn open(&mut self, port: &PortConfig) -> anyhow::Result<Option<Opened>> {
        match &port.kind {
            PortKind::Tap(options) => self.open_tap(port, options).map(Some),
            PortKind::Raw(options) => self.open_raw(port, options),
            PortKind::VhostUser(options) => self.open_vhost_user(port, options).map(Some),
        }
    }

    fn open_tap(&mut self, port: &PortConfig, options: &TapConfig) -> anyhow::Result<Opened> {
        let name = &port.device;
        let tap_options = TapOptions {
            device: name.clone(),
            offload: options.offload,
            persist: options.persist,
            owner: options.owner.as_ref().map(uid_of).transpose()?,
            queues: self.workers,
        };
        if let Some(opened) = self.resume_tap(port, options, &tap_options)? {
            return Ok(opened);
        }
        let before = present(name)?;
        if let Some(before) = &before {
            before.usable()?;
        }
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
        self.note_queues(port, tap.rx.len());
        self.store.keep_port(&port.name, tap.handle.descriptors());
        let queue = self.store.used.then_some(Setting::TxQueueLen(GAP_QUEUE));
        let settings = [queue, options.mtu.map(Setting::Mtu), options.up.then_some(Setting::Up(true))];
        for setting in settings.into_iter().flatten() {
            self.set(name, before.as_ref(), setting)?;
        }
        Ok(opened_tap(tap, Some(device::find(name)?), false, self.workers))
    }

    /// Says so where a port has fewer queues than there are workers.
    fn note_queues(&self, port: &PortConfig, queues: usize) {
        if queues < self.workers {
            info!(
                port = port.name,
                queues,
                workers = self.workers,
                "{} has fewer queues than there are workers: it was made with one (`ip tuntap add ... multi_queue` \
                 makes one with several), or is in another network namespace",
                port.device
            );
        }
    }

    /// Goes on with the descriptor of an earlier process, wherever its interface is by now. What the user has
    /// changed on that since stays; only what the configuration has changed is set.
    fn resume_tap(
        &mut self,
        port: &PortConfig,
        options: &TapConfig,
        tap_options: &TapOptions,
    ) -> anyhow::Result<Option<Opened>> {
        let Some((fds, before)) = self.heirloom(port) else { return Ok(None) };
        let given = fds.len();
        let tap = match tap::adopt(fds, tap_options) {
            Ok(tap) => tap,
            Err(error) => {
                info!(port = port.name, "{error}; it is opened anew");
                self.store.forget_port(&port.name);
                return Ok(None);
            }
        };
        self.note_queues(port, tap.rx.len());
        if tap.handle.descriptors().count() != given {
            self.store.keep_port(&port.name, tap.handle.descriptors());
        }
        let device = tap.handle.name_here().map(|name| device::find(&name)).transpose()?;
        let Some(PortKind::Tap(before)) = before else {
            return Ok(Some(opened_tap(tap, device, true, self.workers)));
        };
        if before.persist && !options.persist {
            tap.handle.set_persist(false).context("can't let it go with switchd")?;
        }
        if let Some(device) = &device {
            let mtu = options.mtu.filter(|_| options.mtu != before.mtu).map(Setting::Mtu);
            let up = (options.up && !before.up).then_some(Setting::Up(true));
            for setting in [mtu, up].into_iter().flatten() {
                setting
                    .apply(&device.name)
                    .with_context(|| format!("can't set {setting} on {}", device.name))?;
            }
        }
        Ok(Some(opened_tap(tap, device, true, self.workers)))
    }

    /// The descriptors that an earlier process had of this port, and what the port was then. Those of another device
    /// are closed, and what was changed on that is put back.
    fn heirloom(&mut self, port: &PortConfig) -> Option<(Vec<OwnedFd>, Option<PortKind>)> {
        let (fds, before) = self.heirlooms.port(&port.name)?;
        match before {
            Some(before) if !is_same(&before, port) => {
                drop(fds);
                self.store.forget_port(&port.name);
                guests::remove_socket(&before);
                self.put_back(&before);
                None
            }
            before => Some((fds, before.map(|before| before.kind))),
        }
    }

    /// The socket that keeps the host off interfaces.
    pub(crate) fn exclusive(&self) -> Option<BorrowedFd<'_>> {
        self.exclusive.as_ref().map(AsFd::as_fd)
    }

    /// Puts into the store what this process had opened before the service manager listened to it.
    pub(crate) fn keep_again(&self, attachments: &[Attachment]) {
        for port in attachments {
            self.store.keep_port(&port.config.name, port.device_descriptors());
            if let Some(keepsake) = port.keepsake() {
                self.store.keep_guest(&port.config.name, keepsake);
            }
        }
        if let Some(socket) = self.exclusive() {
            self.store.keep_exclusive(socket);
        }
    }

    /// Lets go of what an earlier process had and `config` does not want any more.
    pub(crate) fn let_go_of_the_rest(&mut self, config: &Config) {
        for (name, fds, before) in self.heirlooms.rest() {
            // A port that waits for its device now, or is no more.
            drop(fds);
            self.store.forget_port(&name);
            if let Some(before) = before {
                guests::remove_socket(&before);
                info!(port = name, "{} is let go of", before.device);
                self.put_back(&before);
            }
        }
        for name in self.heirlooms.drop_guests() {
            self.store.forget_guest(&name);
        }
        let wanted = |device: &str| config.ports.iter().any(|port| port.device == device);
        let held: Vec<_> = self.exclusive.iter().flat_map(Exclusive::held).map(str::to_owned).collect();
        for device in held.iter().filter(|device| !wanted(device)) {
            self.give_back(device);
        }
    }

    fn give_back(&mut self, device: &str) {
        if let Some(exclusive) = &mut self.exclusive
            && let Err(error) = exclusive.release(device)
        {
            warn!("{error}");
        }
    }

    /// Puts back what was changed on the device of a port that is no more.
    fn put_back(&mut self, port: &PortConfig) {
        self.give_back(&port.device);
        for problem in self.restore.put_back_device(&port.device) {
            warn!(port = port.name, "{problem}");
        }
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
        let (raw, resumed) = match self.socket(port, options) {
            // Before Linux 6.13 the sockets of an interface that is down can't share its frames.
            Err(error) if self.workers > 1 && !device.up => {
                info!(port = port.name, "{error}: waiting until {} is up", port.device);
                return Ok(None);
            }
            other => other?,
        };
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
            qdisc_bypass: options.qdisc_bypass,
            tap: None,
            sockets: raw.rx.iter().map(|rx| rx.as_fd().try_clone_to_owned()).collect::<Result<_, _>>()?,
            guest: None,
            moved: false,
        };
        let rx = raw.rx.into_iter().map(|rx| Box::new(rx) as Box<dyn RxQueue>).collect();
        let tx = raw.tx.into_iter().map(|tx| Box::new(tx) as Box<dyn TxQueue>).collect();
        Ok(Some(Opened { rx, tx, held, resumed }))
    }

    /// Makes the socket, or goes on with that of an earlier process; the guest comes later.
    fn open_vhost_user(&mut self, port: &PortConfig, options: &VhostUserConfig) -> anyhow::Result<Opened> {
        let earlier = self.heirloom(port).and_then(|(mut fds, _)| fds.pop());
        let is_new = earlier.is_none();
        let keepsake = self.keepsake(port)?;
        let opened = guests::open(port, options, earlier, keepsake, &self.wake, self.workers)?;
        if is_new {
            self.store.keep_port(&port.name, opened.held.sockets.iter().map(AsFd::as_fd));
        }
        Ok(opened)
    }

    /// What an earlier process left of the conversation with the guest of a port, else a place for that.
    fn keepsake(&mut self, port: &PortConfig) -> anyhow::Result<Option<Keepsake>> {
        // That of another socket is closed.
        let earlier = self.heirlooms.guest(&port.name);
        let earlier =
            earlier.filter(|(_, before)| before.as_ref().is_none_or(|before| is_same(before, port)));
        match earlier.map(|(fd, _)| Keepsake::adopt(fd)) {
            Some(Ok(keepsake)) => return Ok(Some(keepsake)),
            Some(Err(error)) => warn!(port = port.name, "its guest has to begin anew: {error}"),
            None => {}
        }
        if !self.store.used {
            return Ok(None);
        }
        let keepsake = Keepsake::new().context("can't make what outlives this process")?;
        self.store.keep_guest(&port.name, keepsake.as_fd());
        Ok(Some(keepsake))
    }

    /// The packet sockets of an earlier process, else new ones; whether they are those.
    fn socket(&mut self, port: &PortConfig, options: &RawConfig) -> Result<(RawPort, bool), OpenError> {
        let options = RawOptions {
            device: port.device.clone(),
            offload: options.offload,
            qdisc_bypass: options.qdisc_bypass,
            mark: Some(MARK),
            short_header: self.short_header,
            queues: self.workers,
        };
        if let Some((fds, _)) = self.heirloom(port) {
            let given = fds.len();
            match raw::adopt(fds, self.heirlooms.socket_lost(&port.name), &options) {
                Ok(raw) => {
                    if raw.rx.len() != given {
                        self.store.keep_port(&port.name, raw.rx.iter().map(AsFd::as_fd));
                    }
                    return Ok((raw, true));
                }
                Err(error) => info!(port = port.name, "{error}; it is opened anew"),
            }
        }
        let raw = raw::open(&options)?;
        self.store.keep_port(&port.name, raw.rx.iter().map(AsFd::as_fd));
        Ok((raw, false))
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
            self.give_back(&device.name);
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
            none => {
                let exclusive = none.insert(Exclusive::new(MARK).context("can't talk to nftables")?);
                self.store.keep_exclusive(exclusive.as_fd());
                exclusive
            }
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
        if let Some(guest) = &held.guest {
            guest.end();
        }
        drop(held);
        self.store.forget_port(&port.name);
        for problem in self.restore.put_back_device(&port.device) {
            warn!(port = port.name, "{problem}");
        }
    }

    /// Puts back all that is left; says what could not be.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        self.store.forget_rest(self.workers);
        self.restore.put_back_all()
    }
}

/// Whether a port is on the same device as before.
fn is_same(before: &PortConfig, port: &PortConfig) -> bool {
    before.device == port.device && discriminant(&before.kind) == discriminant(&port.kind)
}

/// A port of so many workers on a TAP whose interface is this one, or in another namespace.
fn opened_tap(tap: TapPort, device: Option<Device>, resumed: bool, workers: usize) -> Opened {
    let mut held = Held {
        ifindex: 0,
        name: String::new(),
        mac: MacAddr::ZERO,
        mtu: 0,
        up: true,
        exclusive: false,
        qdisc_bypass: false,
        tap: Some(tap.handle),
        sockets: Arc::new([]),
        guest: None,
        moved: device.is_none(),
    };
    if let Some(device) = device {
        held.up = device.up && device.running;
        (held.ifindex, held.name, held.mac, held.mtu) = (device.ifindex, device.name, device.mac, device.mtu);
    }
    let rx = tap.rx.into_iter().map(|rx| Box::new(rx) as Box<dyn RxQueue>).collect();
    Opened { rx, tx: for_each_worker(&tap.tx, workers), held, resumed }
}

/// A send half for each worker, all of them through the same descriptor or rings.
pub(crate) fn for_each_worker<Q: TxQueue + Clone + 'static>(tx: &Q, workers: usize) -> Vec<Box<dyn TxQueue>> {
    (0..workers).map(|_| Box::new(tx.clone()) as Box<dyn TxQueue>).collect()
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
