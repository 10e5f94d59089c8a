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

/// The same in 28 bytes, as a bridge of 64 ports in all VLANs has a quarter of a million of them: of frames
/// there are 48 bits, which last three years at three million a second in one VLAN of one port.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
pub(crate) struct Packed {
    rx_bytes: u64,
    tx_bytes: u64,
    rx_frames: u32,
    tx_frames: u32,
    /// How often `rx_frames` has come round.
    rx_rounds: u16,
    tx_rounds: u16,
}

impl Packed {
    fn received(&mut self, bytes: usize) {
        let (frames, round) = self.rx_frames.overflowing_add(1);
        self.rx_frames = frames;
        self.rx_rounds = self.rx_rounds.wrapping_add(u16::from(round));
        self.rx_bytes = self.rx_bytes.wrapping_add(bytes as u64);
    }

    fn sent(&mut self, bytes: usize) {
        let (frames, round) = self.tx_frames.overflowing_add(1);
        self.tx_frames = frames;
        self.tx_rounds = self.tx_rounds.wrapping_add(u16::from(round));
        self.tx_bytes = self.tx_bytes.wrapping_add(bytes as u64);
    }

    fn new(counters: VlanCounters) -> Self {
        let VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes } = counters;
        Self {
            rx_bytes,
            tx_bytes,
            rx_frames: rx_frames as u32,
            tx_frames: tx_frames as u32,
            rx_rounds: (rx_frames >> 32) as u16,
            tx_rounds: (tx_frames >> 32) as u16,
        }
    }

    fn unpacked(self) -> VlanCounters {
        VlanCounters {
            rx_frames: u64::from(self.rx_rounds) << 32 | u64::from(self.rx_frames),
            rx_bytes: self.rx_bytes,
            tx_frames: u64::from(self.tx_rounds) << 32 | u64::from(self.tx_frames),
            tx_bytes: self.tx_bytes,
        }
    }
}

/// One place for each number of a VLAN.
type PerVlan = Box<[Packed]>;

fn per_vlan() -> PerVlan {
    vec![Packed::default(); NUMBERS].into_boxed_slice()
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
    fn place(&mut self, port: PortId, vid: u16) -> Option<&mut Packed> {
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
            counters.received(bytes);
        }
    }

    /// A copy of `bytes` is to be sent.
    pub(crate) fn sent(&mut self, port: PortId, vid: u16, bytes: usize) {
        if let Some(counters) = self.place(port, vid) {
            counters.sent(bytes);
        }
    }

    /// What was counted for this VLAN at this port, or at all.
    pub(crate) fn get(&self, port: PortId, vid: Vid) -> Option<VlanCounters> {
        let all = match self {
            Self::Off => return None,
            Self::Bridge(all) => Some(all),
            Self::Ports(ports) => ports.get(usize::from(port.0)).and_then(Option::as_ref),
        };
        Some(
            all.and_then(|all| all.get(usize::from(vid.get())))
                .map_or_else(VlanCounters::default, |packed| packed.unpacked()),
        )
    }

    /// Goes on counting from there.
    pub(crate) fn set(&mut self, port: PortId, vid: Vid, counters: VlanCounters) {
        if let Some(place) = self.place(port, vid.get()) {
            *place = Packed::new(counters);
        }
    }

    /// Begins to count anew.
    pub(crate) fn clear(&mut self) {
        let nothing = |all: &mut PerVlan| all.fill(Packed::default());
        match self {
            Self::Off => {}
            Self::Bridge(all) => nothing(all),
            Self::Ports(ports) => ports.iter_mut().flatten().for_each(nothing),
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
            *counters = Packed::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_beyond_32_bits() {
        assert_eq!(size_of::<Packed>(), 28);
        let mut counters =
            Packed { rx_frames: u32::MAX, rx_bytes: 1 << 40, tx_rounds: 7, ..Packed::default() };
        counters.received(60);
        counters.sent(100);
        let expected = VlanCounters {
            rx_frames: 1 << 32,
            rx_bytes: (1 << 40) + 60,
            tx_frames: (7 << 32) + 1,
            tx_bytes: 100,
        };
        assert_eq!(counters.unpacked(), expected);
        assert_eq!(Packed::new(expected).unpacked(), expected);
    }
}
