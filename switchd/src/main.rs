//! The switch daemon: configuration → ports → loop. Assembly only; every forwarding rule is in `bridge`,
//! every system call on a port in `ports`.
#![forbid(unsafe_code)]

mod arguments;
mod attachment;
mod clock;
mod command;
mod configuration;
mod control;
mod daemon;
mod logging;
mod open;
mod ready;
mod run_dir;
mod summary;
mod transmit;
mod worker;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let result = configuration::load(&arguments).and_then(|config| {
        if arguments.check {
            println!("{}: configuration is correct, {} ports", config.bridge.name, config.ports.len());
            return Ok(());
        }
        logging::start(arguments.log_format, arguments.log.as_deref())?;
        daemon::run(&config)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
