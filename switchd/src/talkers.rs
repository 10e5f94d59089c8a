//! Who sends most: a small table of source addresses, filled from a few frames of each batch, and only while
//! somebody asks. The table is that of the space-saving algorithm (Metwally, Agrawal, El Abbadi 2005): whoever sends
//! much stays in it, whoever makes up addresses gets one place after the other and pushes out nobody who is large.

use bridge::{Moment, PortId, Span};
use frame::MacAddr;
use ports::Batch;

/// Addresses that are kept.
const KEPT: usize = 128;

/// Frames of a batch that are looked at; each stands for its part of the batch.
const LOOKS: usize = 4;

/// How long frames are looked at after somebody has asked.
const LEASE: Span = Span::from_secs(10);

/// A station that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Talker {
    /// Its address.
    pub(crate) mac: MacAddr,
    /// Where its last frame came in.
    pub(crate) port: PortId,
    /// About as many frames as it has sent since it has its place.
    pub(crate) frames: u64,
    /// Their bytes on the wire.
    pub(crate) bytes: u64,
    /// What it has sent of late: whoever has least gives up its place.
    rank: u64,
}

impl Talker {
    /// Adds what another worker has seen of it.
    pub(crate) fn join(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

/// The table, and until when it is filled.
#[derive(Debug, Default)]
pub(crate) struct Talkers {
    /// Whether frames are looked at.
    on: bool,
    until: Moment,
    kept: Vec<Talker>,
    /// Which frame of a batch is looked at first: another one each time.
    offset: usize,
}

impl Talkers {
    /// Whether frames are looked at.
    #[inline]
    pub(crate) fn on(&self) -> bool {
        self.on
    }

    /// Who sends; looks at frames for a while from now on.
    pub(crate) fn ask(&mut self, now: Moment) -> Vec<Talker> {
        if !self.on {
            *self = Self { on: true, kept: Vec::with_capacity(KEPT), ..Self::default() };
        }
        self.until = now + LEASE;
        // What was long ago counts less and less.
        self.kept.iter_mut().for_each(|talker| talker.rank /= 2);
        self.kept.clone()
    }

    /// Forgets who spoke on a port that is no more: another one will have its number.
    pub(crate) fn forget(&mut self, port: PortId) {
        self.kept.retain(|talker| talker.port != port);
    }

    /// Looks at a batch that came in.
    #[cold]
    pub(crate) fn look(&mut self, ingress: PortId, batch: &Batch, now: Moment) {
        if now >= self.until {
            *self = Self::default();
            return;
        }
        let frames = batch.len();
        let looks = frames.min(LOOKS);
        self.offset = self.offset.wrapping_add(1);
        for look in 0..looks {
            // Each stands for the frames from here to where the next begins.
            let (from, to) = (look * frames / looks, (look + 1) * frames / looks);
            let index = from + self.offset % (to - from);
            let Ok(frame) = batch.frame(index) else { continue };
            let stands_for = (to - from) as u64;
            self.count(frame.source(), ingress, stands_for, stands_for * batch.wire_len(index) as u64);
        }
    }

    fn count(&mut self, mac: MacAddr, port: PortId, frames: u64, bytes: u64) {
        let new = Talker { mac, port, frames, bytes, rank: bytes };
        if let Some(known) = self.kept.iter_mut().find(|known| known.mac == mac) {
            known.port = port;
            known.frames += frames;
            known.bytes += bytes;
            known.rank += bytes;
        } else if self.kept.len() < KEPT {
            self.kept.push(new);
        } else if let Some(least) = self.kept.iter_mut().min_by_key(|known| known.rank) {
            // It may have been there before: it is to stay as easily as whoever had the place.
            *least = Talker { rank: least.rank + bytes, ..new };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: PortId = PortId(3);

    fn station(n: u32) -> MacAddr {
        let [a, b, c, d] = n.to_be_bytes();
        MacAddr([2, 0, a, b, c, d])
    }

    fn batch(stations: impl IntoIterator<Item = (u32, usize)>) -> Batch {
        let mut batch = Batch::new();
        for (n, len) in stations {
            let room = batch.room(0).unwrap();
            room[..len].fill(0);
            room[6..12].copy_from_slice(&station(n).0);
            batch.push(len, 0, None);
        }
        batch
    }

    fn of(talkers: &mut Talkers, n: u32, now: Moment) -> Option<Talker> {
        talkers.ask(now).into_iter().find(|talker| talker.mac == station(n))
    }

    #[test]
    fn shares_come_out_right_and_nothing_is_looked_at_when_nobody_asks() {
        let mut talkers = Talkers::default();
        assert!(!talkers.on());
        assert_eq!(talkers.ask(Moment(0)), []);
        // Of 60 frames three quarters are one's.
        let batch = batch((0..60).map(|n| if n % 4 == 0 { (1, 100) } else { (2, 1000) }));
        for turn in 0..1000 {
            talkers.look(HERE, &batch, Moment(turn));
        }
        let (one, two) = (of(&mut talkers, 1, Moment(0)).unwrap(), of(&mut talkers, 2, Moment(0)).unwrap());
        assert_eq!(one.frames + two.frames, 60_000);
        assert!((13_000..17_000).contains(&one.frames), "{one:?}");
        assert_eq!((one.bytes, two.bytes), (one.frames * 100, two.frames * 1000));
        talkers.look(HERE, &batch, Moment(10_000));
        assert!(!talkers.on() && talkers.kept.capacity() == 0);
        assert_eq!(talkers.ask(Moment(10_000)), []);
    }

    #[test]
    fn whoever_makes_up_addresses_pushes_out_nobody_who_is_large() {
        let mut talkers = Talkers::default();
        talkers.ask(Moment(0));
        for turn in 0..10_000_u32 {
            talkers.look(HERE, &batch([(1, 1500), (1000 + turn, 60)]), Moment(0));
        }
        let large = of(&mut talkers, 1, Moment(0)).unwrap();
        assert_eq!((large.frames, large.bytes), (10_000, 15_000_000));
        assert_eq!(talkers.kept.len(), KEPT);
        talkers.forget(HERE);
        assert_eq!(talkers.ask(Moment(0)), []);
    }
}
