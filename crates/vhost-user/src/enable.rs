//! `VHOST_USER_SET_VRING_ENABLE`, which the `vhost` crate refuses before features are agreed on and QEMU sends then.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// The number of the request.
pub(crate) const REQUEST: u32 = 18;

/// Header, then the queue and what is to become of it.
const MESSAGE: usize = 20;
/// What flags must be: the version.
const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enable {
    pub(crate) queue: u32,
    pub(crate) on: bool,
    /// An answer is waited for, if such were agreed on.
    pub(crate) answer: bool,
}

/// Reads the message, all of which has come.
///
/// # Errors
/// It is none, or as `read(2)`.
pub(crate) fn read(mut stream: &UnixStream) -> io::Result<Enable> {
    let mut bytes = [0; MESSAGE];
    stream.read_exact(&mut bytes)?;
    let mut words = [0; MESSAGE / 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = bytes.try_into().map_or(0, u32::from_le_bytes);
    }
    let [request, flags, size, queue, on] = words;
    let wrong = (request, flags & (VERSION_MASK | REPLY), size) != (REQUEST, VERSION, 8) || on > 1;
    if wrong {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that can't be"));
    }
    Ok(Enable { queue, on: on == 1, answer: flags & NEED_REPLY != 0 })
}

/// Answers that it was done, or not.
///
/// # Errors
/// As `write(2)`.
pub(crate) fn answer(mut stream: &UnixStream, done: bool) -> io::Result<()> {
    let mut bytes = [0; MESSAGE];
    let words = [REQUEST, VERSION | REPLY, 8, u32::from(!done)];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    stream.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(words: [u32; 5]) -> io::Result<Enable> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for word in words {
            theirs.write_all(&word.to_le_bytes()).unwrap();
        }
        read(&ours)
    }

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let on = Enable { queue: 3, on: true, answer: false };
        assert_eq!(message([18, 1, 8, 3, 1]).unwrap(), on);
        assert_eq!(message([18, 9, 8, 3, 0]).unwrap(), Enable { on: false, answer: true, ..on });
        for wrong in
            [[17, 1, 8, 3, 1], [18, 2, 8, 3, 1], [18, 5, 8, 3, 1], [18, 1, 9, 3, 1], [18, 1, 8, 3, 2]]
        {
            assert!(message(wrong).is_err(), "{wrong:?}");
        }
    }
}
