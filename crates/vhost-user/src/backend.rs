//! What the program that runs a guest says of its memory and rings, and what is done about it (the back-end of
//! the vhost-user protocol, `docs/interop/vhost-user.rst` of QEMU).

mod keeping;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::FdFlags;
use vhost::vhost_user::message::{VhostTransferStateDirection, VhostTransferStatePhase};
use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserInflight, VhostUserLog, VhostUserMemoryRegion, VhostUserProtocolFeatures,
    VhostUserShMemConfig, VhostUserSharedMsg, VhostUserSingleMemoryRegion, VhostUserVringAddrFlags,
    VhostUserVringState,
};
use vhost::vhost_user::{Error, GpuBackend, Result, VhostUserBackendReqHandlerMut};

use crate::device::{Device, Live, PAIRS, QUEUES};
use crate::features::Features;
use crate::log::{Log, Place};
use crate::memory::{Memory, Part};
use crate::position::Positions;
use crate::ring::{MAX_SIZE, Ring};

/// What is known of one queue.
#[derive(Debug, Default)]
struct Queue {
    size: u16,
    /// Of its three parts, in the addresses of the program.
    addresses: Option<[u64; 3]>,
    /// By which address it is noted that the used ring is written to.
    noted: Option<u64>,
    /// Where to go on.
    next: u16,
    /// It was in use in another process, and goes on where that has left it.
    goes_on: bool,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    enabled: bool,
    running: bool,
    /// The guest has spoilt a ring, and this one was not set up since.
    broken: bool,
}

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Backend {
    device: Arc<Device>,
    offered: Features,
    agreed: Features,
    memory: Option<Arc<Memory>>,
    /// Where what is written to it is noted, when that is asked for.
    log: Option<Arc<Log>>,
    /// How far rings were used, for another process.
    positions: Option<Positions>,
    /// The features of the protocol that were agreed on.
    protocol: u64,
    queues: [Queue; QUEUES],
}

impl Backend {
    pub(crate) fn new(device: Arc<Device>, offload: bool) -> Self {
        let offered = Features::offered(offload);
        let queues = std::array::from_fn(|_| Queue::default());
        Self {
            device,
            offered,
            agreed: Features::default(),
            memory: None,
            log: None,
            positions: None,
            protocol: 0,
            queues,
        }
    }

    /// From now on it is noted how far rings are used.
    pub(crate) fn note_positions(&mut self, positions: Positions) {
        self.positions = Some(positions);
    }

    /// How many pairs of queues are in use.
    pub(crate) fn pairs(&self) -> u32 {
        let both = |pair: &&[Queue]| pair.iter().all(|queue| queue.running);
        self.queues.chunks(2).filter(both).count() as u32
    }

    /// Whether requests are answered where an answer is asked for.
    pub(crate) fn answers(&self) -> bool {
        self.protocol & VhostUserProtocolFeatures::REPLY_ACK.bits() != 0
    }

    pub(crate) fn agreed(&self) -> Features {
        self.agreed
    }

    /// Takes all rings out of use, until they are set up anew.
    pub(crate) fn broke(&mut self) {
        for index in 0..QUEUES {
            self.stop(index);
            self.queues[index].broken = true;
        }
    }

    /// Puts a ring to use if all is known of it and it is wanted, and out of use if not.
    fn settle(&mut self, index: usize) -> Result<()> {
        let queue = &self.queues[index];
        let wanted = queue.enabled && !queue.broken && queue.kick.is_some() && queue.size > 0;
        match (wanted, queue.running) {
            (true, false) => self.start(index),
            (false, true) => {
                self.stop(index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, index: usize) -> Result<()> {
        let queue = &mut self.queues[index];
        let (Some(memory), Some(addresses)) = (&self.memory, queue.addresses) else { return Ok(()) };
        let translated = addresses.map(|address| memory.guest_address(address));
        let [Some(descriptors), Some(available), Some(used)] = translated else {
            return Err(refused("a ring lies outside the memory that is shared"));
        };
        let parts = [descriptors, available, used];
        let ring = Ring::new(memory, queue.size, parts, self.agreed.shape(), queue.next);
        let mut ring = ring.map_err(refused)?;
        let position = self.positions.as_ref().map(|positions| positions.of(index));
        if std::mem::take(&mut queue.goes_on) {
            ring = ring.go_on(memory, position.as_ref()).map_err(refused)?;
        }
        ring.noted = queue.noted;
        ring.note_position(position.as_ref());
        let call = queue.call.as_ref().map(OwnedFd::try_clone).transpose().map_err(refused)?;
        let memory = Arc::clone(memory);
        queue.running = true;
        self.device.start(index, Live { ring, memory, call, features: self.agreed, position, awaits: false });
        Ok(())
    }

    fn stop(&mut self, index: usize) {
        if let Some(live) = self.device.stop(index) {
            self.queues[index].next = live.ring.base();
        }
        self.queues[index].running = false;
    }

    /// Lets what is written to the memory be noted, if it is asked for. All rings are out of use.
    fn note_writes(&mut self) {
        let log = self.log.clone().filter(|_| self.agreed.log_all());
        self.memory = self.memory.take().map(|memory| Arc::new(memory.noted(log)));
    }

    /// Does `change` to all of it while no ring is in use.
    fn change_all(&mut self, change: impl FnOnce(&mut Self)) -> Result<()> {
        (0..QUEUES).for_each(|index| self.stop(index));
        change(self);
        self.note_writes();
        (0..QUEUES).try_for_each(|index| self.settle(index))
    }

    /// Does `change` to a queue while its ring is out of use.
    fn change(&mut self, index: u32, change: impl FnOnce(&mut Queue)) -> Result<()> {
        let index = self.index(index)?;
        self.stop(index);
        change(&mut self.queues[index]);
        self.settle(index)
    }

    fn index(&self, index: u32) -> Result<usize> {
        let index = index as usize;
        if index < QUEUES { Ok(index) } else { Err(refused(format!("there is no queue {index}"))) }
    }

    fn drop_kick(&mut self, index: usize) {
        if let Some(kick) = self.queues[index].kick.take() {
            self.device.ignore(kick.as_fd());
        }
    }

    fn reset(&mut self) {
        for index in 0..QUEUES {
            self.stop(index);
            self.drop_kick(index);
            self.queues[index] = Queue::default();
        }
    }
}

/// Nothing of a guest stays in use when its program goes.
impl Drop for Backend {
    fn drop(&mut self) {
        self.reset();
    }
}

fn refused(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::ReqHandlerError(io::Error::other(why))
}

/// A descriptor that is an eventfd, by which neither side can make the other one wait.
fn event(file: File) -> Result<OwnedFd> {
    close_on_exec(&file)?;
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new());
    if link.map_err(|errno| refused(io::Error::from(errno)))?.as_bytes() != b"anon_inode:[eventfd]" {
        return Err(refused("what is to signal is no eventfd"));
    }
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|errno| refused(io::Error::from(errno)))?;
    rustix::fs::fcntl_setfl(&file, flags | OFlags::NONBLOCK)
        .map_err(|errno| refused(io::Error::from(errno)))?;
    Ok(file.into())
}

/// They come without it.
fn close_on_exec(file: &File) -> Result<()> {
    rustix::io::fcntl_setfd(file, FdFlags::CLOEXEC).map_err(|errno| refused(io::Error::from(errno)))
}

/// What was not offered.
fn not_offered<T>() -> Result<T> {
    Err(Error::InvalidOperation("it was not offered"))
}

impl VhostUserBackendReqHandlerMut for Backend {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        self.reset();
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        self.reset();
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(self.offered.0)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        if features & !self.offered.0 != 0 {
            return Err(refused(format!("features {features:#x} were not all offered")));
        }
        let agreed = Features(features);
        self.change_all(|all| {
            all.agreed = agreed;
            all.device.set_agreed(agreed);
            all.queues.iter_mut().for_each(|queue| queue.enabled |= !agreed.protocol_features());
        })
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy: Option<bool>,
    ) -> Result<Option<Vec<u64>>> {
        files.iter().try_for_each(close_on_exec)?;
        let part = |region: &VhostUserMemoryRegion| Part {
            guest: region.guest_phys_addr,
            user: region.user_addr,
            len: region.memory_size,
            offset: region.mmap_offset,
        };
        let parts: Vec<Part> = regions.iter().map(part).collect();
        let memory = Arc::new(Memory::map(&parts, files).map_err(refused)?);
        self.change_all(|all| all.memory = Some(memory))?;
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        let size = u16::try_from(num).ok().filter(|size| size.is_power_of_two() && *size <= MAX_SIZE);
        let size = size.ok_or_else(|| refused(format!("a ring of {num} descriptors")))?;
        self.change(index, |queue| queue.size = size)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        log: u64,
    ) -> Result<()> {
        let noted = flags.contains(VhostUserVringAddrFlags::VHOST_VRING_F_LOG).then_some(log);
        self.change(index, |queue| {
            (queue.addresses, queue.noted) = (Some([descriptor, available, used]), noted);
        })
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        // Of a packed ring the upper half says where the next one is given back: the same place, for all were.
        let base = if self.agreed.shape().packed { base & 0xffff } else { base };
        let next = u16::try_from(base).map_err(refused)?;
        self.change(index, |queue| (queue.next, queue.goes_on, queue.broken) = (next, false, false))
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        let queue = self.index(index)?;
        self.stop(queue);
        self.drop_kick(queue);
        self.queues[queue].broken = false;
        let next = u32::from(self.queues[queue].next);
        let both = if self.agreed.shape().packed { next | next << 16 } else { next };
        Ok(VhostUserVringState::new(index, both))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        let kick = fd.map(event).transpose()?.ok_or_else(|| refused("rings without kicks are not polled"))?;
        let queue = self.index(u32::from(index))?;
        self.stop(queue);
        self.drop_kick(queue);
        self.device.listen(kick.as_fd()).map_err(refused)?;
        self.queues[queue].kick = Some(kick);
        self.settle(queue)
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        let call = fd.map(event).transpose()?;
        self.change(u32::from(index), |queue| queue.call = call)
    }

    fn set_vring_err(&mut self, _index: u8, fd: Option<File>) -> Result<()> {
        drop(fd);
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        let features = VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::LOG_SHMFD;
        Ok(features | VhostUserProtocolFeatures::REPLY_ACK)
    }

    fn set_protocol_features(&mut self, features: u64) -> Result<()> {
        self.protocol = features;
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(PAIRS as u64)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.change(index, |queue| queue.enabled = enable)
    }

    fn get_config(&mut self, _offset: u32, _size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        not_offered()
    }

    fn set_config(&mut self, _offset: u32, _buf: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        not_offered()
    }

    fn set_gpu_socket(&mut self, _gpu_backend: GpuBackend) -> Result<()> {
        not_offered()
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        not_offered()
    }

    fn get_inflight_fd(&mut self, _inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        not_offered()
    }

    fn set_inflight_fd(&mut self, _inflight: &VhostUserInflight, _file: File) -> Result<()> {
        not_offered()
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        not_offered()
    }

    fn add_mem_region(
        &mut self,
        _region: &VhostUserSingleMemoryRegion,
        _fd: File,
        _: Option<bool>,
    ) -> Result<Option<u64>> {
        not_offered()
    }

    fn remove_mem_region(&mut self, _region: &VhostUserSingleMemoryRegion) -> Result<()> {
        not_offered()
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> Result<Option<File>> {
        not_offered()
    }

    fn check_device_state(&mut self) -> Result<()> {
        not_offered()
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        not_offered()
    }

    fn set_log_base(&mut self, log: &VhostUserLog, file: File) -> Result<()> {
        close_on_exec(&file)?;
        let place = Place { offset: log.mmap_offset, len: log.mmap_size };
        let log = Arc::new(Log::map(place, file).map_err(refused)?);
        self.change_all(|all| all.log = Some(log))
    }
}
