//! `cargo xtask …`: every command that a contributor or CI runs.
#![forbid(unsafe_code)]

mod throughput;

use anyhow::Result;
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
    /// Measure against Linux Bridge and a bare read/write loop
    Throughput(throughput::Throughput),
    #[command(hide = true)]
    Generate(throughput::Generate),
    #[command(hide = true)]
    BareLoop(throughput::BareLoop),
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Throughput(options) => throughput::run(&options),
        Task::Generate(options) => throughput::run_generator(&options),
        Task::BareLoop(options) => throughput::run_bare_loop(&options),
    }
}
