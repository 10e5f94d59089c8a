//! `cargo xtask deb`: the Debian package, with manual pages and completions made from the programs themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::run::{cargo, root, run as run_command};
use crate::setup;

/// What the package is about.
const PROGRAMS: [&str; 2] = ["switchd", "switchctl"];

/// Makes the Debian package
#[derive(Debug, Args)]
pub(crate) struct Deb {
    /// Pack programs that are built already with this profile, in place of a release build
    #[arg(long, value_name = "PROFILE")]
    built: Option<String>,
    /// The version of the package [default: that of the workspace]
    #[arg(long, value_name = "VERSION")]
    deb_version: Option<String>,
    /// Where it goes
    #[arg(long, default_value = "target/debian")]
    output: PathBuf,
}

/// Builds and packs.
pub(crate) fn run(options: &Deb) -> Result<()> {
    setup::deb_tool()?;
    let target = testbed::target::target_directory();
    let staged = root().join("target/deb");
    let _ = fs::remove_dir_all(&staged);
    match options.built.as_deref() {
        Some("dev") => stage(&target.join("debug"), &staged)?,
        Some(profile) => stage(&target.join(profile), &staged)?,
        None => {
            run_command(&mut cargo(&["build", "--locked", "--release", "-p", "switchd", "-p", "switchctl"]))?;
            stage(&target.join("release"), &staged)?;
            let programs = PROGRAMS.map(|program| staged.join("bin").join(program));
            run_command(Command::new("strip").args(programs))?;
        }
    }
    describe(&staged)?;
    let mut pack = cargo(&["deb", "--quiet", "--package", "switchd", "--no-build", "--no-strip"]);
    fs::create_dir_all(root().join(&options.output))?;
    pack.arg("--output").arg(root().join(&options.output));
    if options.built.is_some() {
        pack.arg("--fast");
    }
    if let Some(version) = &options.deb_version {
        pack.args(["--deb-version", version]);
    }
    run_command(&mut pack).context("cargo deb")
}

/// Puts copies of the programs where the package takes them from.
fn stage(built: &Path, staged: &Path) -> Result<()> {
    let bin = staged.join("bin");
    fs::create_dir_all(&bin)?;
    for program in PROGRAMS {
        let from = built.join(program);
        fs::copy(&from, bin.join(program)).with_context(|| format!("{}: build it first", from.display()))?;
    }
    Ok(())
}

/// Lets each program write its manual page and completions.
fn describe(staged: &Path) -> Result<()> {
    let (man, completions) = (staged.join("man"), staged.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for (program, manual, shells) in
        [("switchd", &["--print", "man"][..], "--print"), ("switchctl", &["man"], "completions")]
    {
        let say = |arguments: &[&str]| {
            testbed::command::output(Command::new(staged.join("bin").join(program)).args(arguments))
        };
        fs::write(man.join(format!("{program}.8")), say(manual)?)?;
        for (shell, name) in [
            ("bash", format!("{program}.bash")),
            ("zsh", format!("_{program}")),
            ("fish", format!("{program}.fish")),
        ] {
            fs::write(completions.join(name), say(&[shells, shell])?)?;
        }
    }
    Ok(())
}
