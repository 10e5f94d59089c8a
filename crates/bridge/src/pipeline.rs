//! What happens to a frame: **parse → admit → learn → decide → emit**. Each stage takes what the one
//! before made, so the order can't be broken by accident; an `Err` ends the frame and is counted in one
//! place.
//!
//! The order is Linux Bridge's: a bad source is dropped before anything else, then come reserved
//! addresses, then the state of the port, then who may send, and only what is admitted teaches anything
//! (`br_handle_frame`, `br_handle_frame_finish` in `net/bridge/br_input.c`).

use std::hint::black_box;

use frame::{Frame, FrameFault, MacAddr, segment_len};

use crate::bridge::{Bridge, FID};
use crate::deliveries::Deliveries;
use crate::event::Event;
use crate::fdb::{Key, Lesson, Way};
use crate::moment::Moment;
use crate::port::{Port, PortId};
use crate::reason::DropReason;
use crate::rules::flood::{Class, Origin};
use crate::rules::locked::{self, Gate};
use crate::rules::reserved;
use crate::rules::unicast;
use crate::samples::Lost;

/// From how many entries on [`Bridge::look_ahead`] looks: at 10,000 no gain could be measured.
const OUT_OF_CACHE: usize = 16_384;
/// The bits of an address.
const ADDRESS: u64 = (1 << 48) - 1;
/// The group bit: the lowest of the first byte.
const GROUP: u64 = 1 << 40;
/// ff:ff:ff:ff:ff:ff.
const BROADCAST: u64 = ADDRESS;

/// A frame that may teach, and be forwarded unless it ends there.
pub(crate) struct Admitted<'f> {
    frame: &'f Frame<'f>,
    ingress: PortId,
    /// The addresses, as integers of 48 bits.
    destination: u64,
    source: u64,
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
pub(crate) struct Taught<'f> {
    admitted: Admitted<'f>,
    pub(crate) lesson: Lesson,
}

impl Taught<'_> {
    /// Whether the frame goes no further, so that nothing is looked up for it.
    pub(crate) fn ended(&self) -> bool {
        self.admitted.end.is_some()
    }

    pub(crate) fn destination(&self) -> u64 {
        self.admitted.destination
    }
}

/// A frame and who gets it.
pub(crate) struct Decided<'f> {
    pub(crate) frame: &'f Frame<'f>,
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
        self.fdb.set_now(now);
        let Some(port) = self.ports.get_mut(ingress) else { return };
        port.counters.rx_frames += 1;
        port.counters.rx_bytes += wire_len as u64;
        let outcome = self.stages(ingress, index, frame, out);
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
    /// small that it is in the cache anyway.
    pub fn look_ahead<'f>(&self, frames: impl Iterator<Item = Result<Frame<'f>, FrameFault>>) {
        if self.fdb.len() < OUT_OF_CACHE {
            return;
        }
        for frame in frames.flatten() {
            let (destination, source) = addresses(&frame);
            black_box(self.fdb.lookup(Key::new(FID, destination)));
            black_box(self.fdb.lookup(Key::new(FID, source)));
        }
    }

    #[inline]
    fn stages(
        &mut self,
        ingress: PortId,
        index: u16,
        frame: &Result<Frame<'_>, FrameFault>,
        out: &mut Deliveries,
    ) -> Result<(), DropReason> {
        let frame = frame.as_ref().map_err(|fault| DropReason::from(*fault))?;
        let admitted = self.admit(ingress, frame)?;
        let taught = self.learn(admitted, out);
        let decided = self.decide(&taught)?;
        self.emit(&decided, index, out);
        Ok(())
    }

    /// Source sanity, reserved addresses, the port's state, who may send.
    #[inline]
    pub(crate) fn admit<'f>(
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
        let (teaches, end) =
            if port.plain && !reserved::is_reserved(destination) && !self.fdb.has_blackholes() {
                (Teaches::Station, None)
            } else {
                self.judge(port, ingress, destination, source)?
            };
        Ok(Admitted { frame, ingress, destination, source, teaches, end })
    }

    /// What a frame may teach and whether it ends there, by all rules.
    #[inline(never)]
    fn judge(
        &self,
        port: &Port,
        ingress: PortId,
        destination: u64,
        source: u64,
    ) -> Result<(Teaches, Option<DropReason>), DropReason> {
        let teaches = if port.settings.learning { Teaches::Station } else { Teaches::Nothing };
        if reserved::is_reserved(destination) && self.stays_here(port, destination) {
            let teaches = if self.teaches_here(port, destination) { teaches } else { Teaches::Nothing };
            return Ok((teaches, Some(DropReason::ReservedAddress)));
        }
        if !port.learns {
            return Err(if port.up { DropReason::IngressBlocked } else { DropReason::IngressDown });
        }
        if self.fdb.has_blackholes() && self.is_blackhole(source) {
            return Err(DropReason::BlackholeSource);
        }
        if port.settings.locked {
            match locked::judge(&self.fdb, &port.settings, ingress, Key::new(FID, source)) {
                Gate::Open => {}
                Gate::Shut => return Err(DropReason::Locked),
                Gate::Noted => return Ok((Teaches::Locked, Some(DropReason::Locked))),
            }
        }
        Ok((teaches, (!port.forwards).then_some(DropReason::IngressLearning)))
    }

    /// Whether a frame to a reserved address ends here. What the host itself sends passes, as from br0.
    fn stays_here(&self, port: &Port, destination: u64) -> bool {
        let (own, all) = (port.settings.group_fwd_mask, self.settings.group_fwd_mask);
        !port.settings.host && !reserved::is_forwarded(destination, own, all)
    }

    /// Whether one that ends here teaches.
    fn teaches_here(&self, port: &Port, destination: u64) -> bool {
        port.learns && reserved::may_teach(destination, self.settings.no_linklocal_learn)
    }

    fn is_blackhole(&self, source: u64) -> bool {
        self.fdb.lookup(Key::new(FID, source)).is_some_and(|found| found.way == Way::Nowhere)
    }

    /// The source is behind the ingress port.
    #[inline]
    pub(crate) fn learn<'f>(&mut self, admitted: Admitted<'f>, out: &mut Deliveries) -> Taught<'f> {
        let &Admitted { ingress, source, teaches, .. } = &admitted;
        let lesson = if teaches == Teaches::Station && self.fdb.refresh(Key::new(FID, source), ingress) {
            Lesson::Known
        } else {
            self.learn_anew(teaches, ingress, source, out)
        };
        Taught { admitted, lesson }
    }

    /// The slow half of learning: all but a station that is known here.
    #[cold]
    fn learn_anew(&mut self, teaches: Teaches, ingress: PortId, source: u64, out: &mut Deliveries) -> Lesson {
        let limit = self.ports.get(ingress).and_then(|port| port.settings.max_macs);
        let key = Key::new(FID, source);
        let lesson = match teaches {
            Teaches::Station => self.fdb.learn(key, ingress, limit),
            Teaches::Locked => self.fdb.learn_locked(key, ingress, limit),
            Teaches::Nothing => Lesson::NotAsked,
        };
        self.note(lesson, ingress, source, out);
        lesson
    }

    /// Counts and tells what is remarkable.
    fn note(&mut self, lesson: Lesson, ingress: PortId, source: u64, out: &mut Deliveries) {
        let mac = MacAddr::from_u64(source);
        let Some(port) = self.ports.get_mut(ingress) else { return };
        match lesson {
            Lesson::Moved(from) => {
                port.counters.moved += 1;
                out.tell(Event::MacMoved { mac, from, to: ingress });
            }
            // The host speaks with its own address through its own port.
            Lesson::Own(owner) if owner == ingress && port.settings.host => {}
            Lesson::Own(_) => {
                port.counters.own_source += 1;
                out.tell(Event::OwnSource { mac, port: ingress });
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

    /// One port, all of them, or nobody.
    #[inline]
    pub(crate) fn decide<'f>(&self, taught: &Taught<'f>) -> Result<Decided<'f>, DropReason> {
        let &Admitted { frame, ingress, destination, end, .. } = &taught.admitted;
        if let Some(reason) = end {
            return Err(reason);
        }
        let port = self.ports.get(ingress).ok_or(DropReason::IngressDown)?;
        let class = if destination & GROUP != 0 {
            if destination == BROADCAST { Class::Broadcast } else { Class::Multicast }
        } else if let Some(found) = self.fdb.lookup(Key::new(FID, destination)) {
            let targets = unicast::targets(&self.ports, ingress, port, found)?;
            return Ok(Decided { frame, targets });
        } else {
            Class::Unknown
        };
        let except = (!port.settings.hairpin).then_some(ingress);
        if self.ports.flood(class, port.origin).iter().all(|port| Some(*port) == except) {
            return Err(DropReason::NoEgress);
        }
        Ok(Decided { frame, targets: Targets::Flood(class, port.origin, except) })
    }

    /// A copy for each target that can carry it.
    #[inline]
    fn emit(&mut self, decided: &Decided<'_>, index: u16, out: &mut Deliveries) {
        // What an egress MTU judges: a frame that is to be cut goes by its longest segment.
        let len = segment_len(decided.frame);
        match decided.targets {
            Targets::One(port) => self.copy(port, len, index, out),
            Targets::AndHost(port, host) => {
                self.copy(port, len, index, out);
                self.copy(host, len, index, out);
            }
            Targets::Flood(class, origin, except) => {
                for place in 0..self.ports.flood(class, origin).len() {
                    let port = self.ports.flood(class, origin)[place];
                    if Some(port) != except {
                        self.copy(port, len, index, out);
                    }
                }
            }
        }
    }

    #[inline]
    fn copy(&mut self, egress: PortId, len: usize, index: u16, out: &mut Deliveries) {
        let Some(port) = self.ports.get_mut(egress) else { return };
        port.counters.copies += 1;
        if len > port.max_len {
            port.counters.drop(DropReason::Mtu, 1);
            out.lose(Lost { index, egress: Some(egress), reason: DropReason::Mtu });
        } else if !out.push(egress, index) {
            port.counters.drop(DropReason::TxFull, 1);
        }
    }
}

/// Destination and source as integers: two loads for what would be twelve.
#[inline]
pub(crate) fn addresses(frame: &Frame<'_>) -> (u64, u64) {
    let both = frame.addresses();
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (word(both.first_chunk()) >> 16, word(both.last_chunk()) & ADDRESS)
}
