//! What attaching to a TAP that exists changes on it, and how that is put back: which kind of descriptor it
//! takes, who may open it, which offloads are asked for. The kernel keeps all that with the interface.

use std::io;
use std::os::fd::AsFd;

use frame::offload::SHORT_HEADER;
use netlink_packet_core::Nla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoTun, LinkAttribute, LinkInfo, LinkMessage};
use serde::{Deserialize, Serialize};

use crate::netlink;
use crate::sys::{ethtool, tun};

/// `IFLA_TUN_OWNER` and others of `include/uapi/linux/if_link.h`.
const OWNER: u16 = 1;
const TYPE: u16 = 3;
const PI: u16 = 4;
const VNET_HDR: u16 = 5;
const MULTI_QUEUE: u16 = 7;
const QUEUES: u16 = 8;
const DETACHED: u16 = 9;

/// How an existing TAP is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapState {
    /// The `IFF_*` of the descriptors that it takes.
    pub flags: i32,
    /// The user who may open it.
    pub owner: Option<u32>,
    /// The features that are asked for, also those that wait for a descriptor that has them.
    pub wanted: [u32; ethtool::WORDS],
}

impl TapState {
    /// What it is now.
    ///
    /// # Errors
    /// `ENODEV` where there is no such interface, `EINVAL` where it is no TAP.
    pub fn of(device: &str) -> io::Result<Self> {
        let attributes = attributes(device)?;
        let number = |wanted| number(&attributes, wanted);
        let flag = |attribute, flag| if number(attribute) == Some(1) { flag } else { 0 };
        if number(TYPE) != Some(libc::IFF_TAP as u32) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let no_pi = if number(PI) == Some(0) { libc::IFF_NO_PI } else { 0 };
        Ok(Self {
            flags: libc::IFF_TAP
                | no_pi
                | flag(VNET_HDR, libc::IFF_VNET_HDR)
                | flag(MULTI_QUEUE, libc::IFF_MULTI_QUEUE),
            owner: number(OWNER),
            wanted: ethtool::wanted_features(device)?,
        })
    }

    /// Makes it so, by attaching for a moment. The size of the offload header becomes the kernel's own, and
    /// no offload is left on: who attaches next says what it takes. An owner can be replaced, not removed.
    ///
    /// # Errors
    /// As `ioctl(2)`. That another process holds the device is no error: it has said how it wants it.
    pub fn apply(&self, device: &str) -> io::Result<()> {
        let fd = tun::open_clone_device()?;
        match tun::set_iff(fd.as_fd(), device, self.flags) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(()),
            other => other?,
        }
        tun::set_header_size(fd.as_fd(), SHORT_HEADER)?;
        tun::set_offload(fd.as_fd(), 0)?;
        if let Some(owner) = self.owner {
            tun::set_owner(fd.as_fd(), owner)?;
        }
        // While we hold it: nobody else can have asked for others.
        ethtool::want_features(device, self.wanted)
    }
}

/// Whether anybody holds descriptors of a TAP that takes several. The kernel says so of no other, and lets no second
/// one attach to those; here it would, and give each a part of the frames.
pub(crate) fn is_held(device: &str) -> bool {
    let count = |attributes: &[InfoTun], wanted| number(attributes, wanted).unwrap_or(0);
    attributes(device).is_ok_and(|found| count(&found, QUEUES) + count(&found, DETACHED) > 0)
}

fn number(attributes: &[InfoTun], wanted: u16) -> Option<u32> {
    attributes.iter().find(|found| found.kind() == wanted).map(|found| {
        let mut bytes = [0; 4];
        let len = found.value_len().min(bytes.len());
        let mut value = vec![0; found.value_len()];
        found.emit_value(&mut value);
        bytes[..len].copy_from_slice(&value[..len]);
        u32::from_ne_bytes(bytes)
    })
}

fn attributes(device: &str) -> io::Result<Vec<InfoTun>> {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::IfName(device.to_owned()));
    let replies = netlink::ask(RouteNetlinkMessage::GetLink(request))?;
    let attributes = replies.into_iter().find_map(|reply| match reply {
        RouteNetlinkMessage::NewLink(link) => link.attributes.into_iter().find_map(|found| match found {
            LinkAttribute::LinkInfo(infos) => infos.into_iter().find_map(|info| match info {
                LinkInfo::Data(InfoData::Tun(attributes)) => Some(attributes),
                _ => None,
            }),
            _ => None,
        }),
        _ => None,
    });
    attributes.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}
