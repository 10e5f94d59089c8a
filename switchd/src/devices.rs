//! What becomes of ports when their devices come, change and go: each is opened, told to the workers, and let go.

use bridge::LocalKind;
use config::PortKind;
use ports::device;
use ports::links::LinkEvent;
use tracing::{info, warn};

use crate::attachment::{Held, Reaction};
use crate::command::Command;
use crate::control::Control;
use crate::open::Opened;
use crate::steering;

impl Control {
    pub(crate) fn react(&mut self, index: usize, event: &LinkEvent) {
        let attachment = &mut self.attachments[index];
        match attachment.react(event) {
            Reaction::Nothing => {}
            // The last words of a device that is gone by now: opening it would make another one.
            Reaction::Open if device::find(&attachment.config.device).is_err() => {}
            Reaction::Open => self.open_late(index),
            Reaction::Lose(why) => self.lose(index, &why),
            Reaction::Changed => self.look_again(index),
            Reaction::Moved => {
                let Some(held) = &mut attachment.held else { return };
                (held.moved, held.up) = (true, true);
                let held = held.clone();
                info!(
                    port = attachment.config.name,
                    "{} was moved to another network namespace; the port works on", attachment.config.device
                );
                self.tell_workers(index, &held);
            }
            Reaction::Returned(ifindex) => {
                let Some(held) = &mut attachment.held else { return };
                (held.moved, held.ifindex) = (false, ifindex);
                info!(
                    port = attachment.config.name,
                    "{} is back in this network namespace", attachment.config.device
                );
                self.react(index, event);
            }
        }
    }

    /// An event says that a device has changed, but not whether it is the latest word: asks the kernel.
    fn look_again(&mut self, index: usize) {
        let attachment = &mut self.attachments[index];
        let Some(held) = &mut attachment.held else { return };
        // A device that is gone by now has an event of its own.
        let Ok(device) = device::find_index(held.ifindex) else { return };
        if device.name != held.name {
            info!(
                port = attachment.config.name,
                "{} was renamed to {}; the port works on", held.name, device.name
            );
            held.name = device.name;
        }
        let was_up = held.up;
        held.up = device.up && device.running;
        (held.mtu, held.mac) = (device.mtu, device.mac);
        let held = held.clone();
        if held.up != was_up {
            let state = if held.up { "up" } else { "down" };
            info!(port = attachment.config.name, "link is {state}");
            self.monitors.port(&attachment.config.name, format!("link is {state}"));
        }
        self.tell_workers(index, &held);
    }

    /// Opens a device that has appeared; if it can't be used says why, once.
    pub(crate) fn open_late(&mut self, index: usize) {
        let config = self.attachments[index].config.clone();
        self.attachments[index].busy = false;
        match self.opener.open(&config) {
            Ok(Some(opened)) => {
                self.attach(index, opened);
                self.allow_guests();
            }
            Ok(None) => {}
            Err(error) => {
                if self.attachments[index].refused(&error) {
                    warn!(port = config.name, "{error:#}; the port stays down");
                }
            }
        }
    }

    /// Gives an open device to the workers.
    pub(crate) fn attach(&mut self, index: usize, opened: Opened) {
        let attachment = &mut self.attachments[index];
        let Opened { rx, tx, held, .. } = opened;
        // A guest's memory has neither MTU nor address.
        let interface = held.guest.is_none();
        info!(
            port = attachment.config.name,
            device = attachment.config.device,
            kind = attachment.kind(),
            exclusive = held.exclusive,
            mtu = interface.then_some(held.mtu),
            mac = interface.then(|| tracing::field::display(held.mac)),
            "port attached, link {}",
            if held.up { "up" } else { "down" }
        );
        let state = if held.up { "up" } else { "down" };
        self.monitors
            .port(&attachment.config.name, format!("has {}, link is {state}", attachment.config.device));
        attachment.complaint = None;
        self.devices += 1;
        attachment.nth = self.devices;
        attachment.held = Some(held.clone());
        let (port, nth) = (attachment.id, attachment.nth);
        // A port with one queue is received from by one worker, and not always by the same.
        let workers = self.workers.count();
        let mut queues: Vec<_> = (0..workers).map(|_| None).collect();
        for (number, rx) in rx.into_iter().enumerate() {
            queues[(usize::from(port.0) + number) % workers] = Some(rx);
        }
        let halves = queues.into_iter().zip(tx);
        self.workers.tell(halves.map(|(rx, tx)| Command::Attach { port, nth, rx, tx }));
        self.tell_workers(index, &held);
    }

    /// What the bridge must know of a device.
    pub(crate) fn tell_workers(&self, index: usize, held: &Held) {
        let attachment = &self.attachments[index];
        let port = attachment.id;
        let host = matches!(&attachment.config.kind, PortKind::Tap(tap) if tap.host);
        // In another namespace the MTU is not ours to see, and towards br0 Linux checks none.
        let mtu = (!held.moved && !host && held.guest.is_none()).then_some(held.mtu);
        let (mac, kind) = match &attachment.config.kind {
            PortKind::Tap(_) => (host.then_some(held.mac), LocalKind::HostPort),
            PortKind::Raw(_) => ((!held.exclusive).then_some(held.mac), LocalKind::Kernel),
            PortKind::VhostUser(_) => (None, LocalKind::Kernel),
        };
        let up = held.up;
        self.workers.set(move |bridge, _| {
            bridge.set_mtu(port, mtu);
            bridge.set_local(port, mac, kind);
            bridge.set_link(port, up);
        });
    }

    pub(crate) fn lose(&mut self, index: usize, why: &str) {
        let attachment = &mut self.attachments[index];
        let Some(held) = attachment.held.take() else { return };
        warn!(
            port = attachment.config.name,
            "{why}; the port is down until there is a {} again", attachment.config.device
        );
        self.monitors.port(&attachment.config.name, format!("{why}; waits for {}", attachment.config.device));
        let port = attachment.id;
        steering::forget(&self.config, &mut self.attachments, index, &self.workers);
        self.workers.set(move |bridge, _| {
            bridge.set_link(port, false);
            bridge.set_local(port, None, LocalKind::Kernel);
        });
        self.workers.tell_all(|| Command::Detach { port });
        self.opener.release(&self.attachments[index].config, held);
    }
}
