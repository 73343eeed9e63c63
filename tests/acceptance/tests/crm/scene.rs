//! What the tests have in common: a stage with a pipeline on it, runs, and what is in the tables.

pub use acceptance::{leases_pass, minutes_ago};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stage::{Builder, Stage};
use world::odoo::{Options, Records};

pub const PATH: &str = "/crm-sync";

/// The entities, in their order.
pub const ENTITIES: [&str; 7] = [
    "stages",
    "teams",
    "tags",
    "lost_reasons",
    "users",
    "leads",
    "partners",
];

/// A stage with an Odoo of this version and so many leads.
pub async fn pipeline(version: u8, leads: u32) -> Result<Stage> {
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

/// The leads of Odoo.
pub fn leads(stage: &Stage) -> Records {
    stage.odoo.records("crm.lead")
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

/// A run that a fault stops, or one of its entities; its report.
pub async fn failing_run(stage: &Stage, body: &str) -> Result<Value> {
    let answer = stage.post(PATH, body).await?;
    let report = answer.json();
    ensure!(
        answer.status.is_server_error() && report["status"] == "error",
        "it did not fail: {} {}",
        answer.status,
        answer.text()
    );
    Ok(report)
}

/// The usual run.
pub async fn sync(stage: &Stage) -> Result<Value> {
    run(stage, "{}").await
}

/// The figures of a report: inserted, updated, deleted.
pub fn changed(report: &Value) -> [u64; 3] {
    ["inserted", "updated", "deleted"].map(|what| report[what].as_u64().unwrap_or(u64::MAX))
}

/// A row of a table as JSON; null if there is none.
pub async fn row(stage: &Stage, table: &str, id: i64) -> Result<Value> {
    stage
        .value(&format!(
            "select coalesce((select to_jsonb(t) from public.{table} t where t.id = {id}), 'null')"
        ))
        .await
}

/// A lead as JSON; null if there is none.
pub async fn lead(stage: &Stage, id: i64) -> Result<Value> {
    row(stage, "odoo_leads", id).await
}

/// The fields of a lead that people made in Odoo.
pub async fn custom(stage: &Stage, id: i64) -> Result<Value> {
    let mut custom = lead(stage, id).await?["custom"].clone();
    if let Some(custom) = custom.as_object_mut() {
        custom.retain(|name, _| name.starts_with("x_"));
    }
    Ok(custom)
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

/// As of when the status says that Postgres has what Odoo has; null if it says that of no moment.
pub async fn fresh_as_of(stage: &Stage) -> Result<Value> {
    stage
        .value("select odoo_sync.status() #> '{syncs,crm-sync,fresh_as_of}'")
        .await
}

/// When the newest run began.
pub async fn began(stage: &Stage) -> Result<Value> {
    let newest = "select to_jsonb(r.started_at) from odoo_sync.runs r where r.job = 'crm-sync' order by r.started_at desc limit 1";
    stage.value(newest).await
}

/// What must hold whenever all is read: the same ids on both sides, and the very names and stages.
pub async fn assert_same(stage: &Stage) -> Result<()> {
    let here = stage
        .value(
            "select coalesce(jsonb_object_agg(l.id, jsonb_build_array(l.name, l.stage_id, l.active)), '{}')
               from public.odoo_leads l where l.deleted_at is null",
        )
        .await?;
    let records = leads(stage);
    let mut there = serde_json::Map::new();
    for id in records.ids() {
        let record = records.get(id).context("a lead without a record")?;
        let stage_id = record["stage_id"].get(0).cloned().unwrap_or_default();
        there.insert(
            id.to_string(),
            json!([record["name"], stage_id, record["active"]]),
        );
    }
    let here = here.as_object().cloned().unwrap_or_default();
    for (id, lead) in &there {
        ensure!(
            here.get(id) == Some(lead),
            "lead {id}: {lead} there, {:?} here",
            here.get(id)
        );
    }
    ensure!(
        here.len() == there.len(),
        "{} leads here, {} there",
        here.len(),
        there.len()
    );
    Ok(())
}
