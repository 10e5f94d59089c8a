//! The files that switchd uses: its configuration, its run directory, what the kernel tells in `/proc` and `/sys`, the
//! device that TAPs are made with, and its program, for an upgrade.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};

/// The rights that are checked: those of Linux 6.10.
const RIGHTS: ABI = ABI::V5;

/// What can be read anywhere: devices and their settings, names of users, time zones, libraries.
const READ: [&str; 11] = [
    "/proc",
    "/sys",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
];

/// Where the loader of programs is.
const LOADERS: [&str; 3] = ["/lib", "/lib64", "/usr/lib"];

/// Devices that can be used.
const DEVICES: [&str; 2] = ["/dev/net/tun", "/dev/null"];

/// What is this process's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    /// The configuration; read again now and then, also another file in its place.
    pub(crate) config: Option<&'a Path>,
    /// Where it writes.
    pub(crate) run_dir: &'a Path,
    /// Sockets that are made elsewhere.
    pub(crate) sockets: &'a [&'a Path],
}

/// How much of it the kernel checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restricted {
    All,
    Some,
    Nothing,
}

/// Restricts this thread and all that it starts.
///
/// # Errors
/// The kernel refuses.
pub(super) fn restrict(files: &Files<'_>) -> Result<Restricted, RulesetError> {
    let Files { config, run_dir, sockets } = *files;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let execute: BitFlags<AccessFs> = AccessFs::Execute | AccessFs::ReadFile;
    let run = AccessFs::from_file(RIGHTS) & !AccessFs::Execute
        | AccessFs::ReadDir
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::RemoveFile;
    let make_socket = AccessFs::MakeSock | AccessFs::RemoveFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules(config.into_iter().flat_map(directories), read))?
        .add_rules(path_beneath_rules([run_dir], run))?
        .add_rules(path_beneath_rules(sockets.iter().flat_map(|path| directories(path)), make_socket))?
        .add_rules(path_beneath_rules(programs().iter().flat_map(|path| directories(path)), execute))?
        .add_rules(path_beneath_rules(LOADERS, execute))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Restricted::All,
        RulesetStatus::PartiallyEnforced => Restricted::Some,
        RulesetStatus::NotEnforced => Restricted::Nothing,
    })
}

/// Where a file is, by its name and by where that leads: another file may take its place.
fn directories(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    };
    let real = file.canonicalize().ok();
    [Some(parent(file)), real.as_deref().map(parent)].into_iter().flatten().collect()
}

/// This program, and the one that an upgrade starts.
fn programs() -> Vec<PathBuf> {
    let named = std::env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
    [std::env::current_exe().ok(), named].into_iter().flatten().collect()
}
