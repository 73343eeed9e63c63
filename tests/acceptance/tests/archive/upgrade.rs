//! From each version that was released to this one, with the components at work.
//!
//! `tests/sql/released/` keeps the files of `sql/` of each version, and rows that its own components wrote of the
//! company below. Contributing says how those of a new version are kept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use stage::{Caller, SERVICE_KEY, Stage};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use world::odoo::{Damage, EdgeCase, NewAttachment};
use world::supabase::Supabase;

use crate::scene::{
    all_is_well_but_for_the_log, finish, log_rows, odoo_with, set, small, tick_with, until,
};

const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];
const ARCHIVE: &str = "archive-odoo-files-batch";
const NIGHTLY: &str = "odoo-crm-sync-nightly";
const ATTACHMENTS: &str = "public.odoo_attachments";
const THEN: &str = "2026-11-20 10:00:00";

fn released() -> PathBuf {
    stage::root().join("tests/sql/released")
}

/// A record as it has been since long before anybody looked: else it would be new to each test.
fn old(mut record: Value) -> Value {
    if let Some(fields) = record.as_object_mut() {
        fields.insert("create_date".to_owned(), json!(THEN));
        fields.insert("write_date".to_owned(), json!(THEN));
    }
    record
}

/// The bytes of a file; the seventh are those of the third.
fn content(id: i64) -> Vec<u8> {
    let id = if id == 7 { 3 } else { id };
    format!("what is in file {id} of the company")
        .repeat(20)
        .into()
}

fn attach(stage: &Stage, id: i64, edge_cases: Vec<EdgeCase>) {
    stage.odoo.attachments().insert(NewAttachment {
        id: Some(id),
        name: Some(format!("file {id}.pdf")),
        content: Some(content(id).into()),
        mimetype: Some("application/pdf".to_owned()),
        res_model: Some("crm.lead".to_owned()),
        res_id: Some(1 + id % 3),
        write_date: Some(format!("{THEN}.000000")),
        edge_cases,
        ..NewAttachment::default()
    });
}

fn insert(stage: &Stage, model: &str, records: impl IntoIterator<Item = Value>) {
    let records = records.into_iter().map(old);
    stage.odoo.records(model).insert_many(records);
}

fn lead(id: i64) -> Value {
    json!({
        "id": id, "name": format!("Lead {id}"), "type": "opportunity", "stage_id": 1 + id % 2, "team_id": 1, "user_id": 2,
        "partner_id": 50, "email_from": "buyer@example.com", "expected_revenue": 1000.5, "probability": 42.5, "priority": "1",
        "tag_ids": [1], "active": id != 3, "lost_reason_id": if id == 3 { json!(1) } else { json!(false) },
    })
}

fn message(id: i64) -> Value {
    json!({
        "id": id, "model": "crm.lead", "res_id": 1 + id % 3, "record_name": "Lead", "message_type": "comment", "date": THEN,
        "subtype_id": 1 + id % 2, "body": format!("<p>What about <b>offer {id}</b>?</p>"), "author_id": 3, "is_internal": false,
    })
}

/// What there was when a released version ran; the files come by themselves.
fn records_then(stage: &Stage) {
    insert(
        stage,
        "crm.stage",
        (1..=2).map(|id| json!({"id": id, "name": format!("Stage {id}"), "sequence": id})),
    );
    insert(
        stage,
        "crm.team",
        [json!({"id": 1, "name": "Sales", "user_id": 2})],
    );
    insert(
        stage,
        "crm.tag",
        [json!({"id": 1, "name": "Product", "color": 1})],
    );
    insert(
        stage,
        "crm.lost.reason",
        [json!({"id": 1, "name": "Too expensive"})],
    );
    insert(
        stage,
        "res.partner",
        [json!({"id": 50, "name": "Customer", "is_company": true, "email": "buyer@example.com"})],
    );
    insert(stage, "crm.lead", (1..=4).map(lead));
    insert(stage, "mail.message", (101..=106).map(message));
    let change = json!({
        "id": 1, "mail_message_id": 106, "old_value_char": "Stage 1", "new_value_char": "Stage 2", "old_value_integer": 1,
        "new_value_integer": 2, "field_id": [3521, "Stage (Lead/Opportunity)"],
    });
    insert(stage, "mail.tracking.value", [change]);
}

/// What that version moved, met as a link, and gave up.
fn files_then(stage: &Stage) {
    for id in (1..=5).chain([7]) {
        attach(stage, id, Vec::new());
    }
    attach(stage, 8, vec![EdgeCase::Url]);
    attach(stage, 9, vec![EdgeCase::LostFile]);
}

/// What it had listed, and not moved yet.
fn files_at_last(stage: &Stage) {
    attach(stage, 11, Vec::new());
}

/// What happened in Odoo since.
fn since(stage: &Stage) {
    attach(stage, 12, Vec::new());
    stage
        .odoo
        .records("crm.lead")
        .insert(json!({"name": "Lead of today", "stage_id": 1}));
    stage
        .odoo
        .records("mail.message")
        .insert(message(0).as_object().map_or(Value::Null, |message| {
            let mut message = message.clone();
            message.remove("id");
            message.into()
        }));
}

/// Tables whose rows come with the files of `sql/` or by their triggers; and keys, an Odoo and a Storage, which each
/// test has its own of.
const NOT_KEPT: [&str; 7] = [
    "odoo_sync.accepted_keys",
    "odoo_sync.identities",
    "odoo_sync.jobs",
    "odoo_sync.notices",
    "odoo_sync.progress",
    "odoo_sync.schema_versions",
    "odoo_sync.settings",
];

/// All rows of the others, by table, without what is null or generated.
async fn rows(owner: &Client) -> Result<Value> {
    let tables = "select format('%I.%I', n.nspname, c.relname) as name,
             array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attgenerated <> '') as generated
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind = 'r' and n.nspname in ('public', 'odoo_sync') order by 1";
    let mut all = serde_json::Map::new();
    for table in owner.query(tables, &[]).await? {
        let (name, generated): (String, Vec<String>) = (table.try_get(0)?, table.try_get(1)?);
        if NOT_KEPT.contains(&name.as_str()) {
            continue;
        }
        let of_table = format!(
            "select coalesce(jsonb_agg(r.row order by r.row), '[]') from (
               select (select jsonb_object_agg(e.key, e.value) from jsonb_each(to_jsonb(t) - $1::text[]) e where e.value <> 'null') as row
                 from {name} t) r"
        );
        let found: Value = owner
            .query_one(&of_table, &[&generated])
            .await?
            .try_get(0)?;
        if found != json!([]) {
            all.insert(name, found);
        }
    }
    Ok(Value::Object(all))
}

fn of<'v>(rows: &'v Value, table: &str) -> impl Iterator<Item = &'v Value> {
    rows.get(table)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Puts rows into tables that are as those were.
async fn put(owner: &Client, rows: &Value) -> Result<()> {
    for (table, found) in rows.as_object().context("no rows")? {
        let columns: BTreeSet<&String> = of(rows, table)
            .filter_map(Value::as_object)
            .flat_map(serde_json::Map::keys)
            .collect();
        let columns: Vec<String> = columns
            .iter()
            .map(|column| format!("\"{column}\""))
            .collect();
        let columns = columns.join(", ");
        let insert = format!(
            "insert into {table} ({columns}) overriding system value
             select {columns} from jsonb_populate_recordset(null::{table}, $1)"
        );
        owner
            .execute(&insert, &[found])
            .await
            .with_context(|| table.clone())?;
    }
    Ok(())
}

/// A row a line, so that a difference is seen.
fn written(rows: &Value) -> Result<String> {
    let mut tables = Vec::new();
    for (table, found) in rows.as_object().context("no rows")? {
        let rows = found.as_array().context("no rows")?;
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        tables.push(format!("{}: [\n{}\n]", json!(table), rows.join(",\n")));
    }
    Ok(format!("{{\n{}\n}}\n", tables.join(",\n")))
}

/// What a version writes of the company: a file is given up, one is listed and not moved.
async fn work_of_a_version(stage: &Stage) -> Result<()> {
    records_then(stage);
    files_then(stage);
    for path in JOBS.iter().chain(&JOBS) {
        let answer = stage.post(path, "{}").await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        let last_attempt = "update public.odoo_attachments set attempts = 7, next_attempt_at = now() where id = 9 and state = 'pending'";
        stage.owner.batch_execute(last_attempt).await?;
    }
    files_at_last(stage);
    tick_with(stage, r#"{"mode": "discover"}"#).await?;
    let states =
        "select jsonb_object_agg(a.id, a.state) from public.odoo_attachments a where a.id > 7";
    ensure!(
        stage.value(states).await? == json!({"8": "skipped", "9": "dead", "11": "pending"}),
        "{}",
        stage.value(states).await?
    );
    Ok(())
}

#[tokio::test]
async fn what_a_version_writes_can_be_kept_and_put_back() -> Result<()> {
    let stage = set(odoo_with(small(0))).start().await?;
    work_of_a_version(&stage).await?;
    let kept = rows(&stage.owner).await?;
    // KEEP_ROWS=0.3.0 keeps them for the test below.
    if let Ok(version) = std::env::var("KEEP_ROWS") {
        std::fs::write(released().join(version).join("rows.json"), written(&kept)?)?;
    }
    let kept: Value = serde_json::from_str(&written(&kept)?)?;
    let other = set(odoo_with(small(0))).start().await?;
    put(&other.owner, &kept).await?;
    assert_eq!(rows(&other.owner).await?, kept);
    Ok(())
}

#[tokio::test]
async fn each_released_version_is_upgraded_while_the_components_are_called() -> Result<()> {
    let mut versions = 0;
    for version in std::fs::read_dir(released())? {
        let folder = version?.path();
        Box::pin(upgraded(&folder))
            .await
            .with_context(|| folder.display().to_string())?;
        versions += 1;
    }
    assert!(versions >= 2, "{versions}");
    Ok(())
}

/// A stage as a released version left it, and what was in its tables.
async fn left_by(folder: &std::path::Path) -> Result<(Stage, Value)> {
    let stage = set(odoo_with(small(0))).tables(folder).start().await?;
    records_then(&stage);
    files_then(&stage);
    files_at_last(&stage);
    let kept = std::fs::read(folder.join("rows.json"))?;
    let kept: Value = serde_json::from_slice(&kept)?;
    put(&stage.owner, &kept).await?;
    for file in of(&kept, ATTACHMENTS).filter(|file| file["state"] == "moved") {
        let id = file["id"].as_i64().context("no id")?;
        let path = file["object_path"].as_str().context("no path")?;
        stage
            .storage
            .put("odoo-archive", path, "application/pdf", content(id))?;
    }
    Ok((stage, kept))
}

/// What a person did with it.
const SET_UP: &str = "select odoo_sync.rotate_key();
    select odoo_sync.set('keep_days.runs', '12');
    select odoo_sync.pause('odoo-crm-sync-nightly');";

async fn upgraded(folder: &std::path::Path) -> Result<()> {
    let (stage, kept) = left_by(folder).await?;
    let supabase = Supabase::attend_without_clock(&stage.database).await?;
    let schedule = "select count(*) from odoo_sync.schedule($1)";
    stage.owner.execute(schedule, &[&stage.url()]).await?;
    stage.owner.batch_execute(SET_UP).await?;
    let key = stage
        .value("select to_jsonb(odoo_sync.vault_key())")
        .await?;
    let jobs = "select jsonb_agg(c.jobname order by c.jobname) from cron.job c";
    let scheduled = stage.value(jobs).await?;
    the_tables_are_too_old(&stage, &kept).await?;

    since(&stage);
    stage.storage.counters().record(true);
    under_load(&stage, 3).await?;

    finish(&stage, 4).await?;
    for (path, body) in [
        ("/crm-sync", r#"{"mode": "full", "validate": true}"#),
        ("/chatter-sync", r#"{"mode": "missing"}"#),
        (
            "/archive-batch",
            r#"{"mode": "verify", "read_data": "1/1"}"#,
        ),
    ] {
        let answer = stage.post(path, body).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
    }
    nothing_is_lost(&stage, &kept).await?;
    everything_arrived(&stage).await?;

    // The key, the jobs, what was set and what was paused are as they were.
    let accepted = "select to_jsonb(odoo_sync.vault_key()) || to_jsonb(odoo_sync.is_accepted(odoo_sync.vault_key()))";
    assert_eq!(stage.value(accepted).await?, json!([key, true]));
    let now = stage.value(jobs).await?;
    for job in scheduled.as_array().into_iter().flatten() {
        assert!(now.as_array().is_some_and(|now| now.contains(job)), "{job}");
    }
    let set = format!(
        "select jsonb_build_array(odoo_sync.setting('keep_days.runs'), (select paused_at is not null from odoo_sync.jobs where name = '{NIGHTLY}'))"
    );
    assert_eq!(stage.value(&set).await?, json!([12, true]));
    supabase.tick(ARCHIVE).await?;
    until("the job's call is answered", async || {
        let health =
            format!("select to_jsonb(h) from odoo_sync.health() h where job = '{ARCHIVE}'");
        let health = &stage.value(&health).await?;
        Ok(health["state"] == "ok" && health["problem"] == Value::Null)
    })
    .await
}

/// Each component says which files to run, and touches nothing.
async fn the_tables_are_too_old(stage: &Stage, kept: &Value) -> Result<()> {
    let version = "select to_jsonb(max(version)) from odoo_sync.schema_versions";
    let said = format!(
        "the tables are of version {}, ",
        stage.value(version).await?
    );
    let runs = |rows: &Value| of(rows, "odoo_sync.runs").count();
    for path in JOBS {
        let answer = stage.post(path, "{}").await?;
        let told = &answer.json();
        let words = told["error"].as_str().unwrap_or_default();
        assert!(
            is_too_old(told, answer.status.as_u16()),
            "{path}: {}",
            answer.text()
        );
        assert!(
            words.starts_with(&said) && words.contains("run all files of its sql/"),
            "{words}"
        );
    }
    let after = &rows(&stage.owner).await?;
    assert_eq!(runs(after), runs(kept));
    assert_eq!(after[ATTACHMENTS], kept[ATTACHMENTS]);
    Ok(())
}

fn is_too_old(document: &Value, status: u16) -> bool {
    status == 500 && document["kind"] == "ledger_missing"
}

/// Applies the current files so many times, while all components are called without a pause.
async fn under_load(stage: &Stage, times: u32) -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let worked = Arc::new(AtomicU32::new(0));
    let mut calls: Vec<JoinHandle<Result<()>>> = Vec::new();
    for path in JOBS {
        let (caller, over, worked) = (
            stage.caller().clone(),
            Arc::clone(&over),
            Arc::clone(&worked),
        );
        calls.push(tokio::spawn(call_again_and_again(
            caller, path, over, worked,
        )));
    }
    for _ in 0..times {
        stage.database.apply_sql().await?;
    }
    let before = worked.load(Ordering::Relaxed);
    until("the components have worked since", async || {
        let failed = calls.iter().any(JoinHandle::is_finished);
        Ok(failed || worked.load(Ordering::Relaxed) >= before + 6)
    })
    .await?;
    over.store(true, Ordering::Relaxed);
    for call in calls {
        call.await??;
    }
    Ok(())
}

async fn call_again_and_again(
    caller: Caller,
    path: &'static str,
    over: Arc<AtomicBool>,
    worked: Arc<AtomicU32>,
) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        let answer = caller.post(path, SERVICE_KEY, "{}").await?;
        if answer.status == 200 {
            worked.fetch_add(1, Ordering::Relaxed);
        } else if !is_too_old(&answer.json(), answer.status.as_u16()) {
            bail!("{path}: {} {}", answer.status, answer.text());
        }
    }
    Ok(())
}

/// What was moved stays moved, as it was, and is not sent again; what was logged is kept.
async fn nothing_is_lost(stage: &Stage, kept: &Value) -> Result<()> {
    let after = rows(&stage.owner).await?;
    let sent: Vec<String> = stage
        .storage
        .counters()
        .take_log()
        .into_iter()
        .filter(|entry| entry.method == "POST")
        .map(|entry| entry.path)
        .collect();
    for file in of(kept, ATTACHMENTS) {
        let now = of(&after, ATTACHMENTS).find(|now| now["id"] == file["id"]);
        let now = now.with_context(|| format!("{file} is gone"))?;
        let same: &[&str] = match file["state"].as_str() {
            Some("moved") => &[
                "state",
                "name",
                "checksum",
                "file_size",
                "object_path",
                "moved_at",
                "discovered_at",
            ],
            Some("dead") => &["state", "reason", "message", "attempts", "failed_at"],
            _ => &["name", "file_size", "discovered_at"],
        };
        for column in same {
            assert_eq!(now.get(column), file.get(column), "{column} of {now}");
        }
        if let (Some("moved"), Some(path)) = (file["state"].as_str(), file["object_path"].as_str())
        {
            assert!(
                !sent.iter().any(|sent| sent.ends_with(path)),
                "{path} was sent again"
            );
        }
    }
    for table in [
        "odoo_sync.runs",
        "public.migration_logs",
        "public.sync_validation_log",
    ] {
        for row in of(kept, table) {
            let is_kept = of(&after, table).any(|now| now["id"] == row["id"]);
            assert!(is_kept, "{table} lost {row}");
        }
    }
    Ok(())
}

/// What Odoo has is here, by this program's comparisons and by the numbers.
async fn everything_arrived(stage: &Stage) -> Result<()> {
    let states =
        "select jsonb_object_agg(a.id, a.state) from public.odoo_attachments a where a.id > 7";
    assert_eq!(
        stage.value(states).await?,
        json!({"8": "skipped", "9": "dead", "11": "moved", "12": "moved"})
    );
    let differing = "select coalesce(jsonb_object_agg(v.entity, to_jsonb(v)), '{}') from odoo_sync.last_validations() v
                      where v.verdict <> 'same' and v.entity <> 'attachments'";
    assert_eq!(stage.value(differing).await?, json!({}));
    let verified = "select v.detail -> 'signs' from odoo_sync.last_validations() v where v.entity = 'attachments'";
    assert_eq!(stage.value(verified).await?, json!({"=": 8, "+": 1}));
    for (model, table) in [
        ("crm.lead", "public.odoo_leads"),
        ("mail.message", "public.odoo_messages"),
    ] {
        let count = format!("select count(*) from {table} where deleted_at is null");
        let here = usize::try_from(stage.count(&count).await?)?;
        assert_eq!(here, stage.odoo.records(model).ids().len(), "{table}");
    }
    let failed: Vec<Value> = log_rows(stage)
        .await?
        .into_iter()
        .filter(|row| row["status"] == "error")
        .collect();
    assert_eq!(failed, [Value::Null; 0]);
    all_is_well_but_for_the_log(stage).await
}

#[tokio::test]
async fn the_files_run_again_in_the_midst_of_the_work() -> Result<()> {
    let stage = set(odoo_with(small(400))).start().await?;
    stage.odoo.fill_pipeline(100);
    stage.odoo.attachments().damage(3, Some(Damage::Lost));
    under_load(&stage, 4).await?;
    for path in JOBS {
        stage.post(path, "{}").await?;
    }
    stage.odoo.attachments().damage(3, None);
    finish(&stage, 4).await?;
    let failed = "select count(*) from odoo_sync.runs where outcome <> 'success'";
    assert_eq!(stage.count(failed).await?, 0);
    let logged = "select sum(migrated) from public.migration_logs where job = 'archive-batch'";
    assert_eq!(stage.count(logged).await?, 400, "no file was moved twice");
    all_is_well_but_for_the_log(&stage).await
}
