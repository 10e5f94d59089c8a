//! `cargo xtask …`: every command that a contributor or CI runs.
#![forbid(unsafe_code)]

mod arrows;
mod conformance;
mod deb;
mod demo;
mod guest_suite;
mod interrupt;
mod leaks;
mod libvirt;
mod mutants;
mod restart_loss;
mod run;
mod setup;
mod test;
mod throughput;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the switchd workspace
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the switch at work between two virtual machines, a namespace and an outside host
    Demo(demo::Demo),
    /// Run every check and test, as CI does
    Test,
    /// Install what the demo and the tests need
    Setup,
    /// Compare with Linux Bridge, frame by frame
    Conformance(conformance::Conformance),
    /// Run the end-to-end tests on Debian's own kernel, in a guest
    GuestSuite(guest_suite::GuestSuite),
    /// Break the core in hundreds of ways and see whether its tests find each
    Mutants(mutants::Mutants),
    /// Compare its speed with other switches, by RFC 2544 and RFC 2889
    Throughput(throughput::Throughput),
    /// Make the Debian package
    Deb(deb::Deb),
    /// Measure what is lost while the process of the service changes
    RestartLoss(restart_loss::RestartLoss),
    /// Start, reboot and destroy a virtual machine of libvirt over and over, and look for what is left over
    Libvirt(libvirt::Cycles),
    #[command(hide = true)]
    BareLoop(throughput::BareLoop),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test => test::run(),
        Task::Setup => setup::run(setup::Use::Everything),
        Task::Conformance(options) => conformance::run(&options),
        Task::GuestSuite(options) => guest_suite::run(&options),
        Task::Mutants(options) => mutants::run(&options),
        Task::Throughput(options) => throughput::run(&options),
        Task::Deb(options) => deb::run(&options),
        Task::RestartLoss(options) => restart_loss::run(&options),
        Task::Libvirt(options) => libvirt::run(&options),
        Task::BareLoop(options) => throughput::run_bare_loop(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<interrupt::Interrupted>() => {
            eprintln!("\n{error}.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\ncargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
