//! `switchctl drops …`.

use anyhow::Result;
use control::types::{DropReason, DroppedFrame};
use control::{Client, hex};

use crate::arguments::DropsAction;
use crate::decode;
use crate::output::{self, Form};

pub(crate) fn run(client: &mut Client, action: &DropsAction, form: Form) -> Result<String> {
    let DropsAction::Show { port, last, reason } = action;
    if *last {
        let frames = client.show_dropped_frames(port.as_deref(), reason.as_deref())?;
        if form.json {
            return output::json(&frames);
        }
        return Ok(frames.iter().map(frame).collect());
    }
    let drops = client.show_drops(port.as_deref())?;
    if form.json {
        return output::json(&drops);
    }
    if drops.is_empty() {
        return Ok("no frame was dropped\n".to_owned());
    }
    let frames = if form.details { client.show_dropped_frames(port.as_deref(), None)? } else { Vec::new() };
    let with_frames = |drop: &DropReason| {
        let its = frames.iter().filter(|frame| frame.reason == drop.reason);
        text(drop) + &its.map(|its| format!("    {}", frame(its))).collect::<String>()
    };
    Ok(drops.iter().map(with_frames).collect())
}

/// As `0.120 s ago mtu p1 -> p2 length 1600: 02:… > 02:… IPv4 …`.
fn frame(frame: &DroppedFrame) -> String {
    let DroppedFrame { age, reason, ingress, egress, length, head } = frame;
    let way = egress.as_ref().map_or_else(|| ingress.clone(), |egress| format!("{ingress} -> {egress}"));
    let line = decode::line(&hex::bytes(head).unwrap_or_default());
    format!("{}.{:03} s ago {reason} {way} length {length}: {line}\n", age / 1000, age % 1000)
}

fn text(drop: &DropReason) -> String {
    let at: Vec<_> = drop.ports.iter().map(|(port, frames)| format!("{port} {frames}")).collect();
    format!(
        "{}: {} on {} ({})\n    {}\n    -> {}\n",
        drop.reason,
        drop.frames,
        drop.side,
        at.join(", "),
        drop.explanation,
        drop.hint
    )
}
