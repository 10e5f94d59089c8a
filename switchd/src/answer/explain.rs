//! What would become of a frame, and why.

use bridge::PortId;
use control::CallError;
use control::types::{Explanation, Step};
use frame::{Frame, MAX_FRAME, Offload};

use crate::answer::no_answer;
use crate::control::Control;

impl Control {
    /// Takes a frame through the switch as it stands, and changes nothing.
    pub(super) fn explain(&self, port: &str, frame: Vec<u8>) -> Result<Explanation, CallError> {
        let port = self.port_of(port)?.id;
        if frame.len() > MAX_FRAME {
            let message = format!("a frame of {} bytes is longer than any port carries", frame.len());
            return Err(CallError::Refused(message));
        }
        let asked = self.workers.ask(move |bridge, now| {
            bridge.explain(port, &Frame::parse(&frame, 0, None, Offload::default()), now)
        });
        let explained = asked.map_err(no_answer)?;
        let name = |id: PortId| self.name(id).to_owned();
        let reason = explained.outcome.err();
        let steps = explained.steps(name).into_iter();
        Ok(Explanation {
            forwarded: explained.outcome.is_ok(),
            reason: reason.map(|reason| reason.name().to_owned()),
            hint: reason.map(|reason| reason.hint().to_owned()),
            ports: explained.gets().map(name).collect(),
            steps: steps.map(|step| Step { stage: step.stage.to_owned(), words: step.words }).collect(),
        })
    }
}
