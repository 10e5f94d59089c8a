//! What this process can do from its start on, whatever a frame, a client or a file makes of it: the system calls that
//! it makes ([`calls`]) and no others, on the files that it uses ([`files`]) and no others. The calls of the
//! thread that forwards are filtered only where they are anyhow, for a filter makes each slower; then it can do much less.
//!
//! A new process that takes over is started by the old one, and so has the same sandbox or a narrower one.

mod calls;
mod files;

use std::ffi::OsString;

use anyhow::Context;
pub(crate) use files::Files;
use ports::sys::denied;
use seccompiler::apply_filter;
use tracing::{info, warn};

use crate::clock::Clock;

/// Tells a process that was started from within the sandbox in which one it is: putting on the same one again
/// would only cost time with each system call.
const INHERITED: &str = "SWITCHD_SANDBOX";

/// Lets the whole process see no files but its own, and gets ready to tell of calls that are refused. Where the kernel
/// has no such thing, says so.
///
/// # Errors
/// The kernel has it, and yet refuses.
pub(crate) fn enter(files: &Files<'_>) -> anyhow::Result<()> {
    // Before Linux 6.4 rustix opens /proc/self/auxv when the clock is first asked, which later not every thread may.
    let _ = Clock.read();
    denied::tell().context("can't catch SIGSYS")?;
    if is_inherited() {
        return Ok(());
    }
    match files::restrict(files).context("can't restrict the files that this process sees")? {
        files::Restricted::All => {}
        files::Restricted::Some => {
            info!("this kernel's Landlock is an old one: not all access to files is checked")
        }
        files::Restricted::Nothing => {
            warn!("this kernel has no Landlock: only file permissions restrict this process")
        }
    }
    Ok(())
}

/// Lets this thread, and those that it starts from now on, make no system calls but the process's. Where the kernel
/// has no such thing, says so.
///
/// # Errors
/// There is no filter for this architecture.
pub(crate) fn enter_calls() -> anyhow::Result<()> {
    if is_inherited() {
        return Ok(());
    }
    if let Err(error) = apply_filter(&calls::filter(&calls::of_process())?) {
        warn!("this kernel does not filter system calls: {error}");
    }
    Ok(())
}

fn is_inherited() -> bool {
    std::env::var_os(INHERITED).is_some_and(|inherited| inherited == identity())
}

/// Lets this thread make no system calls but those of forwarding, if its calls are filtered anyhow, as under the
/// service manager. Else it stays without a filter: with one, each frame takes a sixth longer.
///
/// # Errors
/// The kernel refuses what it did for the process.
pub(crate) fn enter_forwarding() -> anyhow::Result<()> {
    if !calls::are_filtered() {
        return Ok(());
    }
    apply_filter(&calls::filter(&calls::of_forwarding())?).context("can't restrict the forwarding thread")
}

/// What a process that is started from here is to find in its environment.
pub(crate) fn for_successor() -> (&'static str, OsString) {
    (INHERITED, identity())
}

/// The version and its list: what is not the same is put on again.
fn identity() -> OsString {
    let calls: Vec<u8> = calls::of_process().iter().flat_map(|call| call.to_le_bytes()).collect();
    format!("{}-{:08x}", env!("CARGO_PKG_VERSION"), crc32fast::hash(&calls)).into()
}

#[cfg(test)]
mod tests;
