//! Why frames were dropped, and where.

use bridge::{DropReason, PortCounters, PortId, Side};
use control::CallError;
use control::types;

use crate::answer::no_answer;
use crate::control::Control;

impl Control {
    /// Every reason that has been one, at the port that is named or at any.
    pub(super) fn show_drops(&self, port: Option<&str>) -> Result<Vec<types::DropReason>, CallError> {
        let one = self.id_of(port)?;
        let all = self.attachments.iter().map(|attachment| attachment.id);
        let ids: Vec<PortId> = all.filter(|id| one.is_none_or(|one| one == *id)).collect();
        let asked = self.worker.ask(move |bridge, _| {
            ids.into_iter().map(|id| (id, bridge.counters(id).clone())).collect::<Vec<_>>()
        });
        let counters = asked.map_err(no_answer)?;
        let shown = DropReason::ALL.iter().map(|reason| self.show_reason(*reason, &counters));
        Ok(shown.filter(|reason| reason.frames > 0).collect())
    }

    fn show_reason(&self, reason: DropReason, counters: &[(PortId, PortCounters)]) -> types::DropReason {
        let at = counters.iter().map(|(id, counters)| (*id, counters.dropped(reason)));
        let at: Vec<_> = at.filter(|(_, frames)| *frames > 0).collect();
        types::DropReason {
            reason: reason.name().to_owned(),
            side: if reason.side() == Side::Ingress { "ingress" } else { "egress" }.to_owned(),
            explanation: reason.explanation().to_owned(),
            hint: reason.hint().to_owned(),
            frames: at.iter().map(|(_, frames)| frames).sum(),
            ports: at.into_iter().map(|(id, frames)| (self.name(id).to_owned(), frames)).collect(),
        }
    }
}
