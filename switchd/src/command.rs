//! What the control thread and the workers say to each other, over bounded channels.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use bridge::{Bridge, BridgeSettings, DroppedFrame, FdbCounters, Moment, PortCounters, PortId, PortSettings};
use control::pcapng::Tally;
use crossbeam_channel::Sender;
use ports::{RxQueue, TxQueue};

use crate::captures::Capture;
use crate::pace::Pace;
use crate::talkers::Talker;

/// A question to a worker's bridge, at this time.
pub(crate) type Question = Box<dyn FnOnce(&mut Bridge, Moment) + Send>;

/// Something to be done to a bridge, as often as there are bridges.
pub(crate) type Deed = Box<dyn Fn(&mut Bridge, Moment) + Send + Sync>;

/// Something to be done to the bridges of all workers.
pub(crate) struct Change {
    pub(crate) deed: Deed,
    /// The same for all.
    pub(crate) now: Moment,
    /// Where the workers meet before they do it, and again when it is done.
    pub(crate) meet: Barrier,
}

/// From control to a worker. Carried out between two turns, so a change is atomic per frame.
pub(crate) enum Command {
    /// The port's device, its `nth`, is open: drive it, and receive from it, if there is a queue for this worker.
    Attach { port: PortId, nth: u32, rx: Option<Box<dyn RxQueue>>, tx: Box<dyn TxQueue> },
    /// The port's device left: close both halves.
    Detach { port: PortId },
    /// The port is no more: close both halves, forget what was kept of its frames, and say so.
    Remove { port: PortId, done: Sender<()> },
    /// Go on asking for frames for so long after the last one.
    BusyPoll(Duration),
    /// Answer this of the bridge. Frames wait meanwhile, so it must be short.
    Bridge(Question),
    /// Do this to the bridge, as all workers do. Their frames wait meanwhile.
    Change(Arc<Change>),
    /// Send a report.
    Report(Sender<Report>),
    /// Say how many frames the packet sockets lost: of one port, or of each.
    SocketLosses(Option<PortId>, Sender<Vec<(PortId, u64)>>),
    /// Say how the loop keeps up.
    Pace(Sender<Pace>),
    /// Show the last frames that were dropped.
    DroppedFrames(Sender<Vec<DroppedFrame>>),
    /// Say who sends most, and look at frames for a while to know it.
    Talkers(Sender<Vec<Talker>>),
    /// Begin a capture, and say so.
    Capture(Box<Capture>, Sender<()>),
    /// A running capture is to see one more port.
    CapturePort { id: u32, port: PortId },
    /// End a capture, and say, if anybody asks, what each of its interfaces has seen.
    EndCapture(u32, Option<Sender<Vec<Tally>>>),
    /// Close everything and return.
    Stop,
}

/// From a worker to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The kernel said that the port's `nth` device no longer exists; this worker's halves of it are closed.
    Gone { port: PortId, nth: u32 },
    /// The kernel refuses frames that are sent on the port, with this errno. Told once.
    Refused(PortId, i32),
    /// Something remarkable about a station, and how many such events were left out before it.
    Station { event: bridge::Event, left_out: u64 },
    /// Frames have come: what was counted and learned is not what it was. Told now and then.
    Changed,
    /// A forwarding loop has returned.
    Ended,
}

/// A copy of what a worker counts.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) ports: Vec<PortReport>,
    /// The settings of the bridge at the moment.
    pub(crate) settings: BridgeSettings,
    /// Entries in the FDB.
    pub(crate) fdb_len: usize,
    /// What the FDB has done so far.
    pub(crate) fdb_counters: FdbCounters,
}

/// A copy of what a worker knows of a port.
#[derive(Debug)]
pub(crate) struct PortReport {
    pub(crate) id: PortId,
    pub(crate) settings: PortSettings,
    pub(crate) counters: PortCounters,
    /// Frames that its packet socket lost.
    pub(crate) socket_lost: u64,
}

impl Report {
    /// Adds what another worker has counted.
    pub(crate) fn join(&mut self, other: Self) {
        self.fdb_counters.join(other.fdb_counters);
        for (port, more) in self.ports.iter_mut().zip(other.ports) {
            port.counters.join(more.counters);
            port.socket_lost += more.socket_lost;
        }
    }
}
