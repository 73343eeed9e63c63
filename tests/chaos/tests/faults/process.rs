//! The process is ended at every statement by which work becomes durable, and while bytes are under
//! way: `kill -9` and SIGTERM, on a process of its own.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use chaos::{App, Job, Signal};
use serde_json::json;
use stage::wire::{Moment, Then, Wire};
use stage::{SERVICE_KEY, Variables, of_database, of_odoo, of_storage};
use world::faults::Fault;

use crate::bench::{Bench, Work, user};
use crate::statements;
use crate::table::{Row, hold};

fn variables(bench: &Bench, port: u16) -> Variables {
    let mut variables = of_database(&bench.stage.database);
    variables.extend(of_odoo(&bench.stage.odoo, "odoo", &user()));
    variables.extend(of_storage(&bench.stage.storage, "service-role-key"));
    for (name, value) in [
        ("db_port", port.to_string()),
        ("service_keys", SERVICE_KEY.to_owned()),
        ("archive_batch_seconds", "3".to_owned()),
        ("crm_batch_seconds", "3".to_owned()),
        ("chatter_batch_seconds", "3".to_owned()),
    ] {
        variables.insert(name.to_owned(), value);
    }
    variables
}

/// A call that is cut off by the end of the process; its lease, and what comes after.
async fn ended(
    bench: &Bench,
    app: &mut App,
    signal: Signal,
    (place, moment): (&str, &str),
    reached: impl AsyncFnOnce() -> Result<()>,
) -> Result<Row> {
    let call = {
        let (caller, path) = (app.caller(), bench.job.path());
        let body = if bench.job == Job::Archive {
            "{}"
        } else {
            r#"{"mode": "full"}"#
        };
        tokio::spawn(async move { caller.post(path, SERVICE_KEY, body).await })
    };
    reached().await?;
    app.down(signal).await?;
    ensure!(call.await?.is_err(), "it was answered by nobody");
    let held = bench
        .stage
        .count("select count(*) from odoo_sync.runs where outcome = 'running'")
        .await?;
    app.up().await?;
    if held > 0 {
        // Its lease stands: whoever comes now leaves its work alone.
        let answer = bench.call(&app.caller()).await?;
        ensure!(
            answer.json().get("status") == Some(&json!("running")),
            "{}",
            answer.text()
        );
        bench.leases_pass().await?;
        let logged = bench.log_rows().await?;
        bench.call(&app.caller()).await?;
        let crash = bench
            .stage
            .count("select count(*) from public.migration_logs where errors[1] like '%cut off%' and created_at > now() - interval '1 minute'")
            .await?;
        ensure!(
            crash >= 1 && bench.log_rows().await? > logged,
            "nothing in the log tells of it"
        );
    }
    bench.done(&app.caller()).await?;
    Ok(Row {
        place: format!("{}, {place}", bench.job.name()),
        fault: format!("{} {moment}", signal.name()),
        told: if held > 0 {
            "no answer; a row when its lease has passed: cut off"
        } else {
            "no answer; nothing had begun, or all was done"
        }
        .to_owned(),
        status: if held > 0 {
            "running, until its lease has passed"
        } else {
            "as before"
        }
        .to_owned(),
    })
}

async fn at_every_statement(job: Job) -> Result<Vec<Row>> {
    let bench = Bench::set(job).await?;
    let wire = Wire::to(bench.stage.database.port()).await?;
    let program = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let mut app = App::start(program, variables(&bench, wire.port())).await?;
    let mut rows = Vec::new();
    for (nth, &(name, mark)) in statements::of(job).iter().enumerate() {
        for moment in Moment::BOTH {
            // Either signal ends the work at once; each statement meets both, on one side each.
            let kills = (moment == Moment::Before) == nth.is_multiple_of(2);
            let signal = if kills { Signal::Kill } else { Signal::Term };
            bench.work(Work::Small)?;
            wire.strike(mark, moment, Then::Hold, 1);
            let row = ended(
                &bench,
                &mut app,
                signal,
                (name, moment.name()),
                async || wire.until_struck().await,
            )
            .await;
            rows.push(row.with_context(|| format!("{name}, {} {}", signal.name(), moment.name()))?);
        }
    }
    if job == Job::Archive {
        for (place, work, fault) in [
            (
                "an upload",
                Work::Small,
                Fault::on("/object/odoo-archive").method("POST"),
            ),
            (
                "a piece of an upload",
                Work::Pieces,
                Fault::on("/upload/resumable").method("PATCH"),
            ),
        ] {
            bench.work(work)?;
            let faults = bench.stage.storage.faults();
            let set = faults.add(fault.times(1).delay_ms(20_000));
            let row = ended(
                &bench,
                &mut app,
                Signal::Kill,
                (place, "under way"),
                async || {
                    while faults.struck(set) == 0 {
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                    Ok(())
                },
            )
            .await;
            rows.push(row.context(place)?);
            faults.clear();
        }
    }
    ensure!(
        !app.lines().iter().any(|line| line.contains("panicked")),
        "{:#?}",
        app.lines()
    );
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_ends() -> Result<()> {
    let (archive, crm, chatter) = tokio::try_join!(
        at_every_statement(Job::Archive),
        at_every_statement(Job::Crm),
        at_every_statement(Job::Chatter)
    )?;
    hold("The process itself", &[archive, crm, chatter].concat())
}
