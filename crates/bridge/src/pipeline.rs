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

mod admit;
mod decide;
mod emit;
mod learn;

use frame::{Frame, FrameFault};

use crate::bridge::Bridge;
use crate::deliveries::Deliveries;
use crate::fdb::{Found, Lesson, Wanted};
use crate::moment::Moment;
use crate::port::PortId;
use crate::reason::DropReason;
use crate::rules::flood::{Class, Origin};
use crate::samples::Lost;
use crate::vlans::{Classified, TagEdit};
use admit::is_in_vlan;
pub(crate) use emit::judged_len;

/// From how many entries on [`Bridge::look_ahead`] looks: at 10,000 no gain could be measured.
const OUT_OF_CACHE: usize = 16_384;
/// Frames that it looks ahead for at once.
const AHEAD: usize = 64;
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
        let mut places = [Wanted::default(); 2 * AHEAD];
        let mut wanted = 0;
        for (frame, places) in frames.flatten().zip(places.chunks_exact_mut(2)) {
            let (destination, source) = addresses(&frame);
            let vlan = self.vlans.classify_if_on(ingress, &frame);
            places[0] = self.fdb.want(vlan.key(destination));
            places[1] = self.fdb.want(vlan.key(source));
            wanted += 2;
        }
        places[..wanted].iter().for_each(|place| self.fdb.fetch(*place));
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
}

/// Destination and source as integers: two loads for what would be twelve.
#[inline(always)]
pub(crate) fn addresses(frame: &Frame<'_>) -> (u64, u64) {
    let both = frame.addresses();
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (word(both.first_chunk()) >> 16, word(both.last_chunk()) & ADDRESS)
}
