//! One netlink request and its replies, blocking: for the control thread and for start-up, never for a
//! worker.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// How often an interrupted dump is asked for again.
const DUMP_ATTEMPTS: usize = 10;

/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// A socket of the family `protocol` in the caller's network namespace.
pub(crate) fn open(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// An rtnetlink request in wire form.
pub(crate) fn encode(message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.header.sequence_number = sequence;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

/// Asks rtnetlink for one thing, or orders one.
pub(crate) fn ask(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    let request = encode(message, NLM_F_ACK, 1);
    exchange(NETLINK_ROUTE, &request).map(|(replies, _)| decode(&replies))
}

/// Asks rtnetlink for all of a kind.
pub(crate) fn dump(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    let request = encode(message, NLM_F_DUMP, 1);
    dump_raw(NETLINK_ROUTE, &request).map(|replies| decode(&replies))
}

/// Sends a dump request in wire form; the replies are whole messages, header included.
pub(crate) fn dump_raw(protocol: isize, request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    for _ in 1..DUMP_ATTEMPTS {
        let (replies, interrupted) = exchange(protocol, request)?;
        if !interrupted {
            return Ok(replies);
        }
    }
    exchange(protocol, request).map(|(replies, _)| replies)
}

/// What the crate can't read, of a later kernel, is passed over.
fn decode(replies: &[Vec<u8>]) -> Vec<RouteNetlinkMessage> {
    let readable = replies.iter().filter_map(|bytes| NetlinkMessage::deserialize(bytes).ok());
    readable
        .filter_map(|message| match message.payload {
            NetlinkPayload::InnerMessage(inner) => Some(inner),
            _ => None,
        })
        .collect()
}

/// The replies up to the acknowledgement or the end of the dump, and whether the kernel changed what it
/// was dumping, so that parts may be missing.
fn exchange(protocol: isize, request: &[u8]) -> io::Result<(Vec<Vec<u8>>, bool)> {
    let socket = open(protocol)?;
    socket.send(request, 0)?;
    let (mut replies, mut interrupted) = (Vec::new(), false);
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for message in messages(&datagram) {
            let header = NetlinkBuffer::new(message);
            interrupted |= header.flags() & NLM_F_DUMP_INTR != 0;
            match header.message_type() {
                ERROR | DONE => return refusal(message).map(|()| (replies, interrupted)),
                _ => replies.push(message.to_vec()),
            }
        }
    }
}

/// Sends messages in wire form that the kernel carries out before `send(2)` returns, and reads what it
/// says to them.
pub(crate) fn order(socket: &Socket, requests: &[u8]) -> io::Result<()> {
    socket.send(requests, 0)?;
    let mut result = Ok(());
    loop {
        let mut datagram = Vec::with_capacity(8192);
        match socket.recv(&mut datagram, libc::MSG_DONTWAIT) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return result,
            Err(error) => return Err(error),
        }
        // The first failure is the cause; what follows is its consequence.
        result = result.and_then(|()| messages(&datagram).try_for_each(refusal));
    }
}

/// The error that a message reports, if it is one that does.
fn refusal(message: &[u8]) -> io::Result<()> {
    let reports = matches!(NetlinkBuffer::new(message).message_type(), ERROR | DONE);
    match message.get(HEADER..).and_then(|payload| payload.first_chunk::<4>()) {
        Some(&code) if reports && i32::from_ne_bytes(code) != 0 => {
            Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code).saturating_neg()))
        }
        _ => Ok(()),
    }
}

/// Cuts a datagram into its messages, each with its whole header.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = NetlinkBuffer::new_checked(datagram).ok()?.length() as usize;
        let message = datagram.get(..len)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
}
