//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::mover::Way;

/// Measures how fast files are moved, in several ways, and prints a table.
#[derive(Debug, Parser)]
#[command(
    override_usage = "cargo bench-all -- [OPTIONS]",
    disable_version_flag = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub measuring: Measuring,
}

/// What a process of its own is started for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the simulated servers (options on standard input)
    #[command(hide = true)]
    Serve,
    /// Move files in one way (a task on standard input)
    #[command(hide = true)]
    Move,
}

/// What to measure.
#[derive(Debug, Args)]
pub struct Measuring {
    /// Few and small files: that all ways work, not how fast they are
    #[arg(long)]
    pub quick: bool,
    /// How often each case is measured, all ways in turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// Where the table goes as JSON
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Only these ways
    #[arg(long, value_name = "WAY", value_enum, value_delimiter = ',')]
    pub only: Vec<Way>,
    /// Only the case of this name, or those whose names contain it, such as `20 ms`; may be repeated
    #[arg(long = "case", value_name = "TEXT")]
    pub cases: Vec<String>,
    /// At most so many files a run, whatever the case says
    #[arg(long, value_name = "N")]
    pub files: Option<u64>,
    /// A variable of the app, over those of spin.toml; may be repeated
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
