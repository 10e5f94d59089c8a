//! What happens to a frame: **parse → admit → learn → decide → emit**. Each stage takes what the one
//! before made, so the order can't be broken by accident; an `Err` ends the frame and is counted in one
//! place.
//!
//! The order is Linux Bridge's: a bad source is dropped before anything else, then come reserved
//! addresses, then the state of the port, the VLAN, then who may send, and only what is admitted teaches anything
//! (`br_handle_frame`, `br_handle_frame_finish` in `net/bridge/br_input.c`).
//!
//! The stages exist with `VLANS` and without, so that a bridge that does not tell VLANs apart pays nothing for
//! them; `VLANS` is what [`crate::vlans::Vlans::on`] says, and `COUNTS` whether they are counted as well.

use std::hint::black_box;

use frame::vlan::TAG_LEN;
use frame::{ETHERNET_HEADER, Frame, FrameFault, MacAddr, Vid, segment_len};

use crate::bridge::{Bridge, NO_VLAN};
use crate::deliveries::Deliveries;
use crate::event::Event;
use crate::fdb::{Found, Key, Lesson, Way};
use crate::moment::Moment;
use crate::port::{LocalKind, Port, PortId};
use crate::reason::DropReason;
use crate::rules::flood::{Class, Origin, Refusal};
use crate::rules::locked::{self, Gate};
use crate::rules::{reserved, unicast, vlan};
use crate::samples::Lost;
use crate::settings::VlanProtocol;
use crate::vlans::{Classified, Entrance, TagEdit};

/// From how many entries on [`Bridge::look_ahead`] looks: at 10,000 no gain could be measured.
const OUT_OF_CACHE: usize = 16_384;
/// The bits of an address.
const ADDRESS: u64 = (1 << 48) - 1;
/// The group bit: the lowest of the first byte.
const GROUP: u64 = 1 << 40;
/// ff:ff:ff:ff:ff:ff.
const BROADCAST: u64 = ADDRESS;

/// A frame that may teach, and be forwarded unless it ends there.
#[derive(Clone, Copy)]
pub(crate) struct Admitted<'f> {
    frame: &'f Frame<'f>,
    ingress: PortId,
    /// The addresses, as integers of 48 bits.
    destination: u64,
    source: u64,
    vlan: Classified,
    /// Which of the first ports send it as it came, as far as its VLAN goes: read when its line was.
    as_it_came: u64,
    teaches: Teaches,
    /// Why it goes no further than to teach.
    end: Option<DropReason>,
}

/// What a frame may teach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teaches {
    Nothing,
    /// Where its source is.
    Station,
    /// The same, as a locked entry.
    Locked,
}

/// A frame whose source is known.
#[derive(Clone, Copy)]
pub(crate) struct Taught<'f> {
    admitted: Admitted<'f>,
    pub(crate) lesson: Lesson,
}

impl Taught<'_> {
    pub(crate) fn destination(&self) -> u64 {
        self.admitted.destination
    }

    pub(crate) fn vlan(&self) -> Classified {
        self.admitted.vlan
    }
}

/// A frame and who gets it.
pub(crate) struct Decided<'f> {
    pub(crate) frame: &'f Frame<'f>,
    pub(crate) vlan: Classified,
    pub(crate) targets: Targets,
}

pub(crate) enum Targets {
    /// One port.
    One(PortId),
    /// A port, and the promiscuous host.
    AndHost(PortId, PortId),
    /// The ports of this flood but one.
    Flood(Class, Origin, Option<PortId>),
}

impl Bridge {
    /// Takes one frame through the switch: counts it at `ingress` and queues `index` for every port that
    /// gets it. `wire_len` is its length in bytes, also where it could not be parsed; `frame` is what
    /// [`Frame::parse`] said. A frame from a port that does not exist is ignored.
    ///
    /// Report each queued copy with [`Bridge::sent`] or [`Bridge::refused`].
    #[inline]
    pub fn forward(
        &mut self,
        ingress: PortId,
        index: u16,
        wire_len: usize,
        frame: &Result<Frame<'_>, FrameFault>,
        now: Moment,
        out: &mut Deliveries,
    ) {
        match (self.vlans.on(), self.vlans.counts()) {
            (false, _) => self.forward_by::<false, false>(ingress, index, wire_len, frame, now, out),
            (true, false) => self.forward_by::<true, false>(ingress, index, wire_len, frame, now, out),
            (true, true) => self.forward_by::<true, true>(ingress, index, wire_len, frame, now, out),
        }
    }

    /// The same. Each of the three is compiled by itself, or one would slow down the others.
    #[inline(never)]
    fn forward_by<const VLANS: bool, const COUNTS: bool>(
        &mut self,
        ingress: PortId,
        index: u16,
        wire_len: usize,
        frame: &Result<Frame<'_>, FrameFault>,
        now: Moment,
        out: &mut Deliveries,
    ) {
        self.fdb.set_now(now);
        let Some(port) = self.ports.get_mut(ingress) else { return };
        port.counters.rx_frames += 1;
        port.counters.rx_bytes += wire_len as u64;
        let outcome = self.stages::<VLANS, COUNTS>(ingress, index, frame, out);
        if self.mirrors.any() {
            self.mirror(ingress, index, frame, out);
        }
        let Some(port) = self.ports.get_mut(ingress) else { return };
        match outcome {
            Ok(()) => port.counters.forwarded += 1,
            Err(reason) => {
                port.counters.drop(reason, 1);
                out.lose(Lost { index, egress: None, reason });
            }
        }
    }

    /// Brings the FDB entries that these frames need into the cache. Called with a whole batch before its
    /// first [`Bridge::forward`], the processor waits for all of them at once instead of one after the
    /// other: at a million entries that nearly halves the time. Changes nothing; does nothing while the FDB is so
    /// small that it is in the cache anyway. All of the batch came in on `ingress`.
    pub fn look_ahead<'f>(
        &self,
        ingress: PortId,
        frames: impl Iterator<Item = Result<Frame<'f>, FrameFault>>,
    ) {
        if self.fdb.len() < OUT_OF_CACHE {
            return;
        }
        for frame in frames.flatten() {
            let (destination, source) = addresses(&frame);
            let vlan = self.vlans.classify_if_on(ingress, &frame);
            black_box(self.fdb.lookup(vlan.key(destination)));
            black_box(self.fdb.lookup(vlan.key(source)));
        }
    }

    #[inline(always)]
    fn stages<const VLANS: bool, const COUNTS: bool>(
        &mut self,
        ingress: PortId,
        index: u16,
        frame: &Result<Frame<'_>, FrameFault>,
        out: &mut Deliveries,
    ) -> Result<(), DropReason> {
        let frame = frame.as_ref().map_err(|fault| DropReason::from(*fault))?;
        let admitted = self.admit::<VLANS>(ingress, frame);
        if COUNTS && is_in_vlan(&admitted) {
            self.count_vlan(ingress, frame);
        }
        let taught = self.learn(admitted?, out);
        let found = self.find::<VLANS>(&taught);
        match self.straight::<VLANS>(&taught, found) {
            Some(port) => {
                self.copy::<COUNTS>(port, TagEdit::KEEP, frame, taught.vlan(), index, out);
                Ok(())
            }
            None => self.by_rules::<VLANS, COUNTS>(taught, found, index, out),
        }
    }

    /// The last two stages where there is more to them than [`Bridge::straight`].
    #[inline(never)]
    fn by_rules<const VLANS: bool, const COUNTS: bool>(
        &mut self,
        taught: Taught<'_>,
        found: Option<Found>,
        index: u16,
        out: &mut Deliveries,
    ) -> Result<(), DropReason> {
        let decided = self.decide::<VLANS>(&taught, found)?;
        self.emit::<VLANS, COUNTS>(&decided, index, out);
        Ok(())
    }

    /// Counts the frame for its VLAN.
    #[inline(never)]
    fn count_vlan(&mut self, ingress: PortId, frame: &Frame<'_>) {
        let vlan = self.vlans.classify(ingress, frame);
        self.vlans.counting.received(ingress, vlan.vid(), vlan_bytes(frame, vlan));
    }

    /// Source sanity, reserved addresses, the port's state, the VLAN, who may send.
    #[inline(always)]
    pub(crate) fn admit<'f, const VLANS: bool>(
        &self,
        ingress: PortId,
        frame: &'f Frame<'f>,
    ) -> Result<Admitted<'f>, DropReason> {
        let (destination, source) = addresses(frame);
        if source & GROUP != 0 {
            return Err(DropReason::SourceGroup);
        }
        if source == 0 {
            return Err(DropReason::SourceZero);
        }
        let port = self.ports.get(ingress).ok_or(DropReason::IngressDown)?;
        let Entrance { vlan, as_it_came } =
            if VLANS { self.vlans.entrance(ingress, frame) } else { Entrance::FREE };
        let plain = port.plain && !reserved::is_reserved(destination) && !self.fdb.has_blackholes();
        let (teaches, end) = if plain && vlan.enters() {
            (Teaches::Station, None)
        } else {
            self.judge(port, ingress, vlan, destination, source)?
        };
        Ok(Admitted { frame, ingress, destination, source, vlan, as_it_came, teaches, end })
    }

    /// What a frame may teach and whether it ends there, by all rules.
    #[inline(never)]
    fn judge(
        &self,
        port: &Port,
        ingress: PortId,
        vlan: Classified,
        destination: u64,
        source: u64,
    ) -> Result<(Teaches, Option<DropReason>), DropReason> {
        let teaches = if port.settings.learning { Teaches::Station } else { Teaches::Nothing };
        if reserved::is_reserved(destination) && self.stays_here(port, destination) {
            let in_vlan = vlan::admit(&self.vlans, ingress, vlan, true).is_ok();
            let teaches =
                if in_vlan && self.teaches_here(port, destination) { teaches } else { Teaches::Nothing };
            return Ok((teaches, Some(DropReason::ReservedAddress)));
        }
        if port.mirrored_to {
            return Err(DropReason::MirrorDestination);
        }
        if !port.learns {
            return Err(if port.up { DropReason::IngressBlocked } else { DropReason::IngressDown });
        }
        let end = vlan::admit(&self.vlans, ingress, vlan, port.forwards)?;
        if self.fdb.has_blackholes() && self.is_blackhole(vlan, source) {
            return Err(DropReason::BlackholeSource);
        }
        if port.settings.locked {
            match self.gate(port, ingress, vlan, source) {
                Gate::Open => {}
                Gate::Shut => return Err(DropReason::Locked),
                Gate::Noted => return Ok((Teaches::Locked, Some(DropReason::Locked))),
            }
        }
        Ok((teaches, if port.forwards { end } else { Some(DropReason::IngressLearning) }))
    }

    fn gate(&self, port: &Port, ingress: PortId, vlan: Classified, source: u64) -> Gate {
        match self.without_vlan(vlan, source) {
            // The address of a device of ours.
            Some(_) => Gate::Shut,
            None => locked::judge(&self.fdb, &port.settings, ingress, vlan.key(source)),
        }
    }

    /// Whether a frame to a reserved address ends here. What the host itself sends passes, as from br0.
    fn stays_here(&self, port: &Port, destination: u64) -> bool {
        let (own, all) = (port.settings.group_fwd_mask, self.settings.group_fwd_mask);
        let service = self.vlans.on() && self.settings.vlan.protocol == VlanProtocol::Dot1ad;
        let required = if service { reserved::BY_8021AD } else { 0 };
        !port.settings.host && !reserved::is_forwarded(destination, own, all, required)
    }

    /// Whether one that ends here teaches.
    fn teaches_here(&self, port: &Port, destination: u64) -> bool {
        port.learns && reserved::may_teach(destination, self.settings.no_linklocal_learn)
    }

    fn is_blackhole(&self, vlan: Classified, source: u64) -> bool {
        let found = self.fdb.lookup(vlan.key(source)).or_else(|| self.without_vlan(vlan, source));
        found.is_some_and(|found| found.way == Way::Nowhere)
    }

    /// What is known of an address in every VLAN, where VLANs are told apart: blackholes, and the addresses of
    /// devices whose port is in the frame's VLAN. Linux has an entry in each VLAN for those; like its
    /// `fdb_local_vlan_0` we have one in all.
    #[cold]
    fn without_vlan(&self, vlan: Classified, address: u64) -> Option<Found> {
        if !self.vlans.on() {
            return None;
        }
        match self.fdb.lookup(Key::new(NO_VLAN, address))?.way {
            Way::Nowhere => Some(Found { port: PortId(u16::MAX), way: Way::Nowhere }),
            Way::Host | Way::Kernel => self.device_in(vlan, MacAddr::from_u64(address)),
            Way::Port => None,
        }
    }

    /// The first port of the VLAN whose device has this address.
    fn device_in(&self, vlan: Classified, mac: MacAddr) -> Option<Found> {
        let vid = Vid::new(vlan.vid())?;
        self.ports.iter().find_map(|(id, port)| {
            let (_, kind) = port.local.filter(|(local, _)| *local == mac)?;
            let way = if kind == LocalKind::Kernel { Way::Kernel } else { Way::Host };
            self.vlans.shares(id, vid).then_some(Found { port: id, way })
        })
    }

    /// The source is behind the ingress port.
    #[inline(always)]
    pub(crate) fn learn<'f>(&mut self, admitted: Admitted<'f>, out: &mut Deliveries) -> Taught<'f> {
        let &Admitted { ingress, source, vlan, teaches, .. } = &admitted;
        let key = vlan.key(source);
        let lesson = if teaches == Teaches::Station && self.fdb.refresh(key, ingress) {
            Lesson::Known
        } else {
            self.learn_anew(teaches, ingress, vlan, source, out)
        };
        Taught { admitted, lesson }
    }

    /// The slow half of learning: all but a station that is known here.
    #[cold]
    fn learn_anew(
        &mut self,
        teaches: Teaches,
        ingress: PortId,
        vlan: Classified,
        source: u64,
        out: &mut Deliveries,
    ) -> Lesson {
        let limit = self.ports.get(ingress).and_then(|port| port.settings.max_macs);
        let key = vlan.key(source);
        let lesson = match (teaches, self.without_vlan(vlan, source)) {
            (Teaches::Nothing, _) => Lesson::NotAsked,
            (_, Some(Found { port, way: Way::Host | Way::Kernel })) => Lesson::Own(port),
            (Teaches::Station, _) => self.fdb.learn(key, ingress, limit),
            (Teaches::Locked, _) => self.fdb.learn_locked(key, ingress, limit),
        };
        self.note(lesson, ingress, vlan, source, out);
        lesson
    }

    /// Counts and tells what is remarkable.
    fn note(&mut self, lesson: Lesson, ingress: PortId, vlan: Classified, source: u64, out: &mut Deliveries) {
        let vid = if vlan.fid() == 0 { 0 } else { vlan.vid() };
        let mac = MacAddr::from_u64(source);
        let Some(port) = self.ports.get_mut(ingress) else { return };
        match lesson {
            Lesson::Moved(from) => {
                port.counters.moved += 1;
                out.tell(Event::MacMoved { mac, from, to: ingress, vid });
            }
            // The host speaks with its own address through its own port.
            Lesson::Own(owner) if owner == ingress && port.settings.host => {}
            Lesson::Own(_) => {
                port.counters.own_source += 1;
                out.tell(Event::OwnSource { mac, port: ingress, vid });
            }
            Lesson::Limited => port.counters.limited += 1,
            Lesson::Damped(_) => port.counters.damped += 1,
            Lesson::NotAsked
            | Lesson::Off
            | Lesson::Full
            | Lesson::Known
            | Lesson::New
            | Lesson::Sticky(_)
            | Lesson::Blackhole => {}
        }
    }

    /// The entry of the frame's destination, if that is a station.
    #[inline(always)]
    pub(crate) fn find<const VLANS: bool>(&self, taught: &Taught<'_>) -> Option<Found> {
        let &Admitted { destination, vlan, end, .. } = &taught.admitted;
        if end.is_some() || destination & GROUP != 0 {
            return None;
        }
        match self.fdb.lookup(vlan.key(destination)) {
            None if VLANS => self.without_vlan(vlan, destination),
            found => found,
        }
    }

    /// The port of a known station, where no rule has anything to say: what [`Bridge::decide`] would come to,
    /// in a few instructions.
    #[inline(always)]
    fn straight<const VLANS: bool>(&self, taught: &Taught<'_>, found: Option<Found>) -> Option<PortId> {
        let &Admitted { ingress, vlan, as_it_came, .. } = &taught.admitted;
        let port = found.and_then(|found| unicast::straight(&self.ports, ingress, found))?;
        let sends = !VLANS
            || match port.0 {
                0..64 => as_it_came >> port.0 & 1 == 1,
                _ => self.vlans.leaves_as_it_came(vlan, port),
            };
        sends.then_some(port)
    }

    /// One port, all of them, or nobody; `found` is the entry of the destination.
    pub(crate) fn decide<'f, const VLANS: bool>(
        &self,
        taught: &Taught<'f>,
        found: Option<Found>,
    ) -> Result<Decided<'f>, DropReason> {
        let &Admitted { frame, ingress, destination, vlan, end, .. } = &taught.admitted;
        if let Some(reason) = end {
            return Err(reason);
        }
        let port = self.ports.get(ingress).ok_or(DropReason::IngressDown)?;
        if let Some(found) = found {
            let targets = unicast::targets(&self.ports, ingress, port, found)?;
            let targets = if VLANS { self.within(vlan, targets)? } else { targets };
            return Ok(Decided { frame, vlan, targets });
        }
        let class = match destination {
            BROADCAST => Class::Broadcast,
            group if group & GROUP != 0 => Class::Multicast,
            _ => Class::Unknown,
        };
        let except = (!port.settings.hairpin).then_some(ingress);
        let takes = |port: &PortId| Some(*port) != except && (!VLANS || self.sends(vlan, *port));
        if !self.ports.flood(class, port.origin).iter().any(takes) {
            return Err(DropReason::NoEgress);
        }
        Ok(Decided { frame, vlan, targets: Targets::Flood(class, port.origin, except) })
    }

    /// Whether the frame's VLAN lets `port` send it. The promiscuous host gets everything.
    #[inline(always)]
    pub(crate) fn sends(&self, vlan: Classified, port: PortId) -> bool {
        self.vlans.leaves(vlan, port) || self.ports.promiscuous_host() == Some(port)
    }

    /// Those of a known station's ports that are in the frame's VLAN, or why there is none.
    fn within(&self, vlan: Classified, targets: Targets) -> Result<Targets, DropReason> {
        match targets {
            Targets::One(port) | Targets::AndHost(port, _) if self.sends(vlan, port) => Ok(targets),
            Targets::AndHost(_, host) => Ok(Targets::One(host)),
            Targets::One(port) => Err(match vlan::refusal(&self.vlans, port, vlan) {
                Some(Refusal::VlanState(_)) => DropReason::EgressVlanBlocked,
                Some(Refusal::PrivateVlan) => DropReason::PrivateVlan,
                _ => DropReason::EgressVlan,
            }),
            Targets::Flood(..) => Ok(targets),
        }
    }

    /// A copy for each target that can carry it.
    fn emit<const VLANS: bool, const COUNTS: bool>(
        &mut self,
        decided: &Decided<'_>,
        index: u16,
        out: &mut Deliveries,
    ) {
        let &Decided { frame, vlan, .. } = decided;
        let mut copy = |bridge: &mut Self, port| {
            let edit = if VLANS { bridge.vlans.edit(vlan, port) } else { TagEdit::KEEP };
            bridge.copy::<COUNTS>(port, edit, frame, vlan, index, out);
        };
        match decided.targets {
            Targets::One(port) => copy(self, port),
            Targets::AndHost(port, host) => [port, host].into_iter().for_each(|port| copy(self, port)),
            Targets::Flood(class, origin, except) => {
                for place in 0..self.ports.flood(class, origin).len() {
                    let port = self.ports.flood(class, origin)[place];
                    if Some(port) != except && (!VLANS || self.sends(vlan, port)) {
                        copy(self, port);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn copy<const COUNTS: bool>(
        &mut self,
        egress: PortId,
        edit: TagEdit,
        frame: &Frame<'_>,
        vlan: Classified,
        index: u16,
        out: &mut Deliveries,
    ) {
        let Some(port) = self.ports.get_mut(egress) else { return };
        port.counters.copies += 1;
        if COUNTS {
            let vid = self.vlans.counted_in(egress, vlan.vid());
            self.vlans.counting.sent(egress, vid, vlan_bytes(frame, vlan));
        }
        if judged_len(frame, vlan) > port.max_len {
            port.counters.drop(DropReason::Mtu, 1);
            out.lose(Lost { index, egress: Some(egress), reason: DropReason::Mtu });
        } else if !out.push(egress, index, edit) {
            port.counters.drop(DropReason::TxFull, 1);
        }
    }
}

/// What an egress MTU judges: a frame that is to be cut goes by its longest segment. A VLAN's tag does not
/// count, one that is payload does.
#[inline(always)]
pub(crate) fn judged_len(frame: &Frame<'_>, vlan: Classified) -> usize {
    segment_len(frame) + if vlan.is_foreign() { TAG_LEN } else { 0 }
}

/// Whether a frame has been let into its VLAN.
#[inline(always)]
fn is_in_vlan(admitted: &Result<Admitted<'_>, DropReason>) -> bool {
    match admitted {
        Ok(admitted) => admitted.end != Some(DropReason::ReservedAddress),
        // Those come after the VLAN.
        Err(reason) => matches!(reason, DropReason::Locked | DropReason::BlackholeSource),
    }
}

/// What a frame adds to the bytes of its VLAN's counters.
fn vlan_bytes(frame: &Frame<'_>, vlan: Classified) -> usize {
    frame.untagged_len() - ETHERNET_HEADER + if vlan.is_foreign() { TAG_LEN } else { 0 }
}

/// Destination and source as integers: two loads for what would be twelve.
#[inline(always)]
pub(crate) fn addresses(frame: &Frame<'_>) -> (u64, u64) {
    let both = frame.addresses();
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (word(both.first_chunk()) >> 16, word(both.last_chunk()) & ADDRESS)
}
