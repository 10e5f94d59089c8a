//! Control's end of a capture: from the ring to the client's connection.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use control::{Feed, pcapng};
use rtrb::Consumer;

use crate::clock::Clock;
use crate::command::Command;
use crate::to_worker::ToWorker;

/// What the client is sent: the descriptions of the ports, then what the ring has, then what was seen.
pub(crate) struct CaptureFeed {
    pub(crate) id: u32,
    pub(crate) worker: ToWorker,
    /// What comes before the ring, and behind it once the capture has ended.
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) ring: Consumer<u8>,
    pub(crate) waits: Arc<AtomicBool>,
    /// None of its ports is left.
    pub(crate) deserted: Arc<AtomicBool>,
    pub(crate) stopped: bool,
}

impl CaptureFeed {
    fn ring_has_bytes(&mut self) -> bool {
        if !self.ring.is_empty() {
            return true;
        }
        self.waits.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        !self.ring.is_empty()
    }
}

impl Feed for CaptureFeed {
    fn is_ready(&mut self) -> bool {
        if self.deserted.load(Ordering::Relaxed) {
            self.stop();
        }
        !self.before.is_empty() || self.ring_has_bytes() || !self.after.is_empty()
    }

    fn send(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        if self.before.is_empty() && !self.ring.is_empty() {
            let ready = self.ring.slots();
            let Ok(chunk) = self.ring.read_chunk(ready) else { return Ok(0) };
            let sent = to.write(chunk.as_slices().0)?;
            chunk.commit(sent);
            return Ok(sent);
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
        let tallies = self.worker.hear(|reply| Command::EndCapture(self.id, Some(reply))).unwrap_or_default();
        let now = Clock.date();
        let blocks = (0..).zip(tallies).map(|(number, tally)| pcapng::statistics(number, now, tally));
        self.after.extend(blocks.flatten());
    }

    fn is_over(&mut self) -> bool {
        self.stopped && self.before.is_empty() && self.ring.is_empty() && self.after.is_empty()
    }
}

impl Drop for CaptureFeed {
    fn drop(&mut self) {
        if !self.stopped {
            self.worker.send(Command::EndCapture(self.id, None));
        }
    }
}
