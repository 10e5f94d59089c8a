//! Metrics for Prometheus, over HTTP. A thread of their own has the clients and makes the text, so that no client
//! holds up control or forwarding: it asks control for what is known ([`snapshot`]) at most twice a second.
//!
//! [`mod@listener`] is where it listens, [`http`] one request, [`exporter`] the thread, [`exposition`] the text.

mod exporter;
mod exposition;
mod http;
mod listener;
mod snapshot;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use config::Listen;
use crossbeam_channel::{Receiver, Sender, bounded};
use exporter::Exporter;
pub(crate) use listener::Listener;
use mio::Waker;
use snapshot::Snapshot;
use tracing::{info, warn};

use crate::control::Control;
use crate::forwarding::give_up_rights;

/// Somebody wants to know, and waits for it.
type Request = Sender<Snapshot>;

/// How often the configuration was read again while this process ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) done: u64,
    pub(crate) refused: u64,
    /// The last one was refused.
    pub(crate) last_refused: bool,
}

impl Reloads {
    pub(crate) fn note(&mut self, done: bool) {
        let count = if done { &mut self.done } else { &mut self.refused };
        *count += 1;
        self.last_refused = !done;
    }
}

/// The thread, as control has it. Dropping it ends the thread.
pub(crate) struct Metrics {
    address: Listen,
    /// The same as the thread's, to be handed over.
    listener: OwnedFd,
    requests: Option<Receiver<Request>>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Serves metrics on `listener`. Requests for what is known come to [`Control::answer_scrape`], which
    /// `wake_control` makes look.
    ///
    /// # Errors
    /// As `epoll_create(2)` and `clone(2)`.
    pub(crate) fn start(
        address: &Listen,
        listener: Listener,
        wake_control: Arc<Waker>,
    ) -> anyhow::Result<Self> {
        if let Listen::Tcp(address) = address
            && !address.ip().is_loopback()
        {
            warn!("metrics can be read at {address} by everybody who can reach this host there");
        }
        let kept = listener.as_fd().try_clone_to_owned()?;
        let (ask, requests) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (exporter, waker) = Exporter::new(listener, ask, wake_control, Arc::clone(&stop))?;
        let serve = move || {
            if let Err(error) = give_up_rights().and_then(|()| exporter.run()) {
                warn!("metrics can't be read any more: {error}");
            }
        };
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(serve);
        let thread = Some(thread.context("can't start the thread that serves metrics")?);
        info!("metrics can be read at {address}");
        Ok(Self { address: address.clone(), listener: kept, requests: Some(requests), stop, waker, thread })
    }

    /// Where it listens, to be handed over.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Ends for good: nothing is left of a Unix socket.
    pub(crate) fn close(self) {
        if let Listen::Unix(path) = &self.address {
            // Whatever can't be removed will be taken for stale.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        // Whoever waits for an answer waits no more.
        self.requests = None;
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The Unix socket of an address that is one.
pub(crate) fn socket_path(address: &Listen) -> Option<&Path> {
    match address {
        Listen::Unix(path) => Some(path),
        Listen::Tcp(_) => None,
    }
}

impl Control {
    /// Says what is known to whoever asked for it.
    pub(crate) fn answer_scrape(&mut self) {
        let requests = self.metrics.as_ref().and_then(|metrics| metrics.requests.as_ref());
        let Some(request) = requests.and_then(|requests| requests.try_recv().ok()) else { return };
        match self.snapshot() {
            // One that has given up hears nothing.
            Ok(snapshot) => {
                // Before anybody sees it: no counter is ever seen to run backwards.
                self.look();
                drop(request.send(snapshot));
            }
            Err(error) => warn!("{error}; no metrics"),
        }
    }

    /// Goes over to another address, or to none; where that can't be had everything stays as it is.
    ///
    /// # Errors
    /// The address can't be had.
    pub(crate) fn listen_for_scrapes(&mut self, address: Option<&Listen>) -> anyhow::Result<()> {
        let before = self.metrics.take();
        let old = before.as_ref().map(|metrics| metrics.address.clone());
        if let Some(metrics) = before {
            metrics.close();
        }
        let Some(address) = address else { return Ok(()) };
        let started = self.start_metrics(address);
        if let (Err(_), Some(old)) = (&started, old)
            && let Err(error) = self.start_metrics(&old)
        {
            warn!("{error:#}; metrics can't be read any more");
        }
        started
    }

    fn start_metrics(&mut self, address: &Listen) -> anyhow::Result<()> {
        let listener = Listener::bind(address)?;
        self.metrics = Some(Metrics::start(address, listener, Arc::clone(&self.wake))?);
        Ok(())
    }
}

/// The listener of the process before, if it was given and listens there, else a new one.
///
/// # Errors
/// The address can't be had.
pub(crate) fn listener(address: &Listen, given: Option<OwnedFd>) -> anyhow::Result<Listener> {
    match given.map(|fd| Listener::adopt(address, fd)) {
        Some(Ok(listener)) => Ok(listener),
        _ => Listener::bind(address),
    }
}
