//! `switchctl explain`.

use anyhow::Result;
use control::Client;

use crate::frame_text;
use crate::output::{self, Form};
use crate::reach::tried;

pub(crate) fn run(client: &mut Client, port: &str, frame: &[String], form: Form) -> Result<String> {
    let bytes = frame_text::read(frame)?;
    let explained = tried(client.explain(port, &bytes), || "can't explain the frame".to_owned())?;
    if form.json {
        return output::json(&explained);
    }
    let rows: Vec<_> =
        explained.steps.iter().map(|step| vec![step.stage.clone(), step.words.clone()]).collect();
    let mut text = output::table(&rows);
    if let Some(hint) = &explained.hint {
        text += &format!("-> {hint}\n");
    }
    Ok(text)
}
