//! Text to checked configuration, all problems at once.
//!
//! No file is opened here: the daemon reads it and hands over the text.
#![forbid(unsafe_code)]

mod model;
mod problem;

pub use model::{BridgeConfig, Config, Owner, PortConfig, PortKind, RawConfig, StaticEntry, TapConfig};
use problem::{Findings, Place};
pub use problem::{Problem, Problems};

/// Reads the text of a configuration file; `file_name` is what the messages call it.
///
/// # Errors
///
/// Every mistake in the text, each with its line and its remedy.
pub fn parse(file_name: &str, text: &str) -> Result<Config, Problems> {
    let mut findings = Findings::new(text);
    findings.add(0..0, "unread", "");
    findings.into_problems(Place::File(file_name.to_owned()))?;
    Ok(Config { bridge: BridgeConfig::default(), ports: Vec::new(), fdb: Vec::new() })
}

/// Makes a configuration of command line arguments: the name of the switch, the devices of its `tap` ports
/// and those of its `raw` ports, each port named like its device.
///
/// # Errors
///
/// Every mistake in the arguments, each with its remedy.
pub fn from_arguments(name: Option<&str>, taps: &[String], raws: &[String]) -> Result<Config, Problems> {
    let (_, _, _) = (name, taps, raws);
    parse("arguments", "")
}
