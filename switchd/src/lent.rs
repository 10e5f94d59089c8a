//! Frames of which only the beginning was taken ([`ports::lent`]): those that somebody needs all of are fetched before they
//! are handed on.

use bridge::{Deliveries, PortId};
use frame::Capabilities;
use frame::offload::LONG_HEADER;
use ports::Batch;

/// Fetches the frames that an egress must finish, by its `capabilities`; or `all`, as somebody looks at each.
pub(crate) fn fetch(
    batch: &mut Batch,
    deliveries: &Deliveries,
    all: bool,
    capabilities: impl Fn(PortId) -> Option<Capabilities>,
) {
    if all {
        (0..batch.len()).for_each(|index| batch.complete(index));
        return;
    }
    for (egress, queue) in deliveries.iter() {
        let Some(capabilities) = capabilities(egress) else { continue };
        for index in queue.iter().map(|index| usize::from(*index)) {
            // Of most frames nothing is to be finished. What becomes of the tag makes no difference.
            let finished = batch.beginning_as_received(index, LONG_HEADER).is_some();
            if !finished && batch.frame(index).is_ok_and(|frame| !capabilities.takes(&frame)) {
                batch.complete(index);
            }
        }
    }
}
