//! The contract between a port and the worker that drives it: a receive half and a send half, which
//! may live on different workers.
//!
//! Both halves are non-blocking. mio polls edge-triggered, so an [`RxQueue`] that stopped at its budget
//! says so and must be asked again without waiting for an event.

use std::os::fd::RawFd;

use frame::{Capabilities, Frame};
use rustix::io::Errno;

use crate::Batch;
use crate::lent::Tail;

/// How far [`TxQueue::send_run`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Frames that were handed over, from the first on.
    pub frames: usize,
    /// Their bytes on the wire.
    pub bytes: usize,
    /// Why the next one was not taken, if it was tried; it is lost.
    pub refused: Option<SendError>,
}

/// How an [`RxQueue::receive`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is left: wait for the next readiness event.
    Empty,
    /// The batch or the budget is full: ask again before sleeping.
    More,
    /// The device's link is down (`ENETDOWN`, `EIO`). It may come back.
    Down,
    /// The device is gone (`EBADFD`, `ENODEV`, `ENXIO`): close both halves.
    Gone,
}

/// Why an egress did not take a frame. Each is a named drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Its queue is full (`EAGAIN`, `ENOBUFS`).
    Full,
    /// Longer than the device's MTU lets a packet socket send (`EMSGSIZE`).
    TooLong,
    /// The device's link is down (`ENETDOWN`, `EIO`).
    Down,
    /// The device is gone (`EBADFD`, `ENODEV`, `ENXIO`).
    Gone,
    /// The kernel refused the frame or its offload header (`EINVAL` and all else): the errno.
    Refused(i32),
}

impl SendError {
    /// The memory that the frame lies in is not there any more.
    pub const FAULT: Self = Self::Refused(Errno::FAULT.raw_os_error());
}

/// The receive half of a port.
pub trait RxQueue: Send {
    /// The descriptor to poll for readability. Deregister it before this half is dropped.
    fn fd(&self) -> RawFd;

    /// Appends at most `budget` frames to `batch`, never blocking. A frame that can't be received whole
    /// is counted in the batch, not appended.
    fn receive(&mut self, batch: &mut Batch, budget: usize) -> Drained;

    /// Takes back what was lent to a batch ([`Batch::any_lent`]). Called once that is handed on.
    fn release(&mut self) {}

    /// Frames that the kernel dropped before we could read them (a packet socket's own losses), since
    /// the port was opened.
    fn kernel_drops(&mut self) -> u64 {
        0
    }
}

/// The send half of a port.
pub trait TxQueue: Send {
    /// What [`TxQueue::send`] takes unfinished; anything else must be finished first.
    fn capabilities(&self) -> Capabilities;

    /// Hands one frame to the kernel, at once and never blocking. `Ok` means handed over, not delivered.
    ///
    /// # Errors
    /// Why it was not taken; the frame is lost and the caller counts it.
    fn send(&mut self, frame: &Frame<'_>) -> Result<(), SendError>;

    /// [`TxQueue::send`] of a frame of which `tail` lies elsewhere ([`Frame::beyond`]), and goes out without a copy of
    /// ours.
    ///
    /// # Errors
    /// As [`TxQueue::send`]; `EFAULT` where the memory is not there any more.
    fn send_lent(&mut self, frame: &Frame<'_>, tail: Tail<'_>) -> Result<(), SendError>;

    /// Hands over the frames of `batch` that `queue` names, in order, up to the first that does not go out
    /// exactly as it was received ([`Batch::as_received`]) or is refused. Most frames do go out so, and
    /// then there is one call for all of them: on processors that forget return addresses in the kernel
    /// each return behind a system call costs as much as a third of the call.
    fn send_run(&mut self, batch: &Batch, queue: &[u16]) -> Run;

    /// Lets the other side know of all that was handed over, where that is done once for many frames. Called
    /// after each burst.
    fn flush(&mut self) {}
}

/// The loop of [`TxQueue::send_run`] for a port whose offload header has `header` bytes, around its own
/// system call.
#[inline(always)]
pub(crate) fn run(
    batch: &Batch,
    queue: &[u16],
    header: usize,
    mut send: impl FnMut(&[u8]) -> Result<usize, Errno>,
    refused: impl FnOnce(Errno) -> SendError,
) -> Run {
    let mut done = Run::default();
    for &index in queue {
        let Some(bytes) = batch.as_received(usize::from(index), header) else { break };
        batch.strike_off(usize::from(index));
        match send(bytes) {
            Ok(_) => {
                done.frames += 1;
                done.bytes += bytes.len() - header;
            }
            Err(errno) => {
                done.refused = Some(refused(errno));
                break;
            }
        }
    }
    done
}
