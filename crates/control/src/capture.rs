//! The client's end of a capture: the connection, upgraded.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// A running capture: a pcapng stream to be read. It ends where the connection ends.
#[derive(Debug)]
pub struct Capture {
    /// The ports at which frames are captured.
    pub ports: Vec<String>,
    stream: UnixStream,
    received: Vec<u8>,
}

impl Capture {
    /// What was `received` already is the beginning of the stream.
    pub(crate) fn new(ports: Vec<String>, stream: UnixStream, received: Vec<u8>) -> Self {
        Self { ports, stream, received }
    }

    /// What ends the capture from elsewhere, as from a signal.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.stream.try_clone().map(Stopper)
    }
}

impl Read for Capture {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() {
            return self.stream.read(buffer);
        }
        let read = buffer.len().min(self.received.len());
        buffer[..read].copy_from_slice(&self.received[..read]);
        self.received.drain(..read);
        Ok(read)
    }
}

/// Ends a capture.
#[derive(Debug)]
pub struct Stopper(UnixStream);

impl Stopper {
    /// Asks for the end. What was captured until now is still to be read, and what each port has seen.
    pub fn stop(&self) {
        // A connection that is broken has ended.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
