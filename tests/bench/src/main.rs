//! How fast files are moved, beside what people would use instead: `cargo bench-all`.
//!
//! Each figure is taken in a process of its own, which does nothing but move files: the simulated
//! servers are another process, Postgres is one anyway. So its CPU time and its memory are those of
//! the moving alone.

mod arguments;
mod case;
mod child;
mod machine;
mod measuring;
mod mover;
mod resources;
mod servers;
mod summary;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // As many threads as the machine has cores, as `spin up` and the runner take them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match &arguments.command {
        Some(Command::Serve) => runtime.block_on(servers::serve()),
        Some(Command::Move) => runtime.block_on(mover::run()),
        None => runtime.block_on(measuring::run(&arguments.measuring)),
    }
}
