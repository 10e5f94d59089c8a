//! Control's end of a capture: from the rings of the workers to the client's connection.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use control::{Feed, pcapng};
use rtrb::Consumer;

use super::running::Desk;
use crate::clock::Clock;
use crate::command::Command;
use crate::to_workers::{ToWorkers, joined_lists};

/// What the client is sent: the descriptions of the ports, then what the rings have, then what was seen.
pub(crate) struct CaptureFeed {
    pub(crate) id: u32,
    pub(crate) workers: ToWorkers,
    /// What comes before the rings, and behind them once the capture has ended.
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) rings: Rings,
    pub(crate) waits: Arc<AtomicBool>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) stopped: bool,
}

/// The rings, of which one is read until all is sent that it had when it was looked at: whole blocks.
pub(crate) struct Rings {
    rings: Vec<Consumer<u8>>,
    /// The one that is read, and how many bytes of it are still to be sent before another one's.
    at: usize,
    left: usize,
}

impl Rings {
    pub(crate) fn new(rings: Vec<Consumer<u8>>) -> Self {
        Self { rings, at: 0, left: 0 }
    }

    fn are_empty(&self) -> bool {
        self.rings.iter().all(Consumer::is_empty)
    }

    /// Goes on to the next ring that has something.
    fn turn(&mut self) {
        for _ in 0..self.rings.len() {
            self.at = (self.at + 1) % self.rings.len();
            self.left = self.rings[self.at].slots();
            if self.left > 0 {
                return;
            }
        }
    }

    fn send(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        let Ok(chunk) = self.rings[self.at].read_chunk(self.left) else { return Ok(0) };
        let sent = to.write(chunk.as_slices().0)?;
        chunk.commit(sent);
        self.left -= sent;
        Ok(sent)
    }
}

impl CaptureFeed {
    fn rings_have_bytes(&mut self) -> bool {
        if !self.rings.are_empty() {
            return true;
        }
        self.waits.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        !self.rings.are_empty()
    }
}

impl Feed for CaptureFeed {
    fn is_ready(&mut self) -> bool {
        if self.desk.is_deserted() {
            self.stop();
        }
        !self.before.is_empty() || self.rings_have_bytes() || !self.after.is_empty()
    }

    fn send(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        if self.rings.left == 0 {
            // A port that has come is described before the first of its frames.
            self.desk.take(&mut self.before);
            if self.before.is_empty() {
                self.rings.turn();
            }
        }
        if self.rings.left > 0 {
            return self.rings.send(to);
        }
        let words = if self.before.is_empty() { &mut self.after } else { &mut self.before };
        let sent = to.write(words)?;
        words.drain(..sent);
        Ok(sent)
    }

    fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        // Without an answer the capture ends without its numbers.
        let tallies = self.workers.hear(|reply| Command::EndCapture(self.id, Some(reply)));
        let tallies = tallies.and_then(|tallies| joined_lists(tallies, pcapng::Tally::join));
        let now = Clock.date();
        let blocks = (0..)
            .zip(tallies.unwrap_or_default())
            .map(|(number, tally)| pcapng::statistics(number, now, tally));
        self.after.extend(blocks.flatten());
    }

    fn is_over(&mut self) -> bool {
        self.stopped && self.before.is_empty() && self.rings.are_empty() && self.after.is_empty()
    }
}

impl Drop for CaptureFeed {
    fn drop(&mut self) {
        if !self.stopped {
            self.workers.tell_all(|| Command::EndCapture(self.id, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_ring_has_is_sent_whole_before_another_ring_is_read() {
        let (mut a, from_a) = rtrb::RingBuffer::new(64);
        let (mut b, from_b) = rtrb::RingBuffer::new(64);
        a.push_entire_slice(b"aaaaaa").unwrap();
        b.push_entire_slice(b"bbb").unwrap();
        let mut rings = Rings::new(vec![from_a, from_b]);
        let mut got = Vec::new();
        for _ in 0..9 {
            if rings.left == 0 {
                rings.turn();
            }
            // A client that takes two bytes at a time.
            let mut two = [0; 2];
            let sent = rings.send(&mut &mut two[..]).unwrap();
            got.extend_from_slice(&two[..sent]);
            if got.len() == 1 || got.len() == 2 {
                a.push_entire_slice(b"A").unwrap();
            }
        }
        let text = String::from_utf8(got).unwrap();
        assert!(text == "bbbaaaaaaA" || text == "bbbaaaaaaAA", "{text}");
        assert!(rings.are_empty());
    }
}
