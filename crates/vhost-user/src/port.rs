//! A port: its socket opened, its two halves, and the hold that its owner has on it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::device::Device;
use crate::keepsake::Keepsake;
use crate::rx::VhostRx;
use crate::session::{Place, Session};
use crate::status::{Board, Status};
use crate::turn::Turn;
use crate::tx::VhostTx;

/// Who may connect: the owner, and the group of the directory.
const MODE: u32 = 0o660;

/// How to open a vhost-user port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Path of the socket, at most 107 bytes.
    pub socket: PathBuf,
    /// Whether the socket is ours and the program that runs the guest connects to it, or the other way round.
    pub listen: bool,
    /// Whether frames may come and go with unfinished checksums and unsegmented.
    pub offload: bool,
    /// What an earlier process has left, and this one leaves for the next; `None` where nothing is to be left.
    pub keepsake: Option<Keepsake>,
}

/// Why a port was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else answers there.
    #[error("{}: another process listens there already. End it, or choose another socket", socket.display())]
    Taken {
        /// The socket.
        socket: PathBuf,
    },
    /// There is something else of that name.
    #[error("{} exists and is no socket: remove it, or choose another name", socket.display())]
    NoSocket {
        /// What is in the way.
        socket: PathBuf,
    },
    /// Anything else.
    #[error("{}: {what}: {source}", socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// An open port.
#[derive(Debug)]
pub struct VhostPort {
    /// The receive half.
    pub rx: VhostRx,
    /// The send half.
    pub tx: VhostTx,
    /// The conversation with the guest's program: nothing happens until somebody runs it, and [`Handle::allow`]s it.
    pub session: Session,
    /// The hold on all of it.
    pub handle: Handle,
}

/// The hold on a port. Dropping it ends the session.
#[derive(Debug)]
pub struct Handle {
    device: Arc<Device>,
    board: Board,
    socket: PathBuf,
    listener: Option<OwnedFd>,
    keepsake: Option<Keepsake>,
    turn: Turn,
}

/// Opens a port; `tell` is called whenever [`Handle::status`] has changed, from another thread.
///
/// # Errors
/// An [`OpenError`] that names the socket.
pub fn open(options: &Options, tell: Arc<dyn Fn() + Send + Sync>) -> Result<VhostPort, OpenError> {
    let listener = options.listen.then(|| listen(&options.socket)).transpose()?;
    assemble(options, listener, tell)
}

/// Goes on with the listening socket that an earlier process opened as [`open`] does.
///
/// # Errors
/// It is not one; the descriptor is closed by that.
pub fn adopt(
    fd: OwnedFd,
    options: &Options,
    tell: Arc<dyn Fn() + Send + Sync>,
) -> Result<VhostPort, OpenError> {
    let listener = UnixListener::from(fd);
    let bound = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
    if bound.as_ref() != Some(&options.socket) {
        let source = io::ErrorKind::AddrNotAvailable.into();
        return Err(failed(options.socket.clone(), "using the socket from before")(source));
    }
    assemble(options, Some(listener), tell)
}

fn assemble(
    options: &Options,
    listener: Option<UnixListener>,
    tell: Arc<dyn Fn() + Send + Sync>,
) -> Result<VhostPort, OpenError> {
    let socket = options.socket.clone();
    let fail = |what| failed(socket.clone(), what);
    let device = Arc::new(Device::new().map_err(fail("making what signals frames"))?);
    let kept = listener.as_ref().map(|listener| listener.as_fd().try_clone_to_owned()).transpose();
    let kept = kept.map_err(fail("keeping the socket"))?;
    let (board, turn) = (Board::new(tell), Turn::default());
    let keepsake = options.keepsake.clone();
    if keepsake.as_ref().is_some_and(Keepsake::is_up) {
        // Its guest goes on as if nothing had been.
        board.change(|status| (status.connected, status.up) = (true, true));
    }
    let place = listener.map_or_else(|| Place::Connects(socket.clone()), Place::Listens);
    Ok(VhostPort {
        rx: VhostRx::new(Arc::clone(&device)),
        tx: VhostTx::new(Arc::clone(&device)),
        session: Session {
            device: Arc::clone(&device),
            place,
            offload: options.offload,
            board: board.clone(),
            keepsake: keepsake.clone(),
            turn: turn.clone(),
        },
        handle: Handle { device, board, socket, listener: kept, keepsake, turn },
    })
}

fn failed(socket: PathBuf, what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { socket, what, source }
}

/// Listens at `path`, also where a process that has ended without a word has left its socket.
fn listen(path: &Path) -> Result<UnixListener, OpenError> {
    use std::os::unix::fs::FileTypeExt as _;
    let fail = |what| failed(path.to_owned(), what);
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(OpenError::NoSocket { socket: path.to_owned() });
        }
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(fail("removing a socket that nobody listens at"))?;
            }
            _ => return Err(OpenError::Taken { socket: path.to_owned() }),
        }
    }
    let listener = UnixListener::bind(path).map_err(fail("listening"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(fail("letting its group connect"))?;
    // One that was there and is gone again must not make us wait.
    listener.set_nonblocking(true).map_err(fail("listening"))?;
    Ok(listener)
}

impl Handle {
    /// How the port stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.board.read()
    }

    /// The listening socket, for the next process.
    #[must_use]
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// What the next process finds the conversation in.
    #[must_use]
    pub fn keepsake(&self) -> Option<BorrowedFd<'_>> {
        self.keepsake.as_ref().map(AsFd::as_fd)
    }

    /// Lets the session speak. When this returns, what an earlier process has left is taken up.
    pub fn allow(&self) {
        self.turn.allow();
    }

    /// Lets the session finish what it has in hand, and begin nothing more until it is allowed to again.
    pub fn hold(&self) {
        self.turn.hold();
    }

    /// Removes the socket that was made for the port: nobody comes any more.
    pub fn remove_socket(&self) {
        if self.listener.is_some() {
            // If somebody else has removed it, that is as good.
            let _ = fs::remove_file(&self.socket);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.turn.end();
        self.device.call_attention();
    }
}
