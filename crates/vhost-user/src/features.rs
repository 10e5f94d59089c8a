//! What can be agreed on with a guest's driver, and what that means for the frames it takes.

use frame::Capabilities;
use frame::offload::{LONG_HEADER, SHORT_HEADER};
use virtio_bindings::virtio_config::{VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1};
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_ECN,
    VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6,
    VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_USO,
    VIRTIO_NET_F_MQ, VIRTIO_NET_F_MRG_RXBUF,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

use crate::ring::Shape;

/// `VHOST_USER_F_PROTOCOL_FEATURES`.
pub(crate) const PROTOCOL_FEATURES: u32 = 30;
/// `VHOST_F_LOG_ALL`: what is written to the guest's memory is to be noted.
const LOG_ALL: u32 = 26;

const fn bits(features: &[u32]) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < features.len() {
        bits |= 1 << features[index];
        index += 1;
    }
    bits
}

/// What QEMU calls them as properties of a card, in the order of their bits.
const NAMES: [(u32, &str); 20] = [
    (VIRTIO_NET_F_CSUM, "csum"),
    (VIRTIO_NET_F_GUEST_CSUM, "guest_csum"),
    (VIRTIO_NET_F_GUEST_TSO4, "guest_tso4"),
    (VIRTIO_NET_F_GUEST_TSO6, "guest_tso6"),
    (VIRTIO_NET_F_GUEST_ECN, "guest_ecn"),
    (VIRTIO_NET_F_HOST_TSO4, "host_tso4"),
    (VIRTIO_NET_F_HOST_TSO6, "host_tso6"),
    (VIRTIO_NET_F_HOST_ECN, "host_ecn"),
    (VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf"),
    (VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce"),
    (VIRTIO_NET_F_MQ, "mq"),
    (LOG_ALL, "log_all"),
    (VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc"),
    (VIRTIO_RING_F_EVENT_IDX, "event_idx"),
    (PROTOCOL_FEATURES, "protocol_features"),
    (VIRTIO_F_VERSION_1, "version_1"),
    (VIRTIO_F_RING_PACKED, "packed"),
    (VIRTIO_NET_F_GUEST_USO4, "guest_uso4"),
    (VIRTIO_NET_F_GUEST_USO6, "guest_uso6"),
    (VIRTIO_NET_F_HOST_USO, "host_uso"),
];

/// What concerns how frames look; not offered where frames are to be finished.
const OFFLOADS: u64 = bits(&[
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_GUEST_CSUM,
    VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_GUEST_ECN,
    VIRTIO_NET_F_GUEST_USO4,
    VIRTIO_NET_F_GUEST_USO6,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_F_HOST_ECN,
    VIRTIO_NET_F_HOST_USO,
]);

const REST: u64 = bits(&[
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_PACKED,
    VIRTIO_RING_F_INDIRECT_DESC,
    VIRTIO_RING_F_EVENT_IDX,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_MQ,
    VIRTIO_NET_F_GUEST_ANNOUNCE,
    LOG_ALL,
    PROTOCOL_FEATURES,
]);

/// What was offered, or agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features(pub(crate) u64);

impl Features {
    /// All that there is; without what leaves frames unfinished, where `offload` is not wanted.
    pub(crate) fn offered(offload: bool) -> Self {
        Self(if offload { OFFLOADS | REST } else { REST })
    }

    /// Their names.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(feature, _)| self.has(*feature)).map(|(_, name)| name)
    }

    fn has(self, feature: u32) -> bool {
        self.0 & 1 << feature != 0
    }

    /// How rings are laid out.
    pub(crate) fn shape(self) -> Shape {
        Shape { packed: self.has(VIRTIO_F_RING_PACKED), event_idx: self.has(VIRTIO_RING_F_EVENT_IDX) }
    }

    /// Whether a frame may lie in several buffers.
    pub(crate) fn mergeable(self) -> bool {
        self.has(VIRTIO_NET_F_MRG_RXBUF)
    }

    /// Whether rings wait to be switched on.
    pub(crate) fn protocol_features(self) -> bool {
        self.has(PROTOCOL_FEATURES)
    }

    /// Whether what is written to the guest's memory is to be noted.
    pub(crate) fn log_all(self) -> bool {
        self.has(LOG_ALL)
    }

    /// Bytes of offload header before each frame (VIRTIO 1.2, 5.1.6.1).
    pub(crate) fn header(self) -> usize {
        if self.mergeable() || self.has(VIRTIO_F_VERSION_1) { LONG_HEADER } else { SHORT_HEADER }
    }

    /// What the guest takes unfinished.
    pub(crate) fn capabilities(self) -> Capabilities {
        Capabilities {
            checksum: self.has(VIRTIO_NET_F_GUEST_CSUM),
            tso4: self.has(VIRTIO_NET_F_GUEST_TSO4),
            tso6: self.has(VIRTIO_NET_F_GUEST_TSO6),
            tso_ecn: self.has(VIRTIO_NET_F_GUEST_ECN),
            uso: self.has(VIRTIO_NET_F_GUEST_USO4) && self.has(VIRTIO_NET_F_GUEST_USO6),
            udp_tunnel: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_without_offloads_gets_finished_frames() {
        assert_eq!(Features::offered(false).capabilities(), Capabilities::default());
        let all = Features::offered(true);
        assert!(all.capabilities().tso4 && all.capabilities().uso && all.mergeable());
        assert_eq!((all.header(), Features(0).header()), (LONG_HEADER, SHORT_HEADER));
    }

    #[test]
    fn all_have_a_name_of_their_own() {
        let all = Features::offered(true);
        assert_eq!(all.names().count() as u32, all.0.count_ones());
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn the_bits_are_those_of_the_specification() {
        assert_eq!(
            Features::offered(false).0,
            1 << 15 | 1 << 21 | 1 << 22 | 1 << 26 | 1 << 28 | 1 << 29 | 1 << 30 | 1 << 32 | 1 << 34
        );
        let offloads = 0b11 | 1 << 7 | 1 << 8 | 1 << 9 | 0b111 << 11 | 0b111 << 54;
        assert_eq!(Features::offered(true).0 & !Features::offered(false).0, offloads);
    }
}
