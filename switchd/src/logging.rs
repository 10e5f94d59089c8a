//! Where log lines go: stderr, for people on a terminal or as JSON. Workers never log; control does.

use std::io::{IsTerminal, stderr};

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::arguments::LogFormat;

/// Starts logging. `level` is a filter as `info` or `switchd=debug`; without one, `RUST_LOG`, else `info`.
///
/// # Errors
/// If the filter is not one.
pub(crate) fn start(format: LogFormat, level: Option<&str>) -> anyhow::Result<()> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = level.map(str::to_owned).or(from_environment).unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(&text).with_context(|| {
        format!("`{text}` is not a log filter: use error, warn, info or debug, or one such as switchd=debug")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    match format {
        LogFormat::Json => registry.with(layer.json()).init(),
        LogFormat::Human => {
            registry.with(layer.with_target(false).with_ansi(stderr().is_terminal())).init();
        }
    }
    Ok(())
}
