//! What the components print: once what stands, and of each run a line, for people or for programs.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::Stage;

use crate::scene::{JOBS, post, set};

fn lines(stage: &Stage, words: &str) -> Vec<String> {
    let lines = stage.log().into_iter();
    lines.filter(|line| line.contains(words)).collect()
}

#[tokio::test]
async fn how_the_configuration_stands_is_told_once_whoever_is_called_how_often() -> Result<()> {
    let stage = set().variable("service_keys", "").start().await?;
    let key = "select to_jsonb(odoo_sync.new_key('me', 'admin'))";
    let key = stage.value(key).await?;
    let key = key.as_str().context("no key")?;
    for _ in 0..3 {
        for path in JOBS {
            let answer = stage
                .caller()
                .post(path, key, r#"{"mode": "dry_run"}"#)
                .await?;
            ensure!(answer.status == 200, "{}", answer.text());
        }
        ensure!(stage.caller().get("/status", Some(key)).await?.status == 200);
    }
    let told = lines(&stage, "service_keys is not set");
    ensure!(told.len() == 1, "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_run_is_one_line_of_json_where_that_is_asked_for_and_none_where_only_errors_are()
-> Result<()> {
    let stage = set()
        .variable("log_format", "json")
        .variable("log_level", "error")
        .start()
        .await?;
    post(&stage, JOBS[0], "{}").await?;
    ensure!(lines(&stage, "run_id").is_empty(), "{:?}", stage.log());
    let (_host, all) = stage.replica(&[("log_level", "info")]).await?;
    let report = all.post(JOBS[0], stage::SERVICE_KEY, "{}").await?.json();
    let told = lines(&stage, "run_id");
    ensure!(told.len() == 1, "{told:?}");
    let line = told[0].split_once("] ").context("no source")?.1;
    let line: Value = serde_json::from_str(line)?;
    for (key, value) in [
        ("level", &Value::from("info")),
        ("component", &Value::from("archive-batch")),
        ("run_id", &report["run_id"]),
        ("status", &report["status"]),
        ("migrated", &report["migrated"]),
    ] {
        ensure!(&line[key] == value, "{key}: {line}");
    }
    // What did not work is told at every level.
    let (_host, broken) = stage.replica(&[("odoo_url", "http://127.0.0.1:1")]).await?;
    let report = broken.post(JOBS[0], stage::SERVICE_KEY, "{}").await?.json();
    let told = lines(&stage, &report["run_id"].to_string());
    ensure!(
        told.len() == 1 && told[0].contains(r#""level":"error""#),
        "{told:?}"
    );
    Ok(())
}
