//! What a switch says of itself at one moment.

use std::time::Instant;

use control::types::{Bridge, DropReason, FdbEntry, FdbFilter, Port, Talker};
use control::{Client, ClientError};

/// All that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) bridge: Bridge,
    pub(crate) ports: Vec<Port>,
    pub(crate) talkers: Vec<Talker>,
    pub(crate) drops: Vec<DropReason>,
    /// Empty where nobody looks at it: it may be large.
    pub(crate) fdb: Vec<FdbEntry>,
}

impl Sample {
    /// Asks the switch.
    ///
    /// # Errors
    /// As all calls.
    pub(crate) fn take(client: &mut Client, with_fdb: bool) -> Result<Self, ClientError> {
        Ok(Self {
            bridge: client.show_bridge()?,
            talkers: client.show_talkers()?,
            drops: client.show_drops(None)?,
            fdb: if with_fdb { client.show_fdb(&FdbFilter::default())? } else { Vec::new() },
            ports: client.show_ports(None)?,
            at: Instant::now(),
        })
    }
}
