//! Faults of Postgres and of the way to it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chaos::Job;
use stage::wire::{Moment, Then, Wire};
use stage::{Answer, Caller, of_database};
use world::faults::Fault;
use world::postgres::Postgres;

use crate::bench::{Bench, Work};
use crate::statements;
use crate::table::{Row, hold};

/// Each statement, cut off once before it arrives and once after it is done.
async fn cut(job: Job, section: &str) -> Result<()> {
    let bench = Bench::set(job).await?;
    let wire = Wire::to(bench.stage.database.port()).await?;
    let (_host, caller) = bench
        .stage
        .replica(&[("db_port", &wire.port().to_string())])
        .await?;
    let mut rows = Vec::new();
    for &(name, mark) in statements::of(job) {
        for moment in Moment::BOTH {
            bench.work(Work::Small)?;
            wire.strike(mark, moment, Then::Cut, 1);
            let logged = bench.log_rows().await?;
            let answer = bench.call(&caller).await;
            ensure!(wire.struck() == 1, "{name} was never sent");
            let fault = format!("connection cut {} it", moment.name());
            rows.push(
                bench
                    .tell((name, fault.as_str()), answer, logged)
                    .await
                    .with_context(|| format!("{name}, {fault}"))?,
            );
            // A slot whose taking or leaving was cut off is held until its lease passes, and no longer.
            bench.leases_pass().await?;
            bench
                .done(&caller)
                .await
                .with_context(|| format!("{name}, {fault}"))?;
        }
    }
    hold(section, &rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_and_the_way_to_postgres() -> Result<()> {
    cut(Job::Archive, "archive-batch and the way to Postgres").await
}

#[tokio::test(flavor = "multi_thread")]
async fn crm_and_the_way_to_postgres() -> Result<()> {
    cut(Job::Crm, "crm-sync and the way to Postgres").await
}

#[tokio::test(flavor = "multi_thread")]
async fn chatter_and_the_way_to_postgres() -> Result<()> {
    cut(Job::Chatter, "chatter-sync and the way to Postgres").await
}

/// A statement in mid-work that never arrives, on a connection that nobody ends. One for each component: it takes half a
/// minute until that is known.
async fn silent(job: Job) -> Result<Row> {
    let bench = Bench::set(job).await?;
    let wire = Wire::to(bench.stage.database.port()).await?;
    let port = wire.port().to_string();
    let (_host, caller) = bench.stage.replica(&[("db_port", &port)]).await?;
    let (name, mark) = statements::of(job).get(2).context("no statement")?;
    bench.work(Work::Small)?;
    wire.strike(mark, Moment::Before, Then::Hold, 1);
    let logged = bench.log_rows().await?;
    let call = begin(&bench, &caller);
    wire.until_struck().await?;
    let struck = Instant::now();
    let answer = call.await?;
    let took = struck.elapsed();
    ensure!(took < Duration::from_secs(40), "{name}: {took:?}");
    let place = format!("{}, {name}", job.name());
    let row = bench
        .tell((&place, "no answer, and no end"), answer, logged)
        .await?;
    bench.leases_pass().await?;
    bench.done(&caller).await.context(place)?;
    Ok(row)
}

pub async fn connections_that_fall_silent() -> Result<()> {
    let (archive, crm, chatter) =
        tokio::try_join!(silent(Job::Archive), silent(Job::Crm), silent(Job::Chatter))?;
    hold(
        "Connections to Postgres that fall silent",
        &[archive, crm, chatter],
    )
}

/// What was recorded counts, though no answer of any record came back and the batch gave up.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_never_hears_what_it_recorded_is_logged_with_what_it_did() -> Result<()> {
    let bench = Bench::set(Job::Archive).await?;
    let wire = Wire::to(bench.stage.database.port()).await?;
    let (_host, caller) = bench
        .stage
        .replica(&[("db_port", &wire.port().to_string())])
        .await?;
    bench.work(Work::Small)?;
    wire.strike("\"settled\":[", Moment::After, Then::Cut, u32::MAX);
    let answer = bench.call(&caller).await?;
    ensure!(wire.struck() > 1, "{}", answer.text());
    wire.mend();
    let moved = bench
        .stage
        .count(
            "select migrated::bigint from public.migration_logs order by created_at desc limit 1",
        )
        .await?;
    ensure!(moved == 2, "the log says {moved}: {}", answer.text());
    bench.done(&caller).await
}

/// What happens to a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disruption {
    Restarted,
    Crashed,
    Away,
    Terminated,
}

/// A server of its own for each component: it is restarted, crashed, taken away, in mid-work.
async fn upheavals(job: Job) -> Result<Vec<Row>> {
    let mut bench = Bench::set(job).await?;
    let server = Postgres::start_throw_away().await?;
    let database = server.database().await?;
    bench.stage.owner = database.connect().await?;
    bench.stage.owner.batch_execute(chaos::WITNESS).await?;
    let variables = of_database(&database);
    let more: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (_host, caller) = bench.stage.replica(&more).await?;
    // The objects are there from the first database; this one knows nothing yet.
    bench.done(&caller).await?;
    let mut rows = Vec::new();
    for (upheaval, fault) in [
        (Disruption::Restarted, "restarted in mid-work"),
        (
            Disruption::Crashed,
            "crashed in mid-work, started again with unlogged tables emptied",
        ),
        (
            Disruption::Terminated,
            "all connections terminated in mid-work",
        ),
        (Disruption::Away, "refused"),
    ] {
        bench.work(Work::Small)?;
        let slow = match job {
            Job::Archive => Fault::on_call("ir.attachment", "read"),
            Job::Crm => Fault::on_call("crm.lead", "search_read"),
            Job::Chatter => Fault::on_call("mail.message", "search_read"),
        };
        let faults = bench.stage.odoo.faults();
        let answer = if upheaval == Disruption::Away {
            server.crash().await?;
            bench.call(&caller).await
        } else {
            let set = faults.add(slow.times(1).hold());
            let call = begin(&bench, &caller);
            while faults.struck(set) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            match upheaval {
                Disruption::Restarted => server.restart().await?,
                Disruption::Terminated => {
                    let superuser = database.connect_as_superuser().await?;
                    superuser
                        .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'odoo_sync'")
                        .await?;
                }
                _ => server.crash().await?,
            }
            faults.clear();
            call.await?
        };
        if matches!(upheaval, Disruption::Crashed | Disruption::Away) {
            server.start_again().await?;
        }
        bench.stage.owner = database.connect().await?;
        let told = match &answer {
            Err(_) => "no answer".to_owned(),
            Ok(answer) => {
                let report = answer.json();
                let kind = report.pointer("/fault/kind").and_then(|kind| kind.as_str());
                kind.map_or_else(
                    || {
                        format!(
                            "{}: made up for",
                            report
                                .get("status")
                                .and_then(|status| status.as_str())
                                .unwrap_or("?")
                        )
                    },
                    |kind| format!("`{kind}`, {}", answer.status.as_u16()),
                )
            }
        };
        rows.push(Row {
            place: job.name().to_owned(),
            fault: fault.to_owned(),
            told,
            status: "not asked: `/status` stands on the same Postgres".to_owned(),
        });
        bench.leases_pass().await?;
        bench
            .done(&caller)
            .await
            .with_context(|| fault.to_owned())?;
    }
    Ok(rows)
}

fn begin(bench: &Bench, caller: &Caller) -> tokio::task::JoinHandle<Result<Answer>> {
    let (caller, path) = (caller.clone(), bench.job.path());
    let body = if bench.job == Job::Archive {
        "{}"
    } else {
        r#"{"mode": "full"}"#
    };
    tokio::spawn(async move { caller.post(path, stage::SERVICE_KEY, body).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes() -> Result<()> {
    let (archive, crm, chatter) = tokio::try_join!(
        upheavals(Job::Archive),
        upheavals(Job::Crm),
        upheavals(Job::Chatter)
    )?;
    hold("Postgres itself", &[archive, crm, chatter].concat())
}

/// The tables that each component writes, and what is in them.
const FULL: [(Job, &str); 8] = [
    (Job::Archive, "odoo_sync.runs"),
    (Job::Archive, "public.odoo_attachments"),
    (Job::Archive, "public.migration_logs"),
    (Job::Crm, "public.odoo_leads"),
    (Job::Crm, "public.sync_validation_log"),
    (Job::Crm, "public.migration_logs"),
    (Job::Chatter, "public.odoo_messages"),
    (Job::Chatter, "odoo_sync.cursors"),
];

/// Postgres refuses to write for want of room, as hosted Supabase does when a disk is nearly full.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full() -> Result<()> {
    let mut rows = Vec::new();
    for job in Job::ALL {
        let bench = Bench::set(job).await?;
        let owner = &bench.stage.owner;
        owner
            .batch_execute(
                "create function public.no_room() returns trigger language plpgsql as $$
                 begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$",
            )
            .await?;
        for (_, table) in FULL.iter().filter(|(of, _)| *of == job) {
            bench.work(Work::Small)?;
            owner
                .batch_execute(&format!("create trigger no_room before insert or update on {table} for each row execute function public.no_room()"))
                .await?;
            let logged = bench.log_rows().await?;
            let answer = bench.call(bench.stage.caller()).await;
            let place = format!("{}, {table}", job.name());
            let row = bench
                .tell((place.as_str(), "disk full"), answer, logged)
                .await;
            owner
                .batch_execute(&format!("drop trigger no_room on {table}"))
                .await?;
            rows.push(row.with_context(|| place.clone())?);
            bench.leases_pass().await?;
            bench
                .done(bench.stage.caller())
                .await
                .with_context(|| place)?;
        }
    }
    hold("A disk that is full", &rows)
}
