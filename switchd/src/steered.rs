//! What was set at run time, as the change that makes it of what the file says: kept over a restart, but where the
//! file has changed the same, that counts.

use bridge::{BridgeSettings, PortId, PortSettings};
use control::types::{BridgeChange, PortChange};
use frame::Vid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{shown_protocol, shown_state};

/// The change from `from` to `to`.
pub(crate) fn of_port(from: &PortSettings, to: &PortSettings, name: impl Fn(PortId) -> String) -> PortChange {
    PortChange {
        promisc: changed(from.promisc, to.promisc),
        enabled: changed(from.enabled, to.enabled),
        state: changed(from.state, to.state).map(shown_state),
        learning: changed(from.learning, to.learning),
        flood: changed(from.flood, to.flood),
        mcast_flood: changed(from.mcast_flood, to.mcast_flood),
        bcast_flood: changed(from.bcast_flood, to.bcast_flood),
        hairpin: changed(from.hairpin, to.hairpin),
        isolated: changed(from.isolated, to.isolated),
        locked: changed(from.locked, to.locked),
        mab: changed(from.mab, to.mab),
        group_fwd_mask: changed(from.group_fwd_mask, to.group_fwd_mask),
        backup_port: changed(from.backup_port, to.backup_port).map(|port| port.map(name).unwrap_or_default()),
        max_macs: changed(from.max_macs, to.max_macs).map(Option::unwrap_or_default),
    }
}

/// The change from `from` to `to`.
pub(crate) fn of_bridge(from: &BridgeSettings, to: &BridgeSettings) -> BridgeChange {
    BridgeChange {
        ageing_time: changed(from.ageing_time.0, to.ageing_time.0),
        fdb_max_learned: changed(from.fdb_max_learned, to.fdb_max_learned),
        group_fwd_mask: changed(from.group_fwd_mask, to.group_fwd_mask),
        no_linklocal_learn: changed(from.no_linklocal_learn, to.no_linklocal_learn),
        move_damping: changed(from.move_damping.0, to.move_damping.0),
        vlan_filtering: changed(from.vlan.filtering, to.vlan.filtering),
        vlan_protocol: changed(from.vlan.protocol, to.vlan.protocol).map(shown_protocol),
        default_pvid: changed(from.vlan.default_pvid, to.vlan.default_pvid)
            .map(|pvid| pvid.map_or(0, Vid::get)),
    }
}

fn changed<T: PartialEq>(from: T, to: T) -> Option<T> {
    (from != to).then_some(to)
}

/// `change` without what `file` changes too.
pub(crate) fn without<T: Serialize + DeserializeOwned + Default>(change: &T, file: &T) -> T {
    let (change, file) = (serde_json::to_value(change), serde_json::to_value(file));
    let (Ok(Value::Object(mut change)), Ok(Value::Object(file))) = (change, file) else {
        return T::default();
    };
    change.retain(|key, _| !file.contains_key(key));
    serde_json::from_value(Value::Object(change)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_what_differs_and_the_file_has_the_last_word() {
        let file = PortSettings::default();
        let live = PortSettings { isolated: true, flood: false, backup_port: Some(PortId(3)), ..file };
        let change = of_port(&file, &live, |port| format!("p{}", port.0));
        let expected = PortChange {
            isolated: Some(true),
            flood: Some(false),
            backup_port: Some("p3".into()),
            ..PortChange::default()
        };
        assert_eq!(change, expected);
        let corrected = PortChange { flood: Some(true), ..PortChange::default() };
        assert_eq!(without(&change, &corrected), PortChange { flood: None, ..expected });
        assert_eq!(of_port(&live, &live, |_| String::new()), PortChange::default());
    }
}
