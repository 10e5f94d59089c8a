//! What is wrong with a configuration: every mistake with its place and its remedy, and how that is shown.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// The most problems that are kept; the rest are counted. A hostile file of a megabyte has a million.
const KEPT: usize = 100;
/// The most characters shown of one line, and before the offending text in it.
const SHOWN: usize = 110;
const BEFORE: usize = 50;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 where the mistake is the text as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 where `line` is 0.
    pub column: usize,
    /// The offending bytes of the text; empty where `line` is 0.
    pub span: Range<usize>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What would be right; more than one line where it shows an example.
    pub help: String,
    /// The line of the text as it stands there, without its end; empty where `line` is 0.
    pub source: String,
}

/// All the mistakes in one configuration, in the order of the text.
///
/// `Display` is plain text; [`Problems::render`] can colour it for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    place: Place,
    kept: Vec<Problem>,
    more: usize,
}

/// Where the text is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of this name.
    File(String),
    /// The command line.
    Arguments,
}

impl Problems {
    /// How many problems there are, those beyond the first hundred included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.kept.len() + self.more
    }

    /// The problems in the order of the text, the first hundred at most.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.kept.iter()
    }

    /// The report for people, with a line end after each line. `colour` adds terminal colours: give `true`
    /// only where the output is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = if colour { Paint::COLOURS } else { Paint::PLAIN };
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut out, &paint);
        out
    }

    fn write(&self, out: &mut impl fmt::Write, paint: &Paint) -> fmt::Result {
        for (index, problem) in self.kept.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            problem.write(out, &self.place, paint)?;
        }
        if self.more > 0 {
            writeln!(out, "\n… and {} more problems", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, &Paint::PLAIN)
    }
}

impl std::error::Error for Problems {}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The escape sequences of each part of a report.
struct Paint {
    error: &'static str,
    mark: &'static str,
    help: &'static str,
    gutter: &'static str,
    end: &'static str,
}

impl Paint {
    const PLAIN: Self = Self { error: "", mark: "", help: "", gutter: "", end: "" };
    const COLOURS: Self =
        Self { error: "\x1b[1;31m", mark: "\x1b[31m", help: "\x1b[36m", gutter: "\x1b[2m", end: "\x1b[0m" };
}

impl Problem {
    fn write(&self, out: &mut impl fmt::Write, place: &Place, paint: &Paint) -> fmt::Result {
        let Paint { error, mark, help, gutter, end } = paint;
        write!(out, "{error}error:{end} ")?;
        match place {
            Place::File(name) if self.line == 0 => write!(out, "{}: ", visible(name))?,
            Place::File(name) => write!(out, "{}:{}: ", visible(name), self.line)?,
            Place::Arguments => {}
        }
        writeln!(out, "{}", self.message)?;
        if self.line > 0 {
            let number = match place {
                Place::File(_) => self.line.to_string(),
                Place::Arguments => String::new(),
            };
            let (line, before, length) = self.excerpt();
            let (width, carets) = (number.len(), "^".repeat(length));
            writeln!(out, "{gutter} {number} |{end} {line}")?;
            writeln!(out, "{gutter} {:width$} |{end} {:before$}{mark}{carets}{end}", "", "")?;
        }
        for (index, line) in self.help.lines().enumerate() {
            match index {
                0 => writeln!(out, "{help}  help:{end} {line}")?,
                _ => writeln!(out, "        {line}")?,
            }
        }
        Ok(())
    }

    /// The part of the line around the offending text, how many characters stand before that text in the
    /// part, and how many of it are shown (one at least).
    fn excerpt(&self) -> (String, usize, usize) {
        let before = self.column.saturating_sub(1);
        let cut = if before > SHOWN - 10 { before - BEFORE } else { 0 };
        let mut line: String = self.source.chars().skip(cut).take(SHOWN).map(printable).collect();
        let shown = line.chars().count();
        if cut + shown < self.source.chars().count() {
            line.push('…');
        }
        let mark = before - cut + usize::from(cut > 0);
        if cut > 0 {
            line.insert(0, '…');
        }
        let after = self.source.chars().skip(before).scan(0, |bytes, c| {
            let inside = *bytes < self.span.len();
            *bytes += c.len_utf8();
            inside.then_some(())
        });
        let length = after.count().min(shown.saturating_sub(before - cut)).max(1);
        (line.trim_end().to_owned(), mark, length)
    }
}

/// The character itself, or a stand-in for one that a terminal would act on or not show.
fn printable(c: char) -> char {
    let plain = matches!(c, '"' | '\'' | '\\') || c.escape_debug().count() == 1;
    match c {
        '\t' => ' ',
        _ if plain => c,
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Text from outside with nothing in it that a terminal would act on.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// Text from outside as a message shows it: in backticks, made visible, and cut when long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from("`");
    out.extend(text.chars().take(LONGEST).map(printable));
    out.push_str(if text.chars().nth(LONGEST).is_some() { "…`" } else { "`" });
    out
}

/// Collects problems while a text is read, with what is needed to say where they are.
pub(crate) struct Findings<'t> {
    text: &'t str,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
    /// The lines that TOML itself does not understand.
    broken: BTreeSet<usize>,
    found: Vec<(Option<Range<usize>>, String, String)>,
    more: usize,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let after_ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_ends).collect();
        Self { text, lines, broken: BTreeSet::new(), found: Vec::new(), more: 0 }
    }

    /// Adds a mistake against TOML itself; only the first in a line tells anything. Whatever else may seem
    /// wrong with that line follows from it, and is passed over.
    pub(crate) fn add_broken(&mut self, span: Range<usize>, words: impl Fn(&str) -> (String, String)) {
        let line = self.line_of(span.start);
        if self.broken.contains(&line) {
            return;
        }
        if self.is_full() {
            self.count();
        } else {
            let (message, help) = words(self.text.get(self.bytes_of_line(span.start)).unwrap_or(""));
            self.add(span, message, help);
        }
        self.broken.insert(line);
    }

    /// Adds a mistake at `span` of the text.
    pub(crate) fn add(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if self.broken.contains(&self.line_of(span.start)) {
            return;
        }
        self.push(Some(span), message.into(), help.into());
    }

    /// Adds a mistake of the text as a whole.
    pub(crate) fn add_whole(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.push(None, message.into(), help.into());
    }

    /// Takes a mistake, but not twice where a value was read in two ways.
    fn push(&mut self, span: Option<Range<usize>>, message: String, help: String) {
        if self.is_full() {
            self.count();
        } else if !self.found.iter().any(|(there, said, _)| *there == span && *said == message) {
            self.found.push((span, message, help));
        }
    }

    /// Whether a mistake was found within `span`.
    pub(crate) fn touch(&self, span: &Range<usize>) -> bool {
        let within =
            |found: &Range<usize>| span.start <= found.start && found.start < span.end.max(span.start + 1);
        self.found.iter().any(|(found, ..)| found.as_ref().is_some_and(within))
    }

    /// Whether further mistakes are only counted, so that their text need not be worked out.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= KEPT
    }

    /// Adds to the number of mistakes without telling of one.
    pub(crate) fn count(&mut self) {
        self.more += 1;
    }

    /// The bytes of the line in which byte `at` stands, without the line end.
    pub(crate) fn bytes_of_line(&self, at: usize) -> Range<usize> {
        let line = self.line_of(at);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or(0);
        start..self.lines.get(line).map_or(self.text.len(), |next| next - 1)
    }

    /// Whether a line that TOML does not understand stands in the table whose header is at byte `at`, so
    /// that what seems to be missing from the table may stand there.
    pub(crate) fn broken_below(&self, at: usize) -> bool {
        let first = self.line_of(at);
        let next = self.broken.range(first..).next();
        next.is_some_and(|line| !(first + 1..*line).any(|between| self.line(between).starts_with('[')))
    }

    /// Whether a line that TOML does not understand may hide a whole table.
    pub(crate) fn broken_tables(&self) -> bool {
        let hides = |line: &str| line.starts_with('[') || line.contains("\"\"\"") || line.contains("'''");
        let last = self.lines.len();
        self.broken.iter().any(|line| *line >= last || hides(self.line(*line)))
    }

    /// A line without the space around it.
    fn line(&self, number: usize) -> &'t str {
        let start = number.checked_sub(1).and_then(|index| self.lines.get(index)).copied();
        start.and_then(|start| self.text.get(self.bytes_of_line(start))).unwrap_or("").trim()
    }

    /// The number of the line, from 1, in which byte `at` stands.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// The mistakes, or nothing where there are none.
    pub(crate) fn into_problems(mut self, place: Place) -> Result<(), Problems> {
        if self.found.is_empty() {
            return Ok(());
        }
        let mut found = std::mem::take(&mut self.found);
        // The text as a whole comes first.
        found.sort_by_key(|(span, ..)| span.as_ref().map(|span| span.start));
        let kept = found.into_iter().map(|(span, message, help)| self.placed(span, message, help)).collect();
        Err(Problems { place, kept, more: self.more })
    }

    fn placed(&self, span: Option<Range<usize>>, message: String, help: String) -> Problem {
        let Some(span) = span else {
            return Problem { line: 0, column: 0, span: 0..0, message, help, source: String::new() };
        };
        let line = self.line_of(span.start);
        let bytes = self.bytes_of_line(span.start);
        let before = self.text.get(bytes.start..span.start).unwrap_or("");
        let source = self.text.get(bytes).unwrap_or("").trim_end_matches('\r').to_owned();
        Problem { line, column: before.chars().count() + 1, span, message, help, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str, span: Range<usize>) -> String {
        let mut findings = Findings::new(text);
        findings.add(span, "wrong", "right");
        findings.into_problems(Place::File("x.toml".to_owned())).unwrap_err().to_string()
    }

    #[test]
    fn a_problem_shows_its_line_with_carets_and_help() {
        let shown = report("a = 1\nbcd = 2\n", 6..9);
        assert_eq!(shown, "error: x.toml:2: wrong\n 2 | bcd = 2\n   | ^^^\n  help: right\n");
    }

    #[test]
    fn carets_count_characters_and_stay_in_the_line() {
        let shown = report("ä = \"öü\"\nnext", 5..13);
        assert_eq!(shown, "error: x.toml:1: wrong\n 1 | ä = \"öü\"\n   |     ^^^^\n  help: right\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_offending_text() {
        let text = format!("{}HERE{}", "a".repeat(5000), "b".repeat(5000));
        let shown = report(&text, 5000..5004);
        let mut lines = shown.lines().skip(1);
        let (line, carets) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(line.chars().count() < 130, "{shown}");
        let at = line.chars().position(|c| c == 'H').unwrap();
        assert_eq!(carets, format!("{}^^^^", "   |".to_owned() + &" ".repeat(at - 4)));
    }

    #[test]
    fn a_terminal_never_sees_control_characters_of_the_text() {
        let shown = report("\u{1b}[2J\u{202e}\tx\r\n", 0..1);
        assert_eq!(shown, "error: x.toml:1: wrong\n 1 | \u{fffd}[2J\u{fffd} x\n   | ^\n  help: right\n");
        assert_eq!(quoted("\u{7}\n"), "`\u{fffd}\u{fffd}`");
    }

    #[test]
    fn colour_is_only_added() {
        let mut findings = Findings::new("abc");
        findings.add(1..2, "wrong", "right");
        let problems = findings.into_problems(Place::Arguments).unwrap_err();
        let coloured = problems.render(true);
        assert!(coloured.contains("\x1b[1;31merror:\x1b[0m wrong"), "{coloured:?}");
        let mut plain = coloured;
        for code in ["\x1b[1;31m", "\x1b[31m", "\x1b[36m", "\x1b[2m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, problems.to_string());
    }

    #[test]
    fn beyond_a_hundred_problems_are_counted() {
        let mut findings = Findings::new("abc");
        for number in 0..250 {
            findings.add(1..2, format!("wrong {number}"), "right");
        }
        let problems = findings.into_problems(Place::Arguments).unwrap_err();
        assert_eq!((problems.len(), problems.iter().count()), (250, 100));
        assert!(problems.to_string().ends_with("… and 150 more problems\n"));
    }
}
