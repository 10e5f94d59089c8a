//! Where log lines go: to the journal with their fields where systemd connects stderr to it, else to stderr,
//! for people on a terminal or as JSON. Workers never log; control does.

use std::io::{IsTerminal, stderr};

use anyhow::Context;
use rustix::fs::fstat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::arguments::LogFormat;

/// Starts logging. Without a `format` it is the journal's if stderr leads there. `level` is a filter as `info` or
/// `switchd=debug`; without one, `RUST_LOG`, else `info`.
///
/// # Errors
/// If the filter is not one.
pub(crate) fn start(format: Option<LogFormat>, level: Option<&str>) -> anyhow::Result<()> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = level.map(str::to_owned).or(from_environment).unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(&text).with_context(|| {
        format!("`{text}` is not a log filter: use error, warn, info or debug, or one such as switchd=debug")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    if format.is_none()
        && goes_to_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry.with(journal.with_field_prefix(None).with_syslog_identifier("switchd".to_owned())).init();
        return Ok(());
    }
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    match format {
        Some(LogFormat::Json) => registry.with(layer.json()).init(),
        Some(LogFormat::Human) | None => {
            registry.with(layer.with_target(false).with_ansi(stderr().is_terminal())).init();
        }
    }
    Ok(())
}

/// `$JOURNAL_STREAM` names the device and inode of the stream to the journal (`systemd.exec(5)`); a program that
/// was started with another stderr has inherited the variable all the same.
fn goes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
