//! The descriptors of a TAP: those of its receive queues and, where these are several, one more that only writes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use super::{TapError, TapOptions};
use crate::sys::tun;
use crate::tap_state::is_held;

/// All of one interface.
pub(super) struct Descriptors {
    /// The first receive queue's; what is asked of the interface is asked by it.
    pub(super) first: OwnedFd,
    /// Those of the other receive queues.
    pub(super) more: Vec<OwnedFd>,
    /// The detached one, which all writes go through; without it they go through the first.
    pub(super) writer: Option<OwnedFd>,
}

/// Creates the interface or attaches to it.
pub(super) fn open(options: &TapOptions) -> Result<Descriptors, TapError> {
    if options.queues > 1
        && let Some(several) = open_several(options)?
    {
        return Ok(several);
    }
    let first = if options.offload { open_with_header(options)? } else { open_plain(options)? };
    Ok(Descriptors { first, more: Vec::new(), writer: None })
}

/// As many as are wanted; none where the interface takes one only, or is no TAP.
fn open_several(options: &TapOptions) -> Result<Option<Descriptors>, TapError> {
    // The kernel gives frames to the writer until it is detached, so it is that before there is another.
    let writer = match attach_one_of_several(options) {
        Err(TapError::NotATap { .. }) => return Ok(None),
        other => other?,
    };
    tun::detach_queue(writer.as_fd()).map_err(options.failed("detaching the queue that only writes"))?;
    let attach = || attach(options, flags(options) | libc::IFF_MULTI_QUEUE);
    let first = attach()?;
    let more = (1..options.queues).map(|_| attach()).collect::<Result<_, _>>()?;
    Ok(Some(Descriptors { first, more, writer: Some(writer) }))
}

fn open_with_header(options: &TapOptions) -> Result<OwnedFd, TapError> {
    match attach(options, flags(options)) {
        // A persistent TAP that was made with multi_queue takes only such descriptors.
        Err(TapError::NotATap { .. }) => attach_one_of_several(options),
        other => other,
    }
}

fn open_plain(options: &TapOptions) -> Result<OwnedFd, TapError> {
    match tun_tap::Iface::without_packet_info(&options.device, tun_tap::Mode::Tap) {
        Ok(iface) => {
            iface.set_non_blocking().map_err(options.failed("making it non-blocking"))?;
            Ok(tun::descriptor_of(iface))
        }
        // One of several queues, for which tun-tap does not ask.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => attach_one_of_several(options),
        Err(source) => Err(attach_error(&options.device, source)),
    }
}

/// A first descriptor of an interface that takes several.
fn attach_one_of_several(options: &TapOptions) -> Result<OwnedFd, TapError> {
    if is_held(&options.device) {
        return Err(TapError::Busy { device: options.device.clone() });
    }
    attach(options, flags(options) | libc::IFF_MULTI_QUEUE)
}

fn attach(options: &TapOptions, flags: i32) -> Result<OwnedFd, TapError> {
    let fd = tun::open_clone_device().map_err(|source| TapError::NoDriver { source })?;
    tun::set_iff(fd.as_fd(), &options.device, flags)
        .map_err(|source| attach_error(&options.device, source))?;
    Ok(fd)
}

fn flags(options: &TapOptions) -> i32 {
    let header = if options.offload { libc::IFF_VNET_HDR } else { 0 };
    libc::IFF_TAP | libc::IFF_NO_PI | header
}

fn attach_error(device: &str, source: io::Error) -> TapError {
    let device = device.to_owned();
    match source.raw_os_error() {
        Some(libc::EBUSY) => TapError::Busy { device },
        Some(libc::EINVAL) => TapError::NotATap { device },
        Some(libc::EPERM | libc::EACCES) => TapError::NotPermitted { device },
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TapError::NoDriver { source },
        _ => TapError::Io { device, what: "attaching", source },
    }
}

/// Those of an earlier process, less what is too many and with what is missing and can be had.
pub(super) fn adopt(fds: Vec<OwnedFd>, options: &TapOptions) -> Result<Descriptors, TapError> {
    let mut adopted = sort(fds, options)?;
    adopted.more.truncate(options.queues.saturating_sub(1));
    if options.queues > 1 {
        complete(&mut adopted, options);
    } else {
        adopted.writer = None;
    }
    Ok(adopted)
}

/// Tells which descriptor is what.
fn sort(fds: Vec<OwnedFd>, options: &TapOptions) -> Result<Descriptors, TapError> {
    let refuse = |what| options.failed(what)(io::Error::from_raw_os_error(libc::EINVAL));
    let look = options.failed("looking at the descriptor from before");
    let (mut receiving, mut writer, mut interface) = (Vec::new(), None, None);
    for fd in fds {
        let flags = tun::flags(fd.as_fd()).map_err(&look)?;
        if (flags & libc::IFF_VNET_HDR != 0) != options.offload {
            return Err(refuse("using the descriptor from before, which has other offloads"));
        }
        let this = Interface::of(fd.as_fd()).map_err(&look)?;
        if *interface.get_or_insert_with(|| this.clone()) != this {
            return Err(refuse("using the descriptors from before, which are of several interfaces"));
        }
        if flags & libc::IFF_DETACH_QUEUE == 0 {
            receiving.push(fd);
        } else {
            writer.get_or_insert(fd);
        }
    }
    let mut receiving = receiving.into_iter();
    let Some(first) = receiving.next() else {
        return Err(refuse("using the descriptors from before, none of which receives"));
    };
    Ok(Descriptors { first, more: receiving.collect(), writer })
}

/// Opens what is missing, as far as that is possible: it is not for an interface that takes one descriptor only, or
/// that is in another network namespace, where an interface of its name is another one.
fn complete(adopted: &mut Descriptors, options: &TapOptions) {
    let first = adopted.first.as_fd();
    let one_of_several = tun::flags(first).is_ok_and(|flags| flags & libc::IFF_MULTI_QUEUE != 0);
    let Some(device) = name_here(first).filter(|_| one_of_several) else { return };
    let options = TapOptions { device, ..options.clone() };
    let another = || attach_to_same(first, &options);
    let detached = || another().filter(|fd| tun::detach_queue(fd.as_fd()).is_ok());
    adopted.writer = adopted.writer.take().or_else(detached);
    let missing = options.queues.saturating_sub(1 + adopted.more.len());
    adopted.more.extend((0..missing).map_while(|_| another()));
}

/// Another descriptor of the interface that `first` is of, which may be renamed or moved away meanwhile.
fn attach_to_same(first: BorrowedFd<'_>, options: &TapOptions) -> Option<OwnedFd> {
    let fd = attach(options, flags(options) | libc::IFF_MULTI_QUEUE).ok()?;
    let same = Interface::of(fd.as_fd()).ok()? == Interface::of(first).ok()?;
    same.then_some(fd)
}

/// Which interface a descriptor is of.
#[derive(Clone, PartialEq, Eq)]
struct Interface {
    name: String,
    /// Device and inode of its network namespace, if we may know.
    namespace: Option<(u64, u64)>,
}

impl Interface {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let namespace = tun::namespace(fd).and_then(|file| identity(&file.into())).ok();
        Ok(Self { name: tun::interface_name(fd)?, namespace })
    }
}

/// The present name of a descriptor's interface, if it is in the calling thread's network namespace.
pub(super) fn name_here(fd: BorrowedFd<'_>) -> Option<String> {
    let here = File::open("/proc/thread-self/ns/net").and_then(|file| identity(&file)).ok()?;
    Interface::of(fd)
        .ok()
        .filter(|interface| interface.namespace == Some(here))
        .map(|interface| interface.name)
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}
