//! The mirrors, and what each has copied.

use config::MirrorConfig;
use control::{CallError, types};

use crate::answer::no_answer;
use crate::control::Control;
use crate::mirrors::looked_at;
use crate::to_workers::joined_lists;

impl Control {
    /// All mirrors, in the order of the configuration; one that waits for its port has copied nothing.
    pub(super) fn show_mirrors(&self) -> Result<Vec<types::Mirror>, CallError> {
        let asked = self.workers.ask_all(|bridge, _| bridge.mirrors().cloned().collect::<Vec<_>>());
        let asked = asked.and_then(|asked| joined_lists(asked, |(_, all), (_, more)| all.join(more)));
        let running = asked.map_err(no_answer)?;
        let mirrors = &self.config.mirrors;
        let shown = |config: &MirrorConfig| {
            let ports = looked_at(config, mirrors, &self.attachments);
            let counters = running.iter().find(|(mirror, _)| self.name(mirror.to) == config.to);
            let counters = counters.map(|(_, counters)| *counters);
            types::Mirror {
                from: ports.map(|port| port.config.name.clone()).collect(),
                to: config.to.clone(),
                direction: config.direction.word().to_owned(),
                vlan: config.vlan.map(frame::Vid::get),
                waits: counters.is_none(),
                frames: counters.unwrap_or_default().frames,
                missed: counters.unwrap_or_default().missed,
            }
        };
        Ok(mirrors.iter().map(shown).collect())
    }
}
