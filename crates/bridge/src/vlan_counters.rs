//! What each VLAN has seen, if that is asked for: of the bridge as a whole, or of each of its ports
//! (`vlan_stats`, `vlan_stats_per_port`; `struct br_vlan_stats` of `net/bridge/br_private.h`).

use frame::Vid;

use crate::port::PortId;
use crate::settings::VlanSettings;
use crate::vlans::NUMBERS;

/// Counters of one VLAN. Bytes are those behind the Ethernet header and without the VLAN's tag, as Linux
/// counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VlanCounters {
    /// Frames that were admitted.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Copies that ports of the VLAN were to send.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
}

impl VlanCounters {
    const ZERO: Self = Self { rx_frames: 0, rx_bytes: 0, tx_frames: 0, tx_bytes: 0 };
}

/// One place for each number of a VLAN.
type PerVlan = Box<[VlanCounters]>;

fn per_vlan() -> PerVlan {
    vec![VlanCounters::ZERO; NUMBERS].into_boxed_slice()
}

/// Where frames are counted.
#[derive(Clone, Debug)]
pub(crate) enum Counting {
    Off,
    Bridge(PerVlan),
    /// By port.
    Ports(Vec<Option<PerVlan>>),
}

impl Counting {
    pub(crate) fn new(settings: VlanSettings) -> Self {
        match settings {
            VlanSettings { stats: false, .. } => Self::Off,
            VlanSettings { stats_per_port: false, .. } => Self::Bridge(per_vlan()),
            VlanSettings { .. } => Self::Ports(Vec::new()),
        }
    }

    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Makes the places of a port.
    pub(crate) fn add_port(&mut self, port: PortId) {
        if let Self::Ports(ports) = self {
            let place = usize::from(port.0);
            if place >= ports.len() {
                ports.resize(place + 1, None);
            }
            ports[place] = Some(per_vlan());
        }
    }

    /// The place where frames of this VLAN at this port count.
    fn place(&mut self, port: PortId, vid: u16) -> Option<&mut VlanCounters> {
        let all = match self {
            Self::Off => None,
            Self::Bridge(all) => Some(all),
            Self::Ports(ports) => ports.get_mut(usize::from(port.0))?.as_mut(),
        };
        all?.get_mut(usize::from(vid))
    }

    /// A frame of `bytes` was admitted.
    pub(crate) fn received(&mut self, port: PortId, vid: u16, bytes: usize) {
        if let Some(counters) = self.place(port, vid) {
            counters.rx_frames += 1;
            counters.rx_bytes += bytes as u64;
        }
    }

    /// A copy of `bytes` is to be sent.
    pub(crate) fn sent(&mut self, port: PortId, vid: u16, bytes: usize) {
        if let Some(counters) = self.place(port, vid) {
            counters.tx_frames += 1;
            counters.tx_bytes += bytes as u64;
        }
    }

    /// What was counted for this VLAN at this port, or at all.
    pub(crate) fn get(&self, port: PortId, vid: Vid) -> Option<VlanCounters> {
        let all = match self {
            Self::Off => return None,
            Self::Bridge(all) => Some(all),
            Self::Ports(ports) => ports.get(usize::from(port.0)).and_then(Option::as_ref),
        };
        Some(all.and_then(|all| all.get(usize::from(vid.get()))).copied().unwrap_or_default())
    }

    /// Goes on counting from there.
    pub(crate) fn set(&mut self, port: PortId, vid: Vid, counters: VlanCounters) {
        if let Some(place) = self.place(port, vid.get()) {
            *place = counters;
        }
    }

    pub(crate) fn remove_port(&mut self, port: PortId) {
        if let Self::Ports(ports) = self
            && let Some(all) = ports.get_mut(usize::from(port.0))
        {
            *all = None;
        }
    }

    /// The port has left the VLAN, perhaps as its last one.
    pub(crate) fn leave(&mut self, port: PortId, vid: Vid, last: bool) {
        let all = match self {
            Self::Bridge(all) if last => Some(all),
            Self::Ports(ports) => ports.get_mut(usize::from(port.0)).and_then(Option::as_mut),
            Self::Off | Self::Bridge(_) => None,
        };
        if let Some(counters) = all.and_then(|all| all.get_mut(usize::from(vid.get()))) {
            *counters = VlanCounters::ZERO;
        }
    }
}
