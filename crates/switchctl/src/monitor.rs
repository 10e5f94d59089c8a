//! `switchctl monitor`: one line for each event, until it is interrupted or nobody reads any more.

use anyhow::Result;
use control::Client;
use control::types::Event;

use crate::output::{self, Form};

pub(crate) fn run(client: Client, form: Form) -> Result<()> {
    let mut written = Ok(());
    client.monitor(|events| {
        let text: Result<String> = events.iter().map(|event| line(event, form)).collect();
        written = text.and_then(|text| output::write(&text));
        written.is_ok()
    })?;
    match written {
        Err(error) if output::is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

fn line(event: &Event, form: Form) -> Result<String> {
    if form.json {
        return output::json(event);
    }
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let place = event.port.as_ref().map(|port| format!(" port {port}")).unwrap_or_default();
    let vlan = event.vlan.map(|vid| format!(" vlan {vid}")).unwrap_or_default();
    Ok(match event.topic.as_str() {
        "fdb" => format!("fdb: {} {}{place}{vlan}\n", text(&event.mac), text(&event.what)),
        "lost" => format!("lost: {} events\n", event.lost.unwrap_or_default()),
        topic => format!("{topic}:{place} {}\n", text(&event.words)),
    })
}
