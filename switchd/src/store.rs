//! The descriptor store of the service manager (`FileDescriptorStoreMax=`): what lies there survives this process,
//! however it ends, and is given to the next one by its name.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use ports::sys::inherited;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use sd_notify::NotifyState;
use tracing::warn;

/// Before the name of a port, so that none is taken for something else.
const PORT: &str = "port-";
/// Before the name of a port, of what is left of the conversation with its guest.
const GUEST: &str = "guest-";
/// The netlink socket that holds exclusive interfaces.
pub(crate) const EXCLUSIVE: &str = "exclusive";
/// The memory of [`crate::state`].
pub(crate) const STATE: &str = "state";
/// The memory of frames that are in hand ([`ports::in_hand`]), of the first worker; a number follows for others.
const IN_HAND: &str = "in-hand";

/// Where metrics are served; handed over only, never stored.
pub(crate) const METRICS: &str = "metrics";
/// The lock on the run directory; handed over only, never stored.
pub(crate) const LOCK: &str = "lock";

/// The name of a port's descriptor.
pub(crate) fn name_of_port(port: &str) -> String {
    format!("{PORT}{port}")
}

/// The name of what is left of a port's conversation with its guest.
pub(crate) fn name_of_guest(port: &str) -> String {
    format!("{GUEST}{port}")
}

/// The name of the memory of frames that a worker has in hand.
pub(crate) fn name_of_in_hand(worker: usize) -> String {
    if worker == 0 { IN_HAND.to_owned() } else { format!("{IN_HAND}-{worker}") }
}

/// How long the service manager may take to close what was taken out.
const BARRIER: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What an earlier process left, until somebody takes it. A port with several queues has several of one name.
#[derive(Debug, Default)]
pub(crate) struct Inherited(BTreeMap<String, Vec<OwnedFd>>);

impl Inherited {
    /// Takes what the service manager has kept for this process.
    ///
    /// # Errors
    /// The environment says something of descriptors that can't be.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let named = inherited::take().context("can't take the descriptors that the service manager keeps")?;
        Ok(Self::given(named))
    }

    /// What a running process has given.
    pub(crate) fn given(named: Vec<(String, OwnedFd)>) -> Self {
        let mut all = BTreeMap::<String, Vec<OwnedFd>>::new();
        named.into_iter().for_each(|(name, fd)| all.entry(name).or_default().push(fd));
        Self(all)
    }

    pub(crate) fn lock(&mut self) -> Option<OwnedFd> {
        self.one(LOCK)
    }

    pub(crate) fn metrics(&mut self) -> Option<OwnedFd> {
        self.one(METRICS)
    }

    /// Those of a port; none if there are none.
    pub(crate) fn port(&mut self, name: &str) -> Vec<OwnedFd> {
        self.0.remove(&name_of_port(name)).unwrap_or_default()
    }

    pub(crate) fn guest(&mut self, port: &str) -> Option<OwnedFd> {
        self.one(&name_of_guest(port))
    }

    pub(crate) fn exclusive(&mut self) -> Option<OwnedFd> {
        self.one(EXCLUSIVE)
    }

    pub(crate) fn state(&mut self) -> Option<OwnedFd> {
        self.one(STATE)
    }

    /// Those of all workers, in their order.
    pub(crate) fn in_hand(&mut self) -> Vec<OwnedFd> {
        (0..).map_while(|worker| self.one(&name_of_in_hand(worker))).collect()
    }

    fn one(&mut self, name: &str) -> Option<OwnedFd> {
        self.0.remove(name)?.pop()
    }

    /// The names of ports that nobody has taken.
    pub(crate) fn ports(&self) -> Vec<String> {
        self.names(PORT)
    }

    /// The names of ports whose guests nobody has taken.
    pub(crate) fn guests(&self) -> Vec<String> {
        self.names(GUEST)
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.0.keys().filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect()
    }
}

/// The way into the store; does nothing where this process is not to leave anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    pub(crate) used: bool,
}

impl Store {
    /// Keeps a port's descriptors, in place of earlier ones.
    pub(crate) fn keep_port<'f>(self, name: &str, fds: impl IntoIterator<Item = BorrowedFd<'f>>) {
        let name = name_of_port(name);
        self.forget(&name);
        fds.into_iter().for_each(|fd| self.add(&name, fd));
    }

    pub(crate) fn keep_guest(self, port: &str, fd: BorrowedFd<'_>) {
        self.keep(&name_of_guest(port), fd);
    }

    pub(crate) fn keep_exclusive(self, fd: BorrowedFd<'_>) {
        self.keep(EXCLUSIVE, fd);
    }

    pub(crate) fn keep_state(self, fd: BorrowedFd<'_>) {
        self.keep(STATE, fd);
    }

    /// Takes out what there is of a port; it is closed there when this returns.
    pub(crate) fn forget_port(self, name: &str) {
        self.forget(&name_of_port(name));
        self.forget_guest(name);
    }

    /// Takes out what is left of the conversation with a port's guest; it is closed there when this returns.
    pub(crate) fn forget_guest(self, port: &str) {
        self.forget(&name_of_guest(port));
        self.settle();
    }

    /// Takes out the socket that holds exclusive interfaces.
    pub(crate) fn forget_exclusive(self) {
        self.forget(EXCLUSIVE);
        self.settle();
    }

    /// Takes out all that is no port's, where there are so many workers.
    pub(crate) fn forget_rest(self, workers: usize) {
        self.forget(STATE);
        (0..workers).for_each(|worker| self.forget(&name_of_in_hand(worker)));
        self.forget_exclusive();
    }

    /// Keeps a descriptor by its name, in place of an earlier one.
    pub(crate) fn keep(self, name: &str, fd: BorrowedFd<'_>) {
        self.forget(name);
        self.add(name, fd);
    }

    fn add(self, name: &str, fd: BorrowedFd<'_>) {
        if !self.used {
            return;
        }
        // Not to be watched: a packet socket reports an error when its interface goes down, and would be dropped.
        let states = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
        if let Err(error) = sd_notify::notify_with_fds(&states, &[fd]) {
            warn!("the service manager can't keep {name}: {error}; a restart interrupts it");
        }
    }

    /// Takes out what there is of a name; it is closed there soon.
    pub(crate) fn forget(self, name: &str) {
        if self.used {
            // Fails only where the service manager can't be told anything, which was said when it was to keep it.
            let _ = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
        }
    }

    /// Waits until the service manager has done what it was told (`sd_notify_barrier(3)`).
    fn settle(self) {
        if self.used
            && let Err(error) = barrier()
        {
            warn!("the service manager does not say that it has let go: {error}");
        }
    }
}

fn barrier() -> io::Result<()> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
    drop(theirs);
    match poll(&mut [PollFd::new(&ours, PollFlags::HUP)], Some(&BARRIER))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
