//! The switch daemon: configuration → ports → loop. Assembly only; every forwarding rule is in `bridge`,
//! every system call on a port in `ports`.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod assembly;
mod attachment;
mod clock;
mod command;
mod configuration;
mod control;
mod daemon;
mod logging;
mod news;
mod open;
mod ready;
mod run_dir;
mod steering;
mod summary;
mod systemd;
mod to_worker;
mod transmit;
mod watchdog;
mod worker;

use std::process::ExitCode;

use anyhow::Context;
use arguments::Arguments;
use clap::Parser;
use config::Config;

/// Exit status where the configuration or an argument is wrong (`EX_CONFIG` of `sysexits.h`): trying again is of
/// no use.
const WRONG_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match prepare(&arguments) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(config)) => match daemon::run(&config, arguments) {
            Ok(()) => ExitCode::SUCCESS,
            // In the form of all other lines: a reader of JSON gets JSON to the end.
            Err(error) => {
                tracing::error!("{error:#}");
                systemd::pause_before_next_try();
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("switchd: {error:#}");
            ExitCode::from(WRONG_CONFIGURATION)
        }
    }
}

/// Everything before the first change: a checked configuration and a log; no configuration where it was
/// only to be checked.
fn prepare(arguments: &Arguments) -> anyhow::Result<Option<Config>> {
    let config = configuration::load(arguments).context("nothing was started")?;
    if arguments.check {
        println!("{}: configuration is correct, {} ports", config.bridge.name, config.ports.len());
        return Ok(None);
    }
    logging::start(arguments.log_format, arguments.log.as_deref())?;
    Ok(Some(config))
}
