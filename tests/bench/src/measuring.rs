//! All cases, round after round, all ways in turn within each.

use std::io::IsTerminal;

use anyhow::{Context, Result, bail, ensure};
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
    let mut cases = if wanted.quick {
        Case::quick()
    } else {
        Case::all()
    };
    narrow(&mut cases, &wanted.cases)?;
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

/// Leaves the cases that are meant: a text is the whole name of one, or part of the names of some.
fn narrow(cases: &mut Vec<Case>, texts: &[String]) -> Result<()> {
    let mut meant = Vec::new();
    for text in texts {
        let whole = cases.iter().any(|case| case.name == *text);
        let known = meant.len();
        meant.extend(
            cases
                .iter()
                .map(|case| case.name.clone())
                .filter(|name| name == text || !whole && name.contains(text)),
        );
        if meant.len() == known {
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            bail!("no case is called {text}; there are: {}", names.join("; "));
        }
    }
    cases.retain(|case| texts.is_empty() || meant.contains(&case.name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_meant_by_its_name_or_by_a_part_of_it() {
        let names = |texts: &[&str]| -> Result<Vec<String>> {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let mut cases = Case::all();
            narrow(&mut cases, &texts)?;
            Ok(cases.into_iter().map(|case| case.name).collect())
        };
        assert_eq!(names(&["mixed, 0 ms"]).unwrap(), ["mixed, 0 ms"]);
        let slow = "mixed, 0 ms, slow servers";
        assert_eq!(
            names(&["slow", "1 KB, 20 ms"]).unwrap(),
            [slow, "1 KB, 20 ms"]
        );
        assert_eq!(names(&[" 20 ms"]).unwrap().len(), 3);
        assert_eq!(names(&[]).unwrap().len(), Case::all().len());
        let unknown = names(&["mixed", "2 GB"]).unwrap_err().to_string();
        assert!(
            unknown.starts_with("no case is called 2 GB; there are: mixed"),
            "{unknown}"
        );
    }
}
