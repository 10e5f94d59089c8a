//! Random sequences of steps. Few stations on few ports, so that they meet, move and are forgotten; most
//! settings as they are by default, so that frames still flow.

use bridge::{EntryKind, PortState};
use frame::MacAddr;

use crate::random::Random;
use crate::step::{End, Flag, PORTS, Step};

/// br0's own address.
pub const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);
/// The MTU of every port at first, in bytes.
pub const MTU: u32 = 1500;
/// The ageing time at first, in milliseconds: longer than any run.
pub const AGEING: u64 = 300_000;

const STATIONS: u64 = 12;
/// An ageing time that can be waited for, in milliseconds.
const SHORT_AGEING: u64 = 1000;
const MTUS: [u32; 3] = [MTU, 1280, 600];

/// Makes steps, and remembers of them what later ones should fit.
#[derive(Debug)]
pub struct Generator {
    random: Random,
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
}

impl Generator {
    /// The sequences of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            ageing: AGEING,
            mtus: [MTU; PORTS as usize],
            down: [false; PORTS as usize],
            frames: 0,
        }
    }

    /// A sequence for a new bridge that has this many frames.
    pub fn case(&mut self, frames: usize) -> Vec<Step> {
        (self.ageing, self.mtus, self.down) = (AGEING, [MTU; PORTS as usize], [false; PORTS as usize]);
        let mut steps: Vec<Step> = (0..self.random.below(16)).map(|_| self.setting()).collect();
        let mut made = 0;
        while made < frames {
            let step = self.step();
            made += usize::from(matches!(step, Step::Frame { .. }));
            steps.push(step);
        }
        steps
    }

    fn setting(&mut self) -> Step {
        let choice = self.random.weighted(&[
            (10, Choice::Flag),
            (2, Choice::State),
            (2, Choice::Mask),
            (1, Choice::Backup),
            (1, Choice::NoLinklocalLearn),
            (1, Choice::MaxLearned),
            (1, Choice::Promisc),
            (2, Choice::Entry),
            (2, Choice::Mtu),
        ]);
        self.make(choice)
    }

    fn step(&mut self) -> Step {
        let short = self.ageing == SHORT_AGEING;
        let choice = self.random.weighted(&[
            (740, Choice::Frame),
            (90, Choice::Flag),
            (20, Choice::State),
            (24, Choice::Mask),
            (10, Choice::Backup),
            (if short { 30 } else { 8 }, Choice::Ageing),
            (8, Choice::NoLinklocalLearn),
            (10, Choice::MaxLearned),
            (8, Choice::Promisc),
            (40, Choice::Entry),
            (20, Choice::Delete),
            (16, Choice::Flush),
            (10, Choice::Link),
            (6, Choice::Mtu),
            (if short { 20 } else { 0 }, Choice::Wait),
        ]);
        self.make(choice)
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
            Choice::Delete => Step::Delete { mac: self.station(), port: self.end() },
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
            (3, (Flag::Mab, 50)),
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
        Step::Entry { mac, port, kind, replace: self.random.percent(50) }
    }

    fn port(&mut self) -> u8 {
        1 + self.random.below(u64::from(PORTS)) as u8
    }

    fn end(&mut self) -> End {
        if self.random.percent(15) { End::Host } else { End::Port(self.port()) }
    }

    fn station(&mut self) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, 1 + self.random.below(STATIONS) as u8])
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
        let kinds = [0x88b5_u16, 0x88b5, 0x0800, 0x0806, 0x86dd, 0x88cc, 0x888e, 0x8809, 0x0026, 0xffff];
        bytes.extend(self.random.of(&kinds).to_be_bytes());
        let len = self.length(from, tagged && outer == 0x8100).max(bytes.len() + if tagged { 4 } else { 0 });
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
