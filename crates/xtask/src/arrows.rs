//! The arrows between the crates, as the compiler can't hold them: what a crate must not reach, by any path.

use anyhow::{Result, ensure};

use crate::run::cargo;

/// Crates that talk to the system or the outside.
const SYSTEM: &[&str] = &["libc", "mio", "rustix", "tracing"];

/// Each crate with what it must not reach, and why.
const RULES: &[(&str, &[&str], &str)] = &[
    ("frame", SYSTEM, "it is bytes only, no I/O"),
    ("bridge", SYSTEM, "it decides, without I/O and clock"),
    ("frame", &["bridge", "ports"], "it stands below both"),
    ("bridge", &["ports"], "only switchd sees both"),
    ("ports", &["bridge"], "only switchd sees both"),
    ("vhost-user", &["bridge"], "only switchd sees both"),
    ("config", &["ports", "bridge"], "it is text and values only"),
    ("control", &["ports", "bridge", "config"], "it is what both ends of the socket share"),
    ("switchctl", &["ports", "bridge"], "it knows of the switch what the socket tells"),
];

/// Checks all rules with `cargo tree`.
pub(crate) fn check() -> Result<()> {
    for (package, banned, why) in RULES {
        let arguments = ["tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"];
        let tree = testbed::command::output(&mut cargo(&arguments))?;
        let reached = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
        let wrong: Vec<_> = banned.iter().filter(|name| reached(name)).copied().collect();
        ensure!(
            wrong.is_empty(),
            "crate {package} must not reach {}: {why}. `cargo tree -p {package} -e normal -i {}` shows how it does",
            wrong.join(", "),
            wrong.first().copied().unwrap_or_default()
        );
    }
    println!("{} rules hold", RULES.len());
    Ok(())
}
