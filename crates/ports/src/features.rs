//! What we may change on an interface that is not ours: receive offloads, MTU, queue length, up or down, and
//! how a TAP is opened.
//! Reading and writing only; [`crate::restore`] remembers what was there before.

use std::fmt;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use serde::{Deserialize, Serialize};

use crate::device::{self, DeviceError};
use crate::netlink;
use crate::sys::ethtool;
use crate::tap_state::TapState;

/// `ETHTOOL_GGRO`, `ETHTOOL_SGRO`, `ETHTOOL_GFLAGS`, `ETHTOOL_SFLAGS`, `ETH_FLAG_LRO`.
const GET_GRO: u32 = 0x2b;
const SET_GRO: u32 = 0x2c;
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const LRO: u32 = 1 << 15;

/// One thing about an interface, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Generic receive offload: TCP segments are joined to 64 KiB before anybody sees them, and can be
    /// cut again. Worth much.
    Gro(bool),
    /// Large receive offload: joined by the NIC in a way that can't be undone. Must be off.
    Lro(bool),
    /// MTU in bytes.
    Mtu(u32),
    /// Length of the transmit queue in frames.
    TxQueueLen(u32),
    /// Switched on (`IFF_UP`).
    Up(bool),
    /// What attaching to a TAP changes.
    Tap(TapState),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Gro(on) => write!(f, "GRO {}", switch(on)),
            Self::Lro(on) => write!(f, "LRO {}", switch(on)),
            Self::Mtu(mtu) => write!(f, "MTU {mtu}"),
            Self::TxQueueLen(len) => write!(f, "transmit queue length {len}"),
            Self::Up(up) => write!(f, "link {}", if *up { "up" } else { "down" }),
            Self::Tap(state) => write!(f, "TAP flags {:#x}", state.flags),
        }
    }
}

impl Setting {
    /// The present value of the same thing on `device`.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface; `EOPNOTSUPP` where it has no such thing.
    pub fn now(self, device: &str) -> io::Result<Self> {
        let link = || match device::find(device) {
            Ok(found) => Ok(found),
            Err(DeviceError::System { source, .. }) => Err(source),
            Err(_) => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        };
        Ok(match self {
            Self::Gro(_) => Self::Gro(ethtool::get(device, GET_GRO)? != 0),
            Self::Lro(_) => Self::Lro(ethtool::get(device, GET_FLAGS)? & LRO != 0),
            Self::Mtu(_) => Self::Mtu(link()?.mtu),
            Self::TxQueueLen(_) => Self::TxQueueLen(link()?.tx_queue_len),
            Self::Up(_) => Self::Up(link()?.up),
            Self::Tap(_) => Self::Tap(TapState::of(device)?),
        })
    }

    /// Makes it so on `device`, unless it is.
    ///
    /// # Errors
    /// As [`Setting::now`], `EPERM`, or what the driver says.
    pub fn apply(self, device: &str) -> io::Result<()> {
        match self {
            Self::Gro(on) => ethtool::set(device, SET_GRO, u32::from(on)),
            Self::Lro(on) => {
                let others = ethtool::get(device, GET_FLAGS)? & !LRO;
                ethtool::set(device, SET_FLAGS, if on { others | LRO } else { others })
            }
            Self::Mtu(mtu) => change(device, |link| link.attributes.push(LinkAttribute::Mtu(mtu))),
            Self::TxQueueLen(len) => {
                change(device, |link| link.attributes.push(LinkAttribute::TxQueueLen(len)))
            }
            Self::Up(up) => change(device, |link| {
                link.header.change_mask = LinkFlags::Up;
                link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
            }),
            Self::Tap(state) => state.apply(device),
        }
    }
}

fn change(device: &str, edit: impl FnOnce(&mut LinkMessage)) -> io::Result<()> {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::IfName(device.to_owned()));
    edit(&mut request);
    netlink::ask(RouteNetlinkMessage::SetLink(request)).map(drop)
}
