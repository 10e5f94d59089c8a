//! The side of the process that takes the ports of a running one.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use super::channel::{Channel, Word};

/// How long the running process may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handover that has begun.
#[derive(Debug)]
pub(crate) struct Taking(Channel);

impl Taking {
    /// Asks the process that listens at `path` for its ports; also gives all descriptors by their names.
    ///
    /// # Errors
    /// Nobody listens there, or it refuses.
    pub(crate) fn begin(path: &Path) -> io::Result<(Self, Vec<(String, OwnedFd)>)> {
        let channel = Channel::connect(path)?;
        channel.set_patience(PATIENCE)?;
        let mut named = Vec::new();
        loop {
            match channel.hear(&[Word::Descriptors, Word::NoMore])? {
                (Word::NoMore, ..) => return Ok((Self(channel), named)),
                (_, names, fds) => named.extend(names.split(':').map(str::to_owned).zip(fds)),
            }
        }
    }

    /// Says that everything is prepared, and waits until the other one has stopped.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn prepared(&self) -> io::Result<()> {
        self.0.say(Word::Prepared, "", &[])?;
        self.0.hear(&[Word::Go]).map(drop)
    }

    /// Says that this process forwards, and waits until the service manager knows that.
    ///
    /// # Errors
    /// The other one has ended without a word.
    pub(crate) fn forwarding(self) -> io::Result<()> {
        self.0.say(Word::Forwarding, "", &[])?;
        self.0.hear(&[Word::Main]).map(drop)
    }
}
