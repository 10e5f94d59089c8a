//! What is configured of the VLANs of one port.

use frame::Vid;

use crate::rules::state::PortState;
use crate::vlans::{Membership, NUMBERS, VlanEntry};

/// A set of VLANs.
#[derive(Clone, Debug)]
pub(super) struct VidSet([u64; NUMBERS / 64]);

impl VidSet {
    const EMPTY: Self = Self([0; NUMBERS / 64]);

    pub(super) fn has(&self, vid: Vid) -> bool {
        self.0[usize::from(vid.get()) / 64] >> (vid.get() % 64) & 1 == 1
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
    /// By VLAN; none while all are forwarding.
    states: Option<Box<[PortState; NUMBERS]>>,
}

impl Table {
    pub(super) const EMPTY: Self =
        Self { members: VidSet::EMPTY, untagged: VidSet::EMPTY, pvid: None, states: None };

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
        let membership = Membership { pvid: self.pvid == Some(vid), untagged: self.untagged.has(vid) };
        let state = self.state(vid);
        self.members.has(vid).then_some(VlanEntry { vid, membership, state })
    }
}
