//! `switchctl drops …`.

use anyhow::Result;
use control::Client;
use control::types::DropReason;

use crate::arguments::DropsAction;
use crate::output::{self, Form};

pub(crate) fn run(client: &mut Client, action: &DropsAction, form: Form) -> Result<String> {
    let DropsAction::Show { port } = action;
    let drops = client.show_drops(port.as_deref())?;
    if form.json {
        return output::json(&drops);
    }
    if drops.is_empty() {
        return Ok("no frame was dropped\n".to_owned());
    }
    Ok(drops.iter().map(text).collect())
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
