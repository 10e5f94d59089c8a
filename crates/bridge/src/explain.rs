//! What would happen to a frame, and why: the stages of [`crate::pipeline`] on a copy of what they would meet,
//! each stage's value written down.

use frame::{EtherType, Frame, FrameFault, MacAddr, Vid};

use crate::bridge::{Bridge, NO_VLAN};
use crate::deliveries::Deliveries;
use crate::fdb::{FdbEntry, Key, Lesson};
use crate::mirror::{Mirrors, Seen};
use crate::moment::Moment;
use crate::pipeline::{Decided, Targets, addresses, judged_len};
use crate::port::{Port, PortId};
use crate::reason::DropReason;
use crate::rules::flood::{Class, Origin, Refusal, refusal};
use crate::rules::{reserved, vlan};
use crate::vlans::{Classified, PrivateKind, PrivateRole, TagEdit, VID};

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
    /// The port is to send it, with this tag; as it came where VLANs are not told apart.
    Gets(TagEdit),
    /// It does not, for this reason.
    Refuses(Refusal),
}

/// How a frame came to its VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanStep {
    /// What made it so.
    pub by: VlanBy,
    /// The VLAN; 0 if there is none for it.
    pub vid: u16,
    /// The priority of its tag, 0 to 7.
    pub priority: u16,
    /// What the VLAN is in a private one.
    pub private: Option<PrivateRole>,
}

/// What puts a frame into a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanBy {
    /// Its tag.
    Tag,
    /// Its tag, in which the VLAN has this number on the port's wire.
    Wire(u16),
    /// Nothing: the number of its tag is that of a VLAN that has another one on the port's wire.
    Hidden(u16),
    /// The port's PVID, as it has no tag.
    Pvid,
    /// The port's PVID, as its tag says a priority only.
    PvidPriority,
    /// The port's PVID, as its tag is of this TPID, and so is payload here.
    PvidForeign(EtherType),
}

/// The way of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Where the frame came in.
    pub ingress: PortId,
    /// What it is.
    pub kind: Kind,
    /// How its VLAN was found, where VLANs are told apart.
    pub vlan: Option<VlanStep>,
    /// What its source has taught.
    pub lesson: Lesson,
    /// The entry of its destination, where one was looked up and found.
    pub entry: Option<FdbEntry>,
    /// What becomes of it at each port that was asked: the one that the entry leads to, or, where it is
    /// flooded, all of them.
    pub ports: Vec<(PortId, Verdict)>,
    /// The destinations of mirrors that get a copy, and why.
    pub mirrors: Vec<(PortId, Seen)>,
    /// Whether it is forwarded, or why not.
    pub outcome: Result<(), DropReason>,
}

/// One step of the way, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `parse`, `vlan`, `learn`, `look up`, `decide`, `emit` or `mirror`.
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
        let mut copy = self.excerpt(ingress, frame.as_ref().ok());
        copy.fdb.set_now(now);
        let mut explanation = Explanation {
            ingress,
            kind: Kind::Unreadable,
            vlan: None,
            lesson: Lesson::NotAsked,
            entry: None,
            ports: Vec::new(),
            mirrors: Vec::new(),
            outcome: Ok(()),
        };
        explanation.outcome = match copy.vlans.on() {
            true => copy.walk::<true>(frame, &mut explanation),
            false => copy.walk::<false>(frame, &mut explanation),
        };
        if let Ok(frame) = frame {
            explanation.mirrors = self.mirrored(frame, &explanation);
        }
        explanation
    }

    /// A copy for one frame to go through.
    fn excerpt(&self, ingress: PortId, frame: Option<&Frame<'_>>) -> Self {
        let keys = frame.map(|frame| {
            let (destination, source) = addresses(frame);
            let classified = self.vlans.classify_if_on(ingress, frame);
            [destination, source]
                .map(|address| [Key::new(NO_VLAN, address), classified.key(address)])
                .concat()
        });
        let fdb = self.fdb.excerpt(&keys.unwrap_or_default());
        Self {
            settings: self.settings,
            ports: self.ports.clone(),
            fdb,
            topology_change: self.topology_change,
            vlans: self.vlans.excerpt(),
            mirrors: Mirrors::default(),
        }
    }

    fn walk<const VLANS: bool>(
        &mut self,
        frame: &Result<Frame<'_>, FrameFault>,
        explanation: &mut Explanation,
    ) -> Result<(), DropReason> {
        let ingress = explanation.ingress;
        let frame = frame.as_ref().map_err(|fault| DropReason::from(*fault))?;
        explanation.kind = kind(frame);
        explanation.vlan = self.vlan_step(ingress, frame);
        let admitted = self.admit::<VLANS>(ingress, frame)?;
        let taught = self.learn(admitted, &mut Deliveries::new(0));
        explanation.lesson = taught.lesson;
        let found = self.find::<VLANS>(&taught);
        let decided = self.decide::<VLANS>(&taught, found);
        if found.is_some() {
            explanation.entry = self.shown_entry(taught.vlan(), taught.destination());
        }
        explanation.ports = match &decided {
            Ok(decided) => self.verdicts::<VLANS>(decided),
            Err(DropReason::NoEgress) => self.nobody::<VLANS>(ingress, taught.vlan(), explanation.kind),
            Err(_) => Vec::new(),
        };
        decided.map(|_| ())
    }

    fn vlan_step(&self, ingress: PortId, frame: &Frame<'_>) -> Option<VlanStep> {
        let classified = self.vlans.on().then(|| self.vlans.classify(ingress, frame))?;
        let by = match frame.tag() {
            None => VlanBy::Pvid,
            Some(tag) if classified.is_foreign() => VlanBy::PvidForeign(tag.tpid),
            Some(tag) if tag.vid() == 0 => VlanBy::PvidPriority,
            Some(tag) if tag.vid() == classified.vid() => VlanBy::Tag,
            Some(tag) if classified.vid() == VID => VlanBy::Hidden(tag.vid()),
            Some(tag) => VlanBy::Wire(tag.vid()),
        };
        let private = Vid::new(classified.vid()).and_then(|vid| self.private_role(vid));
        Some(VlanStep { by, vid: classified.vid(), priority: classified.tci() >> 13, private })
    }

    /// The entry that a lookup has found, in the frame's VLAN or in all.
    fn shown_entry(&self, vlan: Classified, destination: u64) -> Option<FdbEntry> {
        let in_all = || self.fdb.show(Key::new(NO_VLAN, destination));
        self.fdb.show(vlan.key(destination)).or_else(in_all)
    }

    fn verdicts<const VLANS: bool>(&self, decided: &Decided<'_>) -> Vec<(PortId, Verdict)> {
        let gets = |id: PortId| match self.ports.get(id) {
            Some(port) if judged_len(decided.frame, decided.vlan) > port.max_len => {
                (id, Verdict::Refuses(Refusal::Mtu))
            }
            _ if VLANS => (id, Verdict::Gets(self.vlans.form(decided.vlan, id))),
            _ => (id, Verdict::Gets(TagEdit::KEEP)),
        };
        match decided.targets {
            Targets::One(port) => vec![gets(port)],
            Targets::AndHost(port, host) => vec![gets(port), gets(host)],
            Targets::Flood(class, origin, except) => {
                let verdict = |(id, port)| match self.refuses::<VLANS>(id, port, class, origin, decided.vlan)
                {
                    _ if Some(id) == except => (id, Verdict::Refuses(Refusal::CameFromHere)),
                    Some(refusal) => (id, Verdict::Refuses(refusal)),
                    None => gets(id),
                };
                self.ports.iter().map(verdict).collect()
            }
        }
    }

    /// Why a port gets no copy of a flood, by its settings or its VLANs.
    fn refuses<const VLANS: bool>(
        &self,
        id: PortId,
        port: &Port,
        class: Class,
        origin: Origin,
        vlan: Classified,
    ) -> Option<Refusal> {
        refusal(port, class, origin).or_else(|| {
            if !VLANS || self.sends(vlan, id) { None } else { vlan::refusal(&self.vlans, id, vlan) }
        })
    }

    /// Why each port refuses a flood that none takes.
    fn nobody<const VLANS: bool>(
        &self,
        ingress: PortId,
        vlan: Classified,
        kind: Kind,
    ) -> Vec<(PortId, Verdict)> {
        let Some(from) = self.ports.get(ingress) else { return Vec::new() };
        let class = match kind {
            Kind::Broadcast => Class::Broadcast,
            Kind::Unicast => Class::Unknown,
            Kind::Multicast | Kind::Reserved | Kind::Unreadable => Class::Multicast,
        };
        let why = |(id, port)| match self.refuses::<VLANS>(id, port, class, from.origin, vlan) {
            Some(why) if id != ingress => (id, Verdict::Refuses(why)),
            _ => (id, Verdict::Refuses(Refusal::CameFromHere)),
        };
        self.ports.iter().map(why).collect()
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
        self.ports.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Gets(_))).map(|(port, _)| *port)
    }

    /// The way in words, each port called as `name` says.
    pub fn steps(&self, name: impl Fn(PortId) -> String) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut step = |stage, words: String| steps.push(Step { stage, words });
        step("parse", format!("came in on {}: {}", name(self.ingress), self.kind.words()));
        if let Some(vlan) = self.vlan {
            step("vlan", vlan.words());
        }
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
                Verdict::Gets(edit) => format!("gets it{}", edit.words()),
                Verdict::Refuses(refusal) => format!("does not get it: {}", refusal.words()),
            };
            step("emit", format!("{} {words}", name(*port)));
        }
        for (port, seen) in &self.mirrors {
            let why = match seen {
                Seen::In => format!("as it came in on {}", name(self.ingress)),
                Seen::Out(from) => format!("as {} sends it", name(*from)),
            };
            step("mirror", format!("{} gets a copy, {why}", name(*port)));
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

impl VlanStep {
    fn words(self) -> String {
        let by = match self.by {
            VlanBy::Tag if self.vid == 4095 => return "none: 4095 is reserved".to_owned(),
            VlanBy::Hidden(own) => return format!("none: VLAN {own} has another number on this port's wire"),
            VlanBy::Tag => "by its tag".to_owned(),
            VlanBy::Wire(wire) => format!("which is {wire} on this port's wire, by its tag"),
            VlanBy::Pvid => "the port's PVID, for it has no tag".to_owned(),
            VlanBy::PvidPriority => "the port's PVID, for its tag says a priority only".to_owned(),
            VlanBy::PvidForeign(tpid) => format!("the port's PVID, for its {tpid} tag is payload here"),
        };
        match self.vid {
            0 => "none: it has no VLAN's tag, and the port has no PVID".to_owned(),
            vid => {
                let private = self.private.map_or(String::new(), PrivateRole::words);
                format!("VLAN {vid}{private}, {by}; priority {}", self.priority)
            }
        }
    }
}

impl PrivateRole {
    fn words(self) -> String {
        let Self { kind, primary } = self;
        match kind {
            PrivateKind::Primary => " (primary)".to_owned(),
            PrivateKind::Isolated => format!(" (isolated, of {primary})"),
            PrivateKind::Community => format!(" (a community of {primary})"),
        }
    }
}

impl TagEdit {
    fn words(self) -> String {
        match (self, self.tci()) {
            (Self::KEEP, _) => String::new(),
            (_, None) => ", untagged".to_owned(),
            (_, Some(tci)) => format!(", tagged {}", tci & 0x0fff),
        }
    }
}

impl Refusal {
    fn words(self) -> String {
        match self {
            Self::CameFromHere => "it came from there, and hairpin is off".to_owned(),
            Self::Down => "the port is down".to_owned(),
            Self::MirrorDestination => "it is the destination of a mirror".to_owned(),
            Self::State(state) => format!("its state is {}", state.name()),
            Self::Off(setting) => format!("{setting} is off"),
            Self::Isolated => "it is isolated, and so is the port that the frame came from".to_owned(),
            Self::NotInVlan => "it is not a member of the VLAN".to_owned(),
            Self::PrivateVlan => "the frame's part of the private VLAN does not reach it".to_owned(),
            Self::VlanState(state) => format!("the VLAN's state there is {}", state.name()),
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
        Lesson::Postponed => "nothing yet: another worker is far behind with what was learned".to_owned(),
        Lesson::Limited => "nothing: the port holds max_macs stations".to_owned(),
        Lesson::Damped(from) => {
            format!("nothing: the source was heard on {} within move_damping", name(from))
        }
    }
}
