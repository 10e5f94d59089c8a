//! Who sends most.

use control::{CallError, types};

use crate::answer::no_answer;
use crate::command::Command;
use crate::control::Control;

impl Control {
    /// Who has sent of late, whoever sent most first.
    pub(super) fn show_talkers(&self) -> Result<Vec<types::Talker>, CallError> {
        let mut talkers = self.worker.hear(Command::Talkers).map_err(no_answer)?;
        talkers.sort_by_key(|talker| std::cmp::Reverse(talker.bytes));
        let shown = talkers.iter().map(|talker| types::Talker {
            mac: talker.mac.to_string(),
            port: self.name(talker.port).to_owned(),
            frames: talker.frames,
            bytes: talker.bytes,
        });
        Ok(shown.collect())
    }
}
