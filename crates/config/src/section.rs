//! One table of the file: takes values of the wanted type out of it, and tells of those that have another.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::keys::{Key, nearest};
use crate::problem::{Findings, quoted};

/// A value with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// A table with the name that messages give it.
pub(crate) struct Section<'d> {
    /// As `[ports.lan]`.
    pub(crate) title: String,
    /// Where the table is named.
    pub(crate) span: Range<usize>,
    /// The keys that it may have.
    keys: Vec<&'static Key>,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    pub(crate) fn new(
        title: impl Into<String>,
        span: Range<usize>,
        keys: impl IntoIterator<Item = &'static Key>,
        table: &'d DeTable<'d>,
    ) -> Self {
        Self { title: title.into(), span, keys: keys.into_iter().collect(), table }
    }

    /// The text under `key`; `None` where there is none, or none of this type.
    pub(crate) fn text(&self, key: &str, findings: &mut Findings<'_>) -> Option<At<&'d str>> {
        self.read(key, findings, "text in quotes", DeValue::as_str)
    }

    /// The truth value under `key`.
    pub(crate) fn boolean(&self, key: &str, findings: &mut Findings<'_>) -> Option<bool> {
        self.read(key, findings, "true or false", DeValue::as_bool).map(|at| at.value)
    }

    /// The whole number under `key` where it lies in `range`.
    pub(crate) fn number(&self, key: &str, range: Range<i64>, findings: &mut Findings<'_>) -> Option<i64> {
        let at = self.read(key, findings, "a whole number", DeValue::as_integer)?;
        let number = integer(at.value);
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let message = format!("`{key}` in {} is out of range", self.title);
        findings.add(at.span, message, format!("from {} to {}", range.start, range.end.saturating_sub(1)));
        None
    }

    /// Whether the section may have `key`.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known.name == key)
    }

    /// The value under `key`, whatever it is.
    pub(crate) fn value(&self, key: &str) -> Option<At<&'d DeValue<'d>>> {
        self.table.get(key).map(|value| At { value: value.get_ref(), span: value.span() })
    }

    /// Tells that the value at `span` has another type than `wanted`.
    pub(crate) fn wrong_type(
        &self,
        key: &str,
        at: &At<&DeValue<'_>>,
        wanted: &str,
        findings: &mut Findings<'_>,
    ) {
        let (title, found) = (&self.title, type_name(at.value));
        let message = format!("`{key}` in {title} must be {wanted}, not {found}");
        let example = self.keys.iter().find(|known| known.name == key).map_or("", |known| known.example);
        findings.add(at.span.clone(), message, format!("as `{key} = {example}`"));
    }

    /// The text under a key that can't be left out.
    pub(crate) fn required_text(&self, key: &str, findings: &mut Findings<'_>) -> Option<At<&'d str>> {
        if self.value(key).is_none() && !findings.broken_below(self.span.start) {
            let example = self.keys.iter().find(|known| known.name == key).map_or("", |known| known.example);
            let message = format!("{} has no `{key}`", self.title);
            findings.add(self.span.clone(), message, format!("add a line such as `{key} = {example}`"));
        }
        self.text(key, findings)
    }

    /// Calls `explain` for each key that the section may not have; where that has nothing to say, tells which
    /// known key is nearest.
    pub(crate) fn unknown_keys(
        &self,
        findings: &mut Findings<'_>,
        explain: impl Fn(&str) -> Option<(String, String)>,
    ) {
        for key in self.table.keys().filter(|key| self.keys.iter().all(|known| known.name != key.get_ref())) {
            let name: &str = key.get_ref();
            let (message, help) = explain(name).unwrap_or_else(|| {
                let known = self.keys.iter().map(|known| known.name);
                (format!("unknown key {} in {}", quoted(name), self.title), did_you_mean(name, known))
            });
            findings.add(key.span(), message, help);
        }
    }

    fn read<T>(
        &self,
        key: &str,
        findings: &mut Findings<'_>,
        wanted: &str,
        take: impl Fn(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<At<T>> {
        let at = self.value(key)?;
        let taken = take(at.value);
        if taken.is_none() {
            self.wrong_type(key, &at, wanted, findings);
        }
        taken.map(|value| At { value, span: at.span })
    }
}

/// The entries of a table in the order of the file.
pub(crate) fn in_order<'d>(table: &'d DeTable<'d>) -> Vec<(At<&'d str>, &'d Spanned<DeValue<'d>>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| (At { value: key.get_ref().as_ref(), span: key.span() }, value))
        .collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    entries
}

/// The number, where it fits.
pub(crate) fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// What a message calls the type of a value.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The nearest known word, or all of them.
pub(crate) fn did_you_mean<'c>(word: &str, known: impl Iterator<Item = &'c str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}
