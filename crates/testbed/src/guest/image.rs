//! What a guest boots: the kernel of Debian's cloud image package, and a first root of busybox, kernel modules,
//! programs of this machine, iperf3 where it has it, and [`init.sh`](../../src/guest/init.sh).

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use crate::target::target_directory;
use crate::{command, pattern};

const INIT: &str = include_str!("init.sh");
const SEND: &str = include_str!("send.sh");

/// What a kind of guest has.
#[derive(Debug)]
pub(super) struct Contents {
    /// Part of the name of the file where it is kept.
    name: &'static str,
    /// Kernel modules, with what they depend on.
    pub(super) modules: &'static [&'static str],
    /// Its shell: busybox, which prefers its own commands to programs, or one of `programs`.
    shell: &'static str,
    /// Programs of this machine that it has to have.
    programs: &'static [&'static str],
}

/// A virtual machine on a port. Its modules are loaded by `init.sh`, for its card and its power button, or there for a
/// test to load: tagged and tunnelled traffic.
pub(super) const GUEST: Contents = Contents {
    name: "guest",
    modules: &["virtio_pci", "virtio_net", "button", "evdev", "8021q", "vxlan", "geneve", "ip_gre", "ipip"],
    shell: "busybox",
    programs: &[],
};

/// A machine with a switch: all that tests of networks ask of a kernel, and the commands that they run.
pub(super) const LAB: Contents = Contents {
    name: "lab",
    modules: &[
        "bridge",
        "veth",
        "tun",
        "8021q",
        "vhost_net",
        "macvlan",
        "vxlan",
        "geneve",
        "ip_gre",
        "ipip",
        "nf_tables",
        "sch_ingress",
        "cls_u32",
    ],
    shell: "dash",
    programs: &[
        "/usr/bin/dash",
        "/usr/sbin/ip",
        "/usr/sbin/bridge",
        "/usr/sbin/tc",
        "/usr/sbin/nft",
        "/usr/sbin/ethtool",
        "/usr/sbin/sysctl",
        "/usr/bin/tcpdump",
        "/usr/bin/ping",
        "/usr/bin/setpriv",
    ],
};

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
pub(super) fn image(contents: &Contents) -> Result<Image> {
    let version = newest_kernel().context(
        "no kernel for guests in /boot: install linux-image-cloud-amd64 (`cargo xtask setup` does it)",
    )?;
    let directory = target_directory().join("testbed");
    let name = contents.name;
    let root = directory.join(format!("{name}-{version}-{:016x}.cpio", fingerprint(contents)));
    if !root.exists() {
        fs::create_dir_all(&directory)?;
        // Written aside and renamed, so that tests that start together never see half a file.
        let mut file = tempfile::NamedTempFile::new_in(&directory)?;
        file.write_all(&archive(&version, contents)?)?;
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
fn fingerprint(contents: &Contents) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (INIT, SEND, contents.modules).hash(&mut hasher);
    for path in [BUSYBOX, IPERF].iter().chain(contents.programs) {
        path.hash(&mut hasher);
        fs::metadata(path).and_then(|file| file.modified()).ok().hash(&mut hasher);
    }
    hasher.finish()
}

fn archive(version: &str, contents: &Contents) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "tmp", "run", "lib", "lib64", "etc"] {
        archive.directory(directory);
    }
    archive.link("usr", ".");
    archive.link("sbin", "bin");
    let busybox = fs::read(BUSYBOX)
        .context("no busybox for guests: install busybox-static (`cargo xtask setup` does it)")?;
    archive.file("bin/busybox", &busybox);
    archive.link("bin/sh", contents.shell);
    archive.file("init", INIT.as_bytes());
    archive.file("bin/send", SEND.as_bytes());
    archive.file("pattern", &pattern::block()[..pattern::PERIOD].repeat(PATTERNS));
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n");
    add_modules(&mut archive, version, contents.modules)?;
    let mut libraries = Libraries::default();
    let iperf = Some(&IPERF).filter(|path| Path::new(path).exists());
    for program in contents.programs.iter().chain(iperf).map(Path::new) {
        let content = fs::read(program)
            .with_context(|| format!("no {}: `cargo xtask setup` installs it", program.display()))?;
        archive.file(&format!("bin/{}", file_name(program)), &content);
        libraries.add(&mut archive, program)?;
    }
    Ok(archive.finish())
}

/// Adds the modules and what they depend on, with the part of `modules.dep` that `modprobe` needs.
fn add_modules(archive: &mut Archive, version: &str, modules: &[&str]) -> Result<()> {
    let directory = Path::new("/lib/modules").join(version);
    let list = fs::read_to_string(directory.join("modules.dep"))?;
    let mut paths = BTreeSet::new();
    let mut needed = String::new();
    for (path, on) in list.lines().filter_map(|line| line.split_once(':')) {
        if modules.iter().any(|module| path.ends_with(&format!("/{module}.ko"))) {
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

/// The shared libraries that an archive has already.
#[derive(Debug, Default)]
pub(super) struct Libraries(BTreeSet<String>);

impl Libraries {
    /// Adds those of a program, as `ldd` lists them.
    pub(super) fn add(&mut self, archive: &mut Archive, program: &Path) -> Result<()> {
        let listed = command::output(Command::new("ldd").arg(program))?;
        for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            if self.0.insert(path.to_owned()) {
                let place = if path.starts_with("/lib64/") { "lib64" } else { "lib" };
                archive.file(&format!("{place}/{}", file_name(Path::new(path))), &fs::read(path)?);
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
