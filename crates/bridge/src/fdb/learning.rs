//! What a frame teaches of its source: first what is to be done, which changes nothing, then that it is done.

use super::slot::{BY_USER, LOCKED, Slot, UNTOUCHED};
use super::{EntryKind, Fdb, Key, Lesson};
use crate::moment::Span;
use crate::port::PortId;

/// A frame that may teach where its source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The source.
    pub(crate) key: Key,
    /// Where it came in.
    pub(crate) port: PortId,
    /// The port holds at most so many stations.
    pub(crate) limit: Option<u32>,
    /// Nobody vouches for the source, which spoke on a locked port (`mab`): its entry is a locked one.
    pub(crate) locked: bool,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make an entry.
    Insert,
    /// Remove an entry that has expired, and see what is to be done then.
    Remove,
    /// The entry is right: note that it is fresh.
    Refresh,
    /// The station was on this other port.
    Move(PortId),
    /// The same, of an entry that another program has made: it is one that ages from now on.
    Replace(PortId),
}

impl Fdb {
    /// Notes that a frame from `key` came in on `port`, if its entry says that already; if it does not,
    /// [`Fdb::hear`] is to be asked.
    #[inline(always)]
    pub(crate) fn refresh(&mut self, Key(key): Key, port: PortId) -> bool {
        let tick = self.tick;
        let hash = self.hash(key);
        let Some(slot) = self.table.find_mut(hash, |slot| slot.key == key) else { return false };
        if slot.port != port.0 || slot.node >= UNTOUCHED || self.ageing == Span::ZERO {
            return false;
        }
        if slot.tick != tick {
            // That it is fresh the other replicas must hear, too.
            if self.replica.is_one_of_several() {
                return false;
            }
            self.freshen(key, port);
        }
        true
    }

    /// The same where [`Fdb::refresh`] said no.
    #[cold]
    pub(crate) fn hear(&mut self, heard: Heard) -> Lesson {
        let lesson = match self.step(heard) {
            Err(lesson) => lesson,
            Ok(step) if !self.replica.is_one_of_several() => self.take_step(step, heard),
            // The others may have done something before.
            Ok(_) if self.agree_on(Some(heard)) => self.learn(heard),
            Ok(_) => Lesson::Postponed,
        };
        self.counters.refused += u64::from(lesson == Lesson::Full);
        self.counters.postponed += u64::from(lesson == Lesson::Postponed);
        lesson
    }

    /// Does what is to be done about it, if anything.
    pub(super) fn learn(&mut self, heard: Heard) -> Lesson {
        match self.step(heard) {
            Ok(step) => self.take_step(step, heard),
            Err(lesson) => lesson,
        }
    }

    /// What is to be done; an `Err` where nothing is.
    fn step(&self, heard: Heard) -> Result<Step, Lesson> {
        let Heard { key: Key(key), port, limit, locked } = heard;
        let full = limit.is_some_and(|limit| self.lru.len_of(port) >= limit as usize);
        let slot = self.table.find(self.hash(key), |slot| slot.key == key);
        let Some(slot) = slot else { return self.step_to_unknown(full) };
        if locked && self.now >= self.first && self.expired(slot) {
            return Ok(Step::Remove);
        }
        if self.ageing == Span::ZERO {
            return Err(Lesson::Off);
        }
        let from = PortId(slot.port);
        if from == port && slot.node < UNTOUCHED {
            return if slot.tick == self.tick { Err(Lesson::Known) } else { Ok(Step::Refresh) };
        }
        match slot.kind() {
            EntryKind::Local => Err(Lesson::Own(from)),
            EntryKind::Blackhole => Err(Lesson::Blackhole),
            EntryKind::Sticky => Err(Lesson::Sticky(from)),
            EntryKind::Static => Ok(Step::Move(from)),
            EntryKind::External if self.max == 0 => Err(Lesson::Off),
            EntryKind::External | EntryKind::Dynamic | EntryKind::Locked if full => Err(Lesson::Limited),
            EntryKind::External => Ok(Step::Replace(from)),
            EntryKind::Dynamic | EntryKind::Locked => {
                let updated = slot.node_id().map(|node| self.lru.updated(node));
                let spoke = updated.is_some_and(|updated| self.now.since(updated) < self.damping);
                if spoke { Err(Lesson::Damped(from)) } else { Ok(Step::Move(from)) }
            }
        }
    }

    fn step_to_unknown(&self, full: bool) -> Result<Step, Lesson> {
        if self.max == 0 || self.ageing == Span::ZERO {
            Err(Lesson::Off)
        } else if full {
            Err(Lesson::Limited)
        } else if self.max_learned > 0 && self.learned >= self.max_learned as usize {
            Err(Lesson::Full)
        } else {
            Ok(Step::Insert)
        }
    }

    fn take_step(&mut self, step: Step, heard: Heard) -> Lesson {
        let Heard { key: Key(key), port, locked, .. } = heard;
        let tick = self.tick;
        match step {
            Step::Insert => {
                self.counters.learned += 1;
                let node = if locked { LOCKED } else { 0 };
                self.put_dynamic(Slot { key, node, port: port.0, tick });
                Lesson::New
            }
            Step::Remove => {
                self.take(key);
                self.counters.aged += 1;
                self.learn(heard)
            }
            Step::Refresh => {
                self.freshen(key, port);
                Lesson::Known
            }
            Step::Move(from) => {
                self.move_slot(key, port);
                self.note_move(key);
                Lesson::Moved(from)
            }
            Step::Replace(from) => {
                self.take(key);
                self.put_dynamic(Slot { key, node: BY_USER, port: port.0, tick });
                self.note_move(key);
                Lesson::Moved(from)
            }
        }
    }

    /// Notes that a station spoke where its entry says that it is.
    #[cold]
    fn freshen(&mut self, key: u64, port: PortId) {
        let (tick, hash) = (self.tick, self.hash(key));
        let Some(slot) = self.table.find_mut(hash, |slot| slot.key == key) else { return };
        slot.tick = tick;
        let Some(node) = slot.node_id() else { return };
        self.lru.refresh(port, port, node, self.now);
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.aged(node);
        }
    }

    /// The station is on `port` now, and vouched for.
    fn move_slot(&mut self, key: u64, port: PortId) {
        let (tick, hash) = (self.tick, self.hash(key));
        let Some(slot) = self.table.find_mut(hash, |slot| slot.key == key) else { return };
        let from = PortId(std::mem::replace(&mut slot.port, port.0));
        let Some(node) = slot.node_id() else { return };
        self.lru.refresh(from, port, node, self.now);
        (slot.node, slot.tick) = (slot.node & !LOCKED, tick);
    }
}
