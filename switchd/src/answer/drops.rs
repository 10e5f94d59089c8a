//! Why frames were dropped, and where.

use bridge::{DropReason, PortCounters, PortId, Side};
use control::types::{self, DroppedFrame};
use control::{CallError, hex};

use crate::answer::no_answer;
use crate::command::Command;
use crate::control::Control;
use crate::to_workers::joined_lists;

impl Control {
    /// Every reason that has been one, at the port that is named or at any.
    pub(super) fn show_drops(&self, port: Option<&str>) -> Result<Vec<types::DropReason>, CallError> {
        let one = self.id_of(port)?;
        let all = self.attachments.iter().map(|attachment| attachment.id);
        let ids: Vec<PortId> = all.filter(|id| one.is_none_or(|one| one == *id)).collect();
        let asked = self.workers.ask_all(move |bridge, _| {
            ids.iter().map(|id| (*id, bridge.counters(*id).clone())).collect::<Vec<_>>()
        });
        let counters = asked.and_then(|asked| joined_lists(asked, |(_, all), (_, more)| all.join(more)));
        let counters = counters.map_err(no_answer)?;
        let shown = DropReason::ALL.iter().map(|reason| self.show_reason(*reason, &counters));
        Ok(shown.filter(|reason| reason.frames > 0).collect())
    }

    /// The heads of the last frames, newest first.
    pub(super) fn show_dropped_frames(
        &self,
        port: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Vec<DroppedFrame>, CallError> {
        let port = self.id_of(port)?;
        if let Some(reason) = reason.filter(|name| !DropReason::ALL.iter().any(|known| known.name() == *name))
        {
            let message = format!("there is no drop reason {reason}; ShowDrops tells those that there were");
            return Err(CallError::InvalidParameter(message));
        }
        let now = self.workers.ask(|_, now| now).map_err(no_answer)?;
        let mut frames = self.workers.hear(Command::DroppedFrames).map_err(no_answer)?.concat();
        frames.retain(|frame| {
            port.is_none_or(|port| frame.ingress == port || frame.egress == Some(port))
                && reason.is_none_or(|reason| frame.reason.name() == reason)
        });
        frames.sort_by_key(|frame| std::cmp::Reverse(frame.at));
        let shown = frames.iter().map(|frame| DroppedFrame {
            age: now.since(frame.at).0,
            reason: frame.reason.name().to_owned(),
            ingress: self.name(frame.ingress).to_owned(),
            egress: frame.egress.map(|egress| self.name(egress).to_owned()),
            length: frame.wire_len,
            head: hex::text(frame.head()),
        });
        Ok(shown.collect())
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
