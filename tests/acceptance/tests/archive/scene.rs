//! What the tests of the archive have in common: how a stage is set, how ticks are sent, and what
//! must hold whatever happened.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
pub use stage::until;
use stage::{Answer, Builder, Caller, SERVICE_KEY, Stage};
use world::faults::{Fault, FaultId, Trigger};
use world::odoo::{self, Attachments, Odoo, Sizes, TRACEBACK_MARKER, User};

pub const PATH: &str = "/archive-batch";

/// What no answer, log line or row may hold. The Odoo user's are set by [`user`].
const SECRETS: [&str; 8] = [
    SERVICE_KEY,
    "service-role-key",
    "throw-away",
    "odoo-password-5f0e",
    "odoo-key-91ab",
    "session_id",
    "Traceback",
    TRACEBACK_MARKER,
];

/// The administrator, with secrets that can be told from other words.
pub fn user() -> User {
    User {
        password: Some("odoo-password-5f0e".to_owned()),
        api_key: Some("odoo-key-91ab".to_owned()),
        ..User::administrator()
    }
}

/// An Odoo with these attachments.
pub fn odoo_with(attachments: Attachments) -> odoo::Options {
    odoo::Options {
        attachments,
        users: vec![user()],
        ..odoo::Options::default()
    }
}

/// The same, whose user has an API key and no password.
pub fn odoo_without_password(attachments: Attachments) -> odoo::Options {
    odoo::Options {
        users: vec![User {
            password: None,
            ..user()
        }],
        ..odoo_with(attachments)
    }
}

/// So many small files that share no content.
pub fn small(count: u64) -> Attachments {
    Attachments {
        shared_one_in: 0,
        ..Attachments::of(count).sized(Sizes::Between(1_000, 20_000))
    }
}

/// A stage with this Odoo.
pub fn set(odoo: odoo::Options) -> Builder {
    let user = odoo.users.first().cloned().unwrap_or_else(user);
    Stage::builder().odoo(odoo).user(user)
}

/// A tick that is expected to be answered with 200; its report.
pub async fn tick(stage: &Stage) -> Result<Value> {
    tick_with(stage, "{}").await
}

/// A tick with a body.
pub async fn tick_with(stage: &Stage, body: &str) -> Result<Value> {
    report(stage, &stage.post(PATH, body).await?)
}

/// The report in an answer that is expected to be 200.
pub fn report(stage: &Stage, answer: &Answer) -> Result<Value> {
    ensure!(
        answer.status == 200,
        "{} {}\n{:#?}",
        answer.status,
        answer.text(),
        stage.log()
    );
    Ok(answer.json())
}

/// A tick that a fault stops; its report.
pub async fn stopped_tick(stage: &Stage) -> Result<Value> {
    let answer = stage.post(PATH, "{}").await?;
    let report = answer.json();
    ensure!(
        answer.status.is_server_error() && report.get("status") == Some(&"error".into()),
        "it was not stopped: {} {}",
        answer.status,
        answer.text()
    );
    Ok(report)
}

/// As storage-api answers for a row whose object S3 does not have: to the verification, and to whoever would take
/// the row for the object.
pub fn without_bytes(at: Trigger) -> Fault {
    at.method("GET").answer(
        400,
        &[("content-type", "application/json")],
        r#"{"statusCode":"404","error":"S3Error","message":"NoSuchKey","code":"S3Error"}"#,
    )
}

/// Ticks until nothing remains, each with all waits over; fails if that takes more than `most`.
pub async fn finish(stage: &Stage, most: usize) -> Result<()> {
    let mut last = Value::Null;
    for _ in 0..most {
        waits_pass(stage).await?;
        last = stage.post(PATH, "{}").await?.json();
        if last.get("remaining") == Some(&0.into()) && last.get("status") == Some(&"success".into())
        {
            return Ok(());
        }
    }
    bail!("after {most} ticks: {last:#}")
}

/// Lets the waits between two attempts pass.
pub async fn waits_pass(stage: &Stage) -> Result<()> {
    stage
        .owner
        .batch_execute(
            "update public.odoo_attachments set next_attempt_at = now()
              where state = 'pending' and lease_id is null and next_attempt_at > now()",
        )
        .await?;
    Ok(())
}

/// Lets all leases pass, those of runs and those of files.
pub async fn leases_pass(stage: &Stage) -> Result<()> {
    stage
        .owner
        .batch_execute(
            "update odoo_sync.runs set leased_until = now() - interval '1 second' where outcome = 'running';
             update public.odoo_attachments set leased_until = now() - interval '1 second', next_attempt_at = now()
              where lease_id is not null",
        )
        .await?;
    Ok(())
}

/// Lets the rest pass that the reading by `write_date` takes.
pub async fn reading_rest_passes(stage: &Stage) -> Result<()> {
    stage
        .owner
        .batch_execute(
            "update odoo_sync.cursors set position = position || '{\"changes_ended\": 0}'",
        )
        .await?;
    Ok(())
}

/// Waits until Storage has so many objects.
pub async fn until_stored(stage: &Stage, objects: usize) -> Result<()> {
    until("objects are stored", async || {
        Ok(stage.storage.objects().len() >= objects)
    })
    .await
}

/// Holds every upload from this one on, counted from 1, until the fault is lifted: a batch stays in its
/// midst for as long as a test needs it there.
pub fn hold_uploads(stage: &Stage, from: u64) -> FaultId {
    let uploads = Fault::on("/object/odoo-archive").method("POST");
    stage.storage.faults().add(uploads.from_nth(from).hold())
}

/// A tick under way, for faults in mid-batch.
pub fn begin_tick(stage: &Stage) -> tokio::task::JoinHandle<Result<Answer>> {
    begin_tick_at(stage.caller().clone())
}

/// A tick under way at another replica.
pub fn begin_tick_at(caller: Caller) -> tokio::task::JoinHandle<Result<Answer>> {
    tokio::spawn(async move { caller.post(PATH, SERVICE_KEY, "{}").await })
}

/// How many attachments are in a state.
pub async fn in_state(stage: &Stage, name: &str) -> Result<i64> {
    stage
        .count(&format!(
            "select count(*) from public.odoo_attachments where state = '{name}'"
        ))
        .await
}

/// One row of the catalogue.
pub async fn row(stage: &Stage, id: i64) -> Result<Value> {
    stage
        .value(&format!(
            "select to_jsonb(a) from public.odoo_attachments a where id = {id}"
        ))
        .await
}

/// All rows of the log, oldest first.
pub async fn log_rows(stage: &Stage) -> Result<Vec<Value>> {
    let rows = stage
        .value("select coalesce(jsonb_agg(l order by l.created_at, l.id), '[]') from public.migration_logs l")
        .await?;
    Ok(rows.as_array().cloned().unwrap_or_default())
}

/// The lines of errors in a report or a row of the log.
pub fn errors(of: &Value) -> Vec<String> {
    let lines = of.get("errors").and_then(Value::as_array);
    lines
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// How many files have used an attempt.
pub async fn attempted(stage: &Stage) -> Result<i64> {
    stage
        .count("select count(*) from public.odoo_attachments where attempts > 0")
        .await
}

/// What must hold at rest, whatever happened: what is called moved is in Storage under the hash
/// of its bytes, with the length and the hash that Odoo has; the counters are those of a recount; each
/// moved file is in the log once; nobody holds anything; no secret is anywhere.
pub async fn all_is_well(stage: &Stage) -> Result<()> {
    all_is_well_but_for_the_log(stage).await?;
    let moved = in_state(stage, "moved").await?;
    let logged = stage
        .count("select coalesce(sum(migrated), 0) from public.migration_logs")
        .await?;
    ensure!(
        moved == logged,
        "{moved} files are moved, the log says {logged}"
    );
    Ok(())
}

/// As [`all_is_well`] where files were moved a second time because their content changed.
pub async fn all_is_well_but_for_the_log(stage: &Stage) -> Result<()> {
    let misnamed = stage.storage.verify_all().misnamed;
    ensure!(
        misnamed.is_empty(),
        "objects that are not what their name says: {misnamed:?}"
    );
    every_moved_file_is_there(stage, &stage.odoo).await?;
    let off = stage
        .value("select coalesce(jsonb_agg(r), '[]') from odoo_sync.recount() r")
        .await?;
    ensure!(
        off == Value::Array(Vec::new()),
        "the counters are off: {off}"
    );
    let held = stage
        .count("select count(*) from public.odoo_attachments where lease_id is not null")
        .await?;
    ensure!(held == 0, "{held} files are still held by somebody");
    let running = stage
        .count("select count(*) from odoo_sync.runs where outcome = 'running'")
        .await?;
    ensure!(running == 0, "{running} runs have not ended");
    no_secret_is_told(stage).await
}

async fn every_moved_file_is_there(stage: &Stage, odoo: &Odoo) -> Result<()> {
    let objects: HashMap<String, u64> = stage
        .storage
        .objects()
        .into_iter()
        .map(|object| (object.name, object.size))
        .collect();
    let rows = stage
        .owner
        .query(
            "select id, object_path, file_size, checksum from public.odoo_attachments where state = 'moved'",
            &[],
        )
        .await?;
    for row in rows {
        let (id, path): (i64, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let (size, checksum): (i64, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
        let path = path.with_context(|| format!("{id} is moved to nowhere"))?;
        ensure!(
            objects.get(&path).copied() == u64::try_from(size).ok(),
            "{id} is not in Storage at {path} with {size} bytes"
        );
        let Some(attachment) = odoo.attachments().get(id) else {
            continue;
        };
        ensure!(
            attachment.checksum == checksum
                && Some(path.as_str()) == checksum.as_deref().map(path_of).as_deref(),
            "{id} has another checksum in Odoo"
        );
    }
    Ok(())
}

/// Where content with this SHA-1 lies.
pub fn path_of(sha1: &str) -> String {
    format!("{}/{sha1}", sha1.get(..2).unwrap_or_default())
}

/// No row and no line of the components' output holds a secret.
pub async fn no_secret_is_told(stage: &Stage) -> Result<()> {
    let mut told = stage.log().join("\n");
    for table in [
        "public.migration_logs",
        "public.odoo_attachments",
        "odoo_sync.runs",
        "odoo_sync.cursors",
    ] {
        let rows = stage
            .value(&format!(
                "select to_jsonb(coalesce(string_agg(t::text, E'\\n'), '')) from {table} t"
            ))
            .await?;
        told.push_str(rows.as_str().unwrap_or_default());
    }
    holds_no_secret(&told)
}

/// A text holds no secret.
pub fn holds_no_secret(text: &str) -> Result<()> {
    for secret in SECRETS {
        ensure!(!text.contains(secret), "{secret:?} is told in {text}");
    }
    Ok(())
}
