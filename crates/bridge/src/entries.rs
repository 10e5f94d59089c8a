//! Entries that the user makes and removes, with the rules of `bridge fdb` (`br_fdb_add`, `br_fdb_delete`
//! in `net/bridge/br_fdb.c`).

use std::fmt;

use frame::MacAddr;

use crate::bridge::{Bridge, FID, is_station};
use crate::fdb::{EntryKind, Key};
use crate::moment::Moment;
use crate::port::PortId;

/// An entry to be made. There is none that is both sticky and local, which Linux refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewEntry {
    /// Ages like a learned one, and counts as one.
    Dynamic(PortId),
    /// [`EntryKind::Static`].
    Static(PortId),
    /// [`EntryKind::Sticky`].
    Sticky(PortId),
    /// [`EntryKind::External`].
    External(PortId),
    /// [`EntryKind::Local`]: for the host, whatever port is named.
    Local(PortId),
    /// [`EntryKind::Blackhole`].
    Blackhole,
}

impl NewEntry {
    fn parts(self) -> (EntryKind, Option<PortId>) {
        match self {
            Self::Dynamic(port) => (EntryKind::Dynamic, Some(port)),
            Self::Static(port) => (EntryKind::Static, Some(port)),
            Self::Sticky(port) => (EntryKind::Sticky, Some(port)),
            Self::External(port) => (EntryKind::External, Some(port)),
            Self::Local(port) => (EntryKind::Local, Some(port)),
            Self::Blackhole => (EntryKind::Blackhole, None),
        }
    }
}

/// Why an entry can't be made or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryRefused {
    /// A group address, or all zeros.
    NotAStation(MacAddr),
    /// The address is the bridge's own.
    Local(MacAddr),
    /// There is no such port.
    NoSuchPort(PortId),
    /// There is an entry already.
    Exists(MacAddr),
    /// There is no such entry on that port.
    NoSuchEntry(MacAddr),
    /// A dynamic entry on a port that does not learn at the moment.
    NotLearning(PortId),
    /// Something other than a local entry on the host's port.
    HostTakesLocal(MacAddr),
    /// A dynamic entry where `fdb_max` is 0.
    NoRoom,
}

impl fmt::Display for EntryRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAStation(mac) => {
                write!(f, "{mac} is not the address of a station: name a unicast address")
            }
            Self::Local(mac) => write!(
                f,
                "{mac} is the address of one of this bridge's own devices: its entry comes and goes with the device"
            ),
            Self::NoSuchPort(port) => write!(f, "the bridge has no port number {}", port.0),
            Self::Exists(mac) => write!(f, "there is an entry for {mac} already: replace it"),
            Self::NoSuchEntry(mac) => write!(f, "there is no entry for {mac} on that port"),
            Self::NotLearning(port) => write!(
                f,
                "port number {} is down, or its state is not learning or forwarding: only other entries than dynamic ones can be made there",
                port.0
            ),
            Self::HostTakesLocal(mac) => {
                write!(f, "{mac} on the host's own port can only be a local entry: make it one")
            }
            Self::NoRoom => write!(f, "the FDB has no room for dynamic entries: raise fdb_max"),
        }
    }
}

impl std::error::Error for EntryRefused {}

impl Bridge {
    /// Makes an entry for an address that has none.
    ///
    /// # Errors
    /// An [`EntryRefused`] says what is wrong with it.
    pub fn add_entry(&mut self, mac: MacAddr, entry: NewEntry, now: Moment) -> Result<(), EntryRefused> {
        self.fdb.set_now(now);
        self.check(mac, entry)?;
        if self.fdb.lookup(Key::new(FID, mac.to_u64())).is_some() {
            return Err(EntryRefused::Exists(mac));
        }
        self.make(mac, entry)
    }

    /// Makes an entry, in place of whatever there was; a locked one is unlocked by that.
    ///
    /// # Errors
    /// An [`EntryRefused`] says what is wrong with it.
    pub fn replace_entry(&mut self, mac: MacAddr, entry: NewEntry, now: Moment) -> Result<(), EntryRefused> {
        self.fdb.set_now(now);
        self.check(mac, entry)?;
        self.make(mac, entry)
    }

    /// Makes a static entry, in place of a learned or configured one of that address. It does not age and
    /// stays when the link goes down; as in Linux, it moves when the station speaks on another port.
    ///
    /// # Errors
    /// An [`EntryRefused`] says what is wrong with it.
    pub fn add_static(&mut self, mac: MacAddr, port: PortId) -> Result<(), EntryRefused> {
        self.check(mac, NewEntry::Static(port))?;
        self.make(mac, NewEntry::Static(port))
    }

    /// Removes an entry of any kind, given the port that it is on: none for a blackhole.
    ///
    /// # Errors
    /// [`EntryRefused::NoSuchEntry`], or [`EntryRefused::Local`] for the address of a device.
    pub fn remove_entry(
        &mut self,
        mac: MacAddr,
        port: Option<PortId>,
        now: Moment,
    ) -> Result<(), EntryRefused> {
        self.fdb.set_now(now);
        let key = Key::new(FID, mac.to_u64());
        let (found, kind) = self.fdb.entry(key).ok_or(EntryRefused::NoSuchEntry(mac))?;
        if (kind != EntryKind::Blackhole).then_some(found.port) != port {
            return Err(EntryRefused::NoSuchEntry(mac));
        }
        if self.is_device(mac) {
            return Err(EntryRefused::Local(mac));
        }
        self.fdb.remove(key);
        Ok(())
    }

    /// Removes entries of one port, or of all; of one kind, or, as Linux does when nothing is named, those
    /// that age, and where no port is named either, those of other programs too. The addresses of devices
    /// stay. Says how many were removed.
    pub fn flush(&mut self, port: Option<PortId>, kind: Option<EntryKind>) -> usize {
        let ages = |entry: EntryKind| match entry {
            EntryKind::Dynamic | EntryKind::Locked => true,
            EntryKind::External => port.is_none(),
            EntryKind::Static | EntryKind::Sticky | EntryKind::Local | EntryKind::Blackhole => false,
        };
        let meant: Vec<MacAddr> = self
            .fdb
            .iter()
            .filter(|entry| port.is_none() || entry.port == port)
            .filter(|entry| kind.map_or_else(|| ages(entry.kind), |kind| entry.kind == kind))
            .filter(|entry| entry.kind != EntryKind::Local || !self.is_device(entry.mac))
            .map(|entry| entry.mac)
            .collect();
        for mac in &meant {
            self.fdb.remove(Key::new(FID, mac.to_u64()));
        }
        meant.len()
    }

    fn check(&self, mac: MacAddr, entry: NewEntry) -> Result<(), EntryRefused> {
        if !is_station(mac) {
            return Err(EntryRefused::NotAStation(mac));
        }
        let (kind, port) = entry.parts();
        if let Some(id) = port {
            let port = self.ports.get(id).ok_or(EntryRefused::NoSuchPort(id))?;
            if port.settings.host && kind != EntryKind::Local {
                return Err(EntryRefused::HostTakesLocal(mac));
            }
            if kind == EntryKind::Dynamic && !port.learns {
                return Err(EntryRefused::NotLearning(id));
            }
        }
        if self.is_device(mac) {
            return Err(EntryRefused::Local(mac));
        }
        Ok(())
    }

    fn make(&mut self, mac: MacAddr, entry: NewEntry) -> Result<(), EntryRefused> {
        let (kind, port) = entry.parts();
        let made = self.fdb.set(Key::new(FID, mac.to_u64()), port, kind);
        made.then_some(()).ok_or(EntryRefused::NoRoom)
    }
}
