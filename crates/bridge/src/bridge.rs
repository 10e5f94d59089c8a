//! The bridge as its owner sees it: ports come and go, links change, copies are reported, time passes.
//! What happens to a frame is in [`crate::pipeline`].

use std::fmt;

use frame::MacAddr;

use crate::counters::PortCounters;
use crate::fdb::{EntryKind, Fdb, FdbCounters, FdbEntry, Found, Key, MAX_DYNAMIC};
use crate::moment::{Moment, Span};
use crate::port::{LocalKind, MAX_PORTS, PortId, PortSettings, Ports, max_len};
use crate::reason::{DropReason, Side};

/// Most dynamic entries that [`BridgeSettings::fdb_max`] can ask for.
pub const MAX_FDB: usize = MAX_DYNAMIC;

/// The only filtering database as long as VLANs are not told apart.
pub(crate) const FID: u16 = 0;

/// Settings of the whole switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// How long a silent station is remembered. Zero: nothing is learned and everything is flooded, as
    /// in Linux.
    pub ageing_time: Span,
    /// Most dynamic entries, up to [`MAX_FDB`]; memory for all of them is taken at once.
    pub fdb_max: usize,
}

impl Default for BridgeSettings {
    /// 300 s, and 65,536 entries.
    fn default() -> Self {
        Self { ageing_time: Span::from_secs(300), fdb_max: 65_536 }
    }
}

/// The bridge has [`MAX_PORTS`] ports already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPorts;

impl fmt::Display for TooManyPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bridge has at most {MAX_PORTS} ports: run a second one for the others")
    }
}

impl std::error::Error for TooManyPorts {}

/// Why a static entry can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticRefused {
    /// A group address, or all zeros.
    NotAStation(MacAddr),
    /// The address is the bridge's own.
    Local(MacAddr),
    /// There is no such port.
    NoSuchPort(PortId),
}

impl fmt::Display for StaticRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAStation(mac) => {
                write!(f, "{mac} is not the address of a station: name a unicast address")
            }
            Self::Local(mac) => {
                write!(f, "{mac} is the address of one of this bridge's own devices: remove the static entry")
            }
            Self::NoSuchPort(port) => write!(f, "the bridge has no port number {}", port.0),
        }
    }
}

impl std::error::Error for StaticRefused {}

/// The state of one switch and all its rules.
#[derive(Debug)]
pub struct Bridge {
    pub(crate) ports: Ports,
    pub(crate) fdb: Fdb,
}

/// What a port that does not exist has counted.
static NOTHING: PortCounters = PortCounters::ZERO;

impl Bridge {
    /// A bridge without ports, with all the memory that its FDB will use.
    #[must_use]
    pub fn new(settings: BridgeSettings) -> Self {
        Self { ports: Ports::default(), fdb: Fdb::new(settings.fdb_max, settings.ageing_time) }
    }

    /// Adds a port, its link down and without a check of the MTU.
    ///
    /// # Errors
    /// [`TooManyPorts`].
    pub fn add_port(&mut self, settings: PortSettings) -> Result<PortId, TooManyPorts> {
        self.ports.add(settings).ok_or(TooManyPorts)
    }

    /// Removes a port, its counters and all its entries, static ones included. Its number will be used
    /// again.
    pub fn remove_port(&mut self, port: PortId) {
        self.set_local(port, None, LocalKind::Kernel);
        self.fdb.forget(port);
        self.ports.remove(port);
    }

    /// Notes that a port's link came up or went down. Down: its dynamic entries go.
    pub fn set_link(&mut self, port: PortId, up: bool) {
        if self.ports.set_link(port, up) && !up {
            self.fdb.forget_dynamic(port);
        }
    }

    /// The MTU that an egress judges frames by, in bytes of payload; `None` for no check (Linux has none
    /// towards br0, so a host port wants none).
    pub fn set_mtu(&mut self, port: PortId, mtu: Option<u32>) {
        if let Some(port) = self.ports.get_mut(port) {
            port.max_len = mtu.map_or(usize::MAX, max_len);
        }
    }

    /// The address of the port's own device, in place of the one it had; `None`, and what is not the
    /// address of a station, for no address. Whatever else was known of it is forgotten. Where several
    /// ports have the same address the first one owns it, and when it gives it up, the next.
    pub fn set_local(&mut self, id: PortId, mac: Option<MacAddr>, kind: LocalKind) {
        let Some(port) = self.ports.get_mut(id) else { return };
        let new = mac.filter(|mac| is_station(*mac)).map(|mac| (mac, kind));
        let old = std::mem::replace(&mut port.local, new);
        if let Some((mac, _)) = old.filter(|(mac, _)| new.is_none_or(|(new, _)| new != *mac)) {
            self.disown(id, Key::new(FID, mac.to_u64()));
        }
        if let Some((mac, kind)) = new {
            let key = Key::new(FID, mac.to_u64());
            if self.local_owner(key).is_none_or(|owner| owner == id) {
                self.fdb.set_local(key, Found { port: id, kernel: kind == LocalKind::Kernel });
            }
        }
    }

    fn local_owner(&self, key: Key) -> Option<PortId> {
        let local = self.fdb.kind(key) == Some(EntryKind::Local);
        self.fdb.lookup(key).filter(|_| local).map(|found| found.port)
    }

    /// Passes a local address on to the next port that has it, or forgets it.
    fn disown(&mut self, id: PortId, key: Key) {
        if self.local_owner(key) != Some(id) {
            return;
        }
        let heir = self.ports.iter().find_map(|(heir, port)| {
            let (mac, kind) = port.local?;
            (Key::new(FID, mac.to_u64()) == key)
                .then_some(Found { port: heir, kernel: kind == LocalKind::Kernel })
        });
        match heir {
            Some(heir) => self.fdb.set_local(key, heir),
            None => self.fdb.remove(key),
        }
    }

    /// Makes a static entry, in place of a learned or static one of that address. It does not age and
    /// stays when the link goes down; as in Linux, it moves when the station speaks on another port.
    ///
    /// # Errors
    /// A [`StaticRefused`] says what is wrong with it.
    pub fn add_static(&mut self, mac: MacAddr, port: PortId) -> Result<(), StaticRefused> {
        if !is_station(mac) {
            return Err(StaticRefused::NotAStation(mac));
        }
        if self.ports.get(port).is_none() {
            return Err(StaticRefused::NoSuchPort(port));
        }
        if !self.fdb.set_static(Key::new(FID, mac.to_u64()), port) {
            return Err(StaticRefused::Local(mac));
        }
        Ok(())
    }

    /// Notes that an egress took a copy: `wire_len` bytes, written as `segments` frames.
    #[inline]
    pub fn sent(&mut self, egress: PortId, wire_len: usize, segments: usize) {
        if let Some(port) = self.ports.get_mut(egress) {
            port.counters.tx_frames += 1;
            port.counters.tx_bytes += wire_len as u64;
            port.counters.tx_segments += segments as u64;
        }
    }

    /// Notes that an egress did not take a copy, for a reason of [`Side::Egress`].
    #[inline]
    pub fn refused(&mut self, egress: PortId, reason: DropReason) {
        debug_assert!(reason.side() == Side::Egress, "{reason}");
        if let Some(port) = self.ports.get_mut(egress) {
            port.counters.drop(reason, 1);
        }
    }

    /// Counts `n` frames that a port received and that never became frames here, for a reason of
    /// [`Side::Ingress`]. Their bytes are not known.
    pub fn drop_ingress(&mut self, ingress: PortId, reason: DropReason, n: u64) {
        debug_assert!(reason.side() == Side::Ingress, "{reason}");
        if let Some(port) = self.ports.get_mut(ingress) {
            port.counters.rx_frames += n;
            port.counters.drop(reason, n);
        }
    }

    /// Lets entries age. Call it when [`Bridge::next_deadline`] has passed; earlier does no harm.
    pub fn tick(&mut self, now: Moment) {
        self.fdb.age(now);
    }

    /// When [`Bridge::tick`] next has something to do; `None`: not before another frame came.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.fdb.next_deadline()
    }

    /// A port's counters; all zero for a port that does not exist.
    #[must_use]
    pub fn counters(&self, port: PortId) -> &PortCounters {
        self.ports.get(port).map_or(&NOTHING, |port| &port.counters)
    }

    /// On which port a station is, as a frame to it would find out.
    #[inline]
    #[must_use]
    pub fn lookup(&self, mac: MacAddr) -> Option<PortId> {
        self.fdb.lookup(Key::new(FID, mac.to_u64())).map(|found| found.port)
    }

    /// All entries of the FDB, in no order.
    pub fn fdb(&self) -> impl Iterator<Item = FdbEntry> {
        self.fdb.iter()
    }

    /// Number of entries of all kinds.
    #[must_use]
    pub fn fdb_len(&self) -> usize {
        self.fdb.len()
    }

    /// Number of dynamic entries: never more than [`BridgeSettings::fdb_max`].
    #[must_use]
    pub fn fdb_dynamic_len(&self) -> usize {
        self.fdb.dynamic_len()
    }

    /// How many entries were learned, moved, aged out and evicted.
    #[must_use]
    pub fn fdb_counters(&self) -> FdbCounters {
        self.fdb.counters()
    }
}

fn is_station(mac: MacAddr) -> bool {
    !mac.is_group() && !mac.is_zero()
}
