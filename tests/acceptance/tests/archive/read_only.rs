//! A database that takes no writes for a while: who waits, what is said, and that it goes on by itself.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use stage::{Answer, Stage};

use crate::scene::{
    PATH, all_is_well_but_for_the_log, attempted, begin_tick, finish, hold_uploads, in_state,
    leases_pass, odoo_with, set, small, until_stored,
};

/// Sets the database to read-only, or back, as Supabase does when a disk is nearly full: sessions keep what they
/// began with.
async fn read_only(stage: &Stage, on: bool) -> Result<()> {
    let change = if on {
        "set default_transaction_read_only = on"
    } else {
        "reset default_transaction_read_only"
    };
    let statement = format!(
        "do $$ begin execute format('alter database %I {change}', current_database()); end $$"
    );
    stage.owner.batch_execute(&statement).await?;
    Ok(())
}

fn says_why(answer: &Answer) -> Result<()> {
    let document = answer.json();
    let fault = document.get("fault").unwrap_or(&document);
    ensure!(
        answer.status == 502 && fault.get("kind") == Some(&Value::from("ledger_read_only")),
        "{} {document}",
        answer.status
    );
    let words = answer.text();
    ensure!(
        words.contains("set to read-only") && words.contains("goes on by itself"),
        "{words}"
    );
    Ok(())
}

#[tokio::test]
async fn after_a_time_of_read_only_every_component_writes_again_by_itself() -> Result<()> {
    let stage = set(odoo_with(small(12))).start().await?;
    let calls = [PATH, "/crm-sync", "/chatter-sync", "/actions/pause"];
    read_only(&stage, true).await?;
    for path in calls {
        // At once, so that each pool has several sessions from now.
        let answers = try_join_all((0..4).map(|_| stage.post(path, "{}"))).await?;
        answers.iter().try_for_each(says_why).context(path)?;
    }
    read_only(&stage, false).await?;
    for path in calls {
        let answer = stage.post(path, "{}").await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert_eq!(stage.post("/actions/resume", "{}").await?.status, 200);
    finish(&stage, 2).await?;
    assert_eq!(
        (in_state(&stage, "moved").await?, attempted(&stage).await?),
        (12, 0)
    );
    all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn a_database_that_turns_read_only_in_mid_batch_costs_no_file_an_attempt() -> Result<()> {
    let stage = set(odoo_with(small(40))).start().await?;
    let held = hold_uploads(&stage, 11);
    let batch = begin_tick(&stage);
    until_stored(&stage, 10).await?;
    read_only(&stage, true).await?;
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                  where usename = 'odoo_sync' and datname = current_database()";
    ensure!(stage.count(ended).await? > 0, "no session was ended");
    stage.storage.faults().remove(held);
    let answer = batch.await??;
    ensure!(answer.status == 502, "{} {}", answer.status, answer.text());
    says_why(&stage.post(PATH, "{}").await?)?;
    read_only(&stage, false).await?;
    leases_pass(&stage).await?;
    finish(&stage, 3).await?;
    assert_eq!(
        (in_state(&stage, "moved").await?, attempted(&stage).await?),
        (40, 0)
    );
    Ok(())
}
