//! The switch daemon: configuration → ports → loop. Assembly only; every forwarding rule is in `bridge`,
//! every system call on a port in `ports`.
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod assembly;
mod attachment;
mod busy_poll;
mod captures;
mod channels;
mod clock;
mod command;
mod configuration;
mod control;
mod crew;
mod daemon;
mod describe;
mod devices;
mod forwarding;
mod guests;
mod handover;
mod heirlooms;
mod lent;
mod logging;
mod metrics;
mod mirrors;
mod monitor;
mod news;
mod open;
mod pace;
mod patterns;
mod ready;
mod reload;
mod rights;
mod run_dir;
mod sandbox;
mod saving;
mod start;
mod state;
mod steered;
mod steering;
mod store;
mod successor;
mod summary;
mod systemd;
mod talkers;
mod to_workers;
mod transmit;
mod vlans;
mod watchdog;
mod worker;

use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;

/// Exit status where the configuration or an argument is wrong (`EX_CONFIG` of `sysexits.h`): trying again is of
/// no use.
const WRONG_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(what) = arguments.print {
        return if describe::print(what).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match start::prepare(arguments) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(start)) => match daemon::run(start) {
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
