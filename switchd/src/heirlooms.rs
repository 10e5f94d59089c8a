//! The descriptors that an earlier process left, each with what its port was then.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use config::{Config, PortConfig};

use crate::state::State;
use crate::store::Inherited;

/// What is left to be taken up.
#[derive(Debug, Default)]
pub(crate) struct Heirlooms {
    descriptors: Inherited,
    /// The ports of the earlier configuration.
    before: Vec<PortConfig>,
    /// Losses of packet sockets that were counted.
    lost: BTreeMap<String, u64>,
}

impl Heirlooms {
    /// What there is, and what is known of it.
    pub(crate) fn new(descriptors: Inherited, before: Option<&Config>, state: Option<&State>) -> Self {
        let before = before.map(|config| config.ports.clone()).unwrap_or_default();
        let lost = state.map(State::sockets_lost).unwrap_or_default();
        Self { descriptors, before, lost }
    }

    /// The descriptors of a port, and what the port was.
    pub(crate) fn port(&mut self, name: &str) -> Option<(Vec<OwnedFd>, Option<PortConfig>)> {
        let fds = Some(self.descriptors.port(name)).filter(|fds| !fds.is_empty())?;
        Some((fds, self.before(name)))
    }

    /// What is left of the conversation with the guest of a port, and what the port was.
    pub(crate) fn guest(&mut self, name: &str) -> Option<(OwnedFd, Option<PortConfig>)> {
        let fd = self.descriptors.guest(name)?;
        Some((fd, self.before(name)))
    }

    fn before(&self, name: &str) -> Option<PortConfig> {
        self.before.iter().find(|port| port.name == name).cloned()
    }

    /// The netlink socket that keeps the host off its interfaces.
    pub(crate) fn exclusive(&mut self) -> Option<OwnedFd> {
        self.descriptors.exclusive()
    }

    /// Frames that the packet socket of a port had lost.
    pub(crate) fn socket_lost(&self, port: &str) -> u64 {
        self.lost.get(port).copied().unwrap_or(0)
    }

    /// The names of ports whose guests nobody has taken up, and never will.
    pub(crate) fn drop_guests(&mut self) -> Vec<String> {
        let names = self.descriptors.guests();
        names.iter().for_each(|name| drop(self.descriptors.guest(name)));
        names
    }

    /// All ports that nobody has taken up.
    pub(crate) fn rest(&mut self) -> Vec<(String, Vec<OwnedFd>, Option<PortConfig>)> {
        let names = self.descriptors.ports();
        let taken = names.into_iter().filter_map(|name| {
            let (fds, before) = self.port(&name)?;
            Some((name, fds, before))
        });
        taken.collect()
    }
}
