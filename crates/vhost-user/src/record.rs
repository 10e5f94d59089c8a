//! What is written down of a conversation, so that another process can go on with it.

use serde::{Deserialize, Serialize};

use crate::log::Place;
use crate::memory::Part;

/// Of what is written; another one is not read.
pub(crate) const VERSION: u32 = 2;

/// A conversation. The descriptors that belong to it come beside it: the connection, a file for each part of the
/// memory, one for the log if there is one, one for the positions of rings if they are kept, and for each queue its kick and its call, where it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// What was agreed on, of the device and of the protocol.
    pub(crate) features: u64,
    pub(crate) protocol: u64,
    pub(crate) memory: Vec<Part>,
    pub(crate) log: Option<Place>,
    pub(crate) positions: bool,
    pub(crate) queues: Vec<QueueRecord>,
}

/// A queue of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueRecord {
    pub(crate) size: u16,
    pub(crate) addresses: Option<[u64; 3]>,
    /// By which address it is noted that the used ring is written to.
    pub(crate) noted: Option<u64>,
    /// Where to go on, of a ring that is not in use. Of one that is, the guest's memory says it.
    pub(crate) next: u16,
    pub(crate) kick: bool,
    pub(crate) call: bool,
    pub(crate) enabled: bool,
    pub(crate) broken: bool,
    pub(crate) running: bool,
}

impl Record {
    /// Pairs of queues that were in use.
    pub(crate) fn pairs(&self) -> u32 {
        let both = |pair: &&[QueueRecord]| pair.iter().all(|queue| queue.running);
        self.queues.chunks_exact(2).filter(both).count() as u32
    }
}
