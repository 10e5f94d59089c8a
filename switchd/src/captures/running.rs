//! The captures that control has begun: how many there are, and which ports each wants to see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bridge::PortId;
use control::pcapng;

use crate::command::Command;
use crate::to_workers::ToWorkers;

/// What is known of a capture while its client is there.
#[derive(Debug)]
struct Known {
    id: u32,
    /// The names of its ports; none for all.
    names: Vec<String>,
    snaplen: u32,
    desk: Weak<Desk>,
}

/// What is laid out for whoever sends a capture on.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// None of its ports is left.
    deserted: AtomicBool,
    /// Descriptions of ports that have come.
    interfaces: Mutex<Vec<u8>>,
}

impl Desk {
    pub(super) fn is_deserted(&self) -> bool {
        self.deserted.load(Ordering::Relaxed)
    }

    /// Moves the descriptions of ports that have come to the end of `to`.
    pub(super) fn take(&self, to: &mut Vec<u8>) {
        to.append(&mut self.interfaces());
    }

    fn interfaces(&self) -> MutexGuard<'_, Vec<u8>> {
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Running {
    known: Vec<Known>,
    begun: u32,
}

impl Running {
    /// How many there are.
    pub(crate) fn count(&mut self) -> usize {
        self.known.retain(|known| known.desk.strong_count() > 0);
        self.known.len()
    }

    /// A new one: its number, and its desk.
    pub(crate) fn begin(&mut self, names: &[String], snaplen: u32) -> (u32, Arc<Desk>) {
        self.begun += 1;
        let desk = Arc::new(Desk::default());
        let names = names.to_vec();
        self.known.push(Known { id: self.begun, names, snaplen, desk: Arc::downgrade(&desk) });
        (self.begun, desk)
    }

    /// A port was added: those that want to see it do from now on.
    pub(crate) fn port_added(&self, port: PortId, name: &str, workers: &ToWorkers) {
        for known in self.known.iter().filter(|known| known.wants(name)) {
            let Some(desk) = known.desk.upgrade() else { continue };
            desk.interfaces().extend(pcapng::interface(name, known.snaplen));
            workers.tell_all(|| Command::CapturePort { id: known.id, port });
        }
    }

    /// Ports were taken away; these are left. A capture that has no port any more ends.
    pub(crate) fn ports_left<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) {
        for known in &self.known {
            if !names.clone().any(|name| known.wants(name))
                && let Some(desk) = known.desk.upgrade()
            {
                desk.deserted.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Known {
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}
