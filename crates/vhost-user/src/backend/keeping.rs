//! One connection's state, written down for another process, and taken up where that was written down.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use vhost::vhost_user::Result;

use super::{Backend, Queue, refused};
use crate::device::QUEUES;
use crate::log::Log;
use crate::memory::{Memory, Part};
use crate::position::Positions;
use crate::record::{QueueRecord, Record, VERSION};

impl Backend {
    /// All of it, for another process; with the descriptors that belong to it.
    pub(crate) fn record(&self) -> (Record, Vec<BorrowedFd<'_>>) {
        let parts = self.memory.iter().flat_map(|memory| memory.parts());
        let (memory, mut descriptors): (Vec<Part>, Vec<BorrowedFd<'_>>) = parts.unzip();
        let log = self.log.as_deref().and_then(Log::place);
        descriptors.extend(log.map(|(_, file)| file));
        let positions = self.positions.as_ref().and_then(Positions::file);
        descriptors.extend(positions);
        let note = |queue: &Queue| QueueRecord {
            size: queue.size,
            addresses: queue.addresses,
            noted: queue.noted,
            next: queue.next,
            kick: queue.kick.is_some(),
            call: queue.call.is_some(),
            enabled: queue.enabled,
            broken: queue.broken,
            running: queue.running,
        };
        let queues = self.queues.iter().map(note).collect();
        let events = self.queues.iter().flat_map(|queue| [&queue.kick, &queue.call]);
        descriptors.extend(events.flatten().map(AsFd::as_fd));
        let (features, protocol) = (self.agreed.0, self.protocol);
        let log = log.map(|(place, _)| place);
        (
            Record {
                version: VERSION,
                features,
                protocol,
                memory,
                log,
                positions: positions.is_some(),
                queues,
            },
            descriptors,
        )
    }

    /// Goes on where [`Backend::record`] says; features are agreed on already.
    ///
    /// # Errors
    /// Descriptors are missing, or the memory is not there any more.
    pub(crate) fn restore(
        &mut self,
        record: &Record,
        mut descriptors: impl Iterator<Item = OwnedFd>,
    ) -> Result<()> {
        let files: Vec<File> = descriptors.by_ref().take(record.memory.len()).map(File::from).collect();
        if !files.is_empty() {
            self.memory = Some(Arc::new(Memory::map(&record.memory, files).map_err(refused)?));
        }
        let mut next = |there: bool| {
            let found = there.then(|| descriptors.next().ok_or_else(|| refused("a descriptor is missing")));
            found.transpose()
        };
        if let (Some(place), Some(file)) = (record.log, next(record.log.is_some())?) {
            self.log = Some(Arc::new(Log::map(place, file.into()).map_err(refused)?));
        }
        self.note_writes();
        if let Some(file) = next(record.positions)? {
            self.positions = Some(Positions::adopt(file.into()).map_err(refused)?);
        }
        for (index, noted) in record.queues.iter().take(QUEUES).enumerate() {
            let (kick, call) = (next(noted.kick)?, next(noted.call)?);
            if let Some(kick) = &kick {
                self.device.listen(kick.as_fd()).map_err(refused)?;
            }
            self.queues[index] = Queue {
                size: noted.size,
                addresses: noted.addresses,
                noted: noted.noted,
                next: noted.next,
                goes_on: noted.running,
                kick,
                call,
                enabled: noted.enabled,
                running: false,
                broken: noted.broken,
            };
        }
        (0..QUEUES).try_for_each(|index| self.settle(index))
    }
}
