//! Installs what the demo and the tests need, and says what and why.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use testbed::machine;

use crate::run::{cargo, run as run_command, works};

/// What the machine is to be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The demo alone.
    Demo,
    /// The demo, all checks and tests, and the throughput comparison.
    Everything,
}

/// Debian packages: name, who needs it, what for.
const PACKAGES: [(&str, Use, &str); 17] = [
    ("iproute2", Use::Demo, "makes namespaces and wires"),
    ("iputils-ping", Use::Demo, "measures round-trip times"),
    ("qemu-system-x86", Use::Demo, "runs the virtual machines"),
    ("linux-image-cloud-amd64", Use::Demo, "is the kernel that they boot; nothing else uses it"),
    ("busybox-static", Use::Demo, "is all the software in them"),
    ("tcpdump", Use::Everything, "captures frames in tests"),
    ("tshark", Use::Everything, "reads in tests what switchctl captures"),
    ("tmux", Use::Everything, "is in tests the terminal of switchctl top"),
    ("nftables", Use::Everything, "shows in tests which rules are set"),
    ("ethtool", Use::Everything, "shows in tests which offloads are on"),
    ("iperf3", Use::Everything, "measures throughput"),
    ("libvirt-daemon", Use::Everything, "runs virtual machines in tests as people run them"),
    ("libvirt-clients", Use::Everything, "starts and destroys those (virsh)"),
    ("systemd-container", Use::Everything, "boots a systemd for the tests of the service"),
    ("mmdebstrap", Use::Everything, "makes the small Debian in which that runs"),
    ("prometheus", Use::Everything, "reads the metrics in tests, and checks their form (promtool)"),
    ("curl", Use::Everything, "asks it what it has read"),
];

/// What the Debian of the tests holds beside the minimum.
const MACHINE_PACKAGES: &str = "--include=systemd,systemd-sysv,dbus,iproute2,procps,iputils-ping";

/// What Grafana says that a dashboard is, and the compiler that checks it.
const NPM_PACKAGES: [&str; 2] = ["@grafana/schema@11.6.16", "typescript@5"];

/// What makes the Debian package.
const DEB_TOOL: (&str, &str, &str) = ("deb", "cargo-deb", "makes the Debian package");

/// Tools that cargo builds: subcommand, package, what for.
const TOOLS: [(&str, &str, &str); 3] = [
    DEB_TOOL,
    ("nextest", "cargo-nextest", "runs the tests"),
    ("deny", "cargo-deny", "checks licences and sources of what we depend on; takes some minutes to build"),
];

/// Installs what is missing; says nothing if nothing is.
///
/// # Errors
/// Something is missing and can't be installed: not root, not Debian, no network.
pub(crate) fn run(purpose: Use) -> Result<()> {
    let needed = PACKAGES.iter().filter(|(_, user, _)| *user == Use::Demo || purpose == Use::Everything);
    let missing: Vec<_> = needed.filter(|(package, ..)| !is_installed(package)).collect();
    for (package, _, purpose) in &missing {
        println!("  {package} is missing: it {purpose}");
    }
    let names: Vec<_> = missing.iter().map(|(package, ..)| *package).collect();
    ensure!(
        is_root(),
        "network namespaces and TAPs need root: run this as root{}",
        if names.is_empty() { String::new() } else { format!("; it will install {}", names.join(" ")) }
    );
    if !names.is_empty() {
        install(&names)?;
    }
    if purpose == Use::Everything {
        tools()?;
        machine_root()?;
        grafana_types()?;
    }
    Ok(())
}

/// The Debian that machines of the tests boot: 216 MB, made once.
fn machine_root() -> Result<()> {
    let root = machine::root();
    if root.exists() {
        return Ok(());
    }
    println!("  {} is missing: it is the Debian that the tests of the service boot", root.display());
    let new = root.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(root.parent().unwrap_or(&root))?;
    let mut debootstrap = Command::new("mmdebstrap");
    debootstrap.args(["--quiet", "--variant=minbase", MACHINE_PACKAGES, "bookworm"]).arg(&new);
    run_quietly(&mut debootstrap).context("mmdebstrap")?;
    // Each boot gets an identity and a name of its own.
    fs::write(new.join("etc/machine-id"), "")?;
    let _ = fs::remove_file(new.join("etc/hostname"));
    fs::rename(&new, &root)?;
    Ok(())
}

/// The types that Grafana gives its dashboards, and what checks against them: 25 MB.
fn grafana_types() -> Result<()> {
    let home = testbed::target::target_directory().join("grafana");
    if home.join("node_modules").exists() {
        return Ok(());
    }
    if !works(Command::new("npm").arg("--version")) {
        println!("  npm is missing: it fetches what the dashboard is checked with");
        install(&["npm"])?;
    }
    println!("  {} is missing: it is what the dashboard is checked with", home.display());
    fs::create_dir_all(&home)?;
    fs::write(home.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent"]).args(NPM_PACKAGES).current_dir(&home);
    run_quietly(&mut npm).context("npm install")
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn install(packages: &[&str]) -> Result<()> {
    if !works(Command::new("apt-get").arg("--version")) {
        bail!("no apt-get here: install {} with this system's own means", packages.join(" "));
    }
    println!("  installing with apt-get: {}", packages.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    run_quietly(apt().arg("update")).context("apt-get update")?;
    run_quietly(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
        .context("apt-get install")
}

/// Runs a command whose output matters only if it fails.
fn run_quietly(command: &mut Command) -> Result<()> {
    testbed::command::output(command).map(drop)
}

fn tools() -> Result<()> {
    for (component, name) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        ensure!(
            works(&mut cargo(&[component, "--version"])),
            "cargo {component} is missing: `rustup component add {name}`, or the Debian package of that name"
        );
    }
    TOOLS.into_iter().try_for_each(tool)
}

/// Installs what makes the Debian package.
///
/// # Errors
/// It is missing and can't be installed.
pub(crate) fn deb_tool() -> Result<()> {
    tool(DEB_TOOL)
}

/// Installs what breaks the core on purpose.
///
/// # Errors
/// It is missing and can't be installed.
pub(crate) fn mutants() -> Result<()> {
    tool(("mutants", "cargo-mutants", "makes builds with one mistake each"))
}

fn tool((subcommand, package, purpose): (&str, &str, &str)) -> Result<()> {
    if works(&mut cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    println!("  {package} is missing: it {purpose}; installing it with cargo");
    run_command(&mut cargo(&["install", "--locked", "--quiet", package]))
        .with_context(|| format!("can't install {package} with `cargo install --locked {package}`"))
}
