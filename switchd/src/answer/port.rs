//! Ports: shown with all that is known of them, and their settings changed.

use std::collections::HashMap;

use bridge::{BridgeSettings, DropReason, PortCounters, PortId, PortSettings, SettingsRefused};
use control::CallError;
use control::types::{self, Counters, Device, DropCount, KernelLosses, Port, PortChange};
use ports::device;
use tracing::info;

use crate::answer::{no_answer, words};
use crate::attachment::{Attachment, Held};
use crate::command::Command;
use crate::control::Control;
use crate::to_workers::{NoAnswer, joined_lists};

impl Control {
    pub(super) fn show_ports(&self, name: Option<&str>) -> Result<Vec<Port>, CallError> {
        let one = self.id_of(name)?;
        let shown: Vec<&Attachment> =
            self.attachments.iter().filter(|port| one.is_none_or(|id| id == port.id)).collect();
        let ids: Vec<PortId> = shown.iter().map(|port| port.id).collect();
        let asked = self.workers.ask_all(move |bridge, _| {
            let of = |id: &PortId| (*id, (bridge.port_settings(*id), bridge.counters(*id).clone()));
            ids.iter().map(of).collect::<Vec<_>>()
        });
        let known = asked.and_then(|asked| joined_lists(asked, |(_, one), (_, other)| one.1.join(other.1)));
        let mut known: HashMap<_, _> = known.map_err(no_answer)?.into_iter().collect();
        let losses: HashMap<_, _> = self.socket_losses(one).map_err(no_answer)?.into_iter().collect();
        let shown = shown.into_iter().filter_map(|attachment| {
            let (settings, counters) = known.remove(&attachment.id)?;
            let lost = losses.get(&attachment.id).copied().unwrap_or_default();
            Some(self.show(attachment, &settings?, &counters, lost))
        });
        Ok(shown.collect())
    }

    /// Frames that the packet sockets of ports have lost, of one port or of each.
    pub(crate) fn socket_losses(&self, one: Option<PortId>) -> Result<Vec<(PortId, u64)>, NoAnswer> {
        let losses = self.workers.hear(|reply| Command::SocketLosses(one, reply))?;
        joined_lists(losses, |(_, all), (_, more)| *all += more)
    }

    fn show(
        &self,
        attachment: &Attachment,
        settings: &PortSettings,
        counters: &PortCounters,
        socket_lost: u64,
    ) -> Port {
        let held = attachment.held.as_ref();
        // Of a TAP in another namespace the device's counters can't be seen from here.
        let here = held.filter(|held| !held.moved);
        let device = here.and_then(|held| device::counters(held.ifindex).ok().flatten());
        Port {
            name: attachment.config.name.clone(),
            kind: attachment.kind().to_owned(),
            device_name: attachment.config.device.clone(),
            device: held.map(show_device),
            settings: show_settings(settings, |id| self.name(id).to_owned()),
            counters: show_counters(counters),
            drops: show_drops(counters),
            kernel: KernelLosses { device_tx_dropped: device.map(|device| device.tx_dropped), socket_lost },
            guest: held.and_then(|held| held.guest.as_ref()).map(|guest| show_guest(&guest.status())),
        }
    }

    pub(super) fn set_port(&mut self, name: &str, change: &PortChange) -> Result<(), CallError> {
        let index = self.steerable(name)?;
        let port = self.attachments[index].id;
        let backup = change.backup_port.as_deref().map(|name| (!name.is_empty()).then_some(name));
        let backup = backup.map(|name| self.id_of(name)).transpose()?;
        let wanted = change.clone();
        let set = self.workers.change(move |bridge, now| {
            let old = bridge.port_settings(port).ok_or(SettingsRefused::NoSuchPort(port))?;
            let new = settings_with(old, &wanted, backup);
            bridge.set_port_settings(port, new)?;
            // As in the file: a frame to a reserved address would open the lock that is put on here.
            if new.locked && !old.locked {
                let settings = BridgeSettings { no_linklocal_learn: true, ..*bridge.settings() };
                bridge.set_settings(settings, now)?;
            }
            Ok(())
        });
        set.map_err(no_answer)?.map_err(|error| {
            CallError::Refused(match error {
                SettingsRefused::Backup(id) => {
                    format!("port {} can't be the backup of {name}: name another port", self.name(id))
                }
                other => other.to_string(),
            })
        })?;
        self.attachments[index].steered = true;
        info!(port = name, ?change, "the port was set at run time");
        self.monitors.port(name, format!("was set: {}", words(change)));
        Ok(())
    }
}

/// These settings with a change; `backup` is the port that the change names.
pub(crate) fn settings_with(
    old: PortSettings,
    change: &PortChange,
    backup: Option<Option<PortId>>,
) -> PortSettings {
    PortSettings {
        promisc: change.promisc.unwrap_or(old.promisc),
        enabled: change.enabled.unwrap_or(old.enabled),
        state: change.state.map_or(old.state, core_state),
        learning: change.learning.unwrap_or(old.learning),
        flood: change.flood.unwrap_or(old.flood),
        mcast_flood: change.mcast_flood.unwrap_or(old.mcast_flood),
        bcast_flood: change.bcast_flood.unwrap_or(old.bcast_flood),
        hairpin: change.hairpin.unwrap_or(old.hairpin),
        isolated: change.isolated.unwrap_or(old.isolated),
        locked: change.locked.unwrap_or(old.locked),
        mab: change.mab.unwrap_or(old.mab),
        group_fwd_mask: change.group_fwd_mask.unwrap_or(old.group_fwd_mask),
        backup_port: backup.unwrap_or(old.backup_port),
        max_macs: change.max_macs.map_or(old.max_macs, |max| (max > 0).then_some(max)),
        ..old
    }
}

/// The same state in the core's words.
pub(crate) fn core_state(state: types::PortState) -> bridge::PortState {
    match state {
        types::PortState::Disabled => bridge::PortState::Disabled,
        types::PortState::Blocking => bridge::PortState::Blocking,
        types::PortState::Listening => bridge::PortState::Listening,
        types::PortState::Learning => bridge::PortState::Learning,
        types::PortState::Forwarding => bridge::PortState::Forwarding,
    }
}

pub(crate) fn shown_state(state: bridge::PortState) -> types::PortState {
    match state {
        bridge::PortState::Disabled => types::PortState::Disabled,
        bridge::PortState::Blocking => types::PortState::Blocking,
        bridge::PortState::Listening => types::PortState::Listening,
        bridge::PortState::Learning => types::PortState::Learning,
        bridge::PortState::Forwarding => types::PortState::Forwarding,
    }
}

fn show_settings(settings: &PortSettings, name: impl Fn(PortId) -> String) -> types::PortSettings {
    types::PortSettings {
        host: settings.host,
        promisc: settings.promisc,
        enabled: settings.enabled,
        state: shown_state(settings.state),
        learning: settings.learning,
        flood: settings.flood,
        mcast_flood: settings.mcast_flood,
        bcast_flood: settings.bcast_flood,
        hairpin: settings.hairpin,
        isolated: settings.isolated,
        locked: settings.locked,
        mab: settings.mab,
        group_fwd_mask: settings.group_fwd_mask,
        backup_port: settings.backup_port.map(name),
        max_macs: settings.max_macs,
    }
}

fn show_device(held: &Held) -> Device {
    Device {
        ifindex: held.ifindex,
        name: held.name.clone(),
        mac: held.mac.to_string(),
        mtu: held.mtu,
        up: held.up,
        exclusive: held.exclusive,
        qdisc_bypass: held.qdisc_bypass,
        moved: held.moved,
    }
}

fn show_guest(status: &vhost_user::Status) -> types::Guest {
    types::Guest {
        connected: status.connected,
        queue_pairs: status.pairs,
        features: status.feature_names().into_iter().map(str::to_owned).collect(),
        disconnects: status.sessions,
        why: status.why.clone(),
    }
}

fn show_counters(counters: &PortCounters) -> Counters {
    Counters {
        rx_frames: counters.rx_frames,
        rx_bytes: counters.rx_bytes,
        forwarded: counters.forwarded,
        copies: counters.copies,
        tx_frames: counters.tx_frames,
        tx_bytes: counters.tx_bytes,
        tx_segments: counters.tx_segments,
        moved: counters.moved,
        own_source: counters.own_source,
        limited: counters.limited,
        damped: counters.damped,
    }
}

fn show_drops(counters: &PortCounters) -> Vec<DropCount> {
    let counted = DropReason::ALL.iter().filter(|reason| counters.dropped(**reason) > 0);
    let shown = |reason: &DropReason| DropCount {
        reason: reason.name().to_owned(),
        frames: counters.dropped(*reason),
    };
    counted.map(shown).collect()
}
