//! The bridge as a whole: shown, and its settings changed.

use bridge::{BridgeSettings, Span, VlanProtocol, VlanSettings};
use control::CallError;
use control::types::{self, Bridge, BridgeChange, FdbCounters};
use frame::Vid;
use tracing::info;

use crate::answer::{no_answer, words};
use crate::control::Control;
use crate::to_workers::joined;

impl Control {
    pub(super) fn show_bridge(&self) -> Result<Bridge, CallError> {
        let asked =
            self.workers.ask_all(|bridge, _| (*bridge.settings(), bridge.fdb_len(), bridge.fdb_counters()));
        let asked = asked.and_then(|asked| joined(asked, |all, (.., more)| all.2.join(more)));
        let (settings, fdb_entries, fdb) = asked.map_err(no_answer)?;
        Ok(Bridge {
            name: self.config.bridge.name.clone(),
            ageing_time: settings.ageing_time.0,
            fdb_max: settings.fdb_max,
            fdb_max_learned: settings.fdb_max_learned,
            group_fwd_mask: settings.group_fwd_mask,
            no_linklocal_learn: settings.no_linklocal_learn,
            move_damping: settings.move_damping.0,
            vlan_filtering: settings.vlan.filtering,
            vlan_protocol: shown_protocol(settings.vlan.protocol),
            default_pvid: settings.vlan.default_pvid.map_or(0, Vid::get),
            workers: self.workers.count(),
            fdb_entries,
            fdb_counters: FdbCounters {
                learned: fdb.learned,
                moved: fdb.moved,
                aged: fdb.aged,
                evicted: fdb.evicted,
                refused: fdb.refused,
                postponed: fdb.postponed,
            },
        })
    }

    pub(super) fn set_bridge(&mut self, change: BridgeChange) -> Result<(), CallError> {
        for time in [change.ageing_time, change.move_damping].into_iter().flatten() {
            if u128::from(time) > config::LONGEST_TIME.as_millis() {
                let most = config::LONGEST_TIME.as_secs();
                let message =
                    format!("a time of {time} ms is out of range: at most {most} s, as Linux Bridge");
                return Err(CallError::Refused(message));
            }
        }
        if change.default_pvid.is_some_and(|pvid| pvid > Vid::MAX.get()) {
            let message = "default_pvid is a VLAN, 1 to 4094, or 0 for none".to_owned();
            return Err(CallError::InvalidParameter(message));
        }
        let set = self.workers.change(move |bridge, now| {
            let new = settings_with(*bridge.settings(), &change);
            bridge.set_settings(new, now)
        });
        set.map_err(no_answer)?.map_err(|error| CallError::Refused(error.to_string()))?;
        info!(?change, "the bridge was set at run time");
        self.monitors.config(format!("the bridge was set: {}", words(&change)));
        Ok(())
    }
}

/// These settings with a change.
pub(crate) fn settings_with(old: BridgeSettings, change: &BridgeChange) -> BridgeSettings {
    BridgeSettings {
        ageing_time: change.ageing_time.map_or(old.ageing_time, Span),
        fdb_max_learned: change.fdb_max_learned.unwrap_or(old.fdb_max_learned),
        group_fwd_mask: change.group_fwd_mask.unwrap_or(old.group_fwd_mask),
        no_linklocal_learn: change.no_linklocal_learn.unwrap_or(old.no_linklocal_learn),
        move_damping: change.move_damping.map_or(old.move_damping, Span),
        vlan: VlanSettings {
            filtering: change.vlan_filtering.unwrap_or(old.vlan.filtering),
            protocol: change.vlan_protocol.map_or(old.vlan.protocol, |protocol| match protocol {
                types::VlanProtocol::Dot1q => VlanProtocol::Dot1q,
                types::VlanProtocol::Dot1ad => VlanProtocol::Dot1ad,
            }),
            default_pvid: change.default_pvid.map_or(old.vlan.default_pvid, Vid::new),
            ..old.vlan
        },
        ..old
    }
}

/// The protocol in the words of the control interface.
pub(crate) fn shown_protocol(protocol: VlanProtocol) -> types::VlanProtocol {
    match protocol {
        VlanProtocol::Dot1q => types::VlanProtocol::Dot1q,
        VlanProtocol::Dot1ad => types::VlanProtocol::Dot1ad,
    }
}
