//! The last step of a frame: handed to an egress as it is, or finished in software first. Every refusal
//! gets its drop reason here.

use bridge::DropReason;
use frame::{FinishError, Finisher, Frame};
use ports::{SendError, TxQueue};

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
) -> Result<usize, Loss> {
    let capabilities = tx.capabilities();
    if capabilities.takes(frame) {
        return tx.send(frame).map(|()| 1).map_err(Loss::Refused);
    }
    finisher.finish_for(capabilities, frame, |segment| tx.send(segment)).map_err(|error| match error {
        FinishError::Egress(error) => Loss::Refused(error),
        FinishError::Malformed(_) => Loss::Unfinishable,
    })
}
