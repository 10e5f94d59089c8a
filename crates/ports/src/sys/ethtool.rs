//! `SIOCETHTOOL`: the commands that read or write one number (`struct ethtool_value`).

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

/// `SIOCETHTOOL` of `include/uapi/linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// Asks for the number that `command` reads (an `ETHTOOL_G…`).
///
/// # Errors
/// As `ioctl(2)`; `EOPNOTSUPP` where the device has no such thing.
pub fn get(device: &str, command: u32) -> io::Result<u32> {
    ioctl(device, Value { command, data: 0 }).map(|value| value.data)
}

/// Writes a number by `command` (an `ETHTOOL_S…`).
///
/// # Errors
/// As `ioctl(2)`.
pub fn set(device: &str, command: u32, data: u32) -> io::Result<()> {
    ioctl(device, Value { command, data }).map(drop)
}

fn ioctl(device: &str, mut value: Value) -> io::Result<Value> {
    // SAFETY: all-zero is a valid ifreq: an empty name and a null pointer.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if device.is_empty() || device.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: the name ends in a zero as it is shorter than its array; `ifru_data` points to `value`,
    // which outlives the call and is as large as the commands that read or write one number expect.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
