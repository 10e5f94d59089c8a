//! Plots as SVG, drawn without anything from elsewhere: bars by category, and lines along an axis.

use std::fmt::Write as _;

use super::markdown::escape;
use super::table::number;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// Around the plot: left, right, top, bottom.
const MARGIN: [f64; 4] = [58.0, 14.0, 14.0, 46.0];

/// Colours that people who see few of them can tell apart (Okabe and Ito), one for each series.
const COLOURS: [&str; 7] = ["#0072b2", "#999999", "#e69f00", "#f0c674", "#009e73", "#cc79a7", "#56b4e9"];

/// The colour of a series.
pub(super) fn colour(series: usize) -> &'static str {
    COLOURS[series % COLOURS.len()]
}

/// Values of one series.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// Its colour.
    pub(super) colour: &'static str,
    /// For bars one for each category; for lines with its place on the axis.
    pub(super) points: Vec<(f64, f64)>,
}

/// From values to places on the paper.
#[derive(Clone, Copy, Debug)]
struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(1e-9).ln() } else { value };
        let part = (scale(value) - scale(self.least)) / (scale(self.most) - scale(self.least)).max(1e-9);
        self.from + (self.to - self.from) * part
    }

    /// Round values along it.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let wide = self.most / self.least > 50.0;
            let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let decades = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
            let all = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
            return all.filter(|tick| (self.least * 0.999..=self.most * 1.001).contains(tick)).collect();
        }
        let rough = (self.most - self.least) / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = (self.most / step).floor() as usize;
        (0..=count).map(|at| at as f64 * step).filter(|tick| *tick >= self.least).collect()
    }
}

/// Bars by category, from 0, in `unit`.
pub(super) fn bars(categories: &[String], series: &[Series], unit: &str) -> String {
    let most = largest(series);
    let vertical = vertical(0.0, most, false);
    bars_from(categories, series, unit, vertical, 0.0)
}

/// Bars by category that stand for ratios: up from 1 where there is more, down where there is less.
pub(super) fn ratios(categories: &[String], series: &[Series]) -> String {
    let values = || series.iter().flat_map(|series| &series.points).map(|point| point.1).filter(|v| *v > 0.0);
    let most = values().fold(2.0, f64::max);
    let least = values().fold(0.5, f64::min);
    bars_from(categories, series, "×", vertical(least, most, true), 1.0)
}

fn bars_from(categories: &[String], series: &[Series], unit: &str, vertical: Axis, base: f64) -> String {
    let mut svg = frame(unit, vertical);
    let (left, right) = (MARGIN[0], WIDTH - MARGIN[1]);
    let wide = (right - left) / categories.len().max(1) as f64;
    let bar = (wide * 0.82 / series.len().max(1) as f64).min(44.0);
    for (at, category) in categories.iter().enumerate() {
        let middle = left + wide * (at as f64 + 0.5);
        label(&mut svg, middle, category, wide);
        let first = middle - bar * series.len() as f64 / 2.0;
        for (number_of, one) in series.iter().enumerate() {
            let Some(&(_, value)) = one.points.iter().find(|point| point.0 == at as f64) else { continue };
            let (a, b) = (vertical.place(value), vertical.place(base));
            let _ = write!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\">\
                 <title>{}, {}: {} {}</title></rect>",
                first + bar * number_of as f64,
                a.min(b),
                bar * 0.92,
                (a - b).abs().max(0.5),
                one.colour,
                escape(&one.name),
                escape(category),
                number(value),
                escape(unit),
            );
        }
    }
    let place = vertical.place(base);
    let _ = write!(
        svg,
        "<line class=\"base\" x1=\"{left}\" x2=\"{right}\" y1=\"{place:.1}\" y2=\"{place:.1}\"/>"
    );
    svg + "</svg>\n"
}

/// Lines along an axis, in `unit`.
pub(super) fn lines(axis: &str, series: &[Series], unit: &str) -> String {
    let places = || series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let (least, most) = (places().fold(f64::INFINITY, f64::min), places().fold(0.0, f64::max));
    let logarithmic = least > 0.0 && most / least > 30.0;
    let least = if logarithmic { least } else { 0.0 };
    let horizontal =
        Axis { least, most: most.max(least + 1.0), logarithmic, from: MARGIN[0], to: WIDTH - MARGIN[1] };
    let vertical = vertical(0.0, largest(series), false);
    let mut svg = frame(unit, vertical);
    for tick in horizontal.ticks() {
        label(&mut svg, horizontal.place(tick), &number(tick), WIDTH);
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(horizontal.from, horizontal.to),
        HEIGHT - 8.0,
        escape(axis)
    );
    for one in series {
        let mut points = one.points.clone();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let places: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", horizontal.place(*x), vertical.place(*y)))
            .collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"{}\"/>",
            one.colour,
            places.join(" ")
        );
        for (x, y) in points {
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\" fill=\"{}\"><title>{}, {}: {} {}</title></circle>",
                horizontal.place(x),
                vertical.place(y),
                one.colour,
                escape(&one.name),
                number(x),
                number(y),
                escape(unit)
            );
        }
    }
    svg + "</svg>\n"
}

fn largest(series: &[Series]) -> f64 {
    let most = series.iter().flat_map(|series| &series.points).map(|point| point.1).fold(0.0, f64::max);
    if most > 0.0 { most * 1.05 } else { 1.0 }
}

fn vertical(least: f64, most: f64, logarithmic: bool) -> Axis {
    Axis { least, most, logarithmic, from: HEIGHT - MARGIN[3], to: MARGIN[2] }
}

/// The paper, with the lines of the vertical axis.
fn frame(unit: &str, vertical: Axis) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in vertical.ticks() {
        let place = vertical.place(tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{place:.1}\" y2=\"{place:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            MARGIN[0],
            WIDTH - MARGIN[1],
            MARGIN[0] - 6.0,
            place + 4.0,
            number(tick)
        );
    }
    let middle = f64::midpoint(vertical.from, vertical.to);
    let _ = write!(
        svg,
        "<text transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        escape(unit)
    );
    svg
}

/// Under the plot, in at most two lines.
fn label(svg: &mut String, middle: f64, text: &str, wide: f64) {
    let room = ((wide / 6.5) as usize).max(4);
    let split = if text.chars().count() > room { text.find(", ").or_else(|| text.find(' ')) } else { None };
    let (first, second) =
        split.map_or((text, ""), |at| (&text[..at], text[at..].trim_start_matches([',', ' '])));
    for (line, words) in [first, second].into_iter().enumerate() {
        let _ = write!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - MARGIN[3] + 16.0 + 13.0 * line as f64,
            escape(words)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(least: f64, most: f64, logarithmic: bool) -> Axis {
        Axis { least, most, logarithmic, from: 0.0, to: 100.0 }
    }

    #[test]
    fn places_are_between_the_ends_and_ticks_are_round() {
        assert_eq!(axis(0.0, 10.0, false).place(5.0), 50.0);
        assert_eq!(axis(1.0, 100.0, true).place(10.0).round(), 50.0);
        assert_eq!(axis(0.0, 10.0, false).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(axis(0.5, 5.0, true).ticks(), [0.5, 1.0, 2.0, 5.0]);
        assert_eq!(axis(10.0, 1e4, true).ticks(), [10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn nothing_to_draw_is_no_error() {
        let series = Series { name: "none".into(), colour: colour(0), points: vec![] };
        for svg in
            [bars(&[], &[], ""), lines("x", std::slice::from_ref(&series), "y"), ratios(&[], &[series])]
        {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn a_bar_stands_for_each_value_and_a_point_on_each_line() {
        let points = vec![(0.0, 1.0), (1.0, 2.0)];
        let series = [Series { name: "a<b".into(), colour: colour(0), points }];
        let categories = ["one".to_owned(), "two".to_owned()];
        assert_eq!(bars(&categories, &series, "u").matches("<rect").count(), 2);
        assert_eq!(ratios(&categories, &series).matches("<rect").count(), 2);
        assert_eq!(lines("x", &series, "u").matches("<circle").count(), 2);
        assert!(!bars(&categories, &series, "u").contains("a<b"));
    }
}
