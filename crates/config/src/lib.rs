//! Text to checked configuration, all problems at once.
//!
//! No file is opened here: the daemon reads it and hands over the text. What the text asks for is looked
//! at only as far as the text goes: whether a device exists is for the ports to find out.
//!
//! A file is read in two steps. Each table becomes plain data that still knows its places in the text
//! (`file`, `port` and `rules`, with `section` as the reader of one table); then come the checks across tables
//! (`check`). Whatever is found goes into one list, which `problem` shows. A new kind of port is a variant
//! of [`PortKind`], a row in `keys` and a function in `port`.
#![forbid(unsafe_code)]

mod arguments;
mod change;
mod check;
mod control;
mod definitions;
mod file;
mod keys;
mod metrics;
mod mirrors;
mod model;
mod names;
mod pattern;
mod port;
mod private_vlans;
mod problem;
mod profile;
mod render;
mod rules;
mod section;
mod syntax;
mod vlans;

pub use change::Changes;
pub use model::{
    BridgeConfig, Config, ControlConfig, EntryType, Listen, MirrorConfig, MirrorDirection, Owner,
    PatternConfig, PortConfig, PortKind, PortRules, PortState, PortVlans, PrivateVlanConfig, Profile,
    ProfileUse, RawConfig, SocketMode, StaticEntry, TapConfig, VhostUserConfig, VlanConfig, VlanProtocol,
};
pub use names::LONGEST_TIME;
pub use pattern::NotMatched;
pub use problem::{Problem, Problems};

/// Reads the text of a configuration file; `file_name` is what the messages call it.
///
/// # Errors
///
/// Every mistake in the text, each with its line and its remedy.
pub fn parse(file_name: &str, text: &str) -> Result<Config, Problems> {
    file::parse(file_name, text)
}

/// Makes a configuration of command line arguments: the name of the switch, the devices of its `tap` ports
/// and those of its `raw` ports, each port named like its device. The `tap` ports come first.
///
/// # Errors
///
/// Every mistake in the arguments, each with its remedy.
pub fn from_arguments(name: Option<&str>, taps: &[String], raws: &[String]) -> Result<Config, Problems> {
    arguments::read(name, taps, raws)
}

/// Reads a time as a file has it: a whole number with a unit, `ms`, `s`, `m` or `h`; `0` needs none. `None`
/// if it is none, or too long for a number of milliseconds.
#[must_use]
pub fn time(text: &str) -> Option<std::time::Duration> {
    names::duration(text).ok()
}

/// What is to be done to a switch that runs on `old` so that it runs on `new`.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Changes {
    change::between(old, new)
}

/// The configuration with a port for each of `interfaces` that a pattern of it means, and those that get none, with
/// the reason. Ports that were made so before and whose interface is not among them go.
#[must_use]
pub fn matched<'i>(
    config: &Config,
    interfaces: impl IntoIterator<Item = &'i str>,
) -> (Config, Vec<NotMatched>) {
    pattern::matched(config, interfaces)
}

/// The text of a file that says what `config` says.
#[must_use]
pub fn to_toml(config: &Config) -> String {
    render::to_toml(config)
}

/// A name as it is written in a header, as in `[ports.NAME]`.
#[must_use]
pub fn header_key(name: &str) -> String {
    render::key(name)
}

/// A text as it is written for a value.
#[must_use]
pub fn text_value(text: &str) -> String {
    render::text(text)
}
