//! Who may look at the switch and who may change it, beside root and the user that switchd runs as: members of groups,
//! as the kernel knows them of whoever connects. No list of users is asked while a client waits.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use anyhow::{Context, bail};
use config::ControlConfig;
use control::Peer;
use ports::sys::peer;

/// The groups by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Members may look; everybody, if there is none.
    look: Option<u32>,
    /// Members may do everything.
    administer: Option<u32>,
}

impl Rights {
    /// Nobody but root and the user that switchd runs as.
    pub(crate) const NONE: Self = Self { look: Some(u32::MAX), administer: None };

    /// Looks the groups up.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn of(config: &ControlConfig) -> anyhow::Result<Self> {
        let ControlConfig { group, admin_group } = config;
        Ok(Self {
            look: group.as_deref().map(gid).transpose()?,
            administer: admin_group.as_deref().map(gid).transpose()?,
        })
    }

    /// What somebody may who belongs to these groups.
    fn given(self, peer: Peer, groups: &[u32]) -> Peer {
        let is_member = |group: Option<u32>| group.is_some_and(|group| groups.contains(&group));
        let administrator = peer.administrator || is_member(self.administer);
        Peer { administrator, looks: administrator || self.look.is_none() || is_member(self.look), ..peer }
    }
}

/// Asks `rights`, as they are when somebody connects.
pub(crate) fn gate(rights: &Rc<Cell<Rights>>) -> control::Gate {
    let rights = Rc::clone(rights);
    control::Gate::new(move |socket: BorrowedFd<'_>, peer: Peer| {
        let mut groups = peer::groups(socket).unwrap_or_default();
        groups.push(peer.gid);
        rights.get().given(peer, &groups)
    })
}

fn gid(name: &str) -> anyhow::Result<u32> {
    match nix::unistd::Group::from_name(name).with_context(|| format!("can't look up group {name}"))? {
        Some(group) => Ok(group.gid.as_raw()),
        None => bail!("there is no group {name}: create it, or name another in [control]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_change_may_look_and_nobody_gets_more_than_a_group_gives() {
        let plain = Peer { uid: 1000, gid: 1000, administrator: false, looks: false };
        let of = |look, administer, groups: &[u32]| {
            let peer = Rights { look, administer }.given(plain, groups);
            (peer.looks, peer.administrator)
        };
        assert_eq!(of(None, None, &[]), (true, false));
        assert_eq!(of(Some(5), None, &[4, 6]), (false, false));
        assert_eq!(of(Some(5), None, &[4, 5]), (true, false));
        assert_eq!(of(Some(5), Some(6), &[6]), (true, true));
        assert_eq!(of(None, Some(6), &[5]), (true, false));
        let root = Rights::NONE.given(Peer { administrator: true, ..plain }, &[]);
        assert!(root.looks && root.administrator);
        assert!(!Rights::NONE.given(plain, &[0]).looks);
    }
}
