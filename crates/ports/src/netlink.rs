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

/// Asks for one thing, or orders one.
pub(crate) fn ask(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    exchange(message, NLM_F_ACK).map(|(replies, _)| replies)
}

/// Asks for all of a kind.
pub(crate) fn dump(message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    for _ in 1..DUMP_ATTEMPTS {
        let (replies, interrupted) = exchange(message.clone(), NLM_F_DUMP)?;
        if !interrupted {
            return Ok(replies);
        }
    }
    exchange(message, NLM_F_DUMP).map(|(replies, _)| replies)
}

fn exchange(message: RouteNetlinkMessage, flags: u16) -> io::Result<(Vec<RouteNetlinkMessage>, bool)> {
    let socket = open(NETLINK_ROUTE)?;
    socket.send(&encode(message, flags, 1), 0)?;
    let (mut replies, mut interrupted) = (Vec::new(), false);
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for bytes in messages(&datagram) {
            // A message that the crate can't read (of a later kernel) is one that we don't know.
            let Ok(reply) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { continue };
            interrupted |= reply.header.flags & NLM_F_DUMP_INTR != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(inner) => replies.push(inner),
                NetlinkPayload::Error(error) => match error.code {
                    None => return Ok((replies, interrupted)),
                    Some(code) => return Err(io::Error::from_raw_os_error(code.get().saturating_neg())),
                },
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                }
                NetlinkPayload::Done(_) => return Ok((replies, interrupted)),
                _ => {}
            }
        }
    }
}

/// Cuts a datagram into its messages, each with its header.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = NetlinkBuffer::new_checked(datagram).ok()?.length() as usize;
        let message = datagram.get(..len)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
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

/// The error in an NLMSG_ERROR message, if it is one.
fn refusal(message: &[u8]) -> io::Result<()> {
    const NLMSG_ERROR: u16 = 2;
    let header = NetlinkBuffer::new_checked(message).ok();
    let payload = header.filter(|header| header.message_type() == NLMSG_ERROR).map(|header| header.payload());
    match payload.and_then(|payload| payload.first_chunk::<4>()).map(|code| i32::from_ne_bytes(*code)) {
        Some(code) if code != 0 => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Ok(()),
    }
}
