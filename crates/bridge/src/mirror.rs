//! Port mirroring: a port that gets a copy of what passes others, to look at, and takes no other part (SPAN; `mirrors`
//! of Open vSwitch). A frame is copied to it once, however many of the ports it passes: as it came in, if it came in
//! on one of them, else as the first of them that got it sends it.

use std::fmt;

use frame::{Frame, FrameFault, Vid, segment_len};

use crate::bridge::Bridge;
use crate::deliveries::Deliveries;
use crate::explain::{Explanation, Verdict};
use crate::port::PortId;
use crate::reason::DropReason;
use crate::samples::Lost;
use crate::vlans::TagEdit;

/// What is copied, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The ports that are looked at.
    pub from: Vec<PortId>,
    /// The port that gets the copies, and nothing else; what comes in there is dropped.
    pub to: PortId,
    /// Whether what comes in on those ports is copied, also if it is dropped there.
    pub ingress: bool,
    /// Whether what they are to send is copied.
    pub egress: bool,
    /// Only frames of this VLAN; where VLANs are not told apart, with this tag.
    pub vlan: Option<Vid>,
}

/// What a mirror has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounters {
    /// Frames that were to be copied.
    pub frames: u64,
    /// Those of them that were not, as the port that gets them was down.
    pub missed: u64,
}

/// Why a frame is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It came in on a port that is looked at.
    In,
    /// This port, which is looked at, sends it.
    Out(PortId),
}

/// Why mirrors can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorRefused {
    /// There is no such port.
    NoSuchPort(PortId),
    /// It is the host's port.
    Host(PortId),
    /// It gets copies, and is looked at.
    Loop(PortId),
    /// Two mirrors have it as their destination.
    Twice(PortId),
}

impl fmt::Display for MirrorRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPort(port) => write!(f, "the bridge has no port number {}", port.0),
            Self::Host(port) => write!(f, "port number {} is the host's: it can't be a mirror's", port.0),
            Self::Loop(port) => write!(f, "port number {} would mirror what a mirror sends there", port.0),
            Self::Twice(port) => write!(f, "port number {} is the destination of another mirror", port.0),
        }
    }
}

impl std::error::Error for MirrorRefused {}

/// All mirrors of a bridge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirrors(Vec<(Mirror, MirrorCounters)>);

impl Mirrors {
    /// Whether there is any.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Begins to count anew.
    pub(crate) fn clear_counters(&mut self) {
        self.0.iter_mut().for_each(|(_, counters)| *counters = MirrorCounters::default());
    }
}

impl Mirror {
    /// Why it copies a frame of `vlan` that came in on `ingress`, where `sends` says of a port whether it sends it.
    fn sees(&self, ingress: PortId, vlan: u16, sends: impl Fn(PortId) -> bool) -> Option<Seen> {
        if self.vlan.is_some_and(|wanted| wanted.get() != vlan) {
            None
        } else if self.ingress && self.from.contains(&ingress) {
            Some(Seen::In)
        } else if self.egress {
            self.from.iter().copied().find(|port| sends(*port)).map(Seen::Out)
        } else {
            None
        }
    }
}

impl Bridge {
    /// Mirrors from now on as these say, and no longer otherwise. One to the same port as before counts on.
    ///
    /// # Errors
    /// A [`MirrorRefused`] says what can't be; nothing is changed then.
    pub fn set_mirrors(&mut self, mirrors: Vec<Mirror>) -> Result<(), MirrorRefused> {
        for (place, Mirror { from, to, .. }) in mirrors.iter().enumerate() {
            let exists = |port: &&PortId| self.ports.get(**port).is_none();
            if let Some(missing) = from.iter().chain([to]).find(exists) {
                return Err(MirrorRefused::NoSuchPort(*missing));
            }
            if self.ports.host() == Some(*to) {
                return Err(MirrorRefused::Host(*to));
            }
            if mirrors.iter().any(|other| other.from.contains(to)) {
                return Err(MirrorRefused::Loop(*to));
            }
            if mirrors[..place].iter().any(|other| other.to == *to) {
                return Err(MirrorRefused::Twice(*to));
            }
        }
        let counters = |mirror: &Mirror| {
            let before = self.mirrors.0.iter().find(|(before, _)| before.to == mirror.to);
            before.map(|(_, counters)| *counters).unwrap_or_default()
        };
        let mirrors = mirrors.into_iter().map(|mirror| (counters(&mirror), mirror));
        self.mirrors = Mirrors(mirrors.map(|(counters, mirror)| (mirror, counters)).collect());
        self.settle_mirrors();
        Ok(())
    }

    /// The mirrors, and what each has done.
    pub fn mirrors(&self) -> impl Iterator<Item = &(Mirror, MirrorCounters)> {
        self.mirrors.0.iter()
    }

    /// A port is no more: nobody looks at it, and a mirror that led there has ended.
    pub(crate) fn forget_mirrors_of(&mut self, port: PortId) {
        self.mirrors.0.retain_mut(|(mirror, _)| {
            mirror.from.retain(|from| *from != port);
            mirror.to != port
        });
        self.settle_mirrors();
    }

    /// The ports that get copies take no other part.
    fn settle_mirrors(&mut self) {
        let destinations: Vec<PortId> = self.mirrors.0.iter().map(|(mirror, _)| mirror.to).collect();
        for port in self.ports.set_mirrored_to(&destinations) {
            self.fdb.forget_dynamic(port);
        }
    }

    /// Copies a frame of which it was decided who gets it, where mirrors want it.
    #[inline(never)]
    pub(crate) fn mirror(
        &mut self,
        ingress: PortId,
        index: u16,
        frame: &Result<Frame<'_>, FrameFault>,
        out: &mut Deliveries,
    ) {
        // What is no frame can't be sent.
        let Ok(frame) = frame else { return };
        let vlan = self.vlan_of(ingress, frame);
        for (mirror, counters) in &mut self.mirrors.0 {
            let sends = |port| out.queue(port).last() == Some(&index);
            let edit = match mirror.sees(ingress, vlan, sends) {
                None => continue,
                Some(Seen::In) => TagEdit::KEEP,
                Some(Seen::Out(port)) => out.edit(port, out.queue(port).len() - 1),
            };
            counters.frames += 1;
            let Some(port) = self.ports.get_mut(mirror.to).filter(|port| port.up) else {
                counters.missed += 1;
                continue;
            };
            port.counters.copies += 1;
            if segment_len(frame) > port.max_len {
                port.counters.drop(DropReason::Mtu, 1);
                out.lose(Lost { index, egress: Some(mirror.to), reason: DropReason::Mtu });
            } else if !out.push(mirror.to, index, edit) {
                port.counters.drop(DropReason::TxFull, 1);
            }
        }
    }

    /// Where a frame is copied to that fares as `explanation` says, and why.
    pub(crate) fn mirrored(&self, frame: &Frame<'_>, explanation: &Explanation) -> Vec<(PortId, Seen)> {
        let ingress = explanation.ingress;
        let vlan = self.vlan_of(ingress, frame);
        let gets = |(port, verdict): &(PortId, Verdict)| matches!(verdict, Verdict::Gets(_)).then_some(*port);
        let sends = |port| explanation.ports.iter().any(|at| gets(at) == Some(port));
        let seen = self.mirrors.0.iter().map(|(mirror, _)| (mirror.to, mirror.sees(ingress, vlan, sends)));
        seen.filter_map(|(to, seen)| Some((to, seen?))).collect()
    }
}
