//! What a guest boots: the kernel of Debian's cloud image package, and a first root of busybox, a few
//! kernel modules, iperf3 where the machine has it, and [`init.sh`](../../src/guest/init.sh).

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use crate::target::target_directory;
use crate::{command, pattern};

const INIT: &str = include_str!("init.sh");
const SEND: &str = include_str!("send.sh");

/// Loaded by `init.sh`, or there for a test to load: tagged and tunnelled traffic.
const MODULES: [&str; 7] = ["virtio_pci", "virtio_net", "8021q", "vxlan", "geneve", "ip_gre", "ipip"];

/// How often the test pattern stands in its file: 4 MiB in all.
const PATTERNS: usize = 64;

const BUSYBOX: &str = "/usr/bin/busybox";
const IPERF: &str = "/usr/bin/iperf3";

/// A kernel and its first root, as files.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) kernel: PathBuf,
    pub(super) root: PathBuf,
}

/// Finds the newest cloud kernel and makes its root under `target/testbed/`, unless it is there already.
pub(super) fn image() -> Result<Image> {
    let version = newest_kernel().context(
        "no kernel for guests in /boot: install linux-image-cloud-amd64 (`cargo xtask setup` does it)",
    )?;
    let directory = target_directory().join("testbed");
    let root = directory.join(format!("guest-{version}-{:016x}.cpio", fingerprint()));
    if !root.exists() {
        fs::create_dir_all(&directory)?;
        // Written aside and renamed, so that tests that start together never see half a file.
        let mut file = tempfile::NamedTempFile::new_in(&directory)?;
        file.write_all(&archive(&version)?)?;
        file.persist(&root)?;
    }
    Ok(Image { kernel: Path::new("/boot").join(format!("vmlinuz-{version}")), root })
}

fn newest_kernel() -> Option<String> {
    let names =
        fs::read_dir("/boot").ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let versions = names.filter_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned()));
    let cloud = versions.filter(|version| version.ends_with("-cloud-amd64"));
    cloud
        .filter(|version| Path::new("/lib/modules").join(version).exists())
        .max_by_key(|version| numbers(version))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Differs when what goes into the root differs.
fn fingerprint() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (INIT, SEND, MODULES).hash(&mut hasher);
    for path in [BUSYBOX, IPERF] {
        fs::metadata(path).and_then(|file| file.modified()).ok().hash(&mut hasher);
    }
    hasher.finish()
}

fn archive(version: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "tmp", "lib", "lib64", "etc"] {
        archive.directory(directory);
    }
    archive.link("usr", ".");
    archive.link("sbin", "bin");
    let busybox = fs::read(BUSYBOX)
        .context("no busybox for guests: install busybox-static (`cargo xtask setup` does it)")?;
    archive.file("bin/busybox", &busybox);
    archive.link("bin/sh", "busybox");
    archive.file("init", INIT.as_bytes());
    archive.file("bin/send", SEND.as_bytes());
    archive.file("pattern", &pattern::block()[..pattern::PERIOD].repeat(PATTERNS));
    add_modules(&mut archive, version)?;
    if Path::new(IPERF).exists() {
        add_program(&mut archive, IPERF)?;
    }
    Ok(archive.finish())
}

/// Adds the modules and what they depend on, with the part of `modules.dep` that `modprobe` needs.
fn add_modules(archive: &mut Archive, version: &str) -> Result<()> {
    let directory = Path::new("/lib/modules").join(version);
    let list = fs::read_to_string(directory.join("modules.dep"))?;
    let mut paths = BTreeSet::new();
    let mut needed = String::new();
    for (path, on) in list.lines().filter_map(|line| line.split_once(':')) {
        if MODULES.iter().any(|module| path.ends_with(&format!("/{module}.ko"))) {
            paths.insert(path);
            paths.extend(on.split_whitespace());
        }
    }
    for line in list.lines().filter(|line| line.split_once(':').is_some_and(|(path, _)| paths.contains(path)))
    {
        needed.push_str(line);
        needed.push('\n');
    }
    archive.directory("lib/modules");
    archive.directory(&format!("lib/modules/{version}"));
    archive.file(&format!("lib/modules/{version}/modules.dep"), needed.as_bytes());
    let mut made = BTreeSet::new();
    for path in paths {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        for parent in parents.filter(|parent| made.insert(*parent)).collect::<Vec<_>>() {
            archive.directory(&format!("lib/modules/{version}/{parent}"));
        }
        archive.file(&format!("lib/modules/{version}/{path}"), &fs::read(directory.join(path))?);
    }
    Ok(())
}

/// Adds a program of this machine with its shared libraries, as `ldd` lists them.
fn add_program(archive: &mut Archive, program: &str) -> Result<()> {
    archive.file(&format!("bin/{}", program.rsplit('/').next().unwrap_or(program)), &fs::read(program)?);
    for path in
        command::run(&format!("ldd {program}"))?.split_whitespace().filter(|word| word.starts_with('/'))
    {
        let file = path.rsplit('/').next().unwrap_or(path);
        let place = if path.starts_with("/lib64/") { "lib64" } else { "lib" };
        archive.file(&format!("{place}/{file}"), &fs::read(path)?);
    }
    Ok(())
}
