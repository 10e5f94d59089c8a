//! Control's part in giving the ports to a new process: the old side of [`crate::handover`].

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use tracing::{info, warn};

use crate::attachment::Attachment;
use crate::control::Control;
use crate::handover::Giving;
use crate::metrics::Metrics;
use crate::run_dir::RunDir;
use crate::systemd;

/// A new process asks for the ports; and the one that got them has something to say.
pub(crate) const ASKED: Token = Token(usize::MAX - 1);
pub(crate) const TOLD: Token = Token(usize::MAX - 2);

impl Control {
    /// From now on a new process may ask for the ports.
    ///
    /// # Errors
    /// The place where it asks can't be made.
    pub(crate) fn await_successor(&mut self, run_dir: &RunDir) -> std::io::Result<()> {
        let giving = Giving::listen(&run_dir.handover_socket())?;
        let registry = self.listener.registry();
        registry.register(&mut SourceFd(&giving.as_raw_fd()), ASKED, Interest::READABLE)?;
        self.giving = Some(giving);
        Ok(())
    }

    /// Starts the program that is installed now, to take over (SIGUSR2).
    pub(crate) fn upgrade(&mut self) {
        match &mut self.giving {
            Some(giving) => {
                if let Err(error) = giving.start_successor() {
                    warn!("{error:#}; this process goes on");
                }
            }
            None => warn!("this process was not started with --keep-ports: it can't hand its ports over"),
        }
    }

    /// Gives all descriptors to a new process that asks for them, and goes on forwarding.
    pub(crate) fn hear_asking(&mut self) {
        let Some(giving) = &self.giving else { return };
        let recipient = match giving.admit() {
            Ok(recipient) => recipient,
            Err(error) => {
                warn!("{error:#}");
                return;
            }
        };
        if self.recipient.is_some() {
            warn!(
                pid = recipient.pid,
                "asks for the ports while another process takes them over; it is refused"
            );
            return;
        }
        let given = recipient.give(&self.descriptors()).and_then(|()| {
            let source = recipient.as_raw_fd();
            self.listener.registry().register(&mut SourceFd(&source), TOLD, Interest::READABLE)
        });
        match given {
            Ok(()) => self.recipient = Some(recipient),
            Err(error) => warn!(pid = recipient.pid, "can't hand the ports over: {error}"),
        }
    }

    fn descriptors(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let ports = self.attachments.iter().flat_map(Attachment::descriptors);
        let rest = [
            (crate::store::EXCLUSIVE, self.opener.exclusive()),
            (crate::store::STATE, self.memory.descriptor()),
            (crate::store::LOCK, Some(self.lock.as_fd())),
            (crate::store::METRICS, self.metrics.as_ref().map(Metrics::descriptor)),
        ];
        let rest = rest.into_iter().filter_map(|(name, fd)| Some((name.to_owned(), fd?)));
        ports.chain(self.memory.in_hand()).chain(rest).collect()
    }

    /// The new process has prepared everything, or has ended. Whether this one goes on.
    ///
    /// # Errors
    /// Nothing forwards any more.
    pub(crate) fn hear_told(&mut self) -> anyhow::Result<bool> {
        let Some(recipient) = self.recipient.take() else { return Ok(true) };
        let _ = self.listener.registry().deregister(&mut SourceFd(&recipient.as_raw_fd()));
        if recipient.prepared().is_err() {
            warn!(pid = recipient.pid, "the new process ended before it was ready; this one goes on");
            self.bury();
            return Ok(true);
        }
        let (mut workers, report) = self.forwarding.stop(&self.workers)?;
        self.hold_guests();
        self.save_rest(&mut workers, &report);
        match recipient.go() {
            Ok(()) => {
                systemd::main_process(recipient.pid);
                recipient.is_main();
                info!(pid = recipient.pid, "the new process forwards; this one ends");
                self.given = true;
                Ok(false)
            }
            Err(error) => {
                self.allow_guests();
                self.forwarding.start(workers)?;
                warn!(pid = recipient.pid, "the new process does not forward: {error}; this one goes on");
                self.bury();
                Ok(true)
            }
        }
    }

    fn bury(&mut self) {
        if let Some(giving) = &mut self.giving {
            giving.bury_successor();
        }
    }
}
