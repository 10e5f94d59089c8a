//! Who is let in, and what for: the daemon's own rule, asked once for each connection.

use std::fmt;
use std::os::fd::BorrowedFd;

use crate::server::Peer;

/// The rule of a [`crate::Gate`]: given the socket and what is known of the peer, what it may.
type Rule = Box<dyn Fn(BorrowedFd<'_>, Peer) -> Peer>;

/// Says of each peer what it may.
pub struct Gate(Rule);

impl Gate {
    /// Asks `rule`.
    #[must_use]
    pub fn new(rule: impl Fn(BorrowedFd<'_>, Peer) -> Peer + 'static) -> Self {
        Self(Box::new(rule))
    }

    pub(crate) fn let_in(&self, socket: BorrowedFd<'_>, peer: Peer) -> Peer {
        self.0(socket, peer)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
