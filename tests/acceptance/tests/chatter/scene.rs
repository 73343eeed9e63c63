//! What the tests have in common: a stage with leads on it, runs, and what is in the tables.

pub use acceptance::{leases_pass, minutes_ago};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stage::{Builder, Stage};
use world::odoo::{Options, Records};

pub const PATH: &str = "/chatter-sync";

/// A stage with an Odoo of this version and so many leads, and what was said about them.
pub async fn chatter(version: u8, leads: u32) -> Result<Stage> {
    set(version, leads, |builder| builder).await
}

/// The same, set in a particular way.
pub async fn set(version: u8, leads: u32, more: impl FnOnce(Builder) -> Builder) -> Result<Stage> {
    let odoo = Options {
        version,
        ..Options::default()
    };
    let stage = more(Stage::builder().odoo(odoo)).start().await?;
    stage.odoo.fill_pipeline(leads);
    Ok(stage)
}

/// The messages of Odoo.
pub fn messages(stage: &Stage) -> Records {
    stage.odoo.records("mail.message")
}

/// A comment on lead 1, with more fields or other ones.
pub fn say(stage: &Stage, more: &Value) -> i64 {
    let mut values = json!({
        "model": "crm.lead", "res_id": 1, "message_type": "comment", "subtype_id": 1, "body": "<p>Hello</p>",
        "author_id": 3, "email_from": "\"Mitchell Admin\" <admin@yourcompany.example.com>",
        "date": "2026-11-21 20:21:22",
    });
    if let (Value::Object(values), Value::Object(more)) = (&mut values, more) {
        values.extend(more.clone());
    }
    messages(stage).insert(values)
}

/// A run that is expected to succeed; its report.
pub async fn run(stage: &Stage, body: &str) -> Result<Value> {
    let answer = stage.post(PATH, body).await?;
    let report = answer.json();
    ensure!(
        answer.status == 200 && report["status"] == "success",
        "{} {}\n{:#?}",
        answer.status,
        answer.text(),
        stage.log()
    );
    Ok(report)
}

/// The hourly run.
pub async fn hourly(stage: &Stage) -> Result<Value> {
    run(stage, r#"{"mode": "missing"}"#).await
}

/// A run of what changed.
pub async fn sync(stage: &Stage) -> Result<Value> {
    run(stage, r#"{"mode": "incremental"}"#).await
}

/// The figures of a report: inserted, updated, deleted.
pub fn changed(report: &Value) -> [u64; 3] {
    ["inserted", "updated", "deleted"].map(|what| report[what].as_u64().unwrap_or(u64::MAX))
}

/// A message as JSON; null if there is none.
pub async fn message(stage: &Stage, id: i64) -> Result<Value> {
    row(stage, "odoo_messages", id).await
}

/// A message as a timeline shows it; null if there is none.
pub async fn shown(stage: &Stage, id: i64) -> Result<Value> {
    row(stage, "odoo_chatter", id).await
}

/// A row of a table as JSON; null if there is none.
pub async fn row(stage: &Stage, table: &str, id: i64) -> Result<Value> {
    stage
        .value(&format!(
            "select coalesce((select to_jsonb(t) from public.{table} t where t.id = {id}), 'null')"
        ))
        .await
}

/// How many rows a table has that are not deleted.
pub async fn live(stage: &Stage, table: &str) -> Result<i64> {
    let query = format!("select count(*) from public.{table} where deleted_at is null");
    stage.count(&query).await
}

/// The last validation of an entity.
pub async fn validation(stage: &Stage, entity: &str) -> Result<Value> {
    stage
        .value(&format!(
            "select coalesce((select to_jsonb(v) from public.sync_validation_log v where v.entity = '{entity}'
              order by v.created_at desc limit 1), 'null')"
        ))
        .await
}

/// What must hold whenever all is read: the same ids on both sides, and the very bodies.
pub async fn assert_same(stage: &Stage) -> Result<()> {
    let here = stage
        .value(
            "select coalesce(jsonb_object_agg(m.id, m.body), '{}') from public.odoo_messages m where m.deleted_at is null",
        )
        .await?;
    let here = here.as_object().context("no object")?;
    let records = messages(stage);
    let ids = records.ids();
    ensure!(
        here.len() == ids.len(),
        "{} here, {} there",
        here.len(),
        ids.len()
    );
    for id in ids {
        let there = records
            .get(id)
            .map(|record| record["body"].clone())
            .unwrap_or_default();
        let body = here.get(&id.to_string());
        ensure!(
            body == Some(&there),
            "message {id}: {there} there, {body:?} here"
        );
    }
    Ok(())
}
