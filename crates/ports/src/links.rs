//! Tells which links there are and what becomes of them, from rtnetlink.
//!
//! The socket subscribes first and then asks for all links on the same descriptor, so nothing can
//! happen in between unseen. A part of the dump may have been written before an event that stands
//! before it in the queue; the event is never older, so it wins.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use frame::MacAddr;
use mio::event::Source;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::netlink;

/// `RTNLGRP_LINK`.
const LINK_GROUP: u32 = 1;

/// Receive buffer in bytes, for bursts such as a host that starts a hundred VMs.
const RECEIVE_BUFFER: u32 = 1 << 20;

/// What is known of a link, or that it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// There is such a link. Told for each link once at first, and whenever the kernel mentions it;
    /// often nothing has changed.
    Link {
        /// Its identity: a later link of the same name has another.
        ifindex: u32,
        /// Its name.
        name: String,
        /// Whether it is switched on (`IFF_UP`).
        up: bool,
        /// Whether frames can pass: there is carrier and the link is not dormant.
        running: bool,
        /// Its own address; zero if it has none of six bytes.
        mac: MacAddr,
        /// Its MTU in bytes.
        mtu: u32,
        /// The ifindex of the bridge or bond that it belongs to.
        master: Option<u32>,
    },
    /// There is no such link any more: deleted, or moved to another namespace. (One that is renamed is
    /// told of as a [`LinkEvent::Link`] with the index that it had.)
    Gone {
        /// What its index was.
        ifindex: u32,
        /// What its name was last.
        name: String,
    },
}

/// A subscription to the links of the network namespace in which it was made.
#[derive(Debug)]
pub struct LinkWatcher {
    socket: Socket,
    /// Links that were told of and are not gone: as many as the host has.
    known: BTreeMap<u32, String>,
    dump: Option<Dump>,
    /// The list must be asked for, once nothing else is waiting to be read: a full socket takes none.
    ask: bool,
    sequence: u32,
}

/// A list of all links on its way to us.
#[derive(Debug, Default)]
struct Dump {
    /// Links in the list, or in an event since it was asked for.
    seen: BTreeSet<u32>,
    /// Links in an event since the list was asked for: the list says nothing new of them.
    newer: BTreeSet<u32>,
}

impl LinkWatcher {
    /// Subscribes and asks for all links; [`LinkWatcher::read`] tells them.
    ///
    /// # Errors
    /// As `socket(2)` and `bind(2)`.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(LINK_GROUP)?;
        let mut watcher = Self { socket, known: BTreeMap::new(), dump: None, ask: false, sequence: 0 };
        watcher.ask()?;
        Ok(watcher)
    }

    /// Reads all that is there, appending to `out`; never blocks. Call it after each readiness event.
    ///
    /// # Errors
    /// As `recv(2)`, or the kernel refuses to list the links; the next call tries again. Losing messages
    /// is not an error: the list is asked for once more.
    pub fn read(&mut self, out: &mut Vec<LinkEvent>) -> io::Result<()> {
        loop {
            match self.socket.recv_from_full() {
                Ok((datagram, from)) if from.port_number() == 0 => {
                    for message in netlink::messages(&datagram) {
                        self.take(message, out)?;
                    }
                }
                Ok(_) => {} // Not from the kernel.
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) if self.ask && self.dump.is_none() => self.ask()?,
                    Some(libc::EAGAIN) => return Ok(()),
                    Some(libc::EINTR) => {}
                    Some(libc::ENOBUFS) => self.ask = true,
                    _ => return Err(error),
                },
            }
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let bytes = netlink::encode(request, NLM_F_DUMP, self.sequence);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        self.dump = Some(Dump::default());
        self.ask = false;
        Ok(())
    }

    fn take(&mut self, message: &[u8], out: &mut Vec<LinkEvent>) -> io::Result<()> {
        // What the crate can't read, of a later kernel, is passed over.
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else { return Ok(()) };
        let of_dump = self.is_of_dump(&message.header);
        self.ask |= of_dump && message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                self.tell(&link, of_dump, out)
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => self.forget(&link, out),
            NetlinkPayload::Done(_) if of_dump => self.end_of_dump(out),
            NetlinkPayload::Error(error) if of_dump => {
                (self.dump, self.ask) = (None, true);
                return Err(io::Error::from_raw_os_error(error.raw_code().saturating_neg()));
            }
            _ => {}
        }
        Ok(())
    }

    fn is_of_dump(&self, header: &NetlinkHeader) -> bool {
        let error = 2;
        self.dump.is_some()
            && header.sequence_number == self.sequence
            && (header.flags & NLM_F_MULTIPART != 0 || header.message_type == error)
    }

    fn tell(&mut self, link: &LinkMessage, of_dump: bool, out: &mut Vec<LinkEvent>) {
        let ifindex = link.header.index;
        // A bridge tells of its members in its own family.
        let (AddressFamily::Unspec, Some(event)) = (link.header.interface_family, event_of(link)) else {
            return;
        };
        if let Some(dump) = &mut self.dump {
            dump.seen.insert(ifindex);
            if of_dump && dump.newer.contains(&ifindex) {
                return;
            }
            if !of_dump {
                dump.newer.insert(ifindex);
            }
        }
        let LinkEvent::Link { name, .. } = &event else { return };
        self.known.insert(ifindex, name.clone());
        out.push(event);
    }

    fn forget(&mut self, link: &LinkMessage, out: &mut Vec<LinkEvent>) {
        if link.header.interface_family != AddressFamily::Unspec {
            return; // It left a bridge.
        }
        let ifindex = link.header.index;
        if let Some(dump) = &mut self.dump {
            dump.newer.insert(ifindex);
        }
        if let Some(name) = self.known.remove(&ifindex) {
            out.push(LinkEvent::Gone { ifindex, name });
        }
    }

    /// Whatever was known and is not in a whole list has gone unheard.
    fn end_of_dump(&mut self, out: &mut Vec<LinkEvent>) {
        let Some(dump) = self.dump.take() else { return };
        if self.ask {
            return; // The list was disturbed; the next one will tell.
        }
        self.known.retain(|&ifindex, name| {
            let there = dump.seen.contains(&ifindex);
            if !there {
                out.push(LinkEvent::Gone { ifindex, name: std::mem::take(name) });
            }
            there
        });
    }
}

fn event_of(link: &LinkMessage) -> Option<LinkEvent> {
    let (mut name, mut mac, mut mtu, mut master) = (None, MacAddr::ZERO, 0, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Address(bytes) => {
                mac = bytes.as_slice().try_into().map_or(MacAddr::ZERO, MacAddr);
            }
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::Controller(index) => master = Some(*index).filter(|&index| index != 0),
            _ => {}
        }
    }
    Some(LinkEvent::Link {
        ifindex: link.header.index,
        name: name?,
        up: link.header.flags.contains(LinkFlags::Up),
        running: link.header.flags.contains(LinkFlags::Running | LinkFlags::LowerUp),
        mac,
        mtu,
        master,
    })
}

impl AsRawFd for LinkWatcher {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Source for LinkWatcher {
    fn register(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
        interests: mio::Interest,
    ) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
        interests: mio::Interest,
    ) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &mio::Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}
