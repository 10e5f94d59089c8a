//! The thread that speaks with the program that runs a guest, one for each port: what one guest's program does or
//! leaves undone concerns no other port.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::conversation::Conversation;
use crate::device::Device;
use crate::gate::{Arrived, look};
use crate::keepsake::Keepsake;
use crate::position::Positions;
use crate::status::Board;
use crate::turn::Turn;

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
    /// Where an earlier process has left its conversation, and this one leaves its own.
    pub(crate) keepsake: Option<Keepsake>,
    pub(crate) turn: Turn,
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
        let earlier = self.turn.take().and_then(|_busy| self.take_up());
        self.turn.has_begun();
        let mut next = earlier.or_else(|| self.next());
        while let Some(conversation) = next {
            if let Some(why) = self.speak(conversation) {
                self.board.change(|status| {
                    status.falls += u64::from(status.up);
                    status.sessions += 1;
                    (status.connected, status.up, status.pairs, status.features) = (false, false, 0, 0);
                    status.why = Some(why);
                });
            }
            next = self.next();
        }
    }

    /// The conversation that another process has left in the midst.
    fn take_up(&self) -> Option<Conversation> {
        let found = self.keepsake.as_ref()?.look().transpose();
        let taken = found.map(|found| {
            let (record, descriptors) = found?;
            Conversation::take_up(&record, descriptors, &self.device, self.offload)
        });
        let why = match taken {
            Some(Ok(conversation)) => {
                self.board.change(|status| (status.connected, status.why) = (true, None));
                self.show(&conversation);
                return Some(conversation);
            }
            Some(Err(error)) => {
                Some(format!("what an earlier process left of it is of no use, and it begins anew: {error}"))
            }
            // Nobody was there, or a message was in hand.
            None => None,
        };
        self.strike_out();
        self.board.change(|status| {
            status.falls += u64::from(status.up);
            (status.connected, status.up, status.why) = (false, false, why);
        });
        None
    }

    /// With the next program; `None` when the port is no more.
    fn next(&self) -> Option<Conversation> {
        while !self.turn.has_ended() {
            if let Place::Listens(listener) = &self.place {
                match self.wait(Some((listener, PollFlags::IN)), None) {
                    Woken::Ended => return None,
                    Woken::Socket => {}
                    _ => continue,
                }
            }
            let busy = self.turn.take()?;
            let found = match &self.place {
                Place::Listens(listener) => listener.accept().map(|(stream, _)| stream),
                Place::Connects(path) => UnixStream::connect(path),
            };
            match found.and_then(|stream| self.begin(stream)) {
                Ok(conversation) => return Some(conversation),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => self.board.change(|status| status.why = Some(error.to_string())),
            }
            drop(busy);
            if let Woken::Ended = self.wait(None::<(&UnixStream, PollFlags)>, Some(RETRY)) {
                return None;
            }
        }
        None
    }

    fn begin(&self, stream: UnixStream) -> io::Result<Conversation> {
        stream.set_nonblocking(false)?;
        let conversation = Conversation::begin(stream, &self.device, self.offload)?;
        if self.keepsake.is_some() {
            conversation.backend().note_positions(Positions::new()?);
        }
        self.board.change(|status| (status.connected, status.why) = (true, None));
        self.keep(&conversation);
        Ok(conversation)
    }

    /// Leaves the conversation where another process finds it.
    fn keep(&self, conversation: &Conversation) {
        if let Some(keepsake) = &self.keepsake
            && let Err(error) = conversation.keep(keepsake)
        {
            let why = format!("the next process will have to begin anew with its guest: {error}");
            self.board.change(|status| status.why = Some(why));
        }
    }

    /// Nobody can go on with what is not written down anew.
    fn strike_out(&self) {
        if let Some(keepsake) = &self.keepsake {
            keepsake.clear();
        }
    }

    /// Speaks to the end with one program, and says why that came; `None` where the port is no more, or another
    /// process's.
    fn speak(&self, mut conversation: Conversation) -> Option<String> {
        // When something came that can't be answered yet.
        let mut began: Option<Instant> = None;
        loop {
            // Half a message stays readable: it is looked at now and then.
            let socket = began.is_none().then_some((&conversation.stream, PollFlags::IN));
            let woken = self.wait(socket, began.map(|_| GLANCE));
            if let Woken::Ended = woken {
                return None;
            }
            let _busy = self.turn.take()?;
            if let Woken::Attention = woken {
                self.hear_trouble(&conversation);
            }
            let end = match look(&conversation.stream) {
                Arrived::Nothing => {
                    began = None;
                    None
                }
                Arrived::Message(request) if has_room(&conversation.stream) => {
                    began = None;
                    self.hear(&mut conversation, request).err()
                }
                Arrived::Message(_) | Arrived::Part => {
                    let late = began.get_or_insert_with(Instant::now).elapsed() > PATIENCE;
                    let what = "left a message half sent, or answers unread";
                    late.then(|| format!("its program {what} for {} s", PATIENCE.as_secs()))
                }
                Arrived::TooLong => Some("its program sent a message longer than any is".to_owned()),
                Arrived::End => Some("its program has closed the connection".to_owned()),
            };
            if end.is_some() {
                self.strike_out();
                return end;
            }
        }
    }

    /// Does what a message asks for, or says why nothing is to be said to that program any more.
    fn hear(&self, conversation: &mut Conversation, request: u32) -> Result<(), String> {
        self.strike_out();
        let answered = conversation.answer(request);
        answered.map_err(|error| format!("a message of its program was refused: {error}"))?;
        self.show(conversation);
        self.keep(conversation);
        Ok(())
    }

    /// The guest has spoilt its rings.
    fn hear_trouble(&self, conversation: &Conversation) {
        let Some(why) = self.device.take_broken() else { return };
        conversation.backend().broke();
        self.keep(conversation);
        self.board.change(|status| {
            status.falls += u64::from(status.up);
            (status.up, status.pairs) = (false, 0);
            status.why = Some(format!("its guest has spoilt its rings: {why}"));
        });
    }

    fn show(&self, conversation: &Conversation) {
        let backend = conversation.backend();
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
            return if self.turn.has_ended() { Woken::Ended } else { Woken::Attention };
        }
        if woken(1) { Woken::Socket } else { Woken::Nothing }
    }
}

/// Whether an answer would not have to wait: there is room for several.
fn has_room(stream: &UnixStream) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polled = [PollFd::new(stream, PollFlags::OUT)];
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}
