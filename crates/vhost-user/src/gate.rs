//! Lets a message through only when all of it has come: who reads one that is half sent waits for the rest, for as
//! long as the sender likes.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// Request, flags and size, each of 32 bits.
const HEADER: usize = 12;

/// The longest body that the protocol has.
const MAX_BODY: usize = 4096;

/// What has come on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A whole message: which request.
    Message(u32),
    /// A part of one.
    Part,
    /// Nothing yet.
    Nothing,
    /// A message that is longer than any is.
    TooLong,
    /// The end.
    End,
}

/// Looks what has come, and takes nothing.
pub(crate) fn look(socket: impl AsFd) -> Arrived {
    let mut header = [0; HEADER];
    match recv(&socket, &mut header, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => return Arrived::End,
        Ok((HEADER, _)) => {}
        Ok(_) => return Arrived::Part,
        Err(Errno::AGAIN | Errno::INTR) => return Arrived::Nothing,
        Err(_) => return Arrived::End,
    }
    let size = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    if size > MAX_BODY {
        return Arrived::TooLong;
    }
    match rustix::io::ioctl_fionread(&socket) {
        Ok(there) if there >= (HEADER + size) as u64 => {
            Arrived::Message(u32::from_le_bytes([header[0], header[1], header[2], header[3]]))
        }
        _ => Arrived::Part,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn only_whole_messages_pass() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(look(&ours), Arrived::Nothing);
        theirs.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
        assert_eq!(look(&ours), Arrived::Part);
        theirs.write_all(&[0, 0, 0, 9]).unwrap();
        assert_eq!(look(&ours), Arrived::Part);
        theirs.write_all(&[9]).unwrap();
        assert_eq!(look(&ours), Arrived::Message(1));
        (&ours).read_exact(&mut [0; 14]).unwrap();
        theirs.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 1, 0x10, 0, 0]).unwrap();
        assert_eq!(look(&ours), Arrived::TooLong);
        (&ours).read_exact(&mut [0; 12]).unwrap();
        drop(theirs);
        assert_eq!(look(&ours), Arrived::End);
    }
}
