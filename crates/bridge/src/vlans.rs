//! Which port is in which VLAN, and in which form frames leave there (`net/bridge/br_vlan.c`; IEEE 802.1Q
//! 8.8). What is configured stands in one small table for each port ([`table`]); what follows from it for a
//! frame, in a few bits for each VLAN and port ([`lines`]), and for one without a tag in a few more for each port
//! ([`ingress`]).

mod classified;
mod ingress;
mod lines;
mod private;
mod table;

use frame::{EtherType, Frame, Vid};

use crate::port::{MAX_PORTS, PortId};
use crate::rules::state::PortState;
use crate::settings::VlanSettings;
use crate::vlan_counters::Counting;
pub(crate) use classified::Classified;
pub(crate) use ingress::Entrance;
use ingress::Ingress;
pub(crate) use lines::Came;
use lines::{Lines, Passage};
pub(crate) use private::Private;
pub use private::{PrivateKind, PrivateRole, PrivateVlan};
use table::Table;

/// Numbers of VLANs, those that can't be among them.
pub(crate) const NUMBERS: usize = 4096;
/// Numbers of ports, and one more.
const PORTS: usize = (MAX_PORTS + 1).next_power_of_two();
/// The bits of a tag that are its VLAN.
pub(crate) const VID: u16 = 0x0fff;

/// How a port belongs to a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Membership {
    /// What comes in without a tag, or tagged with a priority only, belongs to this VLAN. A port has one such
    /// VLAN at most.
    pub pvid: bool,
    /// Its frames leave without a tag.
    pub untagged: bool,
    /// Beyond Linux Bridge: its number in tags on this port's wire, where that is not its own.
    pub wire: Option<Vid>,
}

impl Membership {
    /// That of an access port: untagged both ways.
    pub const ACCESS: Self = Self { pvid: true, untagged: true, wire: None };
    /// That of a trunk: tagged both ways.
    pub const TRUNK: Self = Self { pvid: false, untagged: false, wire: None };

    /// The number in the tags of its frames that the port sends, or, where that is another one, gets.
    pub(crate) fn on_wire(self, vid: Vid) -> Option<Vid> {
        self.wire.filter(|wire| *wire != vid).or_else(|| (!self.untagged).then_some(vid))
    }
}

/// A VLAN of a port, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanEntry {
    /// The VLAN.
    pub vid: Vid,
    /// How the port belongs to it.
    pub membership: Membership,
    /// What the port does with its frames.
    pub state: PortState,
}

/// The VLANs of all ports.
#[derive(Clone, Debug)]
pub(crate) struct Vlans {
    pub(crate) settings: VlanSettings,
    tpid: EtherType,
    /// By port; boxed, as a table has a kilobyte.
    tables: Vec<Option<Box<Table>>>,
    /// By port; as long as a mask, so that no frame needs a check.
    ingress: Box<[Ingress; PORTS]>,
    private: Private,
    lines: Lines,
    pub(crate) counting: Counting,
}

impl Vlans {
    pub(crate) fn new(settings: VlanSettings) -> Self {
        Self {
            settings,
            tpid: settings.protocol.tpid(),
            tables: Vec::new(),
            ingress: Box::new([Ingress::default(); PORTS]),
            private: Private::default(),
            lines: Lines::default(),
            counting: Counting::new(settings),
        }
    }

    /// A copy to look at, in which nothing is counted.
    pub(crate) fn excerpt(&self) -> Self {
        Self {
            tables: self.tables.clone(),
            ingress: self.ingress.clone(),
            private: self.private.clone(),
            lines: self.lines.clone(),
            counting: Counting::Off,
            ..*self
        }
    }

    /// Whether VLANs are told apart.
    #[inline]
    pub(crate) fn on(&self) -> bool {
        self.settings.filtering
    }

    /// Whether what they have seen is counted.
    #[inline]
    pub(crate) fn counts(&self) -> bool {
        !self.counting.is_off()
    }

    /// The tags that are VLANs here; others are payload.
    #[inline]
    pub(crate) fn tpid(&self) -> EtherType {
        self.tpid
    }

    /// Other settings; the tables stay, `default_pvid` apart, which the caller sees to.
    pub(crate) fn set(&mut self, settings: VlanSettings) {
        if (settings.stats, settings.stats_per_port) != (self.settings.stats, self.settings.stats_per_port) {
            self.counting = Counting::new(settings);
            self.ports().for_each(|port| self.counting.add_port(port));
        }
        (self.settings, self.tpid) = (settings, settings.protocol.tpid());
        self.resolve_all();
    }

    /// A new port, in the default VLAN if there is one.
    pub(crate) fn add_port(&mut self, port: PortId) {
        let place = usize::from(port.0);
        if place >= self.tables.len() {
            self.tables.resize(place + 1, None);
        }
        self.tables[place] = Some(Box::new(Table::EMPTY));
        self.counting.add_port(port);
        if place >= self.lines.ports() {
            self.resolve_all();
        }
        if let Some(vid) = self.settings.default_pvid {
            self.add(port, vid, Membership::ACCESS);
        }
    }

    pub(crate) fn remove_port(&mut self, port: PortId) {
        if self.tables.get_mut(usize::from(port.0)).and_then(Option::take).is_some() {
            self.counting.remove_port(port);
            self.lines.leave(port);
            self.ports().for_each(|port| self.resolve_ingress(port));
        }
    }

    /// Numbers of ports, those between that do not exist among them.
    pub(crate) fn ports(&self) -> impl Iterator<Item = PortId> + use<> {
        (0..self.tables.len() as u16).map(PortId)
    }

    fn table(&self, port: PortId) -> Option<&Table> {
        self.tables.get(usize::from(port.0))?.as_deref()
    }

    fn table_mut(&mut self, port: PortId) -> Option<&mut Table> {
        self.tables.get_mut(usize::from(port.0))?.as_deref_mut()
    }

    /// Makes a port a member, or changes how it is one: what is not asked for is taken away.
    pub(crate) fn add(&mut self, port: PortId, vid: Vid, membership: Membership) {
        let Some(table) = self.table_mut(port) else { return };
        table.members.set(vid, true);
        table.untagged.set(vid, membership.untagged);
        if membership.pvid {
            table.pvid = Some(vid);
        } else {
            table.pvid = table.pvid.filter(|pvid| *pvid != vid);
        }
        table.set_wire(vid, membership.wire);
        self.resolve(port, vid);
    }

    /// Whether the port was a member.
    pub(crate) fn remove(&mut self, port: PortId, vid: Vid) -> bool {
        let Some(table) = self.table_mut(port).filter(|table| table.members.has(vid)) else { return false };
        table.members.set(vid, false);
        table.untagged.set(vid, false);
        table.pvid = table.pvid.filter(|pvid| *pvid != vid);
        table.set_state(vid, PortState::Forwarding);
        table.set_wire(vid, None);
        let last = !self.ports().any(|other| self.entry(other, vid).is_some());
        self.counting.leave(port, vid, last);
        self.resolve(port, vid);
        true
    }

    /// Whether the port is a member.
    pub(crate) fn set_state(&mut self, port: PortId, vid: Vid, state: PortState) -> bool {
        let Some(table) = self.table_mut(port).filter(|table| table.members.has(vid)) else { return false };
        table.set_state(vid, state);
        self.resolve(port, vid);
        true
    }

    /// The VLAN, if the port is a member.
    pub(crate) fn entry(&self, port: PortId, vid: Vid) -> Option<VlanEntry> {
        self.table(port)?.entry(vid)
    }

    /// All VLANs of a port, in order.
    pub(crate) fn entries(&self, port: PortId) -> impl Iterator<Item = VlanEntry> {
        self.table(port)
            .into_iter()
            .flat_map(|table| Vid::MIN.to(Vid::MAX).filter_map(|vid| table.entry(vid)))
    }

    /// The VLAN of what comes in untagged.
    pub(crate) fn pvid(&self, port: PortId) -> Option<Vid> {
        self.table(port)?.pvid
    }

    /// Makes these the private VLANs; says which there were.
    pub(crate) fn set_private(&mut self, private: Private) -> Private {
        let before = std::mem::replace(&mut self.private, private);
        self.resolve_all();
        before
    }

    /// The private VLANs.
    pub(crate) fn private(&self) -> &Private {
        &self.private
    }

    /// Whether some VLAN has another number on the port's wire.
    pub(crate) fn translates(&self, port: PortId) -> bool {
        self.ingress[usize::from(port.0) % PORTS].translates
    }

    /// Where stations of a VLAN are looked up.
    pub(crate) fn fid(&self, vid: Vid) -> u16 {
        self.private.fid(vid.get())
    }

    /// Whether the port is in the VLAN, or in one that shares with it what is learned.
    pub(crate) fn shares(&self, port: PortId, vid: Vid) -> bool {
        match self.private.of(vid) {
            None => self.entry(port, vid).is_some(),
            Some(private) => private.all().any(|vid| self.entry(port, vid).is_some()),
        }
    }

    /// How the port belongs to the one of its VLANs in which it sends the frames of `vid`.
    pub(crate) fn sent_as(&self, port: PortId, vid: Vid) -> Option<VlanEntry> {
        let table = self.table(port)?;
        table.entry(self.private.sent_in(table, vid)?)
    }

    /// The number of the VLAN in which a frame of `vid` counts where `port` sends it.
    #[inline]
    pub(crate) fn counted_in(&self, port: PortId, vid: u16) -> u16 {
        if self.private.is_empty() {
            return vid;
        }
        let sent_as = Vid::new(vid).and_then(|vid| self.sent_as(port, vid));
        sent_as.map_or(vid, |entry| entry.vid.get())
    }

    /// Works out what follows from a port's part in one VLAN.
    fn resolve(&mut self, port: PortId, vid: Vid) {
        match self.private.of(vid) {
            None => self.resolve_one(port, vid),
            Some(private) => {
                let all: Vec<Vid> = private.all().collect();
                all.into_iter().for_each(|vid| self.resolve_one(port, vid));
            }
        }
        self.resolve_ingress(port);
    }

    /// Works out what follows from all that a port is in.
    fn resolve_port(&mut self, port: PortId) {
        let own = self.entries(port).map(|entry| entry.vid).filter(|vid| self.private.of(*vid).is_none());
        let all: Vec<Vid> = own.chain(self.private.iter().flat_map(PrivateVlan::all)).collect();
        all.into_iter().for_each(|vid| self.resolve_one(port, vid));
        self.resolve_ingress(port);
    }

    /// Works out the bits of one port in one VLAN.
    fn resolve_one(&mut self, port: PortId, vid: Vid) {
        if !self.on() {
            return;
        }
        let passes = |entry: VlanEntry| entry.state == PortState::Forwarding;
        let sent_as = self.sent_as(port, vid);
        let passage = Passage {
            enters: self.entry(port, vid).is_some_and(passes),
            leaves: sent_as.is_some_and(passes),
            untagged: sent_as.is_some_and(|entry| entry.membership.untagged),
            renumbered: sent_as.is_some_and(|entry| entry.vid != vid || entry.membership.wire.is_some()),
        };
        let before = self.lines.send_untagged(vid.get());
        self.lines.set(vid.get(), port, passage);
        if self.lines.send_untagged(vid.get()) != before {
            for other in self.ports() {
                if self.pvid(other) == Some(vid) {
                    self.resolve_ingress(other);
                }
            }
        }
    }

    fn resolve_all(&mut self) {
        if !self.on() {
            self.lines.remove();
            return;
        }
        self.lines.clear(self.tables.len());
        self.ports().for_each(|port| self.resolve_port(port));
    }

    // What follows is to be asked only where VLANs are told apart.

    /// Whether `port` sends the frame, and as it came.
    #[inline(always)]
    pub(crate) fn leaves_as_it_came(&self, classified: Classified, port: PortId) -> bool {
        self.lines.sends_as_it_came(classified.vid(), classified.came(), port)
    }

    /// Whether `port` sends the frame.
    #[inline(always)]
    pub(crate) fn leaves(&self, classified: Classified, port: PortId) -> bool {
        self.lines.has(classified.vid(), port, |line| line.leave)
    }

    /// What becomes of the frame's tag at `port`.
    #[inline(always)]
    pub(crate) fn edit(&self, classified: Classified, port: PortId) -> TagEdit {
        if self.leaves_as_it_came(classified, port) { TagEdit::KEEP } else { self.form(classified, port) }
    }

    /// With what tag `port` sends the frame (`br_handle_vlan`), also if it came with that.
    #[inline]
    pub(crate) fn form(&self, classified: Classified, port: PortId) -> TagEdit {
        let untagged = self.lines.has(classified.vid(), port, |line| line.untagged);
        if untagged {
            return TagEdit::STRIP;
        }
        let sent_as = Vid::new(classified.vid()).and_then(|vid| self.sent_as(port, vid));
        let number = sent_as.map(|entry| entry.membership.wire.unwrap_or(entry.vid).get());
        TagEdit(number.map_or(classified.tci(), |number| classified.tci() & !VID | number))
    }
}

/// What becomes of a frame's outer tag at one egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagEdit(pub(crate) u16);

impl TagEdit {
    /// It stays as it came.
    pub const KEEP: Self = Self(0);
    /// The frame leaves without a VLAN's tag. Written as the VLAN that no frame can be in.
    pub const STRIP: Self = Self(VID);

    /// The tag control information (priority and VLAN) that the frame leaves with.
    #[must_use]
    pub const fn tci(self) -> Option<u16> {
        match self {
            Self::KEEP | Self::STRIP => None,
            Self(tci) => Some(tci),
        }
    }

    /// Gives the frame that tag, of the bridge's TPID ([`crate::Bridge::vlan_tpid`]).
    #[inline]
    pub fn apply(self, tpid: EtherType, frame: &mut Frame<'_>) {
        if self != Self::KEEP {
            frame.retag(tpid, self.tci());
        }
    }
}
