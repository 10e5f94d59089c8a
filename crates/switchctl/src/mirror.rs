//! `switchctl mirror show`.

use anyhow::Result;
use control::Client;
use control::types::Mirror;

use crate::arguments::MirrorAction;
use crate::output::{self, Form};

pub(crate) fn run(client: &mut Client, action: &MirrorAction, form: Form) -> Result<String> {
    let MirrorAction::Show = action;
    let mirrors = client.show_mirrors()?;
    if form.json {
        return output::json(&mirrors);
    }
    if mirrors.is_empty() {
        return Ok("nothing is mirrored\n".to_owned());
    }
    Ok(mirrors.iter().map(|mirror| text(mirror, form)).collect())
}

/// As `probe: from vm1, vm2 both vlan 10`.
fn text(mirror: &Mirror, form: Form) -> String {
    let Mirror { from, to, direction, vlan, waits, frames, missed } = mirror;
    let from = if from.is_empty() { "no port".to_owned() } else { from.join(", ") };
    let vlan = vlan.map(|vlan| format!(" vlan {vlan}")).unwrap_or_default();
    let waits = if *waits { ", waits for the port" } else { "" };
    let mut text = format!("{to}: from {from} {direction}{vlan}{waits}\n");
    if form.statistics {
        text += &format!("    frames {frames} missed {missed}\n");
    }
    text
}
