//! Why a frame, or one port's copy of it, was not handed on. All reasons in one table, so that counters,
//! logs and documentation can't disagree.

use frame::{FrameFault, OffloadFault};

/// Where a frame is lost, and so which sum a reason belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The frame as a whole, counted at the port it came in: `rx_frames = forwarded + these`.
    Ingress,
    /// One port's copy, counted at that port: `copies = tx_frames + these`.
    Egress,
}

macro_rules! reasons {
    ($($variant:ident, $side:ident, $name:literal, $explanation:literal, $hint:literal;)+) => {
        /// Why a frame was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $explanation] $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order in which counters are kept and shown.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in counters, logs and the control interface.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What happened, in one line.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation),+ }
            }

            /// What to do about it, in one line.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint),+ }
            }

            /// Whether the frame or only one port's copy is lost.
            #[must_use]
            pub const fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side),+ }
            }
        }
    };
}

reasons! {
    Runt, Ingress, "runt",
        "the frame is shorter than an Ethernet header (14 bytes)",
        "the sender is broken; capture on this port's device to see who it is";
    TooLong, Ingress, "too_long",
        "the frame is longer than any port carries (64 KiB and headers)",
        "the sender is broken, or the device merges received frames: switch LRO off there (ethtool -K DEVICE lro off)";
    OffloadUnknownType, Ingress, "offload_unknown_type",
        "the offload header asks for a kind of segmentation that does not exist or was never offered",
        "the guest's network driver is broken or hostile; update it, or set offload = false on this port";
    OffloadZeroGsoSize, Ingress, "offload_zero_gso_size",
        "the offload header asks to cut the frame into segments of 0 bytes",
        "the guest's network driver is broken or hostile; update it, or set offload = false on this port";
    OffloadChecksumBeyondFrame, Ingress, "offload_checksum_beyond_frame",
        "the offload header places the checksum outside of the frame",
        "the guest's network driver is broken or hostile; update it, or set offload = false on this port";
    OffloadTypeDoesNotFit, Ingress, "offload_type_does_not_fit",
        "the offload header names a kind of segmentation that the frame's own headers contradict",
        "the guest's network driver is broken or hostile; update it, or set offload = false on this port";
    SourceGroup, Ingress, "source_group",
        "the source address is a group address, which no station has",
        "the sender is broken or hostile; capture on this port's device to see what it sends";
    SourceZero, Ingress, "source_zero",
        "the source address is 00:00:00:00:00:00, which no station has",
        "give the sender's interface a MAC address";
    ReservedAddress, Ingress, "reserved_address",
        "the destination is reserved for the link (01:80:c2:00:00:01 to 0f: PAUSE, LACP, 802.1X, LLDP) and not forwarded",
        "nothing to do: Linux Bridge does not forward these either; group_fwd_mask makes exceptions, but not for PAUSE";
    IngressDown, Ingress, "ingress_down",
        "the frame came in on a port that is down: its link, or enabled = false",
        "set the device up; a few of these while a link goes down are normal";
    IngressBlocked, Ingress, "ingress_blocked",
        "the frame came in on a port whose state is disabled, blocking or listening",
        "set the port's state to forwarding, unless it is one end of a loop";
    IngressLearning, Ingress, "ingress_learning",
        "the frame came in on a port whose state is learning: its source was learned, and that is all",
        "set the port's state to forwarding";
    MirrorDestination, Ingress, "mirror_destination",
        "the frame came in on the destination of a mirror, which takes no other part in the switch",
        "nothing to do if whoever looks at the copies is not to speak; otherwise give it a port of its own";
    VlanNoPvid, Ingress, "vlan_no_pvid",
        "the frame has no VLAN tag, or one with a priority only, and the port has no PVID to put it into a VLAN",
        "give the port a PVID (access, native or pvid), or let the sender tag its frames";
    VlanNotMember, Ingress, "vlan_not_member",
        "the frame is tagged with a VLAN that the port is not a member of",
        "add the VLAN to the port (vlans or trunk), or correct the sender's tag";
    VlanReserved, Ingress, "vlan_reserved",
        "the frame is tagged with VLAN 4095, which is reserved",
        "the sender is broken or hostile; VLANs are 1 to 4094";
    VlanBlocked, Ingress, "vlan_blocked",
        "the frame's VLAN is disabled, blocking or listening on the port it came in on",
        "set the state of that VLAN on the port to forwarding, unless it is one end of a loop";
    VlanLearning, Ingress, "vlan_learning",
        "the frame's VLAN is learning on the port it came in on: its source was learned, and that is all",
        "set the state of that VLAN on the port to forwarding";
    BlackholeSource, Ingress, "blackhole_source",
        "the FDB has a blackhole entry for the source",
        "remove the entry if the station is to be heard";
    Locked, Ingress, "locked",
        "the port is locked, and the source has no entry there that lets it send",
        "make a static entry for the station on this port; a locked entry, of mab, is to be replaced by one";
    SamePort, Ingress, "same_port",
        "the destination is on the port the frame came from",
        "normal behind a hub or another switch; otherwise look for two stations with one MAC address, or a loop";
    ToHost, Ingress, "to_host",
        "the destination is this host's own address on a device it shares with the switch; the kernel has its own copy",
        "normal for the host's traffic; virtual machines reach the host through a port with host = true";
    NoHostPort, Ingress, "no_host_port",
        "the destination is a local entry, so the frame is for the host, and no port has host = true",
        "give the host a port, or make the entry a static one: local means this host";
    BlackholeDestination, Ingress, "blackhole_destination",
        "the FDB has a blackhole entry for the destination",
        "remove the entry if the station is to be reached";
    EgressDown, Ingress, "egress_down",
        "the destination is on a port that is down: its link, or enabled = false",
        "set that port's device up, give it a backup_port, or remove the static entry that names it";
    EgressBlocked, Ingress, "egress_blocked",
        "the destination is on a port whose state is not forwarding",
        "set that port's state to forwarding, or remove the entry that names it";
    EgressVlan, Ingress, "egress_vlan",
        "the destination is on a port that is not a member of the frame's VLAN",
        "add the VLAN to that port, also if it is the host's, or remove the entry that names it";
    PrivateVlan, Ingress, "private_vlan",
        "the destination is in the same private VLAN, on a port that the frame's secondary VLAN does not reach",
        "nothing to do if the stations are to be kept apart; otherwise put both into one community, or one of them into the primary VLAN";
    EgressVlanBlocked, Ingress, "egress_vlan_blocked",
        "the destination is on a port where the frame's VLAN is not forwarding",
        "set the state of that VLAN on that port to forwarding";
    Isolated, Ingress, "isolated",
        "the destination is on an isolated port, and so is the source",
        "nothing to do if the stations are to be kept apart; otherwise set isolated = false on one of the ports";
    NoEgress, Ingress, "no_egress",
        "the frame is for everybody or for an unknown station, and no other port takes such frames",
        "set another port's device up, or look at its state, flood settings and isolation; normal while this is the only port in use";
    Mtu, Egress, "mtu",
        "the frame, or its longest segment, is longer than this port's MTU allows",
        "give all ports of the bridge and the guests the same MTU, or raise this device's";
    Unfinishable, Egress, "unfinishable",
        "this port needs the frame cut into segments or its checksum finished, and its headers do not allow it",
        "use offload = true on this port, or look for a guest that sends malformed headers";
    TxFull, Egress, "tx_full",
        "this port's queue was full",
        "the receiver is slower than the senders: give it more CPU, or raise the device's txqueuelen";
    TxTooLong, Egress, "tx_too_long",
        "the frame fits the MTU, but a packet socket on this device may not send it (EMSGSIZE)",
        "raise this device's MTU by 4 bytes for 802.1ad frames, by 8 for QinQ";
    TxDown, Egress, "tx_down",
        "the device's link went down before it took the frame",
        "set the device up; a few of these while a link goes down are normal";
    TxGone, Egress, "tx_gone",
        "the device disappeared before it took the frame",
        "normal while a guest shuts down; the port works again once a device of that name is back";
    TxRefused, Egress, "tx_refused",
        "the kernel refused the frame or its offload header",
        "the log names the errno of the first one; report it, with a capture of the frame";
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();
}

impl From<FrameFault> for DropReason {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::Runt => Self::Runt,
            FrameFault::Offload(OffloadFault::UnknownGsoType) => Self::OffloadUnknownType,
            FrameFault::Offload(OffloadFault::ZeroGsoSize) => Self::OffloadZeroGsoSize,
            FrameFault::Offload(OffloadFault::ChecksumBeyondFrame) => Self::OffloadChecksumBeyondFrame,
            FrameFault::Offload(OffloadFault::TypeDoesNotFit) => Self::OffloadTypeDoesNotFit,
        }
    }
}

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_is_counted_at_its_own_place_and_has_words_of_its_own() {
        let mut names = BTreeSet::new();
        let mut explanations = BTreeSet::new();
        for (place, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
            let name = reason.name();
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            assert!(names.insert(name) && explanations.insert(reason.explanation()), "{name} twice");
            for words in [reason.explanation(), reason.hint()] {
                assert!(
                    words.len() > 10 && !words.contains('\n') && !words.ends_with('.'),
                    "{name}: {words}"
                );
            }
        }
        assert_eq!(names.len(), DropReason::COUNT);
    }
}
