//! Random sequences of steps. Few stations on few ports, so that they meet, move and are forgotten; most
//! settings as they are by default, so that frames still flow.

use bridge::{EntryKind, Membership, PortState, VlanProtocol};
use frame::{MacAddr, Vid};

use crate::random::Random;
use crate::step::{End, Flag, PORTS, Step, Tags};

/// br0's own address.
pub const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);
/// The MTU of every port at first, in bytes.
pub const MTU: u32 = 1500;
/// The ageing time at first, in milliseconds: longer than any run.
pub const AGEING: u64 = 300_000;

const STATIONS: u64 = 12;
/// In VLANs a station is as many as there are VLANs.
const STATIONS_IN_VLANS: u64 = 5;
/// An ageing time that can be waited for, in milliseconds.
const SHORT_AGEING: u64 = 1000;
const MTUS: [u32; 3] = [MTU, 1280, 600];

/// Makes steps, and remembers of them what later ones should fit.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    tags: Tags,
    /// Whether the state of a VLAN is set, which only the core can do as yet.
    states: bool,
    /// Which tags are VLANs.
    protocol: VlanProtocol,
    ageing: u64,
    mtus: [u32; PORTS as usize],
    /// Whether each port is down.
    down: [bool; PORTS as usize],
    frames: u32,
}

#[derive(Clone, Copy)]
enum Choice {
    Frame,
    Flag,
    State,
    Mask,
    Backup,
    Ageing,
    NoLinklocalLearn,
    MaxLearned,
    Promisc,
    Entry,
    Delete,
    Flush,
    Link,
    Mtu,
    Wait,
    VlanFiltering,
    VlanProtocol,
    DefaultPvid,
    JoinVlan,
    LeaveVlan,
    VlanState,
}

impl Generator {
    /// The sequences of this seed.
    #[must_use]
    pub fn new(seed: u64, tags: Tags) -> Self {
        Self {
            random: Random::new(seed),
            tags,
            states: false,
            protocol: VlanProtocol::Dot1q,
            ageing: AGEING,
            mtus: [MTU; PORTS as usize],
            down: [false; PORTS as usize],
            frames: 0,
        }
    }

    /// The same, in which states of VLANs are set too.
    #[must_use]
    pub fn with_states(seed: u64) -> Self {
        Self { states: true, ..Self::new(seed, Tags::Vlans) }
    }

    /// A sequence for a new bridge that has this many frames.
    pub fn case(&mut self, frames: usize) -> Vec<Step> {
        (self.ageing, self.mtus, self.down) = (AGEING, [MTU; PORTS as usize], [false; PORTS as usize]);
        self.protocol = VlanProtocol::Dot1q;
        let mut steps: Vec<Step> = (0..self.random.below(16)).map(|_| self.setting()).collect();
        if self.tags == Tags::Vlans {
            steps.extend((0..20).map(|_| self.vlan_setting()));
        }
        let mut made = 0;
        while made < frames {
            let step = self.step();
            made += usize::from(matches!(step, Step::Frame { .. }));
            steps.push(step);
        }
        steps
    }

    /// Most ports are in two or three VLANs after some of these.
    fn vlan_setting(&mut self) -> Step {
        let choice = self.random.weighted(&[
            (20, Choice::JoinVlan),
            (2, Choice::LeaveVlan),
            (1, Choice::VlanProtocol),
        ]);
        self.make(choice)
    }

    fn setting(&mut self) -> Step {
        let choice = self.random.weighted(&[
            (10, Choice::Flag),
            (2, Choice::State),
            (2, Choice::Mask),
            (1, Choice::Backup),
            (1, Choice::NoLinklocalLearn),
            (self.unless_vlans(1), Choice::MaxLearned),
            (1, Choice::Promisc),
            (2, Choice::Entry),
            (2, Choice::Mtu),
        ]);
        self.make(choice)
    }

    fn step(&mut self) -> Step {
        let short = self.ageing == SHORT_AGEING;
        let vlans = |weight| if self.tags == Tags::Vlans { weight } else { 0 };
        let choice = self.random.weighted(&[
            (740, Choice::Frame),
            (90, Choice::Flag),
            (20, Choice::State),
            (24, Choice::Mask),
            (10, Choice::Backup),
            (self.unless_vlans(if short { 30 } else { 8 }), Choice::Ageing),
            (8, Choice::NoLinklocalLearn),
            (self.unless_vlans(10), Choice::MaxLearned),
            (if self.tags == Tags::Vlans { 4 } else { 8 }, Choice::Promisc),
            (40, Choice::Entry),
            (20, Choice::Delete),
            (16, Choice::Flush),
            (if self.tags == Tags::Vlans { 4 } else { 10 }, Choice::Link),
            (6, Choice::Mtu),
            (if short { 20 } else { 0 }, Choice::Wait),
            (vlans(4), Choice::VlanFiltering),
            (vlans(6), Choice::VlanProtocol),
            (vlans(8), Choice::DefaultPvid),
            (vlans(70), Choice::JoinVlan),
            (vlans(25), Choice::LeaveVlan),
            (if self.states { 25 } else { 0 }, Choice::VlanState),
        ]);
        self.make(choice)
    }

    /// What has nothing to do with VLANs, and takes long or is not in every kernel, is tested without them.
    fn unless_vlans(&self, weight: u64) -> u64 {
        if self.tags == Tags::Vlans { 0 } else { weight }
    }

    fn make(&mut self, choice: Choice) -> Step {
        let port = self.port();
        let random = &mut self.random;
        match choice {
            Choice::Frame => self.frame(),
            Choice::Flag => self.flag(port),
            Choice::State => {
                let states = [
                    (14, PortState::Forwarding),
                    (4, PortState::Learning),
                    (2, PortState::Listening),
                    (2, PortState::Blocking),
                    (2, PortState::Disabled),
                ];
                Step::State { port, state: random.weighted(&states) }
            }
            Choice::Mask => {
                let any = random.number() as u16;
                let mask = random.weighted(&[
                    (2, 0),
                    (1, 0xfff8),
                    (1, 0xfffd),
                    (3, any & !7),
                    (4, any & !2),
                    (1, any),
                ]);
                Step::Mask { port: random.percent(60).then_some(port), mask }
            }
            Choice::Backup => {
                let backup = 1 + random.below(u64::from(PORTS)) as u8;
                Step::Backup { port, backup: random.percent(60).then_some(backup) }
            }
            Choice::Ageing => {
                self.ageing = random.weighted(&[(5, AGEING), (3, SHORT_AGEING), (2, 0)]);
                Step::Ageing { ms: self.ageing }
            }
            Choice::NoLinklocalLearn => Step::NoLinklocalLearn { on: random.percent(50) },
            Choice::MaxLearned => {
                Step::MaxLearned { max: random.weighted(&[(3, 0), (1, 2), (1, 4), (1, 6)]) }
            }
            Choice::Promisc => Step::Promisc { on: random.percent(50) },
            Choice::Entry => self.entry(port),
            Choice::Delete => Step::Delete { mac: self.station(), vlan: self.in_vlan(), port: self.end() },
            Choice::Flush => {
                let kinds =
                    [None, Some(EntryKind::Static), Some(EntryKind::Sticky), Some(EntryKind::External)];
                Step::Flush { port: random.percent(60).then_some(port), kind: random.of(&kinds) }
            }
            Choice::Link => {
                let up = random.percent(75);
                self.down[usize::from(port) - 1] = !up;
                Step::Link { port, up }
            }
            Choice::Mtu => {
                let mtu = random.of(&MTUS);
                self.mtus[usize::from(port) - 1] = mtu;
                Step::Mtu { port, mtu }
            }
            Choice::Wait => Step::Wait { ms: random.weighted(&[(1, 500), (2, 1400)]) },
            // Mostly on: without it there is little to see.
            Choice::VlanFiltering => Step::VlanFiltering { on: random.percent(80) },
            Choice::VlanProtocol => {
                self.protocol = random.weighted(&[(2, VlanProtocol::Dot1q), (1, VlanProtocol::Dot1ad)]);
                Step::VlanProtocol { protocol: self.protocol }
            }
            Choice::DefaultPvid => {
                let vid = (!random.percent(20)).then(|| self.vid());
                Step::DefaultPvid { vid }
            }
            Choice::JoinVlan => {
                let membership =
                    Membership { pvid: random.percent(40), untagged: random.percent(45), wire: None };
                Step::JoinVlan { port: self.end(), vid: self.vid(), membership }
            }
            Choice::LeaveVlan => Step::LeaveVlan { port: self.end(), vid: self.vid() },
            Choice::VlanState => {
                let states = [
                    (6, PortState::Forwarding),
                    (3, PortState::Learning),
                    (1, PortState::Listening),
                    (1, PortState::Blocking),
                    (1, PortState::Disabled),
                ];
                Step::VlanState { port, state: random.weighted(&states), vid: self.vid() }
            }
        }
    }

    fn flag(&mut self, port: u8) -> Step {
        let (flag, often_on) = self.random.weighted(&[
            (3, (Flag::Learning, 65)),
            (2, (Flag::Flood, 60)),
            (2, (Flag::McastFlood, 60)),
            (2, (Flag::BcastFlood, 60)),
            (3, (Flag::Hairpin, 40)),
            (3, (Flag::Isolated, 50)),
            (3, (Flag::Locked, 25)),
            (self.unless_vlans(3), (Flag::Mab, 50)),
        ]);
        Step::Flag { port, flag, on: self.random.percent(often_on) }
    }

    fn entry(&mut self, port: u8) -> Step {
        let kind = self.random.weighted(&[
            (3, EntryKind::Dynamic),
            (4, EntryKind::Static),
            (3, EntryKind::Sticky),
            (3, EntryKind::External),
            (2, EntryKind::Local),
        ]);
        let port = if self.random.percent(12) { End::Host } else { End::Port(port) };
        let mac = if self.random.percent(97) { self.station() } else { self.destination() };
        Step::Entry { mac, vlan: self.in_vlan(), port, kind, replace: self.random.percent(50) }
    }

    fn port(&mut self) -> u8 {
        1 + self.random.below(u64::from(PORTS)) as u8
    }

    fn end(&mut self) -> End {
        if self.random.percent(15) { End::Host } else { End::Port(self.port()) }
    }

    fn station(&mut self) -> MacAddr {
        let stations = if self.tags == Tags::Vlans { STATIONS_IN_VLANS } else { STATIONS };
        MacAddr([2, 0, 0, 0, 0, 1 + self.random.below(stations) as u8])
    }

    /// Few VLANs, so that frames and ports meet.
    fn vid(&mut self) -> Vid {
        let number = self.random.weighted(&[(4, 1), (4, 10), (3, 20), (1, 4094)]);
        Vid::new(number).unwrap_or(Vid::MIN)
    }

    /// The VLAN of an FDB command.
    fn in_vlan(&mut self) -> Option<Vid> {
        (self.tags == Tags::Vlans && self.random.percent(60)).then(|| self.vid())
    }

    /// The tags of a frame where they are VLANs, as they stand in line.
    fn vlan_tags(&mut self) -> Vec<u8> {
        let own = self.protocol.tpid().0;
        let other = if own == 0x8100 { 0x88a8_u16 } else { 0x8100 };
        let priority = self.random.of(&[0, 0, 0xb000, 0x7000]);
        let vid = self.vid().get();
        let tags: &[(u16, u16)] = match self.random.below(100) {
            0..38 => &[],
            38..70 => &[(own, priority | vid)],
            70..80 => &[(own, priority)],
            80..86 => &[(own, priority | vid), (own, 7)],
            86..90 => &[(own, priority | vid), (other, 10)],
            90..93 => &[(other, priority | vid)],
            93..95 => &[(other, 20), (own, priority | vid)],
            95..97 => &[(own, priority), (own, 10)],
            97..99 => &[(own, 0xfff)],
            _ => &[(own, priority | 300)],
        };
        tags.iter().flat_map(|(tpid, tci)| [tpid.to_be_bytes(), tci.to_be_bytes()].concat()).collect()
    }

    /// The port where a station mostly is.
    fn home(station: MacAddr) -> End {
        End::Port(1 + station.0[5] % PORTS)
    }

    fn destination(&mut self) -> MacAddr {
        let unknown = MacAddr([2, 0, 0, 0, 2, self.random.below(4) as u8]);
        let low = if self.random.percent(50) {
            self.random.of(&[0, 1, 2, 3, 14])
        } else {
            self.random.below(17) as u8
        };
        let reserved = MacAddr([1, 0x80, 0xc2, 0, 0, low]);
        let group = self.random.of(&[
            MacAddr([1, 0, 0x5e, 1, 2, 3]),
            MacAddr([0x33, 0x33, 0, 0, 0, 1]),
            MacAddr([1, 0x80, 0xc2, 0, 1, 0]),
        ]);
        match self.random.below(100) {
            0..46 => self.station(),
            46..57 => MacAddr::BROADCAST,
            57..66 => group,
            66..82 => reserved,
            82..90 => HOST_MAC,
            90..98 => unknown,
            _ => MacAddr::ZERO,
        }
    }

    fn source(&mut self) -> (MacAddr, End) {
        let mac = match self.random.below(100) {
            0..92 => self.station(),
            92..94 => HOST_MAC,
            94..96 => MacAddr::ZERO,
            96..98 => MacAddr::BROADCAST,
            _ => MacAddr([3, 0, 0, 0, 0, self.random.below(3) as u8]),
        };
        let at_home = self.random.percent(65) && !mac.is_group() && mac != HOST_MAC;
        (mac, if at_home { Self::home(mac) } else { self.end() })
    }

    fn frame(&mut self) -> Step {
        let (source, from) = self.source();
        let is_down = |end| matches!(end, End::Port(port) if self.down[usize::from(port) - 1]);
        // Mostly from where something can come in.
        let from = if is_down(from) && self.random.percent(80) { self.end() } else { from };
        let from = if source == HOST_MAC && self.random.percent(60) { End::Host } else { from };
        let mut bytes = [self.destination().0, source.0].concat();
        if self.tags == Tags::Vlans {
            bytes.extend(self.vlan_tags());
            let tagged = bytes.get(12..14) == Some(&[0x81, 0]);
            return self.finish(from, bytes, tagged);
        }
        let tagged = self.random.percent(15);
        let outer = self.random.of(&[0x8100_u16, 0x8100, 0x88a8]);
        if tagged {
            let tci = self.random.weighted(&[
                (2, self.random.clone().number() as u16),
                (1, 0),
                (1, 0xe000),
                (1, 5),
            ]);
            bytes.extend([outer.to_be_bytes(), tci.to_be_bytes()].concat());
            if self.random.percent(20) {
                bytes.extend([0x81, 0, 0, 7]);
            }
        }
        self.finish(from, bytes, tagged && outer == 0x8100)
    }

    /// Type and payload behind addresses and tags; `tagged` by 802.1Q.
    fn finish(&mut self, from: End, mut bytes: Vec<u8>, tagged: bool) -> Step {
        let kinds = [0x88b5_u16, 0x88b5, 0x0800, 0x0806, 0x86dd, 0x88cc, 0x888e, 0x8809, 0x0026, 0xffff];
        bytes.extend(self.random.of(&kinds).to_be_bytes());
        let headers = bytes.len() + if bytes.len() > 14 { 4 } else { 0 };
        let len = self.length(from, tagged).max(headers);
        self.frames += 1;
        bytes.extend(self.frames.to_be_bytes());
        let filler = self.random.number() as u8;
        bytes.resize(len.max(14), filler);
        Step::Frame { from, bytes }
    }

    /// Mostly short; now and then at the edge of what some port carries, if the one it comes from does.
    fn length(&mut self, from: End, tagged: bool) -> usize {
        let End::Port(port) = from else { return 60 + self.random.below(40) as usize };
        let longest = self.mtus[usize::from(port) - 1] as usize + if tagged { 18 } else { 14 };
        let edge = self.random.of(&self.mtus) as usize + self.random.of(&[13, 14, 15, 18, 19, 22, 23]);
        match self.random.below(100) {
            0..6 => 14 + self.random.below(46) as usize,
            6..20 => edge.min(longest),
            _ => 60 + self.random.below(40) as usize,
        }
    }
}
