//! What of a conversation outlives this process: a socket that is connected to itself, in which lies one message with
//! all descriptors (the connection, the files of the guest's memory, what its rings signal by) and a record of what was
//! agreed on. Whoever holds the socket next, in another process, finds it there and goes on.
//!
//! While a message of the guest's program is in hand the socket is empty: what this process was killed in the midst of
//! nobody can go on with, and the connection is begun anew.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername,
    getsockname, recvmsg, sendmsg, socket_with, sockopt,
};

use crate::record::Record;

/// Descriptors of one message at most: `SCM_MAX_FD` of `include/net/scm.h`.
const MOST: usize = 253;
/// Bytes of a record at most; one of 16 queues and 8 parts of memory takes a fifth of it.
const LONGEST: usize = 16 * 1024;

/// The socket. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Keepsake(Arc<OwnedFd>);

impl Keepsake {
    /// One with nothing in it.
    ///
    /// # Errors
    /// As `socket(2)`, `bind(2)` and `connect(2)`.
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // The kernel finds a name.
        bind(&socket, &SocketAddrUnix::new_unnamed())?;
        connect(&socket, &getsockname(&socket)?)?;
        let keepsake = Self(Arc::new(socket));
        // Until it was connected anybody could have put something there.
        keepsake.clear();
        Ok(keepsake)
    }

    /// That of an earlier process.
    ///
    /// # Errors
    /// It is something else.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let of_that_kind = sockopt::socket_type(&fd)? == SocketType::DGRAM
            && sockopt::socket_domain(&fd)? == AddressFamily::UNIX;
        if of_that_kind && is_its_own_peer(&fd)? {
            return Ok(Self(Arc::new(fd)));
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket that is connected to itself"))
    }

    /// Takes out what lies there.
    pub(crate) fn clear(&self) {
        while self.take(RecvFlags::empty()).is_ok_and(|found| found.is_some()) {}
    }

    /// Puts this there, in place of what was; what it names goes on to be open in there.
    ///
    /// # Errors
    /// As `sendmsg(2)`.
    pub(crate) fn put(&self, record: &Record, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.clear();
        let text = serde_json::to_vec(record)?;
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if text.len() > LONGEST || !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.0, &[IoSlice::new(&text)], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// What lies there, which goes on to do so; the descriptors are others of the same.
    ///
    /// # Errors
    /// It is not what [`Keepsake::put`] puts there.
    pub(crate) fn look(&self) -> io::Result<Option<(Record, Vec<OwnedFd>)>> {
        let Some((text, descriptors)) = self.take(RecvFlags::PEEK)? else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&text)?, descriptors)))
    }

    /// Whether there is a guest whose rings were in use.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.look().is_ok_and(|found| found.is_some_and(|(record, _)| record.pairs() > 0))
    }

    fn take(&self, flags: RecvFlags) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; LONGEST];
        let flags = flags | RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message = match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            Ok(message) => message,
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let rights = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(received) => Some(received),
            _ => None,
        });
        let descriptors = rights.flatten().collect();
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.truncate(message.bytes);
        Ok(Some((bytes, descriptors)))
    }
}

fn is_its_own_peer(socket: &OwnedFd) -> io::Result<bool> {
    let name = getsockname(socket)?;
    // Those of a pair have no names at all.
    let named = SocketAddrUnix::try_from(name.clone())?.abstract_name().is_some_and(|name| !name.is_empty());
    Ok(named && getpeername(socket)? == Some(name))
}

impl AsFd for Keepsake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::record::VERSION;

    fn record(features: u64) -> Record {
        Record { version: VERSION, features, ..Record::default() }
    }

    #[test]
    fn what_was_put_last_is_found_by_whoever_holds_the_socket_next() {
        let keepsake = Keepsake::new().unwrap();
        assert!(keepsake.look().unwrap().is_none());
        let (ours, theirs) = UnixStream::pair().unwrap();
        keepsake.put(&record(1), &[ours.as_fd()]).unwrap();
        keepsake.put(&record(2), &[ours.as_fd(), theirs.as_fd()]).unwrap();
        drop((ours, theirs));
        let next = Keepsake::adopt(keepsake.as_fd().try_clone_to_owned().unwrap()).unwrap();
        drop(keepsake);
        for _ in 0..2 {
            let (found, descriptors) = next.look().unwrap().unwrap();
            assert_eq!((found, descriptors.len()), (record(2), 2));
        }
        next.clear();
        assert!(next.look().unwrap().is_none());
    }

    #[test]
    fn another_socket_is_none_and_other_words_are_refused() {
        let (ours, _theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert!(Keepsake::adopt(ours.into()).is_err());
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(Keepsake::adopt(ours.into()).is_err());
        let keepsake = Keepsake::new().unwrap();
        sendmsg(&keepsake, &[IoSlice::new(b"{}")], &mut SendAncillaryBuffer::default(), SendFlags::empty())
            .unwrap();
        assert!(keepsake.look().is_err());
    }

    /// The descriptors in there are open as long as the socket, and no longer.
    #[test]
    fn nothing_stays_open_once_the_socket_is_closed() {
        let keepsake = Keepsake::new().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        keepsake.put(&record(0), &[ours.as_fd()]).unwrap();
        drop(ours);
        theirs.set_nonblocking(true).unwrap();
        let heard = || rustix::io::read(&theirs, &mut [0_u8; 1]);
        assert_eq!(heard(), Err(rustix::io::Errno::AGAIN));
        drop(keepsake);
        assert_eq!(heard(), Ok(0));
    }
}
