//! What the thread that speaks with a guest's program and the thread that forwards share: the rings in use, each
//! behind its lock, and two descriptors by which they wake each other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::lock_api::ArcMutexGuard;
use parking_lot::{Mutex, MutexGuard, RawMutex};
use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::broken::Broken;
use crate::features::Features;
use crate::memory::Memory;
use crate::position::Position;
use crate::ring::{Ring, View};

/// Pairs of queues at most.
pub(crate) const PAIRS: usize = 8;
/// The guest receives from queue `2 * pair` and sends on the one after it.
pub(crate) const QUEUES: usize = 2 * PAIRS;

/// A ring in use.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) ring: Ring,
    pub(crate) memory: Arc<Memory>,
    /// By which the guest is interrupted.
    pub(crate) call: Option<OwnedFd>,
    pub(crate) features: Features,
    /// Where it is noted how far it was used.
    pub(crate) position: Option<Position>,
    /// The guest was asked to tell of new chains.
    pub(crate) awaits: bool,
}

/// A queue that is locked.
pub(crate) type Locked = ArcMutexGuard<RawMutex, Option<Live>>;

impl Live {
    #[inline]
    pub(crate) fn view(&mut self) -> Result<View<'_>, Broken> {
        self.ring.view(&self.memory)
    }
}

/// Tells the guest of all that it got back.
#[inline]
pub(crate) fn publish(view: &mut View<'_>, position: Option<&Position>, call: Option<&OwnedFd>) {
    if view.publish(position)
        && let Some(call) = call
    {
        // Fails where the guest has not looked for so long that the counter is full: then it is told already.
        let _ = rustix::io::write(call, &1_u64.to_ne_bytes());
    }
}

#[derive(Debug)]
pub(crate) struct Device {
    queues: [Arc<Mutex<Option<Live>>>; QUEUES],
    /// Which of them can be used, a bit each.
    usable: AtomicU32,
    /// The features that were agreed on.
    agreed: AtomicU64,
    broken: Mutex<Option<Broken>>,
    /// Readable after each kick of the guest, and each time a ring was changed.
    events: OwnedFd,
    changed: OwnedFd,
    /// Wakes the thread that speaks with the guest's program.
    attention: OwnedFd,
}

impl Device {
    /// One without rings.
    ///
    /// # Errors
    /// As `epoll_create1(2)` and `eventfd(2)`.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let device = Self {
            queues: std::array::from_fn(|_| Arc::default()),
            usable: AtomicU32::new(0),
            agreed: AtomicU64::new(0),
            broken: Mutex::new(None),
            events: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            changed: eventfd(0, flags)?,
            attention: eventfd(0, flags)?,
        };
        device.listen(device.changed.as_fd())?;
        Ok(device)
    }

    pub(crate) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    pub(crate) fn attention(&self) -> BorrowedFd<'_> {
        self.attention.as_fd()
    }

    /// Makes each write to `kick` an event. Edge-triggered, so that nobody has to read it.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub(crate) fn listen(&self, kick: BorrowedFd<'_>) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(&self.events, kick, epoll::EventData::new_u64(0), flags)?)
    }

    pub(crate) fn ignore(&self, kick: BorrowedFd<'_>) {
        // What can't be removed is not there.
        let _ = epoll::delete(&self.events, kick);
    }

    pub(crate) fn set_agreed(&self, features: Features) {
        self.agreed.store(features.0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn agreed(&self) -> Features {
        Features(self.agreed.load(Ordering::Relaxed))
    }

    /// The queues that can be used, a bit each.
    #[inline]
    pub(crate) fn usable(&self) -> u32 {
        self.usable.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn lock(&self, queue: usize) -> MutexGuard<'_, Option<Live>> {
        self.queues[queue].lock()
    }

    /// [`Device::lock`] for as long as the caller likes: until frames that are lent are handed on.
    #[inline]
    pub(crate) fn lock_for_long(&self, queue: usize) -> Locked {
        self.queues[queue].lock_arc()
    }

    /// Puts a ring to use, and lets the thread that forwards look at it.
    pub(crate) fn start(&self, queue: usize, live: Live) {
        *self.lock(queue) = Some(live);
        self.usable.fetch_or(1 << queue, Ordering::Release);
        wake(&self.changed);
    }

    /// Takes a ring out of use, with all that was given back made known: whoever goes on with it knows of nothing else.
    /// Nobody touches it or its memory any more when this returns.
    pub(crate) fn stop(&self, queue: usize) -> Option<Live> {
        self.usable.fetch_and(!(1 << queue), Ordering::Release);
        let mut live = self.lock(queue).take()?;
        let Live { ring, memory, position, call, .. } = &mut live;
        if let Ok(mut view) = ring.view(memory) {
            publish(&mut view, position.as_ref(), call.as_ref());
        }
        Some(live)
    }

    /// A guest has spoilt a ring: none of its rings is used any more.
    #[cold]
    pub(crate) fn fail(&self, why: Broken) {
        self.usable.store(0, Ordering::Release);
        *self.broken.lock() = Some(why);
        self.call_attention();
    }

    pub(crate) fn take_broken(&self) -> Option<Broken> {
        self.broken.lock().take()
    }

    pub(crate) fn call_attention(&self) {
        wake(&self.attention);
    }

    pub(crate) fn clear_attention(&self) {
        // Fails where there is nothing to clear.
        let _ = rustix::io::read(&self.attention, &mut [0_u8; 8]);
    }
}

fn wake(event: &OwnedFd) {
    // Fails only when the counter is full, and then it is readable already.
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}
