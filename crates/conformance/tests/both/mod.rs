//! Linux and switchd, always told the same, and asked the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bridge::EntryKind;
use conformance::step::{End, Step, Tags};
use conformance::suite::Suite;
use frame::MacAddr;
use testbed::wait_until;

const SOON: Duration = Duration::from_secs(5);

pub(crate) const H1: End = End::Port(1);
pub(crate) const H2: End = End::Port(2);
pub(crate) const H3: End = End::Port(3);

/// The stations at those ends.
pub(crate) const MAC1: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const MAC2: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const MAC3: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);

/// A station that is nowhere at first.
pub(crate) const STRANGER: MacAddr = MacAddr([2, 0xad, 0xbe, 0xef, 0x13, 0x37]);

/// EtherTypes.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;

/// Both bridges.
pub(crate) struct Both(Suite);

impl Both {
    /// New bridges, as they are by default.
    pub(crate) fn new() -> Self {
        Self(Suite::new(Tags::Opaque).unwrap())
    }

    /// Whether both accept a command, written as in a script.
    pub(crate) fn accept(&mut self, line: &str) -> bool {
        let step: Step = line.parse().unwrap();
        let [linux, switchd] = self.0.subjects().map(|subject| subject.apply(&step).unwrap());
        assert_eq!(linux, switchd, "Linux and switchd: {line}");
        linux
    }

    /// A command that both accept.
    pub(crate) fn tell(&mut self, line: &str) {
        assert!(self.accept(line), "refused: {line}");
    }

    /// Sends a frame; the ends where it comes out of both, in order.
    pub(crate) fn send(&mut self, from: End, to: MacAddr, source: MacAddr, kind: u16) -> Vec<End> {
        let mut bytes = [to.0, source.0].concat();
        bytes.extend(kind.to_be_bytes());
        bytes.resize(64, 0);
        let step = Step::Frame { from, bytes };
        let mut ends = [Vec::new(), Vec::new()];
        for subject in self.0.subjects() {
            subject.apply(&step).unwrap();
        }
        wait_until(SOON, &format!("{step} comes out of the same ends of Linux and switchd"), || {
            for (ends, subject) in ends.iter_mut().zip(self.0.subjects()) {
                ends.extend(subject.view().unwrap().frames.into_iter().map(|(end, _)| end));
                ends.sort_unstable();
            }
            ends[0] == ends[1]
        })
        .unwrap();
        ends[0].clone()
    }

    /// Whether a frame from one end reaches the other, and an answer comes back: a ping.
    pub(crate) fn ping(&mut self, one: (End, MacAddr), other: (End, MacAddr), kind: u16) -> bool {
        self.send(one.0, other.1, one.1, kind).contains(&other.0)
            && self.send(other.0, one.1, other.1, kind).contains(&one.0)
    }

    /// What both FDBs say of a station.
    pub(crate) fn find(&mut self, mac: MacAddr) -> Option<(End, EntryKind)> {
        let [linux, switchd] = self.0.subjects().map(|subject| {
            let fdb = subject.view().unwrap().fdb;
            fdb.into_iter().find(|entry| entry.mac == mac).map(|entry| (entry.port, entry.kind))
        });
        assert_eq!(linux, switchd, "Linux and switchd: {mac}");
        linux
    }

    /// How many entries of a kind both FDBs have.
    pub(crate) fn count(&mut self, kind: EntryKind) -> usize {
        let [linux, switchd] = self
            .0
            .subjects()
            .map(|subject| subject.view().unwrap().fdb.iter().filter(|entry| entry.kind == kind).count());
        assert_eq!(linux, switchd, "Linux and switchd: {} entries", kind.name());
        linux
    }

    /// Waits until neither FDB knows a station any more.
    pub(crate) fn wait_until_forgotten(&mut self, mac: MacAddr) {
        wait_until(SOON, &format!("{mac} is forgotten"), || {
            self.0.subjects().into_iter().all(|subject| {
                let fdb = subject.view().unwrap().fdb;
                fdb.iter().all(|entry| entry.mac != mac)
            })
        })
        .unwrap();
    }
}
