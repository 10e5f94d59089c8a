//! The report: one page that needs nothing from elsewhere.

use std::fmt::Write as _;

use super::Report;
use super::chart::{self, Series, colour};
use super::markdown::{self, escape};
use super::table::{self, Table, number, row_name, value};
use crate::throughput::results::{Case, Figure, Results};
use crate::throughput::subject::Subject;

/// How it is measured, and what that is not good for: the documentation's own words.
const METHOD: &str = include_str!("../../../../../docs/benchmark.md");

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
.wide { overflow-x: auto; } th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--soft); text-align: right; }
th:first-child, td:first-child, .words td { text-align: left; } thead th { border-bottom: 2px solid var(--line); }
.own { font-weight: 600; } svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: currentColor; } .grid { stroke: var(--line); } .base { stroke: currentColor; }
.key span { display: inline-block; margin-right: 1.2rem; } .key i { display: inline-block; width: .9em; height: .9em;
margin-right: .4em; vertical-align: -.1em; } pre { background: var(--soft); padding: .6rem; overflow-x: auto; }
figure { margin: 1rem 0; } figcaption { font-weight: 600; }
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let _ = write!(
        page,
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>switchd: throughput</title>\n\
         <style>{STYLE}</style></head><body>\n<h1>switchd and its peers</h1>\n"
    );
    let _ = writeln!(page, "<pre>{}</pre>", escape(&report.command));
    head(&mut page, report);
    let results = &report.results;
    summary(&mut page, results);
    for table in table::tables(results) {
        let _ = writeln!(page, "<h2>{}</h2>\n<p>{}</p>", escape(table.chapter), escape(table.wiring));
        charts(&mut page, results, &table);
        rows(&mut page, results, &table);
    }
    page.push_str(&markdown::html(METHOD));
    page + "</body></html>\n"
}

/// On what, and who.
fn head(page: &mut String, report: &Report) {
    page.push_str("<table class=\"words\">");
    for (name, value) in &report.machine {
        let _ = write!(page, "<tr><td>{name}</td><td>{}</td></tr>", escape(value));
    }
    page.push_str("</table>\n<table class=\"words\">");
    for subject in &report.subjects {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            subject.name,
            escape(subject.version.as_deref().unwrap_or("")),
            escape(subject.settings)
        );
    }
    page.push_str("</table>\n");
}

/// switchd's ratio to each other, in what matters most.
fn summary(page: &mut String, results: &Results) {
    let own = Subject::Switchd.name();
    let wanted = |case: &&Case| {
        matches!(case.figure, Figure::Frames | Figure::Tcp)
            && case.at.is_none()
            && ["64 B", "IMIX", "1518 B", "1 stream", "8 streams"].contains(&case.case.as_str())
    };
    let mut wirings: Vec<&str> = Vec::new();
    for case in results.cases() {
        if !wirings.contains(&case.wiring) {
            wirings.push(case.wiring);
        }
    }
    for wiring in wirings {
        let cases: Vec<_> =
            results.cases().into_iter().filter(|case| case.wiring == wiring).filter(wanted).collect();
        let others = results.subjects().into_iter().enumerate().filter(|(_, other)| *other != own);
        let series: Vec<_> = others
            .map(|(at, other)| {
                let ratios = cases.iter().enumerate();
                let points =
                    ratios.filter_map(|(at, case)| Some((at as f64, results.ratio(case, own, other)?)));
                Series { name: other.to_owned(), colour: colour(at), points: points.collect() }
            })
            .filter(|series| !series.points.is_empty())
            .collect();
        if series.is_empty() {
            continue;
        }
        let categories: Vec<_> = cases.iter().map(|case| case.case.clone()).collect();
        let caption = format!("switchd's rate, as so many times that of each other, {wiring}");
        figure(page, &caption, &series, &chart::ratios(&categories, &series));
    }
}

fn figure(page: &mut String, caption: &str, series: &[Series], svg: &str) {
    let _ = write!(page, "<figure><figcaption>{}</figcaption><div class=\"key\">", escape(caption));
    for one in series {
        let _ = write!(page, "<span><i style=\"background:{}\"></i>{}</span>", one.colour, escape(&one.name));
    }
    let _ = writeln!(page, "</div>{svg}</figure>");
}

/// One for each figure of the table.
fn charts(page: &mut String, results: &Results, table: &Table<'_>) {
    let mut figures: Vec<Figure> = Vec::new();
    for case in &table.cases {
        if !figures.contains(&case.figure) {
            figures.push(case.figure);
        }
    }
    for wanted in figures {
        let cases: Vec<_> = table.cases.iter().filter(|case| case.figure == wanted).copied().collect();
        let axis = cases.first().and_then(|case| case.at).map(|(axis, _)| axis);
        let all = results.subjects().into_iter().enumerate();
        let series: Vec<_> = all
            .filter(|(_, subject)| table.subjects.contains(subject))
            .map(|(number, subject)| {
                let place = |at: usize, case: &Case| case.at.map_or(at as f64, |(_, place)| place);
                let cases = cases.iter().enumerate();
                let points =
                    cases.filter_map(|(at, case)| Some((place(at, case), value(results, case, subject)?)));
                Series { name: subject.to_owned(), colour: colour(number), points: points.collect() }
            })
            .collect();
        let (name, unit, _) = wanted.unit();
        let svg = match axis {
            Some(axis) => chart::lines(axis, &series, unit),
            None => {
                let categories: Vec<_> = cases.iter().map(|case| case.case.clone()).collect();
                chart::bars(&categories, &series, unit)
            }
        };
        let caption = if unit.is_empty() { name.to_owned() } else { format!("{name}, {unit}") };
        figure(page, &caption, &series, &svg);
    }
}

fn rows(page: &mut String, results: &Results, table: &Table<'_>) {
    let own = Subject::Switchd.name();
    let others = table.others();
    page.push_str("<div class=\"wide\"><table><thead><tr><th></th><th></th>");
    for subject in &table.subjects {
        let _ = write!(page, "<th>{subject}</th>");
    }
    for other in &others {
        let _ = write!(page, "<th>switchd / {other}</th>");
    }
    page.push_str("</tr></thead>\n");
    for case in &table.cases {
        let (name, measured) = row_name(case);
        let _ = write!(page, "<tr><td>{}</td><td>{}</td>", escape(&name), escape(&measured));
        for subject in &table.subjects {
            let class = if *subject == own { " class=\"own\"" } else { "" };
            let shown = value(results, case, subject).map(number).unwrap_or_default();
            let _ = write!(page, "<td{class}>{shown}</td>");
        }
        for other in &others {
            let ratio = results.ratio(case, own, other).map(number).unwrap_or_default();
            let _ = write!(page, "<td>{ratio}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&example());
        for outside in
            ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"]
        {
            assert!(!page.contains(outside), "{outside} in {page}");
        }
    }

    #[test]
    fn every_element_that_is_opened_is_closed() {
        let page = page(&example());
        let mut open: Vec<&str> = Vec::new();
        for piece in page.split('<').skip(1) {
            let (tag, _) = piece.split_once('>').expect("a tag that ends");
            let name = tag.split_whitespace().next().expect("a name").trim_end_matches('/');
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "before {piece}"),
                None if tag.ends_with('/') || ["!doctype", "meta"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn it_has_a_plot_for_each_figure_the_method_and_what_was_measured_on() {
        let page = page(&example());
        // Ratios, rates by size, loss along ports.
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("<polyline") && page.contains("<rect"));
        assert!(page.contains("Limits"));
        assert!(page.contains("6.1 &lt;b&gt;") && page.contains("--quick &lt;&amp;&gt;"));
    }
}
