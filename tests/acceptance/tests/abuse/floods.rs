//! Many calls of strangers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use http::Method;
use stage::{Stage, until};

use crate::scene::{JOBS, all_still_serve, nothing_was_done, set};

/// Calls at once. An instance serves sixteen.
const CALLERS: u64 = 12;
const CALLS: u64 = 600;

/// So many calls an instance has in its life: the next one asks anew.
const CALLS_OF_AN_INSTANCE: u64 = 128;

async fn connections(stage: &Stage) -> Result<i64> {
    stage
        .count("select count(*) from pg_stat_activity where datname = current_database() and usename = 'odoo_sync'")
        .await
}

/// How often the accepted keys were read, once Postgres has counted it.
async fn refreshes(stage: &Stage) -> Result<i64> {
    stage
        .count("select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables where schemaname = 'odoo_sync' and relname = 'accepted_keys'")
        .await
}

#[tokio::test]
async fn a_flood_of_refused_calls_costs_one_row_few_connections_and_few_questions() -> Result<()> {
    let mut stage = set().start().await?;
    let before = refreshes(&stage).await?;
    let most = Arc::new(AtomicI64::new(0));
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CALLS {
                return Ok::<(), anyhow::Error>(());
            }
            let path = JOBS[usize::try_from(number)? % JOBS.len()];
            let authorization = format!("Bearer a-stranger-{number}");
            let headers = [("authorization", authorization.as_str())];
            let answer = stage
                .caller()
                .send(Method::POST, path, &headers, "{}")
                .await?;
            ensure!(
                answer.status == 401 && answer.text() == r#"{"error":"Unauthorized"}"#,
                "{} {}",
                answer.status,
                answer.text()
            );
            most.fetch_max(connections(&stage).await?, Ordering::Relaxed);
        }
    });
    try_join_all(callers).await?;
    let seconds = i64::try_from(begun.elapsed().as_secs())? + 1;

    let rows = stage
        .count("select count(*) from public.migration_logs where status = 'auth_error'")
        .await?;
    let minutes = 1 + seconds / 60;
    ensure!((1..=minutes).contains(&rows), "{rows} rows in {seconds} s");
    // Whoever floods the components does not flood their log.
    let lines = i64::try_from(stage.log().len())?;
    ensure!(lines <= 3 * minutes, "{:?}", stage.log());
    nothing_was_done(&stage).await?;

    // Connections are closed or idle again, and were never one for each call.
    let most = most.load(Ordering::Relaxed);
    ensure!(
        most < i64::try_from(CALLERS)?,
        "{most} connections for {CALLERS} calls at once"
    );

    // One question a second and instance; an instance ends after so many calls. Of calls that come at
    // once each may start one (seen on Spin 4.1).
    let instances = i64::try_from((CALLS / CALLS_OF_AN_INSTANCE + CALLERS) * 3)?;
    all_still_serve(&stage).await?;

    // A connection that ends tells what it counted.
    stage.stop_app().await;
    until("no connection is left", async || {
        Ok(connections(&stage).await? == 0)
    })
    .await?;
    let asked = refreshes(&stage).await? - before;
    println!(
        "{CALLS} calls in {seconds} s: {asked} questions, at most {most} connections, {rows} rows"
    );
    ensure!(asked >= 1, "Postgres counted nothing");
    ensure!(
        asked <= instances + 3 * seconds,
        "the keys were read {asked} times for {CALLS} calls in {seconds} s"
    );
    Ok(())
}
