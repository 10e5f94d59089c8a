//! From the command line to a checked configuration.

use std::fs::File;
use std::io::{IsTerminal, Read, stderr};
use std::path::Path;

use anyhow::{Context, anyhow};
use config::{Config, Problems};

use crate::arguments::Arguments;

/// No more of a file than this is read; the parser refuses texts of over 1 MiB.
const MAX_READ: u64 = (1 << 20) + 1;

/// A configuration, and the text of the file that says so.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) text: String,
}

/// Reads and checks what the arguments name, and shows people what is wrong.
///
/// # Errors
/// If the file can't be read, or anything in it is wrong: then all problems at once.
pub(crate) fn load(arguments: &Arguments) -> anyhow::Result<Loaded> {
    read_again(arguments).map_err(|error| match error.downcast::<Problems>() {
        Ok(problems) => {
            let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            eprint!("{}", problems.render(colour));
            anyhow!("{} problem(s) in the configuration", problems.len())
        }
        Err(error) => error,
    })
}

/// The same for whoever asks: what is wrong is in the error.
///
/// # Errors
/// As [`load`]; where the text is wrong, it is the [`Problems`].
pub(crate) fn read_again(arguments: &Arguments) -> anyhow::Result<Loaded> {
    let Some(path) = &arguments.config else {
        let config = config::from_arguments(arguments.name.as_deref(), &arguments.tap, &arguments.raw)?;
        return Ok(Loaded { config, text: String::new() });
    };
    let text = read(path).with_context(|| format!("can't read the configuration {}", path.display()))?;
    Ok(Loaded { config: config::parse(&path.display().to_string(), &text)?, text })
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_READ).read_to_string(&mut text)?;
    Ok(text)
}
