//! What is configured of the VLANs of one port.

use frame::Vid;

use crate::rules::state::PortState;
use crate::vlans::{Membership, NUMBERS, VlanEntry};

/// A set of VLANs.
#[derive(Clone, Debug)]
pub(super) struct VidSet([u64; NUMBERS / 64]);

impl VidSet {
    pub(super) const EMPTY: Self = Self([0; NUMBERS / 64]);

    pub(super) fn has(&self, vid: Vid) -> bool {
        self.0[usize::from(vid.get()) / 64] >> (vid.get() % 64) & 1 == 1
    }

    /// Whether some VLAN is in both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own & other != 0)
    }

    pub(super) fn set(&mut self, vid: Vid, on: bool) {
        let word = &mut self.0[usize::from(vid.get()) / 64];
        *word = *word & !(1 << (vid.get() % 64)) | u64::from(on) << (vid.get() % 64);
    }
}

/// What is configured of one port.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) members: VidSet,
    pub(super) untagged: VidSet,
    pub(super) pvid: Option<Vid>,
    /// Numbers on the wire and their VLANs, of those where that is not the same.
    wires: Vec<(Vid, Vid)>,
    /// By VLAN; none while all are forwarding.
    states: Option<Box<[PortState; NUMBERS]>>,
}

impl Table {
    pub(super) const EMPTY: Self =
        Self { members: VidSet::EMPTY, untagged: VidSet::EMPTY, pvid: None, wires: Vec::new(), states: None };

    /// Whether some VLAN has another number on the wire.
    pub(super) fn translates(&self) -> bool {
        !self.wires.is_empty()
    }

    /// Gives a VLAN another number on the wire, or its own.
    pub(super) fn set_wire(&mut self, vid: Vid, wire: Option<Vid>) {
        self.wires.retain(|(_, inside)| *inside != vid);
        self.wires.extend(wire.filter(|wire| *wire != vid).map(|wire| (wire, vid)));
        self.wires.sort_unstable();
    }

    /// The VLAN's number on the wire, if it is another one.
    pub(super) fn wire(&self, vid: u16) -> Option<Vid> {
        self.wires.iter().find(|(_, inside)| inside.get() == vid).map(|(wire, _)| *wire)
    }

    /// The VLAN of a number on the wire; `None` where that is the own number of a VLAN that has another one there.
    pub(super) fn inside(&self, number: u16) -> Option<u16> {
        match self.wires.binary_search_by_key(&number, |(wire, _)| wire.get()) {
            Ok(place) => Some(self.wires[place].1.get()),
            Err(_) if self.wire(number).is_some() => None,
            Err(_) => Some(number),
        }
    }

    fn state(&self, vid: Vid) -> PortState {
        self.states.as_ref().map_or(PortState::Forwarding, |states| states[usize::from(vid.get())])
    }

    pub(super) fn set_state(&mut self, vid: Vid, state: PortState) {
        if state != self.state(vid) {
            let states = self.states.get_or_insert_with(|| Box::new([PortState::Forwarding; NUMBERS]));
            states[usize::from(vid.get())] = state;
        }
    }

    pub(super) fn entry(&self, vid: Vid) -> Option<VlanEntry> {
        if !self.members.has(vid) {
            return None;
        }
        let membership = Membership {
            pvid: self.pvid == Some(vid),
            untagged: self.untagged.has(vid),
            wire: self.wire(vid.get()),
        };
        let state = self.state(vid);
        Some(VlanEntry { vid, membership, state })
    }
}
