//! A bridge of several workers: each has a replica of all of it, forwards by that alone and counts for itself.
//!
//! What frames teach happens to all replicas in one order ([`crate::order`]). Everything else - settings, ports, links,
//! entries that a user makes - is to be changed in all of them with the same call at the same [`Moment`], while none of
//! them forwards and after each has caught up.
//!
//! [`Moment`]: crate::Moment

use crate::bridge::Bridge;
use crate::counters::PortCounters;
use crate::mirror::MirrorCounters;
use crate::vlan_counters::VlanCounters;

impl Bridge {
    /// So many replicas of it, at least this one, which is the first. The first one has what was counted so far, and is
    /// the one to be asked what entries there are, to be watched and to be saved; and entries age when it is told the
    /// time.
    #[must_use]
    pub fn replicas(self, count: usize) -> Vec<Self> {
        let Self { settings, ports, fdb, topology_change, vlans, mirrors } = self;
        let replicas = fdb.replicas(count).into_iter().enumerate().map(|(number, fdb)| {
            let (ports, vlans, mirrors) = (ports.clone(), vlans.clone(), mirrors.clone());
            let mut replica = Self { settings, ports, fdb, topology_change, vlans, mirrors };
            if number > 0 {
                replica.count_anew();
            }
            replica
        });
        replicas.collect()
    }

    fn count_anew(&mut self) {
        self.ports.iter_mut().for_each(|port| port.counters = PortCounters::ZERO);
        self.vlans.counting.clear();
        self.mirrors.clear_counters();
    }

    /// Takes in what other replicas have learned. Called before a batch and before anything is asked or changed; costs
    /// next to nothing where there is nothing new.
    #[inline]
    pub fn catch_up(&mut self) {
        self.fdb.catch_up();
    }

    /// Whether, since this was asked last, another replica was so far behind that its worker should be made to
    /// [`Bridge::catch_up`].
    #[inline]
    pub fn others_are_far_behind(&mut self) -> bool {
        self.fdb.others_are_far_behind()
    }
}

impl PortCounters {
    /// Adds what another replica has counted.
    pub fn join(&mut self, mut other: Self) {
        for ((_, sum), (_, more)) in self.fields().zip(other.fields()) {
            *sum += *more;
        }
    }
}

impl VlanCounters {
    /// Adds what another replica has counted.
    pub fn join(&mut self, other: Self) {
        self.rx_frames += other.rx_frames;
        self.rx_bytes += other.rx_bytes;
        self.tx_frames += other.tx_frames;
        self.tx_bytes += other.tx_bytes;
    }
}

impl MirrorCounters {
    /// Adds what another replica has counted.
    pub fn join(&mut self, other: Self) {
        self.frames += other.frames;
        self.missed += other.missed;
    }
}
