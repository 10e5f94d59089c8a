//! The thread that speaks with the program that runs a guest, one for each port: what one guest's program does or
//! leaves undone concerns no other port.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vhost::vhost_user::{BackendReqHandler, Error, VhostUserBackendReqHandlerMut as _};

use crate::backend::Backend;
use crate::device::Device;
use crate::enable::{self, Enable};
use crate::gate::{Arrived, look};
use crate::status::Board;

/// How long the rest of a message may take, or the reading of an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a message that has begun is looked for the rest of.
const GLANCE: Duration = Duration::from_millis(5);

/// How often a program that is not there is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// Where the other side is found.
#[derive(Debug)]
pub(crate) enum Place {
    /// It comes to us.
    Listens(UnixListener),
    /// We go to it.
    Connects(PathBuf),
}

/// One port's conversation, to be run on a thread of its own.
#[derive(Debug)]
pub struct Session {
    pub(crate) device: Arc<Device>,
    pub(crate) place: Place,
    pub(crate) offload: bool,
    pub(crate) board: Board,
    pub(crate) ended: Arc<AtomicBool>,
}

/// What is to be looked at.
enum Woken {
    /// The port is no more.
    Ended,
    /// Something came on the socket.
    Socket,
    /// Nothing, for so long.
    Nothing,
    /// The forwarding thread has something to say.
    Attention,
}

impl Session {
    /// Speaks with one program after the other, until the port is no more.
    pub fn run(self) {
        while let Some(stream) = self.find_peer() {
            self.board.change(|status| (status.connected, status.why) = (true, None));
            let why = self.serve(&stream);
            self.board.change(|status| {
                status.falls += u64::from(status.up);
                status.sessions += 1;
                (status.connected, status.up, status.pairs, status.features) = (false, false, 0, 0);
                status.why = Some(why);
            });
        }
    }

    /// The next program; `None` when the port is no more.
    fn find_peer(&self) -> Option<UnixStream> {
        loop {
            let found = match &self.place {
                Place::Listens(listener) => match self.wait(Some((listener, PollFlags::IN)), None) {
                    Woken::Ended => return None,
                    Woken::Socket => listener.accept().map(|(stream, _)| stream),
                    _ => continue,
                },
                Place::Connects(path) => UnixStream::connect(path),
            };
            match found.and_then(|stream| stream.set_nonblocking(false).map(|()| stream)) {
                Ok(stream) => return Some(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => self.board.change(|status| status.why = Some(error.to_string())),
            }
            if let Woken::Ended = self.wait(None::<(&UnixStream, PollFlags)>, Some(RETRY)) {
                return None;
            }
        }
    }

    /// Serves one program to its end, and says why that came.
    fn serve(&self, stream: &UnixStream) -> String {
        let backend = Arc::new(Mutex::new(Backend::new(Arc::clone(&self.device), self.offload)));
        let handled = match stream.try_clone() {
            Ok(handled) => handled,
            Err(error) => return error.to_string(),
        };
        let mut handler = BackendReqHandler::from_stream(handled, Arc::clone(&backend));
        // When something came that can't be answered yet.
        let mut began: Option<Instant> = None;
        loop {
            // Half a message stays readable: it is looked at now and then.
            let socket = began.is_none().then_some((stream, PollFlags::IN));
            match self.wait(socket, began.map(|_| GLANCE)) {
                Woken::Ended => return "the port was removed".to_owned(),
                Woken::Attention => self.hear_trouble(&backend),
                Woken::Socket | Woken::Nothing => {}
            }
            match look(stream) {
                Arrived::Nothing => began = None,
                Arrived::Message(request) if has_room(stream) => {
                    began = None;
                    let handled = match request {
                        enable::REQUEST => switch(stream, &backend),
                        _ => handler.handle_request(),
                    };
                    if let Err(error) = handled {
                        return format!("a message of its program was refused: {error}");
                    }
                    self.show(&backend);
                }
                Arrived::Message(_) | Arrived::Part => {
                    if began.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        let what = "left a message half sent, or answers unread";
                        return format!("its program {what} for {} s", PATIENCE.as_secs());
                    }
                }
                Arrived::TooLong => return "its program sent a message longer than any is".to_owned(),
                Arrived::End => return "its program has closed the connection".to_owned(),
            }
        }
    }

    /// The guest has spoilt its rings.
    fn hear_trouble(&self, backend: &Mutex<Backend>) {
        let Some(why) = self.device.take_broken() else { return };
        lock(backend).broke();
        self.board.change(|status| {
            status.falls += u64::from(status.up);
            (status.up, status.pairs) = (false, 0);
            status.why = Some(format!("its guest has spoilt its rings: {why}"));
        });
    }

    fn show(&self, backend: &Mutex<Backend>) {
        let backend = lock(backend);
        let (pairs, features) = (backend.pairs(), backend.agreed().0);
        self.board.change(|status| {
            let up = pairs > 0;
            status.falls += u64::from(status.up && !up);
            (status.up, status.pairs, status.features) = (up, pairs, features);
            if up {
                status.why = None;
            }
        });
    }

    fn wait(&self, socket: Option<(impl AsFd, PollFlags)>, patience: Option<Duration>) -> Woken {
        let attention = PollFd::from_borrowed_fd(self.device.attention(), PollFlags::IN);
        let timeout = patience.map(|patience| Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        });
        let mut polled = vec![attention];
        polled.extend(socket.as_ref().map(|(socket, flags)| PollFd::new(socket, *flags)));
        // What fails here, as where a signal came, is tried again.
        if poll(&mut polled, timeout.as_ref()).is_err() {
            return Woken::Nothing;
        }
        let woken = |index: usize| polled.get(index).is_some_and(|polled| !polled.revents().is_empty());
        if woken(0) {
            self.device.clear_attention();
            return if self.ended.load(Ordering::Acquire) { Woken::Ended } else { Woken::Attention };
        }
        if woken(1) { Woken::Socket } else { Woken::Nothing }
    }
}

/// Switches a queue on or off, as the message says that has come.
fn switch(stream: &UnixStream, backend: &Mutex<Backend>) -> Result<(), Error> {
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

/// Whether an answer would not have to wait: there is room for several.
fn has_room(stream: &UnixStream) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polled = [PollFd::new(stream, PollFlags::OUT)];
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}
