//! The rules that a port's settings make, one file each. The stage that a rule acts in calls it.

pub(crate) mod flood;
pub(crate) mod locked;
pub(crate) mod reserved;
pub(crate) mod state;
pub(crate) mod unicast;
pub(crate) mod vlan;
