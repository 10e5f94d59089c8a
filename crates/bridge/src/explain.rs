//! What would happen to a frame, and why: the stages of [`crate::pipeline`] on a copy of what they would meet,
//! each stage's value written down.

use frame::{Frame, FrameFault, MacAddr, segment_len};

use crate::bridge::{Bridge, FID};
use crate::deliveries::Deliveries;
use crate::fdb::{FdbEntry, Key, Lesson};
use crate::moment::Moment;
use crate::pipeline::{Decided, Targets, addresses};
use crate::port::PortId;
use crate::reason::DropReason;
use crate::rules::flood::{Class, Refusal, refusal};
use crate::rules::reserved;

/// What a frame is by its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No frame at all: it could not be parsed.
    Unreadable,
    /// To one of 01:80:c2:00:00:00 to 0f.
    Reserved,
    /// To everybody.
    Broadcast,
    /// To another group.
    Multicast,
    /// To a station.
    Unicast,
}

/// What becomes of the frame at one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The port is to send it.
    Gets,
    /// It does not, for this reason.
    Refuses(Refusal),
}

/// The way of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Where the frame came in.
    pub ingress: PortId,
    /// What it is.
    pub kind: Kind,
    /// What its source has taught.
    pub lesson: Lesson,
    /// The entry of its destination, where one was looked up and found.
    pub entry: Option<FdbEntry>,
    /// What becomes of it at each port that was asked: the one that the entry leads to, or, where it is
    /// flooded, all of them.
    pub ports: Vec<(PortId, Verdict)>,
    /// Whether it is forwarded, or why not.
    pub outcome: Result<(), DropReason>,
}

/// One step of the way, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `parse`, `learn`, `look up`, `decide` or `emit`.
    pub stage: &'static str,
    /// What happened there.
    pub words: String,
}

impl Bridge {
    /// Says what [`Bridge::forward`] would do with a frame, and changes nothing: it takes the frame through a
    /// copy of the bridge that has, of the FDB, only what one frame can meet. So it takes microseconds,
    /// however large the FDB. From a port that does not exist the frame counts as one from a port that is
    /// down.
    #[must_use]
    pub fn explain(
        &self,
        ingress: PortId,
        frame: &Result<Frame<'_>, FrameFault>,
        now: Moment,
    ) -> Explanation {
        let mut copy = self.excerpt(frame.as_ref().ok());
        copy.fdb.set_now(now);
        let mut explanation = Explanation {
            ingress,
            kind: Kind::Unreadable,
            lesson: Lesson::NotAsked,
            entry: None,
            ports: Vec::new(),
            outcome: Ok(()),
        };
        explanation.outcome = copy.walk(frame, &mut explanation);
        explanation
    }

    /// A copy for one frame to go through.
    fn excerpt(&self, frame: Option<&Frame<'_>>) -> Self {
        let keys = frame.map(|frame| {
            let (destination, source) = addresses(frame);
            [destination, source].map(|address| Key::new(FID, address))
        });
        let fdb = self.fdb.excerpt(keys.as_ref().map_or(&[], |keys| keys));
        Self {
            settings: self.settings,
            ports: self.ports.clone(),
            fdb,
            topology_change: self.topology_change,
        }
    }

    fn walk(
        &mut self,
        frame: &Result<Frame<'_>, FrameFault>,
        explanation: &mut Explanation,
    ) -> Result<(), DropReason> {
        let ingress = explanation.ingress;
        let frame = frame.as_ref().map_err(|fault| DropReason::from(*fault))?;
        explanation.kind = kind(frame);
        let admitted = self.admit(ingress, frame)?;
        let taught = self.learn(admitted, &mut Deliveries::new(0));
        explanation.lesson = taught.lesson;
        let decided = self.decide(&taught);
        if explanation.kind == Kind::Unicast && !taught.ended() {
            explanation.entry = self.fdb.show(Key::new(FID, taught.destination()));
        }
        explanation.ports = match &decided {
            Ok(decided) => self.verdicts(decided),
            Err(DropReason::NoEgress) => self.nobody(ingress, explanation.kind),
            Err(_) => Vec::new(),
        };
        decided.map(|_| ())
    }

    fn verdicts(&self, decided: &Decided<'_>) -> Vec<(PortId, Verdict)> {
        let len = segment_len(decided.frame);
        let gets = |id: PortId| match self.ports.get(id) {
            Some(port) if len > port.max_len => (id, Verdict::Refuses(Refusal::Mtu)),
            _ => (id, Verdict::Gets),
        };
        match decided.targets {
            Targets::One(port) => vec![gets(port)],
            Targets::AndHost(port, host) => vec![gets(port), gets(host)],
            Targets::Flood(class, origin, except) => {
                let verdict = |(id, port)| match refusal(port, class, origin) {
                    _ if Some(id) == except => (id, Verdict::Refuses(Refusal::CameFromHere)),
                    Some(refusal) => (id, Verdict::Refuses(refusal)),
                    None => gets(id),
                };
                self.ports.iter().map(verdict).collect()
            }
        }
    }

    /// Why each port refuses a flood that none takes.
    fn nobody(&self, ingress: PortId, kind: Kind) -> Vec<(PortId, Verdict)> {
        let Some(from) = self.ports.get(ingress) else { return Vec::new() };
        let class = match kind {
            Kind::Broadcast => Class::Broadcast,
            Kind::Unicast => Class::Unknown,
            Kind::Multicast | Kind::Reserved | Kind::Unreadable => Class::Multicast,
        };
        let why = |(id, port)| (id, refusal(port, class, from.origin).unwrap_or(Refusal::CameFromHere));
        let came_from = |(id, why)| if id == ingress { (id, Refusal::CameFromHere) } else { (id, why) };
        self.ports.iter().map(why).map(came_from).map(|(id, why)| (id, Verdict::Refuses(why))).collect()
    }
}

fn kind(frame: &Frame<'_>) -> Kind {
    let (destination, _) = addresses(frame);
    match MacAddr::from_u64(destination) {
        _ if reserved::is_reserved(destination) => Kind::Reserved,
        MacAddr::BROADCAST => Kind::Broadcast,
        mac if mac.is_group() => Kind::Multicast,
        _ => Kind::Unicast,
    }
}

impl Explanation {
    /// The ports that get the frame.
    pub fn gets(&self) -> impl Iterator<Item = PortId> {
        self.ports.iter().filter(|(_, verdict)| *verdict == Verdict::Gets).map(|(port, _)| *port)
    }

    /// The way in words, each port called as `name` says.
    pub fn steps(&self, name: impl Fn(PortId) -> String) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut step = |stage, words: String| steps.push(Step { stage, words });
        step("parse", format!("came in on {}: {}", name(self.ingress), self.kind.words()));
        step("learn", lesson(self.lesson, &name));
        if let Some(entry) = &self.entry {
            let port = entry.port.map_or(String::new(), |port| format!(" on {}", name(port)));
            step("look up", format!("{} has a {} entry{port}", entry.mac, entry.kind.name()));
        } else if self.kind == Kind::Unicast && !self.ports.is_empty() {
            step("look up", "no entry knows the destination: it is flooded".to_owned());
        }
        match self.outcome {
            Ok(()) => step("decide", "forwarded".to_owned()),
            Err(reason) => step("decide", format!("dropped, {reason}: {}", reason.explanation())),
        }
        for (port, verdict) in &self.ports {
            let words = match verdict {
                Verdict::Gets => "gets it".to_owned(),
                Verdict::Refuses(refusal) => format!("does not get it: {}", refusal.words()),
            };
            step("emit", format!("{} {words}", name(*port)));
        }
        steps
    }
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "no frame that can be read",
            Self::Reserved => "for an address reserved for the link (01:80:c2:00:00:00 to 0f)",
            Self::Broadcast => "for everybody",
            Self::Multicast => "for a group",
            Self::Unicast => "for one station",
        }
    }
}

impl Refusal {
    fn words(self) -> String {
        match self {
            Self::CameFromHere => "it came from there, and hairpin is off".to_owned(),
            Self::Down => "the port is down".to_owned(),
            Self::State(state) => format!("its state is {}", state.name()),
            Self::Off(setting) => format!("{setting} is off"),
            Self::Isolated => "it is isolated, and so is the port that the frame came from".to_owned(),
            Self::NotForHost => "the host gets no unicast to unknown stations unless promisc".to_owned(),
            Self::Mtu => "the frame is longer than its MTU allows".to_owned(),
        }
    }
}

fn lesson(lesson: Lesson, name: impl Fn(PortId) -> String) -> String {
    match lesson {
        Lesson::NotAsked => "nothing: the port or the frame does not teach".to_owned(),
        Lesson::Off => "nothing: ageing_time or fdb_max is 0".to_owned(),
        Lesson::Known => "the source is known here".to_owned(),
        Lesson::New => "the source is new here".to_owned(),
        Lesson::Moved(from) => format!("the source has moved here from {}", name(from)),
        Lesson::Sticky(port) => format!("nothing: a sticky entry keeps the source on {}", name(port)),
        Lesson::Blackhole => "nothing: a blackhole entry has the source".to_owned(),
        Lesson::Own(port) => format!("nothing: the source is this bridge's own address, of {}", name(port)),
        Lesson::Full => "nothing: fdb_max_learned stations are learned already".to_owned(),
        Lesson::Limited => "nothing: the port holds max_macs stations".to_owned(),
        Lesson::Damped(from) => {
            format!("nothing: the source was heard on {} within move_damping", name(from))
        }
    }
}
