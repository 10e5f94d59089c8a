//! From the command line to a checked configuration.

use anyhow::{Context, bail};
use config::Config;

use crate::arguments::Arguments;

/// Reads and checks what the arguments name.
///
/// # Errors
/// If the file can't be read, or anything in it is wrong: then all problems at once.
pub(crate) fn load(arguments: &Arguments) -> anyhow::Result<Config> {
    let result = match &arguments.config {
        None => config::from_arguments(arguments.name.as_deref(), &arguments.tap, &arguments.raw),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("can't read the configuration {}", path.display()))?;
            config::parse(&path.display().to_string(), &text)
        }
    };
    match result {
        Ok(config) => Ok(config),
        Err(problems) => {
            eprint!("{problems}");
            bail!("{} problem(s) in the configuration; nothing was started", problems.len())
        }
    }
}
