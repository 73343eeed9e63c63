//! What each service key may do, and what too old tables are to the program.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use stage::Stage;

use crate::scene::{JOBS, set};

/// The first column of a statement's first row.
async fn text(stage: &Stage, statement: &str) -> Result<String> {
    Ok(stage.owner.query_one(statement, &[]).await?.try_get(0)?)
}

#[tokio::test]
async fn a_key_does_what_it_is_for_and_nothing_else() -> Result<()> {
    let stage = set().variable("status_public", "false").start().await?;
    text(&stage, "select odoo_sync.rotate_key()").await?;
    let in_vault =
        "select decrypted_secret from vault.decrypted_secrets where name = 'odoo_sync_key'";
    let jobs = text(&stage, in_vault).await?;
    let read = text(&stage, "select odoo_sync.new_key('prometheus', 'read')").await?;
    let admin = text(&stage, "select odoo_sync.new_key('me', 'admin')").await?;
    let caller = stage.caller();

    // As scheduled, word for word or not.
    for (path, body) in [
        ("/archive-batch", ""),
        ("/functions/v1/archive-odoo-files", "{}"),
        ("/crm-sync", r#"{"mode": "incremental"}"#),
        ("/crm-sync", r#"{"validate":true,"mode":"full"}"#),
        ("/chatter-sync", r#"{"mode": "missing"}"#),
    ] {
        let answer = caller.post(path, &jobs, body).await?;
        ensure!(answer.status == 200, "{path} {body}: {}", answer.text());
        let answer = caller.post(path, &read, body).await?;
        ensure!(answer.status == 403, "{path} {body}: {}", answer.text());
    }
    for (path, body) in [
        ("/archive-batch", r#"{"mode": "dry_run"}"#),
        ("/archive-batch", r#"{"mode": "verify"}"#),
        ("/archive-batch", r#"{"ids": [1]}"#),
        ("/crm-sync", r#"{"mode": "full", "confirm_deletes": true}"#),
        ("/crm-sync", ""),
        ("/chatter-sync", r#"{"mode": "full"}"#),
        ("/actions/pause", r#"{"job": "archive-batch"}"#),
        ("/actions/retry", ""),
    ] {
        for key in [&jobs, &read] {
            let answer = caller.post(path, key, body).await?;
            ensure!(
                answer.status == 403 && answer.text().contains("odoo_sync.new_key("),
                "{path} {body}: {}",
                answer.text()
            );
        }
    }
    for (path, of_jobs, of_read) in [
        ("/status", 403, 200),
        ("/metrics", 403, 200),
        ("/status/files/1", 403, 403),
    ] {
        for (key, expected) in [(&jobs, of_jobs), (&read, of_read)] {
            let answer = caller.get(path, Some(key)).await?;
            ensure!(answer.status == expected, "{path}: {}", answer.text());
        }
    }
    for (path, body) in [
        ("/archive-batch", r#"{"mode": "dry_run"}"#),
        ("/actions/pause", r#"{"job": "archive-batch"}"#),
    ] {
        let answer = caller.post(path, &admin, body).await?;
        ensure!(answer.status == 200, "{path} {body}: {}", answer.text());
    }
    let answer = caller.get("/status", Some(&admin)).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn tables_that_are_too_old_are_told_and_newer_ones_work() -> Result<()> {
    let stage = set().start().await?;
    let versions =
        "delete from odoo_sync.schema_versions; insert into odoo_sync.schema_versions values (1)";
    stage.owner.batch_execute(versions).await?;
    let paths = JOBS.iter().chain(&["/actions/retry"]);
    for path in paths {
        let answer = stage.post(path, "").await?;
        let told: serde_json::Value = serde_json::from_str(&answer.text())?;
        ensure!(
            answer.status == 500 && told.get("kind") == Some(&json!("ledger_missing")),
            "{path}: {told}"
        );
        let words = told.get("error").and_then(|error| error.as_str());
        let words = words.context("no words")?;
        ensure!(
            words.contains("version 1") && words.contains("run all files of its sql/"),
            "{words}"
        );
    }
    let answer = stage.get("/status").await?;
    ensure!(answer.status == 500, "{}", answer.text());
    let newer = "insert into odoo_sync.schema_versions values (1000)";
    stage.owner.batch_execute(newer).await?;
    let answer = stage.post("/archive-batch", "").await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(())
}
