//! `switchctl config …` and `switchctl reload`.

use anyhow::Result;
use control::Client;
use control::types::Changes;
use serde_json::json;

use crate::arguments::ConfigAction;
use crate::output::{self, Form};
use crate::reach::tried;

pub(crate) fn run(client: &mut Client, action: &ConfigAction, form: Form) -> Result<String> {
    match action {
        ConfigAction::Show => {
            let config = client.show_config()?;
            if form.json { output::json(&json!({ "config": config })) } else { Ok(config) }
        }
        ConfigAction::Diff => {
            let changes = tried(client.diff_config(), || "a reload would change nothing".to_owned())?;
            show(&changes, "a reload would change nothing", form)
        }
    }
}

pub(crate) fn reload(client: &mut Client, form: Form) -> Result<String> {
    let changes = tried(client.reload(), || "nothing was changed".to_owned())?;
    show(&changes, "nothing has changed", form)
}

fn show(changes: &Changes, none: &str, form: Form) -> Result<String> {
    if form.json {
        return output::json(changes);
    }
    let Changes { changes, restart } = changes;
    if changes.is_empty() && restart.is_empty() {
        return Ok(format!("{none}\n"));
    }
    let now = changes.iter().map(|change| format!("{change}\n"));
    let later = restart.iter().map(|change| format!("{change}: only with a restart\n"));
    Ok(now.chain(later).collect())
}
