//! The last step of a frame: handed to an egress as it is, or finished in software first. Every refusal
//! gets its drop reason here.

use bridge::DropReason;
use frame::{FinishError, Finisher, Frame};
use ports::batch::MAX_BATCH;
use ports::lent::Tail;
use ports::{Batch, SendError, TxQueue};

/// Why a copy was lost at its egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The egress did not take it.
    Refused(SendError),
    /// It had to be finished in software, and its headers do not allow it.
    Unfinishable,
}

impl Loss {
    pub(crate) fn reason(self) -> DropReason {
        match self {
            Self::Unfinishable => DropReason::Unfinishable,
            Self::Refused(SendError::Full) => DropReason::TxFull,
            Self::Refused(SendError::TooLong) => DropReason::TxTooLong,
            Self::Refused(SendError::Down) => DropReason::TxDown,
            Self::Refused(SendError::Gone) => DropReason::TxGone,
            Self::Refused(SendError::Refused(_)) => DropReason::TxRefused,
        }
    }
}

/// Finishes what an egress can't take, in memory that is allocated once.
#[derive(Debug)]
pub(crate) struct Transmitter {
    finisher: Finisher,
    /// Segments that wait to be handed over in one call.
    segments: Batch,
}

/// All that one batch can hold, in order.
const ALL: [u16; MAX_BATCH] = {
    let mut all = [0; MAX_BATCH];
    let mut index = 0;
    while index < MAX_BATCH {
        all[index] = index as u16;
        index += 1;
    }
    all
};

impl Transmitter {
    pub(crate) fn new() -> Self {
        Self { finisher: Finisher::new(), segments: Batch::new() }
    }

    /// Hands `frame` to `tx`, of which `tail` is lent where the egress takes it as it is; says in how many pieces.
    ///
    /// # Errors
    /// Why the egress did not take it. Of a frame that is cut, the segments before the refused one are gone
    /// out; the frame still counts as lost.
    #[inline]
    pub(crate) fn hand_over(
        &mut self,
        tx: &mut dyn TxQueue,
        frame: &Frame<'_>,
        tail: Tail<'_>,
    ) -> Result<usize, Loss> {
        let capabilities = tx.capabilities();
        if capabilities.takes(frame) {
            let sent = if tail.is_empty() { tx.send(frame) } else { tx.send_lent(frame, tail) };
            return sent.map(|()| 1).map_err(Loss::Refused);
        }
        if !tail.is_empty() {
            // All of it was fetched, if it was there.
            return Err(Loss::Refused(SendError::FAULT));
        }
        let Self { finisher, segments } = self;
        segments.clear();
        let each = |segment: &Frame<'_>| {
            if segments.append(segment) {
                return Ok(());
            }
            send_all(tx, segments)?;
            // Of a train the egress does the rest; all else fits now.
            if segments.append(segment) { Ok(()) } else { tx.send(segment) }
        };
        let finished = finisher.finish_for(capabilities, frame, each).map_err(|error| match error {
            FinishError::Egress(error) => Loss::Refused(error),
            FinishError::Malformed(_) => Loss::Unfinishable,
        })?;
        send_all(tx, segments).map_err(Loss::Refused)?;
        Ok(finished)
    }
}

/// Hands over the segments that wait, and forgets them. They are finished, so they stand as every port sends
/// them.
fn send_all(tx: &mut dyn TxQueue, segments: &mut Batch) -> Result<(), SendError> {
    let run = tx.send_run(segments, &ALL[..segments.len()]);
    debug_assert!(run.refused.is_some() || run.frames == segments.len(), "{run:?}");
    segments.clear();
    run.refused.map_or(Ok(()), Err)
}
