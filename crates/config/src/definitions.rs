//! Where each key of a file is written. TOML's own error for a key that is written twice names only the
//! second place, and not the table; a reader needs both.

use std::ops::Range;

use toml_parser::decoder::Encoding;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, Source, Span};

/// A header or a key with a value.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The whole path: that of the header, then that of the key below it.
    pub(crate) path: Vec<String>,
    /// The last part of the path in the text.
    pub(crate) span: Range<usize>,
    /// Where the header that it is, or that it stands below, starts; 0 above the first header.
    header: usize,
    /// Whether this is a header.
    pub(crate) is_header: bool,
    /// Whether it is, or stands below, a `[[header]]`, each of which is a table of its own.
    in_array: bool,
}

/// All definitions of a file in their order.
#[derive(Debug)]
pub(crate) struct Definitions(Vec<Definition>);

impl Definitions {
    /// Reads the keys of a text; whatever is no key, or broken, is passed over.
    pub(crate) fn of(text: &str) -> Self {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut reader =
            Reader { source, found: Vec::new(), open: None, above: None, key: Vec::new(), last: 0..0 };
        parse_document(&tokens, &mut reader, &mut ());
        Self(reader.found)
    }

    /// The definition whose last part is at `span`.
    pub(crate) fn at(&self, span: &Range<usize>) -> Option<&Definition> {
        let index = self.0.partition_point(|definition| definition.span.start < span.start);
        self.0.get(index).filter(|definition| definition.span == *span)
    }

    /// The earlier definition of the same thing.
    pub(crate) fn before(&self, second: &Definition) -> Option<&Definition> {
        self.0.iter().take_while(|first| first.span.start < second.span.start).find(|first| {
            let same_table = first.header == second.header || !(first.in_array || second.in_array);
            same_table && first.path.starts_with(&second.path)
        })
    }

    /// The header above a key.
    pub(crate) fn header_of(&self, key: &Definition) -> Option<&Definition> {
        let before = self.0.partition_point(|definition| definition.span.start <= key.span.start);
        self.0.get(..before)?.iter().rev().find(|definition| definition.is_header)
    }
}

/// Takes the parser's events. It never descends into a value, so its depth has a bound.
struct Reader<'t> {
    source: Source<'t>,
    found: Vec<Definition>,
    /// The header that is being read: its start and whether it has double brackets.
    open: Option<(usize, bool)>,
    /// Which of `found` is the header above the keys that follow.
    above: Option<usize>,
    key: Vec<String>,
    last: Range<usize>,
}

impl Reader<'_> {
    fn open_header(&mut self, span: Span, in_array: bool) {
        self.open = Some((span.start(), in_array));
        self.key.clear();
    }

    fn close_header(&mut self) {
        let Some((header, in_array)) = self.open.take() else { return };
        let (path, span) = (std::mem::take(&mut self.key), self.last.clone());
        self.above = Some(self.found.len());
        self.found.push(Definition { path, span, header, is_header: true, in_array });
    }

    fn key_with_value(&mut self) {
        let above = self.above.and_then(|index| self.found.get(index));
        let (mut path, header, in_array) = match above {
            Some(above) => (above.path.clone(), above.header, above.in_array),
            None => (Vec::new(), 0, false),
        };
        path.append(&mut self.key);
        self.found.push(Definition { path, span: self.last.clone(), header, is_header: false, in_array });
    }
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.open_header(span, false);
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close_header();
    }

    fn array_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.open_header(span, true);
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close_header();
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        false
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        false
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, _: &mut dyn ErrorSink) {
        let range = span.start()..span.end();
        let mut name = String::new();
        if let Some(text) = self.source.input().get(range.clone()) {
            let raw = toml_parser::Raw::new_unchecked(text, encoding, span);
            raw.decode_key(&mut name, &mut ());
        }
        self.key.push(name);
        self.last = range;
    }

    fn key_val_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.key_with_value();
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.key.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Definitions::of(text).0.iter().map(|definition| definition.path.join("/")).collect()
    }

    #[test]
    fn headers_and_keys_have_their_whole_path() {
        let text = "a = 1\n[p.'x y']\nb.c = [1, {d = 2}]\n[[f]]\n\"e\" = { g = 1 }\nh = 3\n";
        assert_eq!(paths(text), ["a", "p/x y", "p/x y/b/c", "f", "f/e", "f/h"]);
    }

    #[test]
    fn the_earlier_of_two_definitions_is_found_but_not_in_another_array_element() {
        let text = "[p.a]\nt = 1\n[p.a]\n[[f]]\nm = 1\n[[f]]\nm = 2\nm = 3\n";
        let all = Definitions::of(text);
        let lines: Vec<Option<usize>> = all
            .0
            .iter()
            .map(|d| all.before(d).map(|f| 1 + text[..f.span.start].matches('\n').count()))
            .collect();
        // [p.a] t [p.a] [[f]] m [[f]] m m
        assert_eq!(lines, [None, None, Some(1), None, None, None, None, Some(7)]);
    }
}
