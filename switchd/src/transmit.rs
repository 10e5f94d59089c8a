//! The last step of a frame: handed to an egress as it is, or finished in software first. Every refusal
//! gets its drop reason here.

use bridge::DropReason;
use frame::{FinishError, Finisher, Frame};
use ports::{SendError, TxQueue};

/// Hands `frame` to `tx`; says in how many pieces.
///
/// # Errors
/// Why the egress did not take it. Of a frame that is cut, the segments before the refused one are gone
/// out; the frame still counts as lost.
#[inline]
pub(crate) fn hand_over(
    tx: &mut dyn TxQueue,
    finisher: &mut Finisher,
    frame: &Frame<'_>,
) -> Result<usize, DropReason> {
    if tx.capabilities().takes(frame) {
        return tx.send(frame).map(|()| 1).map_err(refusal);
    }
    finisher.finish(frame, |segment| tx.send(segment)).map_err(|error| match error {
        FinishError::Egress(error) => refusal(error),
        FinishError::Malformed(_) => DropReason::Unfinishable,
    })
}

fn refusal(error: SendError) -> DropReason {
    match error {
        SendError::Full => DropReason::TxFull,
        SendError::TooLong => DropReason::TxTooLong,
        SendError::Down => DropReason::TxDown,
        SendError::Gone => DropReason::TxGone,
        SendError::Refused(_) => DropReason::TxRefused,
    }
}
