//! Bridges in each of which one rule is wrong: the suite must find every one. A wrong bridge is a right one
//! that is told something else than the other: with `hairpin` never on, say, it is a bridge that does not
//! know hairpin.

use anyhow::Result;
use bridge::{EntryKind, Membership, PortState, VlanProtocol};
use frame::{MacAddr, Vid};

use crate::generator::HOST_MAC;
use crate::step::{End, Flag, Step};
use crate::subject::{Subject, View};

/// One wrong rule: what becomes of a step on its way to the bridge. `None`: it never arrives.
#[derive(Clone, Copy)]
pub struct Wrong {
    /// What is wrong.
    pub name: &'static str,
    changes: fn(Step) -> Option<Step>,
}

/// All of them.
pub const ALL: [Wrong; 30] = [
    Wrong { name: "learning can't be switched off", changes: |step| without(step, Flag::Learning, true) },
    Wrong { name: "flood can't be switched off", changes: |step| without(step, Flag::Flood, true) },
    Wrong {
        name: "mcast_flood can't be switched off",
        changes: |step| without(step, Flag::McastFlood, true),
    },
    Wrong {
        name: "bcast_flood can't be switched off",
        changes: |step| without(step, Flag::BcastFlood, true),
    },
    Wrong { name: "no hairpin", changes: |step| without(step, Flag::Hairpin, false) },
    Wrong { name: "no isolation", changes: |step| without(step, Flag::Isolated, false) },
    Wrong { name: "mcast_flood and bcast_flood mixed up", changes: mixed_up },
    Wrong {
        name: "no group_fwd_mask of a port",
        changes: |step| match step {
            Step::Mask { port: Some(port), .. } => Some(Step::Mask { port: Some(port), mask: 0 }),
            other => Some(other),
        },
    },
    Wrong {
        name: "no group_fwd_mask of the bridge",
        changes: |step| match step {
            Step::Mask { port: None, mask } if mask & 7 == 0 => Some(Step::Mask { port: None, mask: 0 }),
            other => Some(other),
        },
    },
    Wrong {
        name: "LACP is not forwarded by a port's mask",
        changes: |step| match step {
            Step::Mask { port: Some(port), mask } => Some(Step::Mask { port: Some(port), mask: mask & !4 }),
            other => Some(other),
        },
    },
    Wrong {
        name: "no no_linklocal_learn",
        changes: |step| match step {
            Step::NoLinklocalLearn { .. } => Some(Step::NoLinklocalLearn { on: false }),
            other => Some(other),
        },
    },
    Wrong {
        name: "no fdb_max_learned",
        changes: |step| match step {
            Step::MaxLearned { .. } => Some(Step::MaxLearned { max: 0 }),
            other => Some(other),
        },
    },
    Wrong {
        name: "fdb_max_learned is one too many",
        changes: |step| match step {
            Step::MaxLearned { max } if max > 0 => Some(Step::MaxLearned { max: max + 1 }),
            other => Some(other),
        },
    },
    Wrong {
        name: "no promisc",
        changes: |step| match step {
            Step::Promisc { .. } => Some(Step::Promisc { on: false }),
            other => Some(other),
        },
    },
    Wrong {
        name: "learning forwards",
        changes: |step| state(step, PortState::Learning, PortState::Forwarding),
    },
    Wrong {
        name: "listening learns",
        changes: |step| state(step, PortState::Listening, PortState::Learning),
    },
    Wrong { name: "disabled learns", changes: |step| state(step, PortState::Disabled, PortState::Learning) },
    Wrong {
        name: "ageing_time 0 is a second",
        changes: |step| match step {
            Step::Ageing { ms: 0 } => Some(Step::Ageing { ms: 1000 }),
            other => Some(other),
        },
    },
    Wrong { name: "sticky entries move", changes: |step| kind(step, EntryKind::Sticky, EntryKind::Static) },
    Wrong { name: "static entries stay", changes: |step| kind(step, EntryKind::Static, EntryKind::Sticky) },
    Wrong {
        name: "extern_learn entries are static",
        changes: |step| kind(step, EntryKind::External, EntryKind::Static),
    },
    Wrong {
        name: "local entries are behind their port",
        changes: |step| kind(step, EntryKind::Local, EntryKind::Static),
    },
    Wrong {
        name: "dynamic entries of the user don't age",
        changes: |step| kind(step, EntryKind::Dynamic, EntryKind::Static),
    },
    Wrong {
        name: "add replaces",
        changes: |step| match step {
            Step::Entry { mac, vlan, port, kind, .. } => {
                Some(Step::Entry { mac, vlan, port, kind, replace: true })
            }
            other => Some(other),
        },
    },
    Wrong {
        name: "an entry can't be deleted",
        changes: |step| match step {
            Step::Delete { .. } => None,
            other => Some(other),
        },
    },
    Wrong {
        name: "a flush of one port flushes all",
        changes: |step| match step {
            Step::Flush { kind, .. } => Some(Step::Flush { port: None, kind }),
            other => Some(other),
        },
    },
    Wrong {
        name: "a flush takes only what ages",
        changes: |step| match step {
            Step::Flush { port, .. } => Some(Step::Flush { port, kind: None }),
            other => Some(other),
        },
    },
    Wrong {
        name: "backup_port is forgotten",
        changes: |step| match step {
            Step::Backup { port, backup: Some(_) } => Some(Step::Backup { port, backup: None }),
            other => Some(other),
        },
    },
    Wrong {
        name: "the MTU is four bytes smaller",
        changes: |step| match step {
            Step::Mtu { port, mtu } => Some(Step::Mtu { port, mtu: mtu - 4 }),
            other => Some(other),
        },
    },
    Wrong {
        name: "a source of zero is a station",
        changes: |step| match step {
            Step::Frame { from, mut bytes } if bytes[6..12] == MacAddr::ZERO.0 => {
                bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
                Some(Step::Frame { from, bytes })
            }
            other => Some(other),
        },
    },
];

/// Those that show only where VLANs are told apart.
pub const VLANS: [Wrong; 8] = [
    Wrong {
        name: "one VLAN of one port is missing",
        changes: |step| match step {
            Step::JoinVlan { port: End::Port(1), vid, .. } if Some(vid) == Vid::new(10) => None,
            other => Some(other),
        },
    },
    Wrong { name: "no PVID", changes: |step| member(step, |membership| membership.pvid = false) },
    Wrong {
        name: "a PVID is always untagged",
        changes: |step| member(step, |membership| membership.untagged |= membership.pvid),
    },
    Wrong { name: "tags stay", changes: |step| member(step, |membership| membership.untagged = false) },
    Wrong {
        name: "a port never leaves a VLAN",
        changes: |step| match step {
            Step::LeaveVlan { .. } => None,
            other => Some(other),
        },
    },
    Wrong {
        name: "the tags of 802.1ad are payload always",
        changes: |step| match step {
            Step::VlanProtocol { .. } => Some(Step::VlanProtocol { protocol: VlanProtocol::Dot1q }),
            other => Some(other),
        },
    },
    Wrong {
        name: "an FDB entry is in no VLAN",
        changes: |step| match step {
            Step::Entry { mac, port, kind, replace, .. } => {
                Some(Step::Entry { mac, vlan: None, port, kind, replace })
            }
            other => Some(other),
        },
    },
    Wrong {
        name: "default_pvid moves nobody",
        changes: |step| match step {
            Step::DefaultPvid { .. } => None,
            other => Some(other),
        },
    },
];

fn member(step: Step, change: fn(&mut Membership)) -> Option<Step> {
    Some(match step {
        Step::JoinVlan { port, vid, mut membership } => {
            change(&mut membership);
            Step::JoinVlan { port, vid, membership }
        }
        other => other,
    })
}

fn without(step: Step, flag: Flag, always: bool) -> Option<Step> {
    match step {
        Step::Flag { port, flag: this, .. } if this == flag => Some(Step::Flag { port, flag, on: always }),
        other => Some(other),
    }
}

fn mixed_up(step: Step) -> Option<Step> {
    Some(match step {
        Step::Flag { port, flag: Flag::McastFlood, on } => Step::Flag { port, flag: Flag::BcastFlood, on },
        Step::Flag { port, flag: Flag::BcastFlood, on } => Step::Flag { port, flag: Flag::McastFlood, on },
        other => other,
    })
}

fn state(step: Step, right: PortState, wrong: PortState) -> Option<Step> {
    match step {
        Step::State { port, state } if state == right => Some(Step::State { port, state: wrong }),
        other => Some(other),
    }
}

fn kind(step: Step, right: EntryKind, wrong: EntryKind) -> Option<Step> {
    match step {
        Step::Entry { mac, vlan, port, kind, replace }
            if kind == right && port != End::Host && mac != HOST_MAC =>
        {
            Some(Step::Entry { mac, vlan, port, kind: wrong, replace })
        }
        other => Some(other),
    }
}

/// A bridge whose VLANs are not shown: what is wrong with them is to be seen in frames and the FDB.
pub struct Covered<S>(pub S);

impl<S: Subject> Subject for Covered<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn apply(&mut self, step: &Step) -> Result<bool> {
        self.0.apply(step)
    }

    fn view(&mut self) -> Result<View> {
        Ok(View { vlans: Vec::new(), ..self.0.view()? })
    }

    fn account(&mut self) -> String {
        self.0.account()
    }

    fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }
}

/// A bridge with one wrong rule.
pub struct Spoilt<S> {
    /// The right one.
    pub subject: S,
    /// What is wrong with it.
    pub wrong: Wrong,
}

impl<S: Subject> Subject for Spoilt<S> {
    fn name(&self) -> &'static str {
        "the wrong one"
    }

    fn apply(&mut self, step: &Step) -> Result<bool> {
        match (self.wrong.changes)(step.clone()) {
            Some(step) => self.subject.apply(&step),
            None => Ok(true),
        }
    }

    fn view(&mut self) -> Result<View> {
        self.subject.view()
    }

    fn account(&mut self) -> String {
        self.subject.account()
    }

    fn finish(&mut self) -> Result<()> {
        self.subject.finish()
    }
}
