//! The yardstick: a loop that reads one TAP and writes the other, offload header included, and decides
//! nothing. No switch that uses read and write on TAPs can be faster.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;
use clap::Args;
use ports::tap::{self, TapHandle, TapOptions};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Frames that are moved from one side before the other gets its turn.
const BURST: usize = 64;

/// Room for the longest frame with its header.
const ROOM: usize = 66_000;

/// Moves frames between two TAPs until it is killed.
#[derive(Debug, Args)]
pub(crate) struct BareLoop {
    /// The TAPs to make
    #[arg(num_args = 2, value_names = ["LEFT", "RIGHT"])]
    taps: Vec<String>,
}

/// Runs the loop.
pub(crate) fn run(options: &BareLoop) -> Result<()> {
    let taps = options.taps.iter().map(|device| open(device)).collect::<Result<Vec<_>>>()?;
    println!("forwarding");
    let (left, right) = (taps[0].as_fd(), taps[1].as_fd());
    let mut buffer = vec![0; ROOM];
    loop {
        let mut ready = [PollFd::new(&left, PollFlags::IN), PollFd::new(&right, PollFlags::IN)];
        poll(&mut ready, None)?;
        let (from_left, from_right) = (ready[0].revents(), ready[1].revents());
        if !from_left.is_empty() {
            burst(left, right, &mut buffer)?;
        }
        if !from_right.is_empty() {
            burst(right, left, &mut buffer)?;
        }
    }
}

fn open(device: &str) -> Result<TapHandle> {
    let options = TapOptions { device: device.to_owned(), offload: true, persist: false, owner: None };
    Ok(tap::open(&options)?.handle)
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
