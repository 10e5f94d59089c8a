//! The yardstick: a loop that reads one port and writes the other, offload header included, and decides nothing. No
//! switch that uses the same system calls can be faster.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;
use clap::Args;
use ports::exclusive::Exclusive;
use ports::raw::{self, RawOptions, RawPort, RawRx, RawTx};
use ports::tap::{self, TapHandle, TapOptions};
use ports::{Batch, RxQueue, TxQueue};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Frames that are moved from one side before the other gets its turn.
const BURST: usize = 64;

/// Room for the longest frame with its header.
const ROOM: usize = 66_000;

/// Like that of switchd: what a packet socket sends carries it, and everything else is kept off the interface.
const MARK: u32 = 0x7377;

/// All of a batch.
const ALL: [u16; BURST] = {
    let mut all = [0; BURST];
    let mut index = 0;
    while index < BURST {
        all[index] = index as u16;
        index += 1;
    }
    all
};

/// Moves frames between two ports until it is killed.
#[derive(Debug, Args)]
pub(crate) struct BareLoop {
    /// The interfaces exist, and packet sockets are opened on them; else TAPs are made
    #[arg(long)]
    raw: bool,
    /// The interfaces
    #[arg(num_args = 2, value_names = ["LEFT", "RIGHT"])]
    devices: Vec<String>,
}

/// Runs the loop.
pub(crate) fn run(options: &BareLoop) -> Result<()> {
    if options.raw { on_packet_sockets(&options.devices) } else { on_taps(&options.devices) }
}

fn on_taps(devices: &[String]) -> Result<()> {
    let open = |device: &String| -> Result<TapHandle> {
        let options =
            TapOptions { device: device.clone(), offload: true, persist: false, owner: None, queues: 1 };
        Ok(tap::open(&options)?.handle)
    };
    let taps = devices.iter().map(open).collect::<Result<Vec<_>>>()?;
    println!("forwarding");
    let (left, right) = (taps[0].as_fd(), taps[1].as_fd());
    let mut buffer = vec![0; ROOM];
    loop {
        let (from_left, from_right) = wait(left, right)?;
        if from_left {
            burst(left, right, &mut buffer)?;
        }
        if from_right {
            burst(right, left, &mut buffer)?;
        }
    }
}

fn burst(from: BorrowedFd<'_>, to: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<()> {
    for _ in 0..BURST {
        match rustix::io::read(from, &mut *buffer) {
            // As a switch does: what is not taken is lost.
            Ok(len) => drop(rustix::io::write(to, &buffer[..len])),
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn on_packet_sockets(devices: &[String]) -> Result<()> {
    let mut exclusive = Exclusive::new(MARK)?;
    let mut open = |device: &String| -> Result<RawPort> {
        let options = RawOptions {
            queues: 1,
            device: device.clone(),
            offload: true,
            qdisc_bypass: false,
            mark: Some(MARK),
            short_header: false,
        };
        let port = raw::open(&options)?;
        exclusive.hold(device, port.ifindex)?;
        Ok(port)
    };
    let (mut left, mut right) = (open(&devices[0])?, open(&devices[1])?);
    println!("forwarding");
    let mut batch = Batch::new();
    loop {
        let (from_left, from_right) = wait(left.rx[0].as_fd(), right.rx[0].as_fd())?;
        if from_left {
            carry(&mut left.rx[0], &mut right.tx[0], &mut batch);
        }
        if from_right {
            carry(&mut right.rx[0], &mut left.tx[0], &mut batch);
        }
    }
}

fn carry(from: &mut RawRx, to: &mut RawTx, batch: &mut Batch) {
    batch.clear();
    from.receive(batch, BURST);
    let mut queue = &ALL[..batch.len()];
    while let Some((&first, rest)) = queue.split_first() {
        let sent = to.send_run(batch, queue).frames;
        if sent > 0 {
            queue = &queue[sent..];
            continue;
        }
        // One that does not go out as it came, or was refused.
        if let Ok(frame) = batch.frame(usize::from(first)) {
            let _ = to.send(&frame);
        }
        queue = rest;
    }
}

/// Waits until there is something on either side.
fn wait(left: BorrowedFd<'_>, right: BorrowedFd<'_>) -> Result<(bool, bool)> {
    let mut ready = [PollFd::new(&left, PollFlags::IN), PollFd::new(&right, PollFlags::IN)];
    poll(&mut ready, None)?;
    Ok((!ready[0].revents().is_empty(), !ready[1].revents().is_empty()))
}
