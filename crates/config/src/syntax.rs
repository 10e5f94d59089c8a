//! Mistakes against TOML itself: what its parser says, in the words of this file.

use std::ops::Range;

use toml::de::Error;

use crate::definitions::Definitions;
use crate::problem::{Findings, quoted};

/// The most repetitions that are looked up: each look-up goes through the keys of the whole file.
const LOOKED_UP: usize = 200;
/// What the parser calls a key, or a table, that is written twice.
const DUPLICATE: &str = "duplicate key";
/// The mistakes at which the parser stops to take values out of the text.
const STOPS: &[&str] = &["key with no value", "recursion limit"];

/// The text with blanks for the lines at which the parser stopped, so that it reads the rest, with every
/// byte in its place; `None` where it did not stop.
pub(crate) fn without_stops(text: &str, errors: &[Error], findings: &Findings<'_>) -> Option<String> {
    let stops = |error: &&Error| STOPS.iter().any(|stop| error.message().starts_with(stop));
    let mut whole: Option<Vec<u8>> = None;
    for span in errors.iter().filter(stops).filter_map(Error::span) {
        let bytes = whole.get_or_insert_with(|| text.as_bytes().to_vec());
        if let Some(line) = bytes.get_mut(findings.bytes_of_line(span.start)) {
            line.fill(b' ');
        }
    }
    // Whole lines were blanked, so that what is left is text as before.
    whole.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Tells of the lines that are no TOML, and of what is written twice. The latter are taken from `of_whole`,
/// the errors of the text that was read to its end.
pub(crate) fn tell(text: &str, errors: &[Error], of_whole: &[Error], findings: &mut Findings<'_>) {
    for error in errors.iter().chain(of_whole).filter(|error| error.message() != DUPLICATE) {
        // A mistake without a place is one at the end.
        let span = error.span().unwrap_or(text.len()..text.len());
        let start = span.start.min(text.len());
        let span = start..span.end.clamp(start, text.len());
        findings.add_broken(span, |line| match without_quotes(line) {
            Some((value, help)) => (format!("the value {} is no TOML", quoted(value)), help),
            None => (error.message().to_owned(), help_with(error.message()).to_owned()),
        });
    }
    let definitions = Definitions::of(text);
    let duplicates = of_whole.iter().filter(|error| error.message() == DUPLICATE).filter_map(Error::span);
    for (index, span) in duplicates.enumerate() {
        if index < LOOKED_UP && !findings.is_full() {
            tell_of_duplicate(&definitions, span, findings);
        } else {
            findings.count();
        }
    }
}

/// The value of a broken line where it looks like text without quotes, and the line as it should be.
fn without_quotes(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.split_once('=')?;
    let value = value.split('#').next()?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._:-/".contains(c);
    if value.is_empty() || value.len() > 60 || !value.chars().all(plain) {
        return None;
    }
    let lower = value.to_ascii_lowercase();
    let right = if lower == "true" || lower == "false" { lower } else { format!("\"{value}\"") };
    Some((value, format!("as `{} = {right}`", quoted(key.trim()).trim_matches('`'))))
}

/// What would be right, for the other mistakes against TOML that people make.
fn help_with(message: &str) -> &'static str {
    if message.contains("quote") || message.contains("string") {
        "text stands in double quotes, as `device = \"eth0\"`"
    } else {
        "a line is `key = value`, or a header as `[bridge]`, `[ports.lan]` or `[[fdb]]`"
    }
}

fn tell_of_duplicate(definitions: &Definitions, span: Range<usize>, findings: &mut Findings<'_>) {
    let second = definitions.at(&span);
    let Some((second, first)) = second.and_then(|second| Some((second, definitions.before(second)?))) else {
        // In an inline table, or a table that is also a value.
        return findings.add(span, "this is written twice", "remove one of the two");
    };
    let line = findings.line_of(first.span.start);
    let header = definitions.header_of(second);
    if !second.is_header && header.is_some_and(|header| definitions.before(header).is_some()) {
        // The table above it is named twice, which has been told of.
        return;
    }
    let here = findings.line_of(span.start);
    let (message, help) = match second.path.as_slice() {
        [top, name] if top == "ports" => (
            format!("port {} is named twice, in lines {line} and {here}", quoted(name)),
            "give one of the two another name, or make one table of both".to_owned(),
        ),
        [.., key] if !second.is_header => (
            format!("`{}` is written twice, in lines {line} and {here}", quoted(key).trim_matches('`')),
            "remove one of the two".to_owned(),
        ),
        path => (
            format!(
                "[{}] is there twice, in lines {line} and {here}",
                quoted(&path.join(".")).trim_matches('`')
            ),
            "make one table of both".to_owned(),
        ),
    };
    findings.add(span, message, help);
}
