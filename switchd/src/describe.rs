//! What a package needs of this program: its manual page, and completions for shells.

use std::io::{self, Write};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::arguments::Arguments;

/// What to print.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Description {
    /// The manual page, as roff.
    Man,
    Bash,
    Fish,
    Zsh,
}

/// Prints it.
///
/// # Errors
/// As `write(2)`.
pub(crate) fn print(what: Description) -> io::Result<()> {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    let shell = match what {
        Description::Man => {
            clap_mangen::Man::new(command).section("8").render(&mut text)?;
            return io::stdout().write_all(&text);
        }
        Description::Bash => Shell::Bash,
        Description::Fish => Shell::Fish,
        Description::Zsh => Shell::Zsh,
    };
    clap_complete::generate(shell, &mut command, "switchd", &mut text);
    io::stdout().write_all(&text)
}
