//! A port without a device, for tests of whoever drives ports: what it receives is scripted, what it
//! sends is kept, and it refuses on demand.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frame::offload::LONG_HEADER;
use frame::{Capabilities, Frame, Offload, Tag};
use rustix::event::{EventfdFlags, eventfd};

use crate::lent::Tail;
use crate::queue::run;
use crate::{Batch, Drained, Run, RxQueue, SendError, TxQueue};

/// A frame as it went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The offload header that is true of `bytes`.
    pub offload: Offload,
    /// The frame, its tag in line.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Arrival {
    bytes: Vec<u8>,
    header: usize,
    tag: Option<Tag>,
}

#[derive(Debug, Default)]
struct State {
    arriving: VecDeque<Arrival>,
    sent: Vec<Sent>,
    capabilities: Capabilities,
    refusal: Option<SendError>,
    link: Option<Drained>,
    kernel_drops: u64,
}

/// The test's hold on a port in memory.
#[derive(Clone, Debug)]
pub struct Script {
    state: Arc<Mutex<State>>,
    ready: Arc<OwnedFd>,
}

/// Makes a port whose send half takes what `capabilities` say.
///
/// # Errors
/// As `eventfd(2)`.
pub fn open(capabilities: Capabilities) -> io::Result<(MemoryRx, MemoryTx, Script)> {
    let ready = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let script = Script { state: Arc::new(Mutex::new(State { capabilities, ..State::default() })), ready };
    Ok((MemoryRx(script.clone()), MemoryTx(script.clone()), script))
}

impl Script {
    /// A plain frame arrives, as from a port without offload header.
    pub fn arrive(&self, frame: &[u8]) {
        self.push(Arrival { bytes: frame.to_vec(), header: 0, tag: None });
    }

    /// A frame arrives with an offload header, and a tag that the kernel has taken out of `frame`.
    pub fn arrive_with(&self, offload: Offload, tag: Option<Tag>, frame: &[u8]) {
        let mut bytes = offload.encode().to_vec();
        bytes.extend_from_slice(frame);
        self.push(Arrival { bytes, header: LONG_HEADER, tag });
    }

    /// Takes what was sent so far.
    #[must_use]
    pub fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.state().sent)
    }

    /// From now on every frame to be sent is refused, or none any more.
    pub fn refuse(&self, refusal: Option<SendError>) {
        self.state().refusal = refusal;
    }

    /// The device goes down or away, once all that arrived was read: [`Drained::Down`] is said once,
    /// [`Drained::Gone`] from then on.
    pub fn end(&self, how: Drained) {
        self.state().link = Some(how);
        self.wake();
    }

    /// What [`RxQueue::kernel_drops`] will say.
    pub fn set_kernel_drops(&self, drops: u64) {
        self.state().kernel_drops = drops;
    }

    fn push(&self, arrival: Arrival) {
        self.state().arriving.push_back(arrival);
        self.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Fails only when the counter is full, and then the descriptor is readable already.
        let _ = rustix::io::write(&*self.ready, &1_u64.to_ne_bytes());
    }
}

/// The receive half.
#[derive(Debug)]
pub struct MemoryRx(Script);

impl RxQueue for MemoryRx {
    fn fd(&self) -> RawFd {
        self.0.ready.as_raw_fd()
    }

    fn receive(&mut self, batch: &mut Batch, budget: usize) -> Drained {
        let mut state = self.0.state();
        for _ in 0..budget {
            let header = state.arriving.front().map_or(0, |arrival| arrival.header);
            let Some(room) = batch.room(header) else { return Drained::More };
            let Some(arrival) = state.arriving.pop_front() else {
                // Fails if nobody woke us: it is zero already.
                let _ = rustix::io::read(&*self.0.ready, &mut [0_u8; 8]);
                return match state.link {
                    Some(Drained::Down) => {
                        state.link = None;
                        Drained::Down
                    }
                    Some(other) => other,
                    None => Drained::Empty,
                };
            };
            match room.get_mut(..arrival.bytes.len()) {
                Some(room) => {
                    room.copy_from_slice(&arrival.bytes);
                    batch.push(arrival.bytes.len(), arrival.header, arrival.tag);
                }
                None => batch.count_truncated(),
            }
        }
        Drained::More
    }

    fn kernel_drops(&mut self) -> u64 {
        self.0.state().kernel_drops
    }
}

/// The send half.
#[derive(Debug)]
pub struct MemoryTx(Script);

impl TxQueue for MemoryTx {
    fn capabilities(&self) -> Capabilities {
        self.0.state().capabilities
    }

    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        let mut state = self.0.state();
        if let Some(refusal) = state.refusal {
            return Err(refusal);
        }
        let offload = frame.pieces().offload;
        state.sent.push(Sent { offload, bytes: frame.to_vec() });
        Ok(())
    }

    fn send_lent(&mut self, frame: &Frame<'_>, tail: Tail<'_>) -> Result<(), SendError> {
        let mut behind = vec![0; frame.beyond()];
        if !tail.read(&mut behind) {
            return Err(SendError::FAULT);
        }
        self.send(frame)?;
        self.0.state().sent.last_mut().into_iter().for_each(|sent| sent.bytes.extend(&behind));
        Ok(())
    }

    fn send_run(&mut self, batch: &Batch, queue: &[u16]) -> Run {
        let mut state = self.0.state();
        let refusal = state.refusal;
        let send = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            let len = bytes.len();
            state.sent.push(Sent { offload: Offload::default(), bytes });
            Ok(len)
        };
        match refusal {
            Some(_) if !queue.is_empty() => Run { refused: refusal, ..Run::default() },
            _ => run(batch, queue, 0, send, |errno| SendError::Refused(errno.raw_os_error())),
        }
    }
}
