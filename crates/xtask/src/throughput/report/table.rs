//! Tables: one for each chapter and wiring, a row for each figure of each case, a column for each subject, and then
//! switchd's ratio to each other one.

use std::fmt::Write as _;

use crate::throughput::results::{Case, Results};
use crate::throughput::subject::Subject;

/// A chapter with one wiring.
pub(super) struct Table<'a> {
    pub(super) chapter: &'static str,
    pub(super) wiring: &'static str,
    pub(super) cases: Vec<&'a Case>,
    /// Those that have figures here.
    pub(super) subjects: Vec<&'static str>,
}

/// All tables, in the order of the run.
pub(super) fn tables(results: &Results) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for case in results.cases() {
        let known =
            tables.iter_mut().find(|table| (table.chapter, table.wiring) == (case.chapter, case.wiring));
        match known {
            Some(table) => table.cases.push(case),
            None => tables.push(Table {
                chapter: case.chapter,
                wiring: case.wiring,
                cases: vec![case],
                subjects: Vec::new(),
            }),
        }
    }
    for table in &mut tables {
        let has = |subject: &&str| table.cases.iter().any(|case| results.median(case, subject).is_some());
        table.subjects = results.subjects().into_iter().filter(|subject| has(subject)).collect();
    }
    tables
}

impl Table<'_> {
    /// What switchd is compared with here.
    pub(super) fn others(&self) -> Vec<&'static str> {
        let own = Subject::Switchd.name();
        let others = self.subjects.iter().copied().filter(|subject| *subject != own);
        if self.subjects.contains(&own) { others.collect() } else { Vec::new() }
    }
}

/// The name of a row: the case, what was measured, its unit.
pub(super) fn row_name(case: &Case) -> (String, String) {
    let (name, unit, _) = case.figure.unit();
    let measured = if unit.is_empty() { name.to_owned() } else { format!("{name}, {unit}") };
    (case.case.clone(), measured)
}

/// A number with three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The median of a subject in the unit of its figure.
pub(super) fn value(results: &Results, case: &Case, subject: &str) -> Option<f64> {
    let (_, _, one) = case.figure.unit();
    Some(results.median(case, subject)? / one)
}

/// For a terminal.
pub(super) fn text(results: &Results) -> String {
    let mut text = String::new();
    for table in tables(results) {
        let others = table.others();
        let _ = write!(text, "\n{}, {}\n{:56}", table.chapter, table.wiring, "");
        for subject in &table.subjects {
            let _ = write!(text, "{subject:>18}");
        }
        for other in &others {
            let _ = write!(text, "{:>20}", format!("/ {other}"));
        }
        text.push('\n');
        for case in &table.cases {
            let (name, measured) = row_name(case);
            let _ = write!(text, "{:56}", format!("  {name}: {measured}"));
            for subject in &table.subjects {
                let shown = value(results, case, subject).map(number).unwrap_or_default();
                let _ = write!(text, "{shown:>18}");
            }
            for other in &others {
                let ratio = results.ratio(case, Subject::Switchd.name(), other);
                let _ = write!(text, "{:>20}", ratio.map(number).unwrap_or_default());
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throughput::results::tests::example;

    #[test]
    fn every_case_has_a_row_with_medians_and_ratios() {
        let text = text(&example());
        let row = text.lines().find(|line| line.contains("1518 B")).expect("a row");
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words[words.len() - 3..], ["2.00", "1.00", "2.00"], "{row}");
        assert!(text.contains("/ Linux Bridge"), "{text}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.0123, 0.1234, 1.2345, 12.345, 123.45, 12_345.6].map(number);
        assert_eq!(shown, ["0", "0.012", "0.12", "1.23", "12.3", "123", "12346"]);
    }
}
