//! The command line for people and scripts: looks at a running switch and steers it, over its control
//! socket.
#![forbid(unsafe_code)]

mod arguments;
mod bridge;
mod capture;
mod config;
mod decode;
mod drops;
mod explain;
mod fdb;
mod frame_text;
mod mirror;
mod monitor;
mod output;
mod port;
mod reach;
mod top;
mod upgrade;
mod values;
mod vlan;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use arguments::{Action, Arguments};
use clap::{CommandFactory, Parser};
use output::Form;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(text) => output::print(&text),
        Err(error) => {
            eprintln!("switchctl: {error:#}");
            reach::exit_code(&error)
        }
    }
}

/// Does what is asked; what is to be printed comes back.
fn run(arguments: &Arguments) -> Result<String> {
    let form = Form { json: arguments.json, details: arguments.details, statistics: arguments.statistics };
    if let Action::Completions { shell } = arguments.action {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "switchctl", &mut script);
        return Ok(String::from_utf8_lossy(&script).into_owned());
    }
    if let Action::Man = arguments.action {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).section("8").render(&mut page)?;
        return Ok(String::from_utf8_lossy(&page).into_owned());
    }
    let connect = || reach::connect(arguments.bridge.as_deref(), arguments.socket.as_deref());
    let mut client = connect()?;
    match &arguments.action {
        Action::Bridge(action) => bridge::run(&mut client, action, form),
        Action::Port(action) => port::run(&mut client, action, form),
        Action::Fdb(action) => fdb::run(&mut client, action, form),
        Action::Vlan(action) => vlan::run(&mut client, action, form),
        Action::Drops(action) => drops::run(&mut client, action, form),
        Action::Explain { port, frame } => explain::run(&mut client, port, frame, form),
        Action::Capture(arguments) => capture::run(client, arguments, form).map(|()| String::new()),
        Action::Top { interval } => top::run(client, connect, Duration::from_millis(*interval), form),
        Action::Mirror(action) => mirror::run(&mut client, action, form),
        Action::Monitor => monitor::run(client, form).map(|()| String::new()),
        Action::Config(action) => config::run(&mut client, action, form),
        Action::Upgrade => upgrade::run(&mut client, connect, form),
        Action::Reload => config::reload(&mut client, form),
        Action::Version => {
            let running = client.version()?;
            if form.json {
                return output::json(&running);
            }
            let (version, bridge, pid) = (running.version, running.bridge, running.pid);
            Ok(format!(
                "switchctl {}\nswitchd {version}, bridge {bridge}, process {pid}\n",
                env!("CARGO_PKG_VERSION")
            ))
        }
        Action::Man | Action::Completions { .. } => Ok(String::new()),
    }
}
