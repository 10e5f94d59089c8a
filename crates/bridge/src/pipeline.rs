//! What happens to a frame: **parse → admit → learn → decide → emit**. Each stage takes what the one
//! before made, so the order can't be broken by accident; an `Err` ends the frame and is counted in one
//! place.
//!
//! The order is Linux Bridge's: a bad source is dropped before anything else, then reserved
//! addresses, then a port without link, and only what is admitted teaches anything
//! (`br_handle_frame`, `br_handle_frame_finish` in `net/bridge/br_input.c`).

use std::hint::black_box;

use frame::{Frame, FrameFault, segment_len};

use crate::bridge::{Bridge, FID};
use crate::deliveries::Deliveries;
use crate::fdb::{Key, Learned};
use crate::moment::Moment;
use crate::port::PortId;
use crate::reason::DropReason;

/// From how many entries on [`Bridge::look_ahead`] looks: at 10,000 no gain could be measured.
const OUT_OF_CACHE: usize = 16_384;
/// The bits of an address.
const ADDRESS: u64 = (1 << 48) - 1;
/// The group bit: the lowest of the first byte.
const GROUP: u64 = 1 << 40;
/// 01:80:c2:00:00:01, PAUSE: means nothing beyond the device that receives it.
const PAUSE: u64 = 0x0180_c200_0001;
/// 01:80:c2:00:00:0f, the last of the addresses that stay on a link (IEEE 802.1Q table 8-1).
const LAST_RESERVED: u64 = 0x0180_c200_000f;

/// A frame that may teach and be forwarded.
struct Admitted<'f> {
    frame: &'f Frame<'f>,
    ingress: PortId,
    /// The addresses, as integers of 48 bits.
    destination: u64,
    source: u64,
}

/// A frame whose source is known.
struct Taught<'f>(Admitted<'f>);

/// A frame and who gets it.
struct Decided<'f> {
    frame: &'f Frame<'f>,
    ingress: PortId,
    targets: Targets,
}

enum Targets {
    One(PortId),
    /// All ports with link but the ingress.
    Group,
    /// Those that also get unicast to unknown stations.
    Unknown,
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
        let Some(port) = self.ports.get_mut(ingress) else { return };
        port.counters.rx_frames += 1;
        port.counters.rx_bytes += wire_len as u64;
        let outcome = self.stages(ingress, index, frame, now, out);
        let Some(port) = self.ports.get_mut(ingress) else { return };
        match outcome {
            Ok(()) => port.counters.forwarded += 1,
            Err(reason) => port.counters.drop(reason, 1),
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
        now: Moment,
        out: &mut Deliveries,
    ) -> Result<(), DropReason> {
        let frame = frame.as_ref().map_err(|fault| DropReason::from(*fault))?;
        let admitted = self.admit(ingress, frame)?;
        let taught = self.learn(admitted, now);
        let decided = self.decide(&taught)?;
        self.emit(&decided, index, out);
        Ok(())
    }

    /// Source sanity, addresses that nothing is learned from, link.
    #[inline]
    fn admit<'f>(&self, ingress: PortId, frame: &'f Frame<'f>) -> Result<Admitted<'f>, DropReason> {
        let (destination, source) = addresses(frame);
        if source & GROUP != 0 {
            return Err(DropReason::SourceGroup);
        }
        if source == 0 {
            return Err(DropReason::SourceZero);
        }
        if destination == PAUSE {
            return Err(DropReason::ReservedAddress);
        }
        if !self.ports.get(ingress).is_some_and(|port| port.up) {
            return Err(DropReason::IngressDown);
        }
        Ok(Admitted { frame, ingress, destination, source })
    }

    /// The source is behind the ingress port.
    #[inline]
    fn learn<'f>(&mut self, admitted: Admitted<'f>, now: Moment) -> Taught<'f> {
        let ingress = admitted.ingress;
        match self.fdb.learn(Key::new(FID, admitted.source), ingress, now) {
            Learned::Here | Learned::Off => {}
            Learned::Moved => self.count(ingress, |port| port.moved += 1),
            // The host speaks with its own address through its own port.
            Learned::Own(owner) if owner.port == ingress && !owner.kernel => {}
            Learned::Own(_) => self.count(ingress, |port| port.own_source += 1),
        }
        Taught(admitted)
    }

    /// One port, all of them, or nobody.
    #[inline]
    fn decide<'f>(&self, Taught(admitted): &Taught<'f>) -> Result<Decided<'f>, DropReason> {
        let &Admitted { frame, ingress, destination, .. } = admitted;
        let targets = if destination & GROUP != 0 {
            if (PAUSE..=LAST_RESERVED).contains(&destination) {
                return Err(DropReason::ReservedAddress);
            }
            Targets::Group
        } else if let Some(found) = self.fdb.lookup(Key::new(FID, destination)) {
            if found.kernel {
                return Err(DropReason::ToHost);
            }
            if found.port == ingress {
                return Err(DropReason::SamePort);
            }
            if !self.ports.get(found.port).is_some_and(|port| port.up) {
                return Err(DropReason::EgressDown);
            }
            return Ok(Decided { frame, ingress, targets: Targets::One(found.port) });
        } else {
            Targets::Unknown
        };
        if self.flooded(&targets).iter().all(|port| *port == ingress) {
            return Err(DropReason::NoEgress);
        }
        Ok(Decided { frame, ingress, targets })
    }

    /// The ports of a flood, perhaps with the ingress among them.
    #[inline]
    fn flooded(&self, targets: &Targets) -> &[PortId] {
        match targets {
            Targets::One(_) => &[],
            Targets::Group => self.ports.group(),
            Targets::Unknown => self.ports.unknown(),
        }
    }

    /// A copy for each target that can carry it.
    #[inline]
    fn emit(&mut self, decided: &Decided<'_>, index: u16, out: &mut Deliveries) {
        // What an egress MTU judges: a frame that is to be cut goes by its longest segment.
        let len = segment_len(decided.frame);
        if let Targets::One(port) = decided.targets {
            return self.copy(port, len, index, out);
        }
        for place in 0..self.flooded(&decided.targets).len() {
            let port = self.flooded(&decided.targets)[place];
            if port != decided.ingress {
                self.copy(port, len, index, out);
            }
        }
    }

    #[inline]
    fn copy(&mut self, egress: PortId, len: usize, index: u16, out: &mut Deliveries) {
        let Some(port) = self.ports.get_mut(egress) else { return };
        port.counters.copies += 1;
        if len > port.max_len {
            port.counters.drop(DropReason::Mtu, 1);
        } else if !out.push(egress, index) {
            port.counters.drop(DropReason::TxFull, 1);
        }
    }

    #[cold]
    fn count(&mut self, port: PortId, what: impl FnOnce(&mut crate::PortCounters)) {
        if let Some(port) = self.ports.get_mut(port) {
            what(&mut port.counters);
        }
    }
}

/// Destination and source as integers: two loads for what would be twelve.
#[inline]
fn addresses(frame: &Frame<'_>) -> (u64, u64) {
    let both = frame.addresses();
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (word(both.first_chunk()) >> 16, word(both.last_chunk()) & ADDRESS)
}
