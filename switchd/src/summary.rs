//! The summary that SIGUSR1 asks for: one line a port, one for each reason for which it dropped frames,
//! one for the FDB, and its entries if they are few.

use bridge::{DropReason, FdbEntry, PortCounters};
use ports::device;
use tracing::info;

use crate::attachment::Attachment;
use crate::command::Report;

/// More entries than this are only counted: a log is no place for a million lines.
pub(crate) const ENTRIES_SHOWN: usize = 256;

/// Writes the summary to the log.
pub(crate) fn log(attachments: &[Attachment], report: &Report, entries: &[FdbEntry]) {
    for attachment in attachments {
        let Some(found) = report.ports.iter().find(|port| port.id == attachment.id) else { continue };
        log_port(attachment, &found.counters, found.socket_lost);
        log_reasons(&attachment.config.name, &found.counters);
    }
    let totals = &report.fdb_counters;
    info!(
        entries = report.fdb_len,
        learned = totals.learned,
        moved = totals.moved,
        evicted = totals.evicted,
        refused = totals.refused,
        aged = totals.aged,
        "fdb"
    );
    for entry in entries {
        let port = attachments.iter().find(|attachment| Some(attachment.id) == entry.port);
        let port = port.map_or("", |attachment| attachment.config.name.as_str());
        info!(mac = %entry.mac, port, entry = entry.kind.name(), "fdb entry");
    }
}

fn log_port(attachment: &Attachment, counters: &PortCounters, socket_lost: u64) {
    let held = attachment.held.as_ref();
    let state = match held {
        None => "waiting",
        Some(held) if held.up => "up",
        Some(_) => "down",
    };
    // Of a TAP in another namespace the device's counters can't be seen from here.
    let device =
        held.filter(|held| !held.moved).and_then(|held| device::counters(held.ifindex).ok().flatten());
    info!(
        port = attachment.config.name,
        device = attachment.config.device,
        kind = attachment.kind(),
        state,
        rx_frames = counters.rx_frames,
        rx_bytes = counters.rx_bytes,
        forwarded = counters.forwarded,
        copies = counters.copies,
        tx_frames = counters.tx_frames,
        tx_bytes = counters.tx_bytes,
        tx_segments = counters.tx_segments,
        moved = counters.moved,
        own_source = counters.own_source,
        limited = counters.limited,
        damped = counters.damped,
        dropped = drops(counters),
        device_tx_dropped = device.map(|device| device.tx_dropped),
        socket_lost,
        "port"
    );
}

/// What happened to the frames that were dropped, and what to do about it.
fn log_reasons(port: &str, counters: &PortCounters) {
    for reason in dropped(counters) {
        let frames = counters.dropped(reason);
        info!(port, reason = reason.name(), frames, "{}; {}", reason.explanation(), reason.hint());
    }
}

fn dropped(counters: &PortCounters) -> impl Iterator<Item = DropReason> {
    DropReason::ALL.iter().copied().filter(|reason| counters.dropped(*reason) > 0)
}

/// As `to_host=3,tx_full=1`; `none` if nothing was dropped.
fn drops(counters: &PortCounters) -> String {
    let counted: Vec<_> =
        dropped(counters).map(|reason| format!("{}={}", reason.name(), counters.dropped(reason))).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(",") }
}
