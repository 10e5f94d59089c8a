//! What the control thread and the worker say to each other, over bounded channels.

use std::time::Duration;

use bridge::{
    Bridge, BridgeSettings, DroppedFrame, FdbCounters, LocalKind, Moment, PortCounters, PortId, PortSettings,
};
use control::pcapng::Tally;
use crossbeam_channel::Sender;
use frame::MacAddr;
use ports::{RxQueue, TxQueue};

use crate::captures::Capture;
use crate::pace::Pace;
use crate::talkers::Talker;

/// Something to be done to the bridge, at this time.
pub(crate) type Work = Box<dyn FnOnce(&mut Bridge, Moment) + Send>;

/// From control to the worker. Carried out between two turns, so a change is atomic per frame.
pub(crate) enum Command {
    /// The port's device, its `nth`, is open: drive it.
    Attach { port: PortId, nth: u32, rx: Box<dyn RxQueue>, tx: Box<dyn TxQueue> },
    /// The port's device left: close both halves, forget its dynamic entries.
    Detach { port: PortId },
    /// The port is no more: close both halves, forget all of it, and say so.
    Remove { port: PortId, done: Sender<()> },
    /// The port's link came or went.
    Link { port: PortId, up: bool },
    /// The device's MTU in bytes; `None` where nothing is to be checked.
    Mtu { port: PortId, mtu: Option<u32> },
    /// The device's own MAC and whose it is.
    Local { port: PortId, mac: Option<MacAddr>, kind: LocalKind },
    /// Go on asking for frames for so long after the last one.
    BusyPoll(Duration),
    /// Do this to the bridge, or read it. Frames wait meanwhile, so it must be short.
    Bridge(Work),
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
    /// A running capture is to see one more port, which the block describes.
    CapturePort { id: u32, port: PortId, interface: Box<[u8]> },
    /// End a capture, and say, if anybody asks, what each of its interfaces has seen.
    EndCapture(u32, Option<Sender<Vec<Tally>>>),
    /// Close everything and return.
    Stop,
}

/// From the worker to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The kernel said that the port's `nth` device no longer exists; both halves are closed.
    Gone { port: PortId, nth: u32 },
    /// The kernel refuses frames that are sent on the port, with this errno. Told once.
    Refused(PortId, i32),
    /// Something remarkable about a station, and how many such events were left out before it.
    Station { event: bridge::Event, left_out: u64 },
    /// Frames have come: what was counted and learned is not what it was. Told now and then.
    Changed,
    /// The forwarding loop has returned.
    Ended,
}

/// A copy of what the worker counts.
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

/// A copy of what the worker knows of a port.
#[derive(Debug)]
pub(crate) struct PortReport {
    pub(crate) id: PortId,
    pub(crate) settings: PortSettings,
    pub(crate) counters: PortCounters,
    /// Frames that its packet socket lost.
    pub(crate) socket_lost: u64,
}
