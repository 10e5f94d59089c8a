//! Who sends most.

use control::{CallError, types};

use crate::answer::no_answer;
use crate::command::Command;
use crate::control::Control;
use crate::talkers::Talker;

impl Control {
    /// Who has sent of late, whoever sent most first.
    pub(super) fn show_talkers(&self) -> Result<Vec<types::Talker>, CallError> {
        let of_all = self.workers.hear(Command::Talkers).map_err(no_answer)?.concat();
        let mut talkers: Vec<Talker> = Vec::with_capacity(of_all.len());
        for talker in of_all {
            // The flows of a station may be spread over workers.
            match talkers.iter_mut().find(|known| (known.mac, known.port) == (talker.mac, talker.port)) {
                Some(known) => known.join(talker),
                None => talkers.push(talker),
            }
        }
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
