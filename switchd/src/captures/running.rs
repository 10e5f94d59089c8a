//! The captures that control has begun: how many there are, and which ports each wants to see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bridge::PortId;
use control::pcapng;

use crate::command::Command;
use crate::to_worker::ToWorker;

/// What is known of a capture while its client is there.
#[derive(Debug)]
struct Known {
    id: u32,
    /// The names of its ports; none for all.
    names: Vec<String>,
    snaplen: u32,
    deserted: Weak<AtomicBool>,
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
        self.known.retain(|known| known.deserted.strong_count() > 0);
        self.known.len()
    }

    /// A new one: its number, and what says once that none of its ports is left.
    pub(crate) fn begin(&mut self, names: &[String], snaplen: u32) -> (u32, Arc<AtomicBool>) {
        self.begun += 1;
        let deserted = Arc::new(AtomicBool::new(false));
        let names = names.to_vec();
        self.known.push(Known { id: self.begun, names, snaplen, deserted: Arc::downgrade(&deserted) });
        (self.begun, deserted)
    }

    /// A port was added: those that want to see it do from now on.
    pub(crate) fn port_added(&self, port: PortId, name: &str, worker: &ToWorker) {
        for known in self.known.iter().filter(|known| known.wants(name)) {
            let interface = pcapng::interface(name, known.snaplen).into();
            worker.send(Command::CapturePort { id: known.id, port, interface });
        }
    }

    /// Ports were taken away; these are left. A capture that has no port any more ends.
    pub(crate) fn ports_left<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) {
        for known in &self.known {
            if !names.clone().any(|name| known.wants(name))
                && let Some(deserted) = known.deserted.upgrade()
            {
                deserted.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Known {
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}
