//! Where metrics are served: a TCP address or a Unix socket, in one form.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::Path;
use std::{fs, net};

use anyhow::anyhow;
use config::Listen;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};

/// One who listens, without ever waiting.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client's end.
pub(super) trait Stream: Read + Write + Source + Send {}

impl<S: Read + Write + Source + Send> Stream for S {}

impl Listener {
    /// Listens at `address`, in the place of a Unix socket that nobody listens at any more.
    ///
    /// # Errors
    /// The address can't be had, and what to do.
    pub(crate) fn bind(address: &Listen) -> anyhow::Result<Self> {
        let refused = |error| anyhow!("can't serve metrics at {address}: {error}{}", way_out(&error));
        Self::try_bind(address).map_err(refused)
    }

    fn try_bind(address: &Listen) -> io::Result<Self> {
        match address {
            Listen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(*address)?)),
            Listen::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                // They are for everybody who gets as far as the directory, as what switchctl shows is.
                fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
                Ok(Self::Unix(listener))
            }
        }
    }

    /// One that another process has given, if it listens at `address`.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn adopt(address: &Listen, fd: OwnedFd) -> io::Result<Self> {
        match address {
            Listen::Tcp(address) => {
                let listener = net::TcpListener::from(fd);
                let same = listener.local_addr()? == *address;
                same.then(|| Self::Tcp(TcpListener::from_std(listener)))
            }
            Listen::Unix(path) => {
                let listener = unix::UnixListener::from(fd);
                let same = listener.local_addr()?.as_pathname() == Some(path);
                same.then(|| Self::Unix(UnixListener::from_std(listener)))
            }
        }
        .ok_or_else(|| ErrorKind::AddrNotAvailable.into())
    }

    /// The next client.
    ///
    /// # Errors
    /// As `accept(2)`; `WouldBlock` where there is none.
    pub(super) fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept()?.0),
            Self::Unix(listener) => Box::new(listener.accept()?.0),
        })
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// What to do about an error, to stand behind it.
fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "; somebody listens there: choose another in [metrics]",
        ErrorKind::AddrNotAvailable => "; it is no address of this host: choose another in [metrics]",
        ErrorKind::PermissionDenied => "; choose a port above 1023, or another directory, in [metrics]",
        ErrorKind::NotFound => "; the directory must be there before",
        _ => "",
    }
}

/// Removes a socket at which nobody listens any more, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    match unix::UnixStream::connect(path) {
        Err(error) if is_socket && error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_nobody_listens_at_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics");
        let address = Listen::Unix(path.clone());
        let refused = |why: &str| {
            let error = format!("{:#}", Listener::bind(&address).err().unwrap());
            assert!(error.contains("can't serve metrics at unix:/") && error.contains(why), "{error}");
        };
        fs::write(&path, "precious").unwrap();
        refused("somebody listens there");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let first = Listener::bind(&address).unwrap();
        refused("somebody listens there");
        drop(first);
        let again = Listener::bind(&address).unwrap();
        let given = again.as_fd().try_clone_to_owned().unwrap();
        assert!(Listener::adopt(&address, given).is_ok());
        let given = again.as_fd().try_clone_to_owned().unwrap();
        assert!(Listener::adopt(&Listen::Tcp("127.0.0.1:9".parse().unwrap()), given).is_err());
        drop(directory);
        refused("the directory must be there before");
    }
}
