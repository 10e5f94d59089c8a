//! What comes out of a device and goes into it, offload header and all: TAPs whose descriptor the test
//! holds, as QEMU holds a guest's, and packet sockets.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::IoSlice;
use std::os::fd::RawFd;

use frame::offload::{LONG_HEADER, TUNNEL_HEADER};
use frame::{Frame, Offload};
use ports::batch::MAX_BATCH;
use ports::raw::RawOptions;
use ports::tap::{TapHandle, TapOptions};
use ports::{Batch, RxQueue, SendError, TxQueue};
use rustix::io::Errno;
use testbed::{Namespace, wait_until};

use crate::lan::SOON;

/// One frame as it was read: its bytes, outer tag in line, and the offload header that is true of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) bytes: Vec<u8>,
    pub(crate) offload: Offload,
}

/// A device that is read and written by the test.
pub(crate) struct Cable {
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    handle: Option<TapHandle>,
    batch: Batch,
}

impl Cable {
    /// Makes the TAP `device` in a namespace, up, without addresses, and holds its descriptor.
    pub(crate) fn tap(namespace: &Namespace, device: &str, offload: bool) -> Self {
        let options =
            TapOptions { device: device.to_owned(), offload, persist: false, owner: None, queues: 1 };
        let mut port = namespace.enter(|| ports::tap::open(&options)).unwrap().unwrap();
        namespace.run(&format!("sysctl -q -w net.ipv6.conf.{device}.disable_ipv6=1")).unwrap();
        namespace.ip(&format!("link set {device} up")).unwrap();
        let handle = Some(port.handle);
        Self { rx: Box::new(port.rx.remove(0)), tx: Box::new(port.tx), handle, batch: Batch::new() }
    }

    /// A packet socket on a device that exists.
    pub(crate) fn raw(namespace: &Namespace, device: &str) -> Self {
        let options = RawOptions {
            queues: 1,
            device: device.to_owned(),
            offload: true,
            qdisc_bypass: false,
            mark: None,
            short_header: false,
        };
        let mut port = namespace.enter(|| ports::raw::open(&options)).unwrap().unwrap();
        let (rx, tx) = (port.rx.remove(0), port.tx.remove(0));
        Self { rx: Box::new(rx), tx: Box::new(tx), handle: None, batch: Batch::new() }
    }

    /// Writes an offload header of 12 bytes and a frame as they are, right or wrong; the errno if the kernel
    /// refuses them.
    pub(crate) fn write_bytes(&self, bytes: &[u8]) -> Result<(), i32> {
        let handle = self.handle.as_ref().expect("only a TAP is written as it is");
        let (header, frame) = bytes.split_at(LONG_HEADER);
        // Where headers have their longest form, the rest of it says nothing.
        let rest = if self.tx.capabilities().udp_tunnel { TUNNEL_HEADER - LONG_HEADER } else { 0 };
        let slices = [header, &[0; TUNNEL_HEADER][..rest], frame].map(IoSlice::new);
        rustix::io::writev(handle, &slices).map(drop).map_err(Errno::raw_os_error)
    }

    /// The descriptor, to poll.
    pub(crate) fn fd(&self) -> RawFd {
        self.rx.fd()
    }

    /// Writes a frame with this offload header.
    pub(crate) fn write(&mut self, bytes: &[u8], offload: Offload) -> Result<(), SendError> {
        self.tx.send(&Frame::parse(bytes, 0, None, offload).unwrap())
    }

    /// What has arrived and was not read yet.
    pub(crate) fn read(&mut self) -> Vec<Read> {
        self.batch.clear();
        self.rx.receive(&mut self.batch, MAX_BATCH);
        let frames = (0..self.batch.len()).map(|index| {
            let frame = self.batch.frame(index).unwrap();
            Read { bytes: frame.to_vec(), offload: frame.pieces().offload }
        });
        frames.collect()
    }

    /// Reads until `count` frames for which `wanted` holds are there; others are passed over.
    pub(crate) fn read_until(
        &mut self,
        count: usize,
        what: &str,
        wanted: impl Fn(&Read) -> bool,
    ) -> Vec<Read> {
        let mut found = Vec::new();
        let waited = wait_until(SOON, what, || {
            found.extend(self.read().into_iter().filter(&wanted));
            found.len() >= count
        });
        waited.unwrap_or_else(|error| panic!("{error:#}: {} of {count} frames", found.len()));
        found
    }
}
