//! `[control]`: who may use the control socket.

use crate::model::ControlConfig;
use crate::names::is_user_name;
use crate::problem::{Findings, quoted};
use crate::section::Section;

pub(crate) fn read(section: &Section<'_>, findings: &mut Findings<'_>) -> ControlConfig {
    section.unknown_keys(findings, |_| None);
    let group = read_group(section, "group", findings);
    ControlConfig { group, admin_group: read_group(section, "admin_group", findings) }
}

fn read_group(section: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> Option<String> {
    let written = section.text(key, findings)?;
    if !is_user_name(written.value) {
        let message = format!("`{key}` in [control] can't be {}", quoted(written.value));
        findings.add(written.span, message, "the name of a group, as `getent group` shows it");
        return None;
    }
    Some(written.value.to_owned())
}
