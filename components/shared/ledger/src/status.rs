//! How things stand, as `odoo_sync.status()` reads it, and what people do about it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Postgres, call, call_one};

/// A moment.
pub type Moment = DateTime<Utc>;

/// Everything that the status is made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reading {
    /// Postgres' clock. Every age is counted from it.
    pub server_time: Moment,
    /// The archive.
    pub archive: Archive,
    /// When a run of the archive last gave a sign of life.
    pub last_tick: Option<Moment>,
    /// The scheduled jobs, with the diagnosis of `odoo_sync.health()`.
    pub jobs: Vec<Job>,
    /// The newest rows of `migration_logs`.
    pub log: Vec<LogRow>,
    /// What failed.
    pub failures: Failures,
    /// The newest run that failed.
    pub last_failure: Option<LastFailure>,
    /// What the last look whether all is set up right came to; absent: nobody has looked.
    #[serde(default)]
    pub setup: Option<Setup>,
    /// The syncs, by component.
    pub syncs: BTreeMap<String, Sync>,
}

/// The archive.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Archive {
    /// How many files are in which state: `pending`, `failed`, `dead`, `moved`, `skipped`,
    /// `waiting` (for a password or a higher limit).
    pub progress: BTreeMap<String, Amount>,
    /// Whether Odoo's list was read to its end, once at least: else the total still grows.
    pub listed: bool,
    /// Whether all its jobs are paused.
    pub paused: bool,
    /// Since when.
    pub paused_since: Option<Moment>,
    /// By whom.
    pub paused_by: Option<String>,
    /// The earliest moment at which there is a file to move.
    pub next_attempt_at: Option<Moment>,
    /// The runs that work now.
    pub running: Vec<Running>,
    /// The newest run that is over.
    pub last_run: Option<Run>,
    /// The batches of the last hour that moved something, newest first.
    pub batches: Vec<BatchRow>,
}

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Amount {
    /// How many.
    pub files: i64,
    /// Their bytes, as Odoo says.
    pub bytes: i64,
}

/// A run that works now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Running {
    /// Since when.
    pub started_at: Moment,
    /// Files moved so far.
    pub files: i64,
    /// Bytes moved so far.
    pub bytes: i64,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Run {
    /// What kind of run.
    pub mode: Option<String>,
    /// When it began.
    pub started_at: Moment,
    /// When it ended.
    pub finished_at: Moment,
    /// `success`, `error` or `crashed`.
    pub outcome: String,
    /// Its figures.
    pub counts: Value,
    /// What stopped it.
    pub fault: Option<RunFault>,
}

/// What stopped a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RunFault {
    /// Its kind.
    pub kind: Option<String>,
    /// Whose fault.
    pub blame: Option<String>,
    /// In words.
    pub message: Option<String>,
}

/// A batch that moved something.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BatchRow {
    /// When it ended.
    pub ended_at: Moment,
    /// Seconds.
    pub elapsed_s: f64,
    /// Files moved.
    pub files: i64,
    /// Bytes moved.
    pub bytes: i64,
}

/// A scheduled job, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub component: String,
    /// `ok`, `waiting`, `paused`, or what is wrong, in a word.
    pub state: String,
    /// False where somebody has to do something.
    pub ok: bool,
    /// What is wrong and why.
    pub problem: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// When it last ran.
    pub last_run: Option<Moment>,
    /// When its component last succeeded.
    pub last_success: Option<Moment>,
    /// When it should run next; absent for a job that is paused or not scheduled.
    pub expected_next: Option<Moment>,
    /// The longest time between two runs, in seconds.
    pub period_s: f64,
}

/// A row of `migration_logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// When the batch ended.
    pub at: Moment,
    /// Of which component.
    pub job: String,
    /// `success`, `error` or `auth_error`.
    pub status: Option<String>,
    /// What was moved.
    pub migrated: i64,
    /// What failed.
    pub failed: i64,
    /// What had nothing to move.
    pub skipped: Option<i64>,
    /// Bytes moved.
    pub bytes: Option<i64>,
    /// Files that were still to be moved; `None` for what the syncs did.
    pub remaining: Option<i64>,
    /// Seconds.
    pub elapsed_s: Option<f64>,
    /// The first of its errors.
    pub error: Option<String>,
    /// How many errors it has.
    pub errors: i64,
}

/// What failed, by kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Failures {
    /// Of the newest 500 dead files and the newest 500 that wait for another attempt.
    pub files: Vec<FileFailures>,
    /// Of the runs that failed since their job last did its work.
    pub runs: Vec<RunFailures>,
}

/// Files that failed alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FileFailures {
    /// The kind.
    pub kind: String,
    /// How many.
    pub files: i64,
    /// How many of them are dead.
    pub dead: i64,
    /// When the newest failed.
    pub newest_at: Option<Moment>,
    /// Whose fault.
    pub blame: Option<String>,
    /// The newest's id in Odoo.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub message: Option<String>,
}

/// Runs that failed alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunFailures {
    /// Of which component.
    pub job: String,
    /// The kind.
    pub kind: String,
    /// How many.
    pub runs: i64,
    /// When the newest ended.
    pub newest_at: Option<Moment>,
    /// What it said.
    pub message: Option<String>,
    /// Whose fault.
    pub blame: Option<String>,
}

/// The newest run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When it ended.
    pub at: Moment,
    /// Of which component.
    pub job: String,
    /// What it said.
    pub message: Option<String>,
}

/// What the last look whether all is set up right came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// When it was.
    pub checked_at: Moment,
    /// When nothing was wrong for the first time; absent: not yet.
    pub right_at: Option<Moment>,
    /// How many lines failed, or could not be tried.
    pub wrong: i64,
}

/// The pipeline's or the chatter's sync.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Sync {
    /// Whether it works now.
    pub running: bool,
    /// Whether all its jobs are paused.
    pub paused: bool,
    /// The newest run that is over; absent: it never ran.
    pub last_run: Option<Run>,
    /// As of when Postgres has all that Odoo had; absent until the first load is complete.
    pub fresh_as_of: Option<Moment>,
    /// The newest validation of each entity, those that differ first.
    pub validations: Vec<Validation>,
}

/// Odoo and Postgres compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// What was compared.
    pub entity: String,
    /// `same`, `differs`, or `error`: it could not be compared.
    pub verdict: String,
    /// When.
    pub checked_at: Moment,
    /// How many Odoo has.
    pub source_count: Option<i64>,
    /// How many Postgres has.
    pub destination_count: Option<i64>,
    /// In Odoo, but not in Postgres.
    pub missing: i64,
    /// In Postgres, but no longer in Odoo.
    pub extra: i64,
    /// In both, but with other content.
    pub stale: i64,
    /// Why it could not be compared, in words.
    #[serde(default, skip_serializing)]
    pub problem: Option<String>,
    /// What the comparison before this one came to.
    #[serde(default, skip_serializing)]
    pub before: Option<String>,
}

/// Reads everything, in one statement that costs the same whatever the number of files.
pub async fn read(postgres: &impl Postgres) -> Result<Reading, Fault> {
    const STATEMENT: &str = "select odoo_sync.status() where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// The same, for everybody who polls: no more than two are read at once, over all replicas, so that they leave
/// connections to the jobs. `None`: two are being read.
pub async fn read_shared(postgres: &impl Postgres) -> Result<Option<Reading>, Fault> {
    const STATEMENT: &str = "
        select case when pg_try_advisory_xact_lock(hashtext('odoo_sync.status'), 1)
                      or pg_try_advisory_xact_lock(hashtext('odoo_sync.status'), 2)
                    then odoo_sync.status() else 'null' end
         where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Odoo's id.
    pub id: i64,
    /// Its name in Odoo.
    pub name: String,
    /// Its MIME type.
    pub mimetype: Option<String>,
    /// Length in bytes, as Odoo says.
    pub file_size: i64,
    /// Model of its record.
    pub res_model: Option<String>,
    /// Id of its record.
    pub res_id: Option<i64>,
    /// `pending`, `moved`, `skipped` or `dead`.
    pub state: String,
    /// Why it is skipped, or the kind of its last failure.
    pub reason: Option<String>,
    /// Its last failure in words.
    pub message: Option<String>,
    /// Failed attempts so far.
    pub attempts: i32,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Moment>,
    /// Whether a run works on it now.
    pub in_work: bool,
    /// Path of the object in the bucket.
    pub object_path: Option<String>,
    /// When it was found in Odoo.
    pub discovered_at: Option<Moment>,
    /// When Storage had confirmed it.
    pub moved_at: Option<Moment>,
    /// When it last failed.
    pub failed_at: Option<Moment>,
    /// When it was found to be gone from Odoo.
    pub deleted_at: Option<Moment>,
}

/// Where this file is; `None`: Odoo's list, as far as it was read, has none of that id.
pub async fn file(postgres: &impl Postgres, id: i64) -> Result<Option<FileStatus>, Fault> {
    const STATEMENT: &str = "
        select jsonb_build_object(
                 'id', a.id, 'name', left(a.name, 300), 'mimetype', left(a.mimetype, 200), 'file_size', a.file_size,
                 'res_model', left(a.res_model, 200), 'res_id', a.res_id, 'state', a.state, 'reason', a.reason, 'message', left(a.message, 400),
                 'attempts', a.attempts, 'next_attempt_at', case when a.state = 'pending' then a.next_attempt_at end,
                 'in_work', coalesce(a.leased_until > now(), false), 'object_path', a.object_path,
                 'discovered_at', a.discovered_at, 'moved_at', a.moved_at, 'failed_at', a.failed_at, 'deleted_at', a.deleted_at)
          from public.odoo_attachments a where a.id = ($1::jsonb->>'id')::bigint";
    Ok(call(postgres, STATEMENT, &json!({ "id": id })).await?.pop())
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Puts dead files back into the queue.
    Retry,
    /// Pauses a job.
    Pause,
    /// Ends a pause.
    Resume,
    /// Runs a job out of turn.
    Run,
    /// Asks whether Odoo can be switched off.
    FinalCheck,
    /// Accepts what a final check found.
    Acknowledge,
}

/// Who wants what.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    /// What.
    pub action: Action,
    /// A job, or a component for all its jobs.
    pub job: String,
    /// Who; `None` for a holder of a service key.
    pub user_id: Option<Uuid>,
    /// For a retry: only these files. For what is accepted: only these records.
    pub ids: Option<Vec<i64>>,
    /// Of a final check `read_data`; of what is accepted `entity`, `kind` and `note`.
    pub options: Value,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Whether it could be done.
    pub ok: bool,
    /// What came of it, or why it could not be done.
    pub outcome: String,
    /// What to do where it could not be done.
    pub remedy: Option<String>,
}

/// Does it, and keeps who asked, in one statement.
pub async fn act(postgres: &impl Postgres, order: &Order) -> Result<Done, Fault> {
    const STATEMENT: &str = "
        select odoo_sync.act($1::jsonb->>'action', $1::jsonb->>'job', ($1::jsonb->>'user_id')::uuid,
                 case jsonb_typeof($1::jsonb->'ids')
                   when 'array' then array(select jsonb_array_elements_text($1::jsonb->'ids')::bigint) end,
                 $1::jsonb->'options')";
    call_one(postgres, STATEMENT, order).await
}

/// A page of the files that wait for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesForPeople {
    /// By id.
    pub files: Vec<FileForPeople>,
    /// How many there are of each kind.
    pub kinds: Vec<FilesOfKind>,
}

/// A file that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileForPeople {
    /// Its id in Odoo.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The model of the record that it hangs on.
    pub res_model: Option<String>,
    /// The id of that record.
    pub res_id: Option<i64>,
    /// Bytes, as Odoo says.
    pub file_size: i64,
    /// `dead`, or `skipped`.
    pub state: String,
    /// The kind of its last failure, or what it waits for.
    pub kind: String,
    /// Whose fault.
    pub blame: Option<String>,
    /// What happened, in words.
    pub message: Option<String>,
    /// When it last failed.
    pub failed_at: Option<Moment>,
    /// When it was found to be gone from Odoo.
    pub deleted_at: Option<Moment>,
    /// Who has accepted that it is left behind.
    pub accepted_by: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Files that wait for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesOfKind {
    /// For what.
    pub kind: String,
    /// `dead`, or `skipped`.
    pub state: String,
    /// How many.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// The files that wait for a person: of one kind or all, behind an id, so many at most.
pub async fn files_for_people(
    postgres: &impl Postgres,
    kind: Option<&str>,
    after_id: i64,
    most: u32,
) -> Result<FilesForPeople, Fault> {
    const STATEMENT: &str = "
        select odoo_sync.files_for_people($1::jsonb->>'kind', ($1::jsonb->>'after_id')::bigint, ($1::jsonb->>'most')::integer)";
    let argument = json!({ "kind": kind, "after_id": after_id, "most": most });
    call_one(postgres, STATEMENT, &argument).await
}

/// The newest final check: how far it is, or its verdict with the evidence.
pub async fn certificate(postgres: &impl Postgres) -> Result<Value, Fault> {
    const STATEMENT: &str = "select odoo_sync.certificate() where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}
