//! What follows from the tables of all ports for a frame: bits that are worked out when something changes, and
//! that lie, for each VLAN and 64 ports, in one line of the cache.

use crate::port::PortId;
use crate::vlans::NUMBERS;

/// How a frame came, as far as it makes a difference for how it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Came {
    /// Without a VLAN's tag.
    #[default]
    Untagged,
    /// With the tag that says its VLAN.
    Tagged,
    /// With another tag.
    Otherwise,
}

/// What a port does with the frames of one VLAN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    /// Takes them in, and on.
    pub(super) enters: bool,
    /// Sends them.
    pub(super) leaves: bool,
    /// Sends them without a tag.
    pub(super) untagged: bool,
    /// Sends them with another number than the VLAN's.
    pub(super) renumbered: bool,
}

/// What 64 ports do with the frames of one VLAN, a bit for each.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line {
    /// Take them in, and on.
    pub(super) enter: u64,
    /// Send them.
    pub(super) leave: u64,
    /// Send them without a tag.
    pub(super) untagged: u64,
    /// Send them as they came, by [`Came`].
    as_came: [u64; 3],
}

impl Line {
    const EMPTY: Self = Self { enter: 0, leave: 0, untagged: 0, as_came: [0; 3] };
}

/// The lines of all VLANs; none while filtering is off.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// All VLANs for the first 64 ports, then all for the next.
    lines: Vec<Line>,
}

impl Lines {
    /// As many empty ones as so many ports need.
    pub(super) fn clear(&mut self, ports: usize) {
        self.lines.clear();
        self.lines.resize(NUMBERS * ports.div_ceil(64), Line::EMPTY);
    }

    /// Gives back the memory.
    pub(super) fn remove(&mut self) {
        *self = Self::default();
    }

    /// How many ports they have bits for.
    pub(super) fn ports(&self) -> usize {
        self.lines.len() / NUMBERS * 64
    }

    #[inline(always)]
    fn place(vid: u16, port: PortId) -> usize {
        usize::from(port.0 / 64) * NUMBERS + usize::from(vid)
    }

    /// The bit of a port in what `bits` takes of its line.
    #[inline(always)]
    pub(super) fn has(&self, vid: u16, port: PortId, bits: impl Fn(&Line) -> u64) -> bool {
        let line = self.lines.get(Self::place(vid, port));
        line.is_some_and(|line| bits(line) >> (port.0 % 64) & 1 == 1)
    }

    /// Whether the port takes in a frame of this VLAN that came so, and which of the first 64 ports send it as
    /// it came.
    #[inline(always)]
    pub(super) fn enters(&self, vid: u16, came: Came, port: PortId) -> (bool, u64) {
        let Some(line) = self.lines.get(usize::from(vid)) else { return (false, 0) };
        let enters = match port.0 {
            0..64 => line.enter >> port.0 & 1 == 1,
            _ => self.has(vid, port, |line| line.enter),
        };
        (enters, line.as_came[came as usize])
    }

    /// Whether the port sends a frame of this VLAN that came so as it came.
    #[inline(always)]
    pub(super) fn sends_as_it_came(&self, vid: u16, came: Came, port: PortId) -> bool {
        self.has(vid, port, |line| line.as_came[came as usize])
    }

    /// Which of the first 64 ports send a frame of this VLAN without a tag, as it came.
    pub(super) fn send_untagged(&self, vid: u16) -> u64 {
        self.lines.get(usize::from(vid)).map_or(0, |line| line.as_came[Came::Untagged as usize])
    }

    /// Takes a port out of all VLANs.
    pub(super) fn leave(&mut self, port: PortId) {
        let none = Passage { enters: false, leaves: false, untagged: false, renumbered: false };
        (0..NUMBERS as u16).for_each(|vid| self.set(vid, port, none));
    }

    /// Sets the bits of a port.
    pub(super) fn set(&mut self, vid: u16, port: PortId, passage: Passage) {
        let place = Self::place(vid, port);
        let Some(line) = self.lines.get_mut(place) else { return };
        let bit = 1 << (port.0 % 64);
        let Passage { enters, leaves, untagged, renumbered } = passage;
        let Line { enter, leave, untagged: without, as_came: [came_untagged, came_tagged, _] } = line;
        for (bits, on) in [
            (enter, enters),
            (leave, leaves),
            (without, untagged),
            (came_untagged, leaves && untagged),
            (came_tagged, leaves && !untagged && !renumbered),
        ] {
            *bits = if on { *bits | bit } else { *bits & !bit };
        }
    }
}
