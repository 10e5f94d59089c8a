//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::describe::Description;

/// A learning Ethernet switch for TAPs and network interfaces. One process is one bridge.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "EXAMPLES:\n  \
    switchd --config /etc/switchd/switchd.toml\n  \
    switchd --check --config /etc/switchd/switchd.toml\n  \
    switchd --tap tap0 --tap tap1 --raw eth0"
)]
pub(crate) struct Arguments {
    /// Read the bridge and its ports from this TOML file
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["tap", "raw", "name"], required_unless_present_any = ["tap", "raw", "print"])]
    pub(crate) config: Option<PathBuf>,

    /// Check the configuration, say what is wrong, change nothing, and exit
    #[arg(long)]
    pub(crate) check: bool,

    /// Add a port that is a TAP: created, or attached to if it exists
    #[arg(long, value_name = "DEVICE")]
    pub(crate) tap: Vec<String>,

    /// Add a port on an interface that exists: a NIC, a veth, a TAP that a VM holds
    #[arg(long, value_name = "DEVICE")]
    pub(crate) raw: Vec<String>,

    /// Name of this bridge among several on one host [default: switchd]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// End at SIGTERM without letting go of the ports: the service manager keeps them for the next start
    /// (FileDescriptorStoreMax=). SIGINT ends it for good.
    #[arg(long, requires = "config")]
    pub(crate) keep_ports: bool,

    /// Take the ports over from the process of this bridge that runs: it forwards until this one is ready, and goes
    /// on if this one fails
    #[arg(long, requires = "keep_ports")]
    pub(crate) takeover: bool,

    /// How log lines look [default: the journal's own form where systemd leads stderr there, else human]
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// What is logged: error, warn, info, debug, or a filter [default: $RUST_LOG, else info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,

    /// Print the manual page, or completions for a shell, and exit
    #[arg(long, value_enum, hide = true, value_name = "WHAT")]
    pub(crate) print: Option<Description>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line each, in colour on a terminal.
    Human,
    /// One JSON object each.
    Json,
}
