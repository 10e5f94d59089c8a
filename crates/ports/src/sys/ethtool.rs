//! `SIOCETHTOOL`: the commands that read or write one number (`struct ethtool_value`), and those for the
//! features that a user has asked for.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};

use libc::c_char;

/// `struct ethtool_value` of `include/uapi/linux/ethtool.h`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `ETHTOOL_GFEATURES` and `ETHTOOL_SFEATURES`.
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;

/// Words of 32 features each, as many as the kernel has (`ETHTOOL_DEV_FEATURE_WORDS`).
pub const WORDS: usize = 2;

/// `struct ethtool_get_features_block`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Features {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

/// `struct ethtool_gfeatures` with room for [`WORDS`] blocks.
#[repr(C)]
struct GetFeatures {
    command: u32,
    size: u32,
    blocks: [Features; WORDS],
}

/// `struct ethtool_sfeatures` with [`WORDS`] blocks of which features are meant, and which of them are wanted.
#[repr(C)]
struct SetFeatures {
    command: u32,
    size: u32,
    blocks: [[u32; 2]; WORDS],
}

/// `SIOCETHTOOL` of `include/uapi/linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// Asks for the number that `command` reads (an `ETHTOOL_G…`).
///
/// # Errors
/// As `ioctl(2)`; `EOPNOTSUPP` where the device has no such thing.
pub fn get(device: &str, command: u32) -> io::Result<u32> {
    let mut value = Value { command, data: 0 };
    ioctl(device, &mut value).map(|()| value.data)
}

/// Writes a number by `command` (an `ETHTOOL_S…`).
///
/// # Errors
/// As `ioctl(2)`.
pub fn set(device: &str, command: u32, data: u32) -> io::Result<()> {
    ioctl(device, &mut Value { command, data })
}

/// The features that a user can switch and wants on, as bits whose meaning is the running kernel's.
///
/// # Errors
/// As `ioctl(2)`; `EOPNOTSUPP` where the kernel has more features than [`WORDS`] hold.
pub fn wanted_features(device: &str) -> io::Result<[u32; WORDS]> {
    Ok(features(device)?.map(|block| block.requested & block.available))
}

/// Asks for these features and no others of those that a user can switch.
///
/// # Errors
/// As [`wanted_features`].
pub fn want_features(device: &str, wanted: [u32; WORDS]) -> io::Result<()> {
    let available = features(device)?.map(|block| block.available);
    let blocks = std::array::from_fn(|word| [available[word], wanted[word] & available[word]]);
    ioctl(device, &mut SetFeatures { command: SET_FEATURES, size: WORDS as u32, blocks })
}

fn features(device: &str) -> io::Result<[Features; WORDS]> {
    let size = WORDS as u32;
    let mut got = GetFeatures { command: GET_FEATURES, size, blocks: [Features::default(); WORDS] };
    ioctl(device, &mut got)?;
    if got.size == size { Ok(got.blocks) } else { Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) }
}

/// What the commands here read and write, as the kernel lays it out.
trait Request {}
impl Request for Value {}
impl Request for GetFeatures {}
impl Request for SetFeatures {}

fn ioctl<T: Request>(device: &str, value: &mut T) -> io::Result<()> {
    // SAFETY: all-zero is a valid ifreq: an empty name and a null pointer.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if device.is_empty() || device.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut *value).cast();
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: the name ends in a zero as it is shorter than its array; `ifru_data` points to `value`,
    // which outlives the call and is as large as its command expects: two words, or as many blocks as its
    // `size` says (the kernel writes no more than that).
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
