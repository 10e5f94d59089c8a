//! What a connection carries once it was upgraded: bytes of another form, from the daemon to the client.

use std::io::{self, Write};

/// Where the bytes come from.
pub trait Feed {
    /// Whether there are bytes to be sent now.
    fn is_ready(&mut self) -> bool;

    /// Writes some of them, once, and says how many; none if there are none.
    ///
    /// # Errors
    /// What `to` says.
    fn send(&mut self, to: &mut dyn Write) -> io::Result<usize>;

    /// The client wants no more; what is still to be said comes yet.
    fn stop(&mut self);

    /// Nothing will come any more.
    fn is_over(&mut self) -> bool;
}
