//! Entries that the user makes and removes, with the rules of `bridge fdb` (`br_fdb_add`, `br_fdb_delete`
//! in `net/bridge/br_fdb.c`).

use std::collections::BTreeSet;
use std::fmt;

use frame::{MacAddr, Vid};

use crate::bridge::{Bridge, NO_VLAN, is_station};
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
    /// An entry in a VLAN that its port is not in.
    NotInVlan(PortId, Vid),
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
            Self::NotInVlan(port, vlan) => {
                write!(
                    f,
                    "port number {} is not a member of VLAN {vlan}: add the VLAN to the port first",
                    port.0
                )
            }
            Self::NoRoom => write!(f, "the FDB has no room for dynamic entries: raise fdb_max"),
        }
    }
}

impl std::error::Error for EntryRefused {}

/// An address as the user names it: in one VLAN, or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub mac: MacAddr,
    /// Its VLAN. Without one an entry is made, replaced or removed for frames that are in no VLAN, and, where
    /// VLANs are told apart, for each VLAN that its port is in at the time. A blackhole without a VLAN is one
    /// in all.
    pub vlan: Option<Vid>,
}

impl From<MacAddr> for Address {
    fn from(mac: MacAddr) -> Self {
        Self { mac, vlan: None }
    }
}

impl From<(MacAddr, Option<Vid>)> for Address {
    fn from((mac, vlan): (MacAddr, Option<Vid>)) -> Self {
        Self { mac, vlan }
    }
}

impl Bridge {
    /// Makes an entry for an address that has none.
    ///
    /// # Errors
    /// An [`EntryRefused`] says what is wrong with it; nothing is made then.
    pub fn add_entry(
        &mut self,
        address: impl Into<Address>,
        entry: NewEntry,
        now: Moment,
    ) -> Result<(), EntryRefused> {
        let address = address.into();
        self.fdb.set_now(now);
        self.check(address, entry)?;
        if self.keys(address, entry.parts().1).any(|key| self.fdb.lookup(key).is_some()) {
            return Err(EntryRefused::Exists(address.mac));
        }
        self.make(address, entry)
    }

    /// Makes an entry, in place of whatever there was; a locked one is unlocked by that.
    ///
    /// # Errors
    /// An [`EntryRefused`] says what is wrong with it.
    pub fn replace_entry(
        &mut self,
        address: impl Into<Address>,
        entry: NewEntry,
        now: Moment,
    ) -> Result<(), EntryRefused> {
        let address = address.into();
        self.fdb.set_now(now);
        self.check(address, entry)?;
        self.make(address, entry)
    }

    /// Makes a static entry, in place of a learned or configured one of that address. It does not age and
    /// stays when the link goes down; as in Linux, it moves when the station speaks on another port.
    ///
    /// # Errors
    /// An [`EntryRefused`] says what is wrong with it.
    pub fn add_static(&mut self, address: impl Into<Address>, port: PortId) -> Result<(), EntryRefused> {
        let address = address.into();
        self.check(address, NewEntry::Static(port))?;
        self.make(address, NewEntry::Static(port))
    }

    /// Removes an entry of any kind, given the port that it is on: none for a blackhole.
    ///
    /// # Errors
    /// [`EntryRefused::NoSuchEntry`], or [`EntryRefused::Local`] for the address of a device.
    pub fn remove_entry(
        &mut self,
        address: impl Into<Address>,
        port: Option<PortId>,
        now: Moment,
    ) -> Result<(), EntryRefused> {
        let address = address.into();
        self.fdb.set_now(now);
        let is_on_port = |key: &Key| {
            let entry = self.fdb.entry(*key);
            entry.is_some_and(|(found, kind)| (kind != EntryKind::Blackhole).then_some(found.port) == port)
        };
        let keys: Vec<Key> = self.keys(address, port).filter(is_on_port).collect();
        if keys.is_empty() {
            return Err(EntryRefused::NoSuchEntry(address.mac));
        }
        if self.is_device(address.mac) {
            return Err(EntryRefused::Local(address.mac));
        }
        keys.into_iter().for_each(|key| self.fdb.remove(key));
        Ok(())
    }

    /// Removes entries of one port, or of all; of one kind, or, as Linux does when nothing is named, those
    /// that age, and where no port is named either, those of other programs too. The addresses of devices
    /// stay. Says how many were removed.
    pub fn flush(&mut self, port: Option<PortId>, kind: Option<EntryKind>) -> usize {
        self.flush_in(None, port, kind)
    }

    /// The same for one VLAN.
    pub fn flush_in(&mut self, vlan: Option<Vid>, port: Option<PortId>, kind: Option<EntryKind>) -> usize {
        let ages = |entry: EntryKind| match entry {
            EntryKind::Dynamic | EntryKind::Locked => true,
            EntryKind::External => port.is_none(),
            EntryKind::Static | EntryKind::Sticky | EntryKind::Local | EntryKind::Blackhole => false,
        };
        let meant: Vec<Key> = self
            .fdb
            .iter()
            .filter(|entry| vlan.is_none_or(|vlan| entry.fid == self.vlans.fid(vlan)))
            .filter(|entry| port.is_none() || entry.port == port)
            .filter(|entry| kind.map_or_else(|| ages(entry.kind), |kind| entry.kind == kind))
            .filter(|entry| entry.kind != EntryKind::Local || !self.is_device(entry.mac))
            .map(|entry| Key::new(entry.fid, entry.mac.to_u64()))
            .collect();
        for key in &meant {
            self.fdb.remove(*key);
        }
        meant.len()
    }

    /// The places where an entry on `port` stands for this address.
    fn keys(&self, address: Address, port: Option<PortId>) -> impl Iterator<Item = Key> + use<> {
        let fids = match address.vlan {
            Some(vlan) => BTreeSet::from([self.vlans.fid(vlan)]),
            None => {
                let vlans = port.filter(|_| self.vlans.on()).map(|port| self.vlans.entries(port));
                let vlans = vlans.into_iter().flatten().map(|entry| self.vlans.fid(entry.vid));
                std::iter::once(NO_VLAN).chain(vlans).collect()
            }
        };
        fids.into_iter().map(move |fid| Key::new(fid, address.mac.to_u64()))
    }

    fn check(&self, address: Address, entry: NewEntry) -> Result<(), EntryRefused> {
        let Address { mac, vlan } = address;
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
            if let Some(vlan) = vlan.filter(|vlan| !self.vlans.shares(id, *vlan)) {
                return Err(EntryRefused::NotInVlan(id, vlan));
            }
        }
        if self.is_device(mac) {
            return Err(EntryRefused::Local(mac));
        }
        Ok(())
    }

    fn make(&mut self, address: Address, entry: NewEntry) -> Result<(), EntryRefused> {
        let (kind, port) = entry.parts();
        for key in self.keys(address, port) {
            if !self.fdb.set(key, port, kind) {
                return Err(EntryRefused::NoRoom);
            }
        }
        Ok(())
    }
}
