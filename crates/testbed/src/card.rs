//! A network card without a guest: memory and two rings that it shares with a `vhost-user` port, as a driver has them,
//! moved by the test itself. What it sends is in the ring when the call returns.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost::VhostBackend;
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::wait_until;

/// Descriptors of a ring.
const SIZE: u16 = 256;
/// Bytes of a buffer: more than any frame has. Only those that frames fill are ever there.
const BUFFER: u64 = 0x1_1000;
/// From one ring to the next, and from its descriptors to its other two parts.
const RING: u64 = 0x1_0000;
const AVAILABLE: u64 = 0x4000;
const USED: u64 = 0x8000;
/// How much the buffers of a ring take.
const BUFFERS: u64 = BUFFER * SIZE as u64;
/// The rings, and behind them the buffers of each.
const MEMORY: u64 = 2 * RING + 2 * BUFFERS;

/// The ring that a card receives by, and the one that it sends by.
const RECEIVE: usize = 0;
const SEND: usize = 1;

/// Before each frame (VIRTIO 1.2, 5.1.6.1).
const HEADER: usize = 12;
/// `VRING_DESC_F_WRITE`.
const WRITE: u16 = 2;
/// `VIRTIO_NET_F_MRG_RXBUF`, `VHOST_USER_F_PROTOCOL_FEATURES` and `VIRTIO_F_VERSION_1`: every frame comes finished.
const FEATURES: u64 = 1 << 15 | 1 << 30 | 1 << 32;

/// Ample time for the switch to listen.
const SOON: Duration = Duration::from_secs(10);

/// The card.
pub struct Card {
    program: Frontend,
    file: File,
    memory: GuestMemoryMmap,
    kicks: [EventFd; 2],
    /// How many chains were made available, and how many of them have come back, of each ring.
    given: [u16; 2],
    returned: [u16; 2],
    up: bool,
}

impl Card {
    /// Connects to a port that listens at `socket`, and sets both rings up.
    ///
    /// # Errors
    /// Nobody listens, or refuses what a card needs.
    pub fn connect(socket: &Path) -> Result<Self> {
        let mut connected = None;
        wait_until(SOON, &format!("a switch listens at {}", socket.display()), || {
            connected = Frontend::connect(socket, 2).ok();
            connected.is_some()
        })?;
        let file = File::from(memfd_create("card", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, MEMORY)?;
        let range = (GuestAddress(0), MEMORY as usize, Some(FileOffset::new(file.try_clone()?, 0)));
        let memory = GuestMemoryMmap::from_ranges_with_files([range])?;
        let event = || EventFd::new(EFD_NONBLOCK);
        let program = connected.context("nobody does")?;
        let kicks = [event()?, event()?];
        let mut card = Self { program, file, memory, kicks, given: [0; 2], returned: [0; 2], up: false };
        card.set_up()?;
        Ok(card)
    }

    fn set_up(&mut self) -> Result<()> {
        let program = &mut self.program;
        program.set_owner()?;
        let offered = program.get_features()?;
        ensure!(offered & FEATURES == FEATURES, "the port offers {offered:#x}");
        let protocol = program.get_protocol_features()?;
        program.set_protocol_features(protocol & VhostUserProtocolFeatures::MQ)?;
        program.set_features(FEATURES)?;
        let region = self.memory.find_region(GuestAddress(0)).context("no memory")?;
        let region = VhostUserMemoryRegionInfo::from_guest_region(region)?;
        program.set_mem_table(&[region])?;
        for ring in [RECEIVE, SEND] {
            let at = region.userspace_addr + ring as u64 * RING;
            program.set_vring_num(ring, SIZE)?;
            program.set_vring_base(ring, 0)?;
            program.set_vring_addr(
                ring,
                &VringConfigData {
                    queue_max_size: SIZE,
                    queue_size: SIZE,
                    flags: 0,
                    desc_table_addr: at,
                    used_ring_addr: at + USED,
                    avail_ring_addr: at + AVAILABLE,
                    log_addr: None,
                },
            )?;
            program.set_vring_kick(ring, &self.kicks[ring])?;
        }
        for index in 0..SIZE {
            self.describe(RECEIVE, index, BUFFER as u32, WRITE)?;
            self.give(RECEIVE, index)?;
        }
        self.set_link(true)
    }

    /// Switches the card off, or on again: what it is told to send meanwhile it does not send.
    ///
    /// # Errors
    /// The port is gone.
    pub fn set_link(&mut self, up: bool) -> Result<()> {
        for ring in [RECEIVE, SEND] {
            self.program.set_vring_enable(ring, up)?;
        }
        // An answer to this means that both were done.
        self.program.get_features()?;
        self.up = up;
        Ok(())
    }

    /// Sends a frame, from its destination address on.
    ///
    /// # Errors
    /// The port takes none, or it is too long.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        if !self.up {
            return Ok(());
        }
        ensure!(HEADER + frame.len() <= BUFFER as usize, "{} bytes are too long", frame.len());
        wait_until(SOON, "the port takes frames", || {
            self.used(SEND).is_ok_and(|used| self.given[SEND].wrapping_sub(used) < SIZE)
        })?;
        let index = self.given[SEND] % SIZE;
        let buffer = buffer(SEND, index);
        self.memory.write_slice(&[0; HEADER], GuestAddress(buffer))?;
        self.memory.write_slice(frame, GuestAddress(buffer + HEADER as u64))?;
        self.describe(SEND, index, (HEADER + frame.len()) as u32, 0)?;
        self.give(SEND, index)
    }

    /// What has come since the last call.
    ///
    /// # Errors
    /// The port does what no device may do.
    pub fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        while self.used(RECEIVE)? != self.returned[RECEIVE] {
            let place = u64::from(self.returned[RECEIVE] % SIZE);
            let entry = GuestAddress(RECEIVE as u64 * RING + USED + 4 + 8 * place);
            let [index, len] = self.memory.read_obj::<[u32; 2]>(entry)?;
            let index = u16::try_from(index).ok().filter(|index| *index < SIZE).context("no such buffer")?;
            let mut bytes = vec![0; len as usize];
            self.memory.read_slice(&mut bytes, GuestAddress(buffer(RECEIVE, index)))?;
            ensure!(bytes.get(10..HEADER) == Some(&[1, 0]), "not one buffer: {:?}", bytes.get(..HEADER));
            frames.push(bytes.split_off(HEADER));
            self.returned[RECEIVE] = self.returned[RECEIVE].wrapping_add(1);
            self.give(RECEIVE, index)?;
        }
        Ok(frames)
    }

    /// Cuts the file short that holds the memory. The card is not to be used any more.
    ///
    /// # Errors
    /// As `ftruncate(2)`.
    pub fn cut_memory(&self) -> Result<()> {
        Ok(ftruncate(&self.file, 0)?)
    }

    fn describe(&self, ring: usize, index: u16, len: u32, flags: u16) -> Result<()> {
        let at = GuestAddress(ring as u64 * RING + 16 * u64::from(index));
        let rest = u64::from(len) | u64::from(flags) << 32;
        Ok(self.memory.write_obj([buffer(ring, index), rest], at)?)
    }

    fn give(&mut self, ring: usize, index: u16) -> Result<()> {
        let at = ring as u64 * RING + AVAILABLE;
        let place = u64::from(self.given[ring] % SIZE);
        self.memory.write_obj(index, GuestAddress(at + 4 + 2 * place))?;
        self.given[ring] = self.given[ring].wrapping_add(1);
        self.memory.store(self.given[ring], GuestAddress(at + 2), Ordering::Release)?;
        Ok(self.kicks[ring].write(1)?)
    }

    fn used(&self, ring: usize) -> Result<u16> {
        Ok(self.memory.load(GuestAddress(ring as u64 * RING + USED + 2), Ordering::Acquire)?)
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, returned, up, .. } = self;
        write!(f, "a card of which {given:?} chains were given, {returned:?} came back, up: {up}")
    }
}

fn buffer(ring: usize, index: u16) -> u64 {
    2 * RING + BUFFERS * ring as u64 + BUFFER * u64::from(index)
}
