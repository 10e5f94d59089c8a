//! One conversation with a guest's program, begun anew or taken up where another process left it.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::sys::descriptor;
use vhost::vhost_user::message::FrontendReq;
use vhost::vhost_user::{BackendReqHandler, Error, Result, VhostUserBackendReqHandlerMut as _};

use crate::backend::Backend;
use crate::device::Device;
use crate::enable::{self, Enable};
use crate::keepsake::Keepsake;
use crate::record::{Record, VERSION};

/// The connection, and what was said on it.
pub(crate) struct Conversation {
    pub(crate) stream: UnixStream,
    backend: Arc<Mutex<Backend>>,
    handler: BackendReqHandler<Mutex<Backend>>,
}

impl Conversation {
    /// With a program of which nothing is known.
    ///
    /// # Errors
    /// As `dup(2)`.
    pub(crate) fn begin(stream: UnixStream, device: &Arc<Device>, offload: bool) -> io::Result<Self> {
        let backend = Arc::new(Mutex::new(Backend::new(Arc::clone(device), offload)));
        let handler = BackendReqHandler::from_stream(stream.try_clone()?, Arc::clone(&backend));
        Ok(Self { stream, backend, handler })
    }

    /// One that another process had; its rings are in use again when this returns.
    ///
    /// # Errors
    /// It was of another version or with other features, or its memory is not there any more.
    pub(crate) fn take_up(
        record: &Record,
        descriptors: Vec<OwnedFd>,
        device: &Arc<Device>,
        offload: bool,
    ) -> io::Result<Self> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
        if record.version != VERSION {
            return Err(refused("it was written down by another version"));
        }
        let mut descriptors = descriptors.into_iter();
        let stream: UnixStream =
            descriptors.next().ok_or_else(|| refused("the connection is missing"))?.into();
        let backend = Arc::new(Mutex::new(Backend::new(Arc::clone(device), offload)));
        let handler = agreed(&stream, &backend, record)?;
        lock(&backend).restore(record, descriptors).map_err(io::Error::other)?;
        Ok(Self { stream, backend, handler })
    }

    /// Does what the message asks for that has come whole.
    ///
    /// # Errors
    /// It can't be done, and nothing is to be said to this program any more.
    pub(crate) fn answer(&mut self, request: u32) -> Result<()> {
        match request {
            enable::REQUEST => switch(&self.stream, &self.backend),
            _ => self.handler.handle_request(),
        }
    }

    pub(crate) fn backend(&self) -> MutexGuard<'_, Backend> {
        lock(&self.backend)
    }

    /// Writes down all of it.
    ///
    /// # Errors
    /// As [`Keepsake::put`].
    pub(crate) fn keep(&self, keepsake: &Keepsake) -> io::Result<()> {
        let backend = self.backend();
        let (record, rest) = backend.record();
        let descriptors: Vec<BorrowedFd<'_>> = [self.stream.as_fd()].into_iter().chain(rest).collect();
        keepsake.put(&record, &descriptors)
    }
}

/// A handler that knows what was agreed on. It only learns that from messages: it gets them again on a connection of
/// their own, and then the real one in its place.
fn agreed(
    stream: &UnixStream,
    backend: &Arc<Mutex<Backend>>,
    record: &Record,
) -> io::Result<BackendReqHandler<Mutex<Backend>>> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut handler = BackendReqHandler::from_stream(theirs, Arc::clone(backend));
    let device = (record.features != 0).then_some((FrontendReq::SET_FEATURES, Some(record.features)));
    let messages = [(FrontendReq::GET_FEATURES, None), (FrontendReq::GET_PROTOCOL_FEATURES, None)];
    let protocol = (FrontendReq::SET_PROTOCOL_FEATURES, Some(record.protocol));
    for (request, value) in messages.into_iter().chain(device).chain([protocol]) {
        ours.write_all(&message(request, value))?;
        handler.handle_request().map_err(io::Error::other)?;
    }
    descriptor::redirect(&handler, stream.as_fd())?;
    Ok(handler)
}

/// A message of protocol version 1.
fn message(request: FrontendReq, value: Option<u64>) -> Vec<u8> {
    let body = value.map(u64::to_ne_bytes);
    let head = [u32::from(request), 1, body.map_or(0, |body| body.len() as u32)];
    let mut bytes: Vec<u8> = head.into_iter().flat_map(u32::to_ne_bytes).collect();
    bytes.extend(body.into_iter().flatten());
    bytes
}

/// Switches a queue on or off, as the message says that has come.
fn switch(stream: &UnixStream, backend: &Mutex<Backend>) -> Result<()> {
    let Enable { queue, on, answer } = enable::read(stream).map_err(Error::SocketError)?;
    let mut backend = lock(backend);
    let done = backend.set_vring_enable(queue, on);
    if answer && backend.answers() {
        enable::answer(stream, done.is_ok()).map_err(Error::SocketError)?;
    }
    done
}

fn lock(backend: &Mutex<Backend>) -> MutexGuard<'_, Backend> {
    backend.lock().unwrap_or_else(PoisonError::into_inner)
}
