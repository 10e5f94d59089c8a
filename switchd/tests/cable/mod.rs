//! TAPs whose descriptor the test holds, as QEMU holds a guest's: whatever is written to it comes in on
//! the interface, and what the switch sends there is read from it, offload header and all.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use frame::{Frame, Offload};
use ports::batch::MAX_BATCH;
use ports::tap::{TapHandle, TapOptions, TapPort};
use ports::{Batch, RxQueue, SendError, TxQueue};
use testbed::{Namespace, wait_until};

use crate::lan::SOON;

/// One frame as it was read: its bytes, outer tag in line, and the offload header that is true of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) bytes: Vec<u8>,
    pub(crate) offload: Offload,
}

/// The descriptor of a TAP.
pub(crate) struct Cable {
    port: TapPort,
    batch: Batch,
}

impl Cable {
    /// Makes the TAP `device` in a namespace, up, without addresses.
    pub(crate) fn new(namespace: &Namespace, device: &str, offload: bool) -> Self {
        let options = TapOptions { device: device.to_owned(), offload, persist: false, owner: None };
        let port = namespace.enter(|| ports::tap::open(&options)).unwrap().unwrap();
        namespace.run(&format!("sysctl -q -w net.ipv6.conf.{device}.disable_ipv6=1")).unwrap();
        namespace.ip(&format!("link set {device} up")).unwrap();
        Self { port, batch: Batch::new() }
    }

    /// Writes a frame with this offload header.
    pub(crate) fn write(&mut self, bytes: &[u8], offload: Offload) -> Result<(), SendError> {
        self.port.tx.send(&Frame::parse(bytes, 0, None, offload).unwrap())
    }

    /// The descriptor itself, for writing what is no frame.
    pub(crate) fn descriptor(&self) -> &TapHandle {
        &self.port.handle
    }

    /// What has arrived and was not read yet.
    pub(crate) fn read(&mut self) -> Vec<Read> {
        self.batch.clear();
        self.port.rx.receive(&mut self.batch, MAX_BATCH);
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
