//! Cargo and other commands, with their output where ours goes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The workspace's own directory.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The cargo that runs us, in the workspace's directory.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command to its end.
///
/// # Errors
/// It can't be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("can't start {program}"))?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}

/// Whether a command can be run and succeeds, whatever it says.
pub(crate) fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The `switchd` to measure or to test: the one that was named, else a release build of this workspace.
///
/// # Errors
/// It can't be built.
pub(crate) fn switchd(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    run(&mut cargo(&["build", "--locked", "--quiet", "--release", "--package", "switchd"]))?;
    Ok(testbed::target::target_directory().join("release/switchd"))
}
