//! Which ports may still have frames. Polling is edge-triggered: a port that stopped at its budget gets
//! no further event, so it goes back on this list and the next poll does not sleep.

use std::collections::VecDeque;

use bridge::PortId;

/// A queue of ports, each at most once. Allocates only when it meets a higher port number than before.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    queue: VecDeque<PortId>,
    listed: Vec<bool>,
}

impl ReadyList {
    /// Adds a port at the end, unless it is on the list.
    pub(crate) fn add(&mut self, port: PortId) {
        let index = usize::from(port.0);
        if self.listed.len() <= index {
            self.listed.resize(index + 1, false);
            self.queue.reserve(index + 1);
        }
        if !std::mem::replace(&mut self.listed[index], true) {
            self.queue.push_back(port);
        }
    }

    /// Takes the port that has waited longest.
    pub(crate) fn take(&mut self) -> Option<PortId> {
        let port = self.queue.pop_front()?;
        self.listed[usize::from(port.0)] = false;
        Some(port)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_in_turn_and_once() {
        let mut ready = ReadyList::default();
        for port in [3, 1, 3, 2, 1] {
            ready.add(PortId(port));
        }
        assert_eq!(ready.len(), 3);
        assert_eq!(ready.take(), Some(PortId(3)));
        ready.add(PortId(3));
        let rest: Vec<_> = std::iter::from_fn(|| ready.take()).collect();
        assert_eq!(rest, [PortId(1), PortId(2), PortId(3)]);
        assert!(ready.is_empty());
    }
}
