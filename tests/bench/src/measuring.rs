//! All cases, round after round, all ways in turn within each.

use std::io::IsTerminal;

use anyhow::{Context, Result, ensure};
use stage::SpinFound;
use world::postgres::Postgres;

use crate::arguments::Measuring;
use crate::case::{Case, Files};
use crate::child::Process;
use crate::machine::machine;
use crate::mover::{Moved, Task, Way};
use crate::servers::Servers;
use crate::summary::{Measured, Run};
use crate::table;

/// What is tried for copying: the best of them is the physical limit.
const CONNECTIONS: [usize; 4] = [4, 16, 64, 256];
/// The same for large files.
const CONNECTIONS_LARGE: [usize; 3] = [1, 2, 4];
/// So many files on each connection tell which number is best.
const TRIED_FILES: u64 = 40;

/// Measures, prints the table, and writes it as JSON where that is wanted.
pub async fn run(wanted: &Measuring) -> Result<()> {
    ensure!(wanted.rounds > 0, "--rounds must be 1 at least");
    let cases: Vec<Case> = if wanted.quick {
        Case::quick()
    } else {
        Case::all()
    }
    .into_iter()
    .filter(|case| {
        wanted.cases.is_empty() || wanted.cases.iter().any(|text| case.name.contains(text))
    })
    .collect();
    ensure!(!cases.is_empty(), "no case has such a name");
    let ways = ways(&wanted.only)?;
    tokio::task::spawn_blocking(stage::build_components).await??;
    let bench = Bench {
        postgres: Postgres::start().await.context("Postgres")?,
        wanted,
    };
    let mut measured = Measured::new(machine(), wanted.variables.clone());
    for case in &cases {
        let connections = bench.best_connections(case, &ways).await?;
        for round in 1..=wanted.rounds {
            for way in &ways {
                let count = case.count(*way, wanted.files);
                let run = bench.run(case, *way, count, connections).await?;
                let run = Run { round, ..run };
                progress(&run);
                measured.runs.push(run);
            }
        }
    }
    println!("{}", table::markdown(&measured));
    if let Some(path) = &wanted.json {
        let text = serde_json::to_string_pretty(&measured.document())?;
        std::fs::write(path, text).with_context(|| format!("{} not written", path.display()))?;
    }
    Ok(())
}

/// The ways that were asked for, as far as they can be gone here.
fn ways(only: &[Way]) -> Result<Vec<Way>> {
    let mut ways: Vec<Way> = Way::ALL
        .into_iter()
        .filter(|way| only.is_empty() || only.contains(way))
        .collect();
    if ways.contains(&Way::Spin) {
        match stage::find_spin() {
            SpinFound::Usable(_) => {}
            SpinFound::TooOld(version) => {
                eprintln!("skipped: under spin, which is too old ({version})");
                ways.retain(|way| *way != Way::Spin);
            }
            SpinFound::None => {
                eprintln!("skipped: under spin, which is not on the PATH");
                ways.retain(|way| *way != Way::Spin);
            }
        }
    }
    ensure!(!ways.is_empty(), "nothing is left to measure");
    Ok(ways)
}

struct Bench<'a> {
    postgres: Postgres,
    wanted: &'a Measuring,
}

impl Bench<'_> {
    /// One run: fresh servers, a fresh database, a fresh process that moves all files.
    async fn run(&self, case: &Case, way: Way, count: u64, connections: usize) -> Result<Run> {
        let run = self.try_run(case, way, count, connections).await;
        run.with_context(|| format!("{}, {}", case.name, way.name()))
    }

    async fn try_run(&self, case: &Case, way: Way, count: u64, connections: usize) -> Result<Run> {
        let servers = Servers::start(case.files, count, case.place).await?;
        let mut variables = servers.variables().clone();
        let database = if way.needs_postgres() {
            let database = self.postgres.database().await?;
            variables.extend(stage::of_database(&database));
            Some(database)
        } else {
            None
        };
        variables.extend(self.wanted.variables.iter().cloned());
        let task = Task {
            way,
            variables,
            connections,
        };
        let moved: Moved = Process::start("move", &task).await?.answer().await?;
        let seen = servers.check().await?;
        drop(database);
        Ok(Run {
            case: case.name.clone(),
            large: case.files.are_large(),
            way,
            round: 0,
            files: count,
            bytes: seen.bytes,
            odoo_calls: seen.odoo_calls,
            storage_calls: seen.storage_calls,
            connections: (way == Way::Copying).then_some(connections),
            moved,
        })
    }

    /// With how many connections copying is fastest.
    async fn best_connections(&self, case: &Case, ways: &[Way]) -> Result<usize> {
        let tried: &[usize] = match case.files {
            _ if !ways.contains(&Way::Copying) || self.wanted.quick => &[],
            files if files.are_large() => &CONNECTIONS_LARGE,
            Files::Mixed | Files::Each(_) => &CONNECTIONS,
        };
        let mut best = (CONNECTIONS[0], 0.0);
        for connections in tried {
            let each = if case.files.are_large() {
                2
            } else {
                TRIED_FILES
            };
            let count = case
                .count(Way::Copying, self.wanted.files)
                .min(each * u64::try_from(*connections)?);
            let run = self.run(case, Way::Copying, count, *connections).await?;
            if run.files_per_s() > best.1 {
                best = (*connections, run.files_per_s());
            }
        }
        Ok(best.0)
    }
}

/// A line for whoever watches.
fn progress(run: &Run) {
    if std::io::stderr().is_terminal() || std::env::var_os("BENCH_PROGRESS").is_some() {
        eprintln!(
            "{:12} {:10} round {}  {:8.1} files/s  {:7.1} MB/s  {:6.1} s  {:5.2} CPU s",
            run.case,
            run.way.name(),
            run.round,
            run.files_per_s(),
            run.mb_per_s(),
            run.moved.elapsed_s,
            run.moved.cpu_s
        );
    }
}
