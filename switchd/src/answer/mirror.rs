//! The mirrors, and what each has copied.

use bridge::Mirror;
use config::MirrorDirection;
use control::{CallError, types};

use crate::answer::no_answer;
use crate::control::Control;

impl Control {
    /// All mirrors, in the order of the configuration.
    pub(super) fn show_mirrors(&self) -> Result<Vec<types::Mirror>, CallError> {
        let asked = self.worker.ask(|bridge, _| bridge.mirrors().cloned().collect::<Vec<_>>());
        let shown = asked.map_err(no_answer)?.into_iter().map(|(mirror, counters)| types::Mirror {
            from: mirror.from.iter().map(|port| self.name(*port).to_owned()).collect(),
            to: self.name(mirror.to).to_owned(),
            direction: direction(&mirror).to_owned(),
            vlan: mirror.vlan.map(frame::Vid::get),
            frames: counters.frames,
            missed: counters.missed,
        });
        Ok(shown.collect())
    }
}

fn direction(mirror: &Mirror) -> &'static str {
    let direction = match (mirror.ingress, mirror.egress) {
        (true, false) => MirrorDirection::Ingress,
        (false, true) => MirrorDirection::Egress,
        _ => MirrorDirection::Both,
    };
    direction.word()
}
