//! Running a command to its end: a line of text cut into words, and an error that shows what it said.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// Cuts a command line into words at white space. `'…'` and `"…"` keep a word together; there is no
/// other shell syntax.
///
/// # Errors
/// A quote that does not end.
pub fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    if let Some(q) = quote {
        bail!("the quote {q} does not end in: {line}");
    }
    words.extend(word);
    Ok(words)
}

/// Runs a command line outside any namespace and returns its standard output.
///
/// # Errors
/// The command can't be started or fails; the message shows it and what it said.
pub fn run(line: &str) -> Result<String> {
    let words = words(line)?;
    let [program, args @ ..] = words.as_slice() else { bail!("an empty command") };
    output(Command::new(program).args(args))
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// As [`run`].
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't start {}", show(command)))?;
    check(command, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check(command: &Command, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
    bail!("{}: {}: {}", show(command), output.status, String::from_utf8_lossy(&said).trim());
}

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_white_space_and_kept_by_quotes() {
        assert_eq!(words("ip  link set").unwrap(), ["ip", "link", "set"]);
        assert_eq!(words("sh -c 'a \"b\" c' \"\"").unwrap(), ["sh", "-c", "a \"b\" c", ""]);
        assert!(words("sh -c 'open").is_err());
        assert!(words("  ").unwrap().is_empty());
    }

    #[test]
    fn a_failing_command_shows_itself_and_what_it_said() {
        let text = run("sh -c 'echo so it is >&2; exit 3'").unwrap_err().to_string();
        assert!(text.contains("so it is") && text.contains('3'), "{text}");
    }
}
