//! The ways to move files, each in a process that does nothing else.

mod component;
mod copying;
mod naive;
mod native;
mod plain;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use stage::Variables;

use crate::child;
use crate::resources::used;

/// A way to move files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The compiled component, under the project's runner.
    Component,
    /// The compiled component, under `spin`.
    Spin,
    /// The same libraries, natively.
    Native,
    /// One file after the other: `datas` by JSON-RPC, then an upload.
    Naive,
    /// Bytes from one server to the other on many connections, and nothing else.
    Copying,
}

impl Way {
    /// All ways, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Component,
        Self::Spin,
        Self::Native,
        Self::Naive,
        Self::Copying,
    ];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Spin => "component, spin",
            Self::Native => "native",
            Self::Naive => "naive",
            Self::Copying => "copying",
        }
    }

    /// Whether it keeps a catalogue, and so needs Postgres.
    pub const fn needs_postgres(self) -> bool {
        matches!(self, Self::Component | Self::Spin | Self::Native)
    }
}

/// What a process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// In which way.
    pub way: Way,
    /// The app's variables, over those of `spin.toml`.
    pub variables: Variables,
    /// How many connections at once, where that is not the app's to choose.
    pub connections: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Moved {
    /// Seconds from the first request to the last answer.
    pub elapsed_s: f64,
    /// CPU seconds in this time.
    pub cpu_s: f64,
    /// The most memory of the process, in bytes.
    pub peak_rss_bytes: u64,
    /// The most memory of an instance of the component, in bytes.
    pub instance_bytes: Option<u64>,
    /// Statements that were sent to Postgres, where that can be told.
    pub statements: Option<u64>,
}

/// What a way knows of itself at its end.
#[derive(Debug, Default)]
struct Usage {
    instance_bytes: Option<u64>,
    statements: Option<u64>,
}

/// Moves all files of the simulated Odoo in the way that is asked for on standard input.
pub async fn run() -> Result<()> {
    let task: Task = child::order()?;
    match task.way {
        Way::Component | Way::Spin => component::start(&task).await?.run().await,
        Way::Native => native::Native::start(&task).await?.run().await,
        Way::Naive => naive::Naive::start(&task)?.run().await,
        Way::Copying => copying::Copying::start(&task)?.run().await,
    }
}

/// What is ready to move files.
trait Mover: Sized {
    /// Moves all of them.
    async fn move_all(&mut self) -> Result<Usage>;

    /// Moves all of them, and tells how.
    async fn run(mut self) -> Result<()> {
        let before = used()?;
        let begun = Instant::now();
        let told = self.move_all().await?;
        let elapsed_s = begun.elapsed().as_secs_f64();
        let after = used()?;
        child::tell(&Moved {
            elapsed_s,
            cpu_s: after.cpu_s - before.cpu_s,
            peak_rss_bytes: after.peak_rss_bytes,
            instance_bytes: told.instance_bytes,
            statements: told.statements,
        })
    }
}

/// The value of a variable: the task's, else the default of `spin.toml`.
fn variable(task: &Task, name: &str) -> Result<String> {
    if let Some(value) = task.variables.get(name) {
        return Ok(value.clone());
    }
    let path: PathBuf = stage::root().join("spin.toml");
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(path)?)?;
    let default = manifest
        .get("variables")
        .and_then(|variables| variables.get(name)?.get("default")?.as_str());
    Ok(default
        .with_context(|| format!("spin.toml has no default of {name}"))?
        .to_owned())
}

/// A batch that did not go well is the end of the measurement.
fn check_report(status: &str, report: &impl std::fmt::Debug) -> Result<()> {
    if status != "success" {
        bail!("a batch ended with {status}: {report:?}");
    }
    Ok(())
}
