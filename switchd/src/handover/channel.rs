//! The wire between the two processes: a Unix socket that keeps messages apart and carries descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, sendmsg,
    socket_with,
};

/// Descriptors in one message.
pub(super) const BATCH: usize = 64;
/// Longest message: the names of a batch.
const LONGEST: usize = 8192;

/// What the two say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// Some descriptors, with their names.
    Descriptors = b'D',
    /// There are no more.
    NoMore = b'N',
    /// Everything is ready but the frames.
    Prepared = b'P',
    /// Nobody forwards.
    Go = b'G',
    /// The new one forwards.
    Forwarding = b'F',
    /// The service manager knows the new one.
    Main = b'M',
}

impl Word {
    const ALL: [Self; 6] =
        [Self::Descriptors, Self::NoMore, Self::Prepared, Self::Go, Self::Forwarding, Self::Main];
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// The end of an accepted connection.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Connects to whoever listens at `path`.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    /// How long the other side may take for a message.
    pub(super) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        Ok(set_socket_timeout(&self.0, Timeout::Send, Some(patience))?)
    }

    /// Says a word, with descriptors and what belongs to them.
    pub(super) fn say(&self, word: Word, text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let first = [word as u8];
        let pieces = [IoSlice::new(&first), IoSlice::new(text.as_bytes())];
        sendmsg(&self.0, &pieces, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Hears the next word, which must be one of `expected`.
    pub(super) fn hear(&self, expected: &[Word]) -> io::Result<(Word, String, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; LONGEST];
        let message =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        let Some((first, text)) = bytes.get(..message.bytes).and_then(<[u8]>::split_first) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let word = Word::ALL.into_iter().find(|word| *word as u8 == *first && expected.contains(word));
        let text = std::str::from_utf8(text).map_err(io::Error::other)?;
        Ok((word.ok_or(io::ErrorKind::InvalidData)?, text.to_owned(), descriptors))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
