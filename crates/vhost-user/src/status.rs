//! How a port stands, for whoever shows it: written by the thread that speaks with the guest's program.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::features::Features;

/// How a port stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// A program that runs a guest is connected.
    pub connected: bool,
    /// Its guest has set up rings, and they are in use.
    pub up: bool,
    /// Why there is nobody, or no use of rings; `None` before anything happened.
    pub why: Option<String>,
    /// How many programs have been connected and are not any more.
    pub sessions: u64,
    /// How often rings went out of use.
    pub falls: u64,
    /// The features that were agreed on, as their bits.
    pub features: u64,
    /// Pairs of queues in use.
    pub pairs: u32,
}

impl Status {
    /// The names of the features that were agreed on, as QEMU has them as properties of a card.
    #[must_use]
    pub fn feature_names(&self) -> Vec<&'static str> {
        Features(self.features).names().collect()
    }
}

/// Where it is kept, and who is told that it has changed.
#[derive(Clone)]
pub(crate) struct Board {
    status: Arc<Mutex<Status>>,
    tell: Arc<dyn Fn() + Send + Sync>,
}

impl Board {
    pub(crate) fn new(tell: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { status: Arc::default(), tell }
    }

    pub(crate) fn read(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it, and tells of it if that is a change.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Status)) {
        let changed = {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            let before = status.clone();
            change(&mut status);
            *status != before
        };
        if changed {
            (self.tell)();
        }
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
