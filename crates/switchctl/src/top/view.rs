//! How the screen is drawn: a title, one of the views, and what the keys do.

use std::collections::VecDeque;

use control::types::{EntryKind, Port};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table, TableState};

use super::screen::{Rates, Screen, View, dropped};
use crate::port::link;
use crate::values::word;

/// Steps of a sparkline in a line of text.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Width of one in the table of ports.
const SPARKS: usize = 20;

/// Draws all of it.
pub(crate) fn draw(screen: &Screen, frame: &mut Frame<'_>) {
    let [title, body, help] =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Paragraph::new(vec![heading(screen), tabs(screen)]), title);
    let port =
        screen.detail.as_ref().and_then(|name| screen.now.ports.iter().find(|port| port.name == *name));
    match (port, screen.view) {
        (Some(port), _) => detail(screen, port, frame, body),
        (None, View::Ports) => ports(screen, frame, body),
        (None, View::Talkers) => talkers(screen, frame, body),
        (None, View::Drops) => drops(screen, frame, body),
        (None, View::Fdb) => stations(screen, frame, body),
    }
    frame.render_widget(
        Paragraph::new(keys(screen)).style(Style::new().add_modifier(Modifier::REVERSED)),
        help,
    );
}

fn heading(screen: &Screen) -> Line<'static> {
    let bridge = &screen.now.bridge;
    let up = screen.now.ports.iter().filter(|port| link(port) == "up").count();
    let text = format!(
        "switchd {}: {up} of {} ports up, {} of {} stations",
        bridge.name,
        screen.now.ports.len(),
        bridge.fdb_entries,
        bridge.fdb_max
    );
    let state = match screen {
        Screen { is_away: true, .. } => "  [the switch does not answer; trying again]",
        Screen { paused: true, .. } => "  [paused]",
        _ => "",
    };
    Line::from(vec![text.bold(), state.red()])
}

fn tabs(screen: &Screen) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, (view, name, _)) in (1..).zip(View::ALL) {
        let text = format!(" {number} {name} ");
        spans.push(if view == screen.view { text.reversed() } else { text.into() });
    }
    if let Some(port) = &screen.detail {
        spans.push(format!("  port {port}").bold());
    } else {
        spans.push(format!("  by {}", screen.sorted_by()).into());
    }
    if screen.typing || !screen.filter.is_empty() {
        let cursor = if screen.typing { "_" } else { "" };
        spans.push(format!("  /{}{cursor}", screen.filter).yellow());
    }
    Line::from(spans)
}

fn keys(screen: &Screen) -> &'static str {
    match screen {
        Screen { typing: true, .. } => " type what names are to contain; Enter: keep it  Esc: drop it",
        Screen { detail: Some(_), .. } => " Esc: back  1-4/Tab: view  p: pause  q: quit",
        _ => {
            " 1-4/Tab: view  Up/Down: select  Enter: look into the port  s: sort  /: filter  p: pause  q: quit"
        }
    }
}

/// A table whose selected row stands out and is in sight.
fn table(
    screen: &Screen,
    frame: &mut Frame<'_>,
    area: Rect,
    header: &[&'static str],
    widths: &[Constraint],
    rows: Vec<Row<'_>>,
) {
    let header = Row::new(header.iter().copied()).style(Style::new().add_modifier(Modifier::BOLD));
    let empty = rows.is_empty();
    let mut state = TableState::default().with_selected((!empty).then_some(screen.selected));
    let table = Table::new(rows, widths.iter().copied())
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut state);
    if empty {
        let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let nothing = if screen.filter.is_empty() { "nothing yet" } else { "nothing fits the filter" };
        frame.render_widget(Paragraph::new(nothing), below);
    }
}

fn ports(screen: &Screen, frame: &mut Frame<'_>, area: Rect) {
    let row = |(port, rates): (&Port, Rates)| {
        let sparks = screen.history(&port.name).map(|(rx, tx)| sparks(rx, tx)).unwrap_or_default();
        Row::new(vec![
            port.name.clone(),
            link(port).to_owned(),
            amount(rates.rx_bits),
            amount(rates.tx_bits),
            amount(rates.rx_frames),
            amount(rates.tx_frames),
            amount(rates.drops),
            dropped(port).to_string(),
            sparks,
        ])
    };
    let rows = screen.ports().into_iter().map(row).collect();
    let header =
        ["port", "link", "rx bit/s", "tx bit/s", "rx fr/s", "tx fr/s", "drops/s", "drops", "rx+tx bit/s"];
    let number = Constraint::Length(8);
    let widths = [
        Constraint::Min(10),
        Constraint::Length(7),
        number,
        number,
        number,
        number,
        number,
        Constraint::Length(9),
        Constraint::Length(SPARKS as u16),
    ];
    table(screen, frame, area, &header, &widths, rows);
}

fn talkers(screen: &Screen, frame: &mut Frame<'_>, area: Rect) {
    let talkers = screen.talkers();
    let all: f64 = talkers.iter().map(|row| row.bits).sum();
    let rows = talkers.iter().map(|row| {
        let share = 100.0 * row.bits / all.max(1.0);
        Row::new(vec![
            row.mac.clone(),
            row.port.clone(),
            amount(row.bits),
            amount(row.frames),
            format!("{share:.0} %"),
        ])
    });
    let rows = rows.collect();
    let widths = [
        Constraint::Length(17),
        Constraint::Min(10),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(6),
    ];
    table(screen, frame, area, &["station", "port", "bit/s", "frames/s", "share"], &widths, rows);
}

fn drops(screen: &Screen, frame: &mut Frame<'_>, area: Rect) {
    let drops = screen.drops();
    let [list, hint] = Layout::vertical([Constraint::Fill(1), Constraint::Length(2)]).areas(area);
    let row = |row: &super::screen::DropRow| {
        Row::new(vec![row.reason.clone(), row.side.clone(), row.frames.to_string(), amount(row.rate)])
    };
    let rows = drops.iter().map(row).collect();
    let widths = [Constraint::Min(24), Constraint::Length(8), Constraint::Length(12), Constraint::Length(9)];
    table(screen, frame, list, &["reason", "side", "frames", "per second"], &widths, rows);
    if let Some(selected) = drops.get(screen.selected) {
        let text = format!("-> {}", selected.hint);
        frame.render_widget(Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true }), hint);
    }
}

fn stations(screen: &Screen, frame: &mut Frame<'_>, area: Rect) {
    let rows = screen.stations().into_iter().map(|entry| {
        let age = entry.age.map(|age| format!("{} s", age / 1000));
        Row::new(vec![
            entry.mac.clone(),
            entry.port.clone().unwrap_or_else(|| "-".to_owned()),
            entry.vlan.map_or_else(|| "-".to_owned(), |vlan| vlan.to_string()),
            word(&EntryKind::ALL, entry.kind).to_owned(),
            age.unwrap_or_else(|| "-".to_owned()),
        ])
    });
    let rows = rows.collect();
    let widths = [
        Constraint::Length(17),
        Constraint::Min(10),
        Constraint::Length(5),
        Constraint::Length(13),
        Constraint::Length(8),
    ];
    table(screen, frame, area, &["station", "port", "vlan", "kind", "age"], &widths, rows);
}

/// One port alone.
fn detail(screen: &Screen, port: &Port, frame: &mut Frame<'_>, area: Rect) {
    let [words, rx, tx] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(5), Constraint::Length(5)]).areas(area);
    frame.render_widget(Paragraph::new(facts(screen, port)), words);
    let rates = screen.rates(port);
    let Some((rx_history, tx_history)) = screen.history(&port.name) else { return };
    for (area, way, bits, history) in
        [(rx, "rx", rates.rx_bits, rx_history), (tx, "tx", rates.tx_bits, tx_history)]
    {
        let top = history.iter().max().copied().unwrap_or_default();
        let title = format!("{way} {}bit/s, at most {}bit/s", amount(bits), amount(top as f64));
        // The latest at the right edge.
        let shown = usize::from(area.width);
        let data: Vec<u64> = history.iter().copied().skip(history.len().saturating_sub(shown)).collect();
        frame.render_widget(Sparkline::default().data(&data).block(Block::new().title(title)), area);
    }
}

fn facts(screen: &Screen, port: &Port) -> Vec<Line<'static>> {
    let device = match (&port.guest, &port.device) {
        (Some(guest), _) if guest.connected => format!("a guest, {} queues", guest.queue_pairs),
        (None, Some(device)) => format!("{} {} mtu {}", device.name, device.mac, device.mtu),
        _ => format!("waits for {}", port.device_name),
    };
    let state = word(&control::types::PortState::ALL, port.settings.state);
    let counters = &port.counters;
    let Rates { rx_frames, tx_frames, drops, .. } = screen.rates(port);
    let lost = port.kernel.device_tx_dropped.map_or_else(|| "?".to_owned(), |lost| lost.to_string());
    let mut lines = vec![
        Line::from(format!("{} {}, {state}: {device}", port.kind, link(port))),
        Line::from(format!(
            "rx {} frames ({}/s), {} forwarded   tx {} frames ({}/s) of {} copies   dropped {} ({}/s)",
            counters.rx_frames,
            amount(rx_frames),
            counters.forwarded,
            counters.tx_frames,
            amount(tx_frames),
            counters.copies,
            dropped(port),
            amount(drops)
        )),
        Line::from(format!(
            "lost by the kernel: on the way out {lost}, on the way in {}",
            port.kernel.socket_lost
        )),
    ];
    lines.extend(port.drops.iter().map(|drop| Line::from(format!("  {} {}", drop.reason, drop.frames))));
    let talkers = screen.talkers().into_iter().filter(|row| row.port == port.name).take(5);
    lines.extend(talkers.map(|row| Line::from(format!("  {} {}bit/s", row.mac, amount(row.bits)))));
    lines
}

/// The last rates in both directions together, as a line of text.
fn sparks(rx: &VecDeque<u64>, tx: &VecDeque<u64>) -> String {
    let both: Vec<u64> = rx.iter().zip(tx).map(|(rx, tx)| rx + tx).collect();
    let shown = &both[both.len().saturating_sub(SPARKS)..];
    let top = shown.iter().max().copied().unwrap_or_default().max(1);
    shown.iter().map(|value| STEPS[(value * 7).div_ceil(top).min(7) as usize]).collect()
}

/// A number in at most five places: 0, 12.3, 999, 1.50k, 12.0M.
fn amount(number: f64) -> String {
    let mut number = number;
    for unit in ["", "k", "M", "G"] {
        if number < 999.5 {
            return match number {
                whole if unit.is_empty() && whole.fract() < 0.05 => format!("{whole:.0}"),
                small if small < 9.995 => format!("{small:.2}{unit}"),
                middle if middle < 99.95 => format!("{middle:.1}{unit}"),
                large => format!("{large:.0}{unit}"),
            };
        }
        number /= 1000.0;
    }
    format!("{number:.0}T")
}

#[cfg(test)]
mod tests;
