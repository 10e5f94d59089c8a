//! Ports for interfaces that appear: what the kernel has is compared with what patterns of the configuration mean,
//! whenever a link comes, changes or goes.

use std::collections::BTreeMap;

use anyhow::Context;
use config::{Config, NotMatched};
use ports::links::LinkEvent;
use tracing::{info, warn};

use crate::control::Control;

/// Interfaces that get no port, with the reason that was logged. As many as the host has at most.
pub(crate) type Unmatched = BTreeMap<String, String>;

/// `config` with a port for each interface of this namespace that a pattern means, and for those of `before`, which may
/// have gone meanwhile.
///
/// # Errors
/// The kernel does not list its interfaces.
pub(crate) fn matched(config: &Config, before: &[String]) -> anyhow::Result<(Config, Vec<NotMatched>)> {
    if config.patterns.is_empty() {
        return Ok(config::matched(config, []));
    }
    let all = nix::net::if_::if_nameindex().context("can't list the interfaces")?;
    let present: Vec<String> = all.iter().map(|one| one.name().to_string_lossy().into_owned()).collect();
    // Those that have a port keep it.
    let made = config.ports.iter().filter(|port| port.made_by.is_some()).map(|port| &port.device);
    let made = made.filter(|device| present.contains(device));
    let names = made.chain(before).chain(&present).map(String::as_str);
    Ok(config::matched(config, names))
}

/// Logs who gets no port, once.
pub(crate) fn tell(told: &mut Unmatched, unmatched: Vec<NotMatched>) {
    let unmatched = unmatched.into_iter().map(|NotMatched { interface, why }| (interface, why));
    let unmatched: Unmatched = unmatched.collect();
    for (interface, why) in unmatched.iter().filter(|(interface, why)| told.get(*interface) != Some(*why)) {
        warn!("{interface} gets no port: {why}");
    }
    *told = unmatched;
}

impl Control {
    /// A configuration with the ports that its patterns make now.
    ///
    /// # Errors
    /// As [`matched`].
    pub(crate) fn matched(&mut self, config: Config) -> anyhow::Result<Config> {
        let made = self.config.ports.iter().filter(|port| port.made_by.is_some()).cloned();
        let config = Config { ports: config.ports.into_iter().chain(made).collect(), ..config };
        let (config, unmatched) = matched(&config, &[])?;
        tell(&mut self.unmatched, unmatched);
        Ok(config)
    }

    /// Takes away the port of an interface that is gone, if a pattern has made it. The next interface of that name
    /// is another one.
    pub(crate) fn unmake(&mut self, event: &LinkEvent) {
        let LinkEvent::Gone { name, .. } = event else { return };
        let port = self.attachments.iter().find(|port| port.config.device == *name && port.held.is_none());
        let Some(port) = port.filter(|port| port.config.made_by.is_some()) else { return };
        let port = port.config.name.clone();
        self.go_over_to(self.with_ports(|ports| ports.retain(|known| known.name != port)));
    }

    /// Makes ports for interfaces that are new, and takes away those whose interface is called otherwise now.
    pub(crate) fn match_interfaces(&mut self) {
        if self.config.patterns.is_empty() {
            return;
        }
        match self.matched(self.with_ports(|ports| ports.retain(|port| port.made_by.is_none()))) {
            Ok(new) if new.ports != self.config.ports => self.go_over_to(new),
            Ok(_) => {}
            Err(error) => warn!("{error:#}; no port is made"),
        }
    }

    fn go_over_to(&mut self, new: Config) {
        match self.apply(new) {
            Ok(changes) => changes.words.iter().for_each(|change| info!("{change}")),
            Err(error) => warn!("{error:#}; the ports stay as they are"),
        }
    }
}
