//! VLANs: shown as `bridge vlan` shows them, and set.

use bridge::{Membership, PortId, VlanEntry, VlanRefused};
use control::CallError;
use control::types::{NewVlans, Vlan, VlanChange};
use frame::Vid;
use tracing::info;

use crate::answer::{core_state, no_answer};
use crate::control::Control;
use crate::to_workers::joined_lists;
use crate::vlans;

/// The number of a VLAN that is named, if one is.
pub(super) fn vid(number: u16) -> Result<Vid, CallError> {
    Vid::new(number).ok_or_else(|| CallError::InvalidParameter(format!("{number} is no VLAN: 1 to 4094")))
}

fn range(vid: u16, last: u16) -> Result<(Vid, Vid), CallError> {
    let (first, last) = (self::vid(vid)?, self::vid(last)?);
    if first > last {
        let message = format!("{first}-{last} is no range of VLANs: the lower number comes first");
        return Err(CallError::InvalidParameter(message));
    }
    Ok((first, last))
}

impl Control {
    pub(super) fn show_vlans(&self, port: Option<&str>) -> Result<Vec<Vlan>, CallError> {
        let one = self.id_of(port)?;
        let ids: Vec<PortId> = self.attachments.iter().map(|port| port.id).collect();
        let asked = self.workers.ask_all(move |bridge, _| {
            let ports = ids.iter().copied().filter(|id| one.is_none_or(|one| one == *id));
            let shown = move |id, entry: VlanEntry| {
                let VlanEntry { vid, .. } = entry;
                (id, entry, bridge.private_role(vid), bridge.vlan_counters(id, vid))
            };
            let of = |id| bridge.vlans(id).map(move |entry| shown(id, entry));
            ports.flat_map(of).collect::<Vec<_>>()
        });
        let asked = asked.and_then(|asked| {
            joined_lists(asked, |(.., all), (.., more)| {
                if let (Some(all), Some(more)) = (all, more) {
                    all.join(more);
                }
            })
        });
        let asked = asked.map_err(no_answer)?.into_iter();
        Ok(asked
            .map(|(id, entry, role, counters)| vlans::shown(self.name(id), entry, role, counters))
            .collect())
    }

    pub(super) fn add_vlans(&mut self, vlans: &NewVlans) -> Result<(), CallError> {
        let NewVlans { port, pvid, untagged, .. } = vlans;
        let (first, last) = range(vlans.vid, vlans.last.unwrap_or(vlans.vid))?;
        if *pvid && first != last {
            let message = "a port has one PVID: name one VLAN with it".to_owned();
            return Err(CallError::InvalidParameter(message));
        }
        let wire = vlans.wire.map(vid).transpose()?;
        if wire.is_some() && first != last {
            let message = "a number on the wire is that of one VLAN: name one VLAN with it".to_owned();
            return Err(CallError::InvalidParameter(message));
        }
        let membership = Membership { pvid: *pvid, untagged: *untagged, wire };
        self.change_vlans(port, move |bridge, id| {
            first.to(last).try_for_each(|vid| bridge.add_vlan(id, vid, membership))
        })?;
        info!(port, %first, %last, pvid, untagged, wire = vlans.wire, "VLANs were added at run time");
        Ok(())
    }

    pub(super) fn set_vlans(&mut self, change: &VlanChange) -> Result<(), CallError> {
        let VlanChange { port, vid, last, state } = change;
        let (first, last) = range(*vid, last.unwrap_or(*vid))?;
        let core = core_state(*state);
        self.change_vlans(port, move |bridge, id| {
            let had: Vec<Vid> = bridge.vlans(id).map(|entry| entry.vid).collect();
            match first.to(last).find(|vid| !had.contains(vid)) {
                Some(missing) => Err(VlanRefused::NotAMember(id, missing)),
                None => first.to(last).try_for_each(|vid| bridge.set_vlan_state(id, vid, core)),
            }
        })?;
        info!(port, %first, %last, ?state, "the state of VLANs was set at run time");
        Ok(())
    }

    pub(super) fn delete_vlans(&mut self, port: &str, vid: u16, last: u16) -> Result<(), CallError> {
        let (first, last) = range(vid, last)?;
        self.change_vlans(port, move |bridge, id| {
            let had: Vec<Vid> = bridge.vlans(id).map(|entry| entry.vid).collect();
            let gone: Vec<Vid> = had.into_iter().filter(|vid| (first..=last).contains(vid)).collect();
            if gone.is_empty() {
                return Err(VlanRefused::NotAMember(id, first));
            }
            gone.into_iter().try_for_each(|vid| bridge.remove_vlan(id, vid))
        })?;
        info!(port, %first, %last, "VLANs were removed at run time");
        Ok(())
    }

    fn change_vlans(
        &mut self,
        port: &str,
        change: impl Fn(&mut bridge::Bridge, PortId) -> Result<(), VlanRefused> + Send + Sync + 'static,
    ) -> Result<(), CallError> {
        let index = self.steerable(port)?;
        let id = self.attachments[index].id;
        let changed = self.workers.change(move |bridge, _| change(bridge, id)).map_err(no_answer)?;
        changed.map_err(|error| CallError::Refused(error.words(&format!("port {port}"))))?;
        self.attachments[index].steered = true;
        Ok(())
    }
}
