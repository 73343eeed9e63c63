//! What these tests have in common: a stage, its four doors, and what must hold after any abuse.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::Value;
use stage::{Answer, Builder, SERVICE_KEY, Stage};
use world::odoo::{Attachments, Options};

/// Where work is started.
pub const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];

/// All paths that take a POST.
pub const POSTS: [&str; 5] = [
    "/archive-batch",
    "/crm-sync",
    "/chatter-sync",
    "/actions/retry",
    "/actions/run",
];

/// A stage with a few files and leads on it.
pub fn set() -> Builder {
    let odoo = Options {
        attachments: Attachments::of(3),
        ..Options::default()
    };
    Stage::builder().odoo(odoo)
}

/// The header of a holder of the key.
pub fn key() -> (&'static str, String) {
    ("authorization", format!("Bearer {SERVICE_KEY}"))
}

/// A POST of this body, with the key.
pub async fn post(stage: &Stage, path: &str, body: impl Into<bytes::Bytes>) -> Result<Answer> {
    let (name, value) = key();
    stage
        .caller()
        .send(Method::POST, path, &[(name, &value)], body)
        .await
}

/// An answer is a refusal of the caller, in JSON.
pub fn is_refusal(answer: &Answer, of: &str) -> Result<()> {
    ensure!(
        answer.status.is_client_error(),
        "{of}: {} {}",
        answer.status,
        answer.text()
    );
    ensure!(
        answer.json().get("error").is_some_and(Value::is_string)
            && answer.header("content-type") == "application/json",
        "{of}: no error in JSON: {} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

/// Nobody was asked for anything, and nothing was begun.
pub async fn nothing_was_done(stage: &Stage) -> Result<()> {
    let calls = stage.odoo.counters().total().calls + stage.storage.counters().total().calls;
    ensure!(calls == 0, "{calls} calls to Odoo and Storage");
    let begun = stage
        .count(
            "select (select count(*) from odoo_sync.runs) + (select count(*) from public.odoo_attachments)
                  + (select count(*) from public.migration_logs where status <> 'auth_error')",
        )
        .await?;
    ensure!(begun == 0, "{begun} rows of work");
    Ok(())
}

/// No component panicked, and all of them still serve.
pub async fn all_still_serve(stage: &Stage) -> Result<()> {
    for line in stage.log() {
        ensure!(
            !line.contains("panicked") && !line.starts_with("[runner]"),
            "an instance failed: {line}"
        );
    }
    for path in JOBS {
        let answer = post(stage, path, "{}").await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let answer = stage.get("/status").await?;
    ensure!(
        answer.status == 200,
        "/status: {} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}
