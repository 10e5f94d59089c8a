//! What one port has seen. All of it is counted by the bridge; what the kernel lost stands elsewhere.

use crate::reason::{DropReason, Side};

/// Counters of one port, since it was added.
///
/// `rx_frames = forwarded + ingress_drops()`, and `copies = tx_frames + egress_drops()` once the worker
/// has reported every copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames that came in here.
    pub rx_frames: u64,
    /// Their bytes on the wire, of those that could be received whole.
    pub rx_bytes: u64,
    /// Frames from here that were meant for at least one other port.
    pub forwarded: u64,
    /// Copies of other ports' frames that were meant for this port.
    pub copies: u64,
    /// Copies that this port took ("handed to the kernel", not "delivered").
    pub tx_frames: u64,
    /// Their bytes on the wire, before they were cut into segments.
    pub tx_bytes: u64,
    /// Frames written for them; more than `tx_frames` where segments were cut in software.
    pub tx_segments: u64,
    /// Addresses that were known on another port and moved here.
    pub moved: u64,
    /// Frames from here whose source is an address of the bridge itself: a sign of a loop.
    pub own_source: u64,
    /// Frames whose source was not learned because the port holds `max_macs` stations.
    pub limited: u64,
    /// Frames whose source did not move here because its old port spoke within `move_damping`.
    pub damped: u64,
    /// Drops by reason, indexed by `DropReason as usize`.
    pub drops: [u64; DropReason::COUNT],
}

impl Default for PortCounters {
    fn default() -> Self {
        Self::ZERO
    }
}

impl PortCounters {
    pub(crate) const ZERO: Self = Self {
        rx_frames: 0,
        rx_bytes: 0,
        forwarded: 0,
        copies: 0,
        tx_frames: 0,
        tx_bytes: 0,
        tx_segments: 0,
        moved: 0,
        own_source: 0,
        limited: 0,
        damped: 0,
        drops: [0; DropReason::COUNT],
    };

    /// Each counter by its name, drops by that of their reason: a name means the same in every version.
    pub fn fields(&mut self) -> impl Iterator<Item = (&'static str, &mut u64)> {
        let Self {
            rx_frames,
            rx_bytes,
            forwarded,
            copies,
            tx_frames,
            tx_bytes,
            tx_segments,
            moved,
            own_source,
            limited,
            damped,
            drops,
        } = self;
        let plain = [
            ("rx_frames", rx_frames),
            ("rx_bytes", rx_bytes),
            ("forwarded", forwarded),
            ("copies", copies),
            ("tx_frames", tx_frames),
            ("tx_bytes", tx_bytes),
            ("tx_segments", tx_segments),
            ("moved", moved),
            ("own_source", own_source),
            ("limited", limited),
            ("damped", damped),
        ];
        plain.into_iter().chain(DropReason::ALL.iter().map(|reason| reason.name()).zip(drops))
    }

    /// Frames or copies dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Frames from this port that were meant for nobody.
    #[must_use]
    pub fn ingress_drops(&self) -> u64 {
        self.drops_on(Side::Ingress)
    }

    /// Copies for this port that it did not take.
    #[must_use]
    pub fn egress_drops(&self) -> u64 {
        self.drops_on(Side::Egress)
    }

    fn drops_on(&self, side: Side) -> u64 {
        DropReason::ALL
            .iter()
            .filter(|reason| reason.side() == side)
            .map(|reason| self.dropped(*reason))
            .sum()
    }

    pub(crate) fn drop(&mut self, reason: DropReason, n: u64) {
        self.drops[reason as usize] += n;
    }
}
