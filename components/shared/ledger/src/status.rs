//! The status, as `odoo_sync.status()` reads it, and the actions of people.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Postgres, call, call_one};

/// A moment in time.
pub type Moment = DateTime<Utc>;

/// Everything that the status document is made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reading {
    /// The clock of Postgres, from which every age is counted.
    pub server_time: Moment,
    /// The archive.
    pub archive: Archive,
    /// The last heartbeat of a run of the archive.
    pub last_tick: Option<Moment>,
    /// The scheduled jobs, with the diagnosis of `odoo_sync.health()`.
    pub jobs: Vec<Job>,
    /// The newest rows of `migration_logs`.
    pub log: Vec<LogRow>,
    /// Failures, by kind.
    pub failures: Failures,
    /// The newest run that failed.
    pub last_failure: Option<LastFailure>,
    /// The result of the last setup check; absent: there was none.
    #[serde(default)]
    pub setup: Option<Setup>,
    /// The syncs, by component.
    pub syncs: BTreeMap<String, Sync>,
}

/// The archive.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Archive {
    /// Files by state: `pending`, `failed`, `dead`, `moved`, `skipped`, `waiting` (for a password or a higher
    /// limit).
    pub progress: BTreeMap<String, Amount>,
    /// Whether Odoo's list was read to its end at least once. Until then the total still grows.
    pub listed: bool,
    /// Whether all its jobs are paused.
    pub paused: bool,
    /// When it was paused.
    pub paused_since: Option<Moment>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// When the next file is due.
    pub next_attempt_at: Option<Moment>,
    /// The runs that work now.
    pub running: Vec<Running>,
    /// The newest finished run.
    pub last_run: Option<Run>,
    /// The batches of the last hour that moved something, newest first.
    pub batches: Vec<BatchRow>,
}

/// A number of files, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Amount {
    /// Number of files.
    pub files: i64,
    /// Their bytes, according to Odoo.
    pub bytes: i64,
}

/// A run that works now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Running {
    /// When it began.
    pub started_at: Moment,
    /// Files moved so far.
    pub files: i64,
    /// Bytes moved so far.
    pub bytes: i64,
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Run {
    /// Its mode.
    pub mode: Option<String>,
    /// When it began.
    pub started_at: Moment,
    /// When it ended.
    pub finished_at: Moment,
    /// `success`, `error` or `crashed`.
    pub outcome: String,
    /// Its figures.
    pub counts: Value,
    /// The fault that stopped it.
    pub fault: Option<RunFault>,
}

/// The fault that stopped a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RunFault {
    /// The fault's kind.
    pub kind: Option<String>,
    /// Who is to blame.
    pub blame: Option<String>,
    /// The fault in words.
    pub message: Option<String>,
}

/// A batch that moved something.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BatchRow {
    /// When it ended.
    pub ended_at: Moment,
    /// Duration in seconds.
    pub elapsed_s: f64,
    /// Files moved.
    pub files: i64,
    /// Bytes moved.
    pub bytes: i64,
}

/// A scheduled job, with its diagnosis.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The component that it calls.
    pub component: String,
    /// `ok`, `waiting`, `paused`, or the code of the problem.
    pub state: String,
    /// `false` if somebody has to act.
    pub ok: bool,
    /// The problem and its cause.
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
    /// Its component.
    pub job: String,
    /// `success`, `error` or `auth_error`.
    pub status: Option<String>,
    /// Files moved, or rows written.
    pub migrated: i64,
    /// Files or rows that failed.
    pub failed: i64,
    /// Files with nothing to move.
    pub skipped: Option<i64>,
    /// Bytes moved.
    pub bytes: Option<i64>,
    /// Files still to be moved; `None` for runs of the syncs.
    pub remaining: Option<i64>,
    /// Duration in seconds.
    pub elapsed_s: Option<f64>,
    /// The first error.
    pub error: Option<String>,
    /// Number of errors.
    pub errors: i64,
}

/// Failures, grouped by kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Failures {
    /// Among the newest 500 dead files and the newest 500 that wait for another attempt.
    pub files: Vec<FileFailures>,
    /// Among the runs that failed since the last success of their job.
    pub runs: Vec<RunFailures>,
}

/// Files with the same kind of failure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FileFailures {
    /// Kind of the failure.
    pub kind: String,
    /// Number of files.
    pub files: i64,
    /// How many of these are dead.
    pub dead: i64,
    /// When the newest of them failed.
    pub newest_at: Option<Moment>,
    /// Who is to blame.
    pub blame: Option<String>,
    /// Id in Odoo of the newest one.
    pub id: i64,
    /// Name of the newest one.
    pub name: String,
    /// Its failure in words.
    pub message: Option<String>,
}

/// Runs with the same kind of failure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunFailures {
    /// Their component.
    pub job: String,
    /// Kind of the failure.
    pub kind: String,
    /// Number of runs.
    pub runs: i64,
    /// When the newest of them ended.
    pub newest_at: Option<Moment>,
    /// The message of the newest one.
    pub message: Option<String>,
    /// Who is to blame.
    pub blame: Option<String>,
}

/// The newest run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When it ended.
    pub at: Moment,
    /// Its component.
    pub job: String,
    /// Its message.
    pub message: Option<String>,
}

/// The result of the last setup check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// When it ran.
    pub checked_at: Moment,
    /// When a check first found nothing wrong; absent: none has yet.
    pub right_at: Option<Moment>,
    /// Number of lines that failed or could not be checked.
    pub wrong: i64,
}

/// The state of a sync: pipeline or chatter.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Sync {
    /// Whether a run works now.
    pub running: bool,
    /// Whether all its jobs are paused.
    pub paused: bool,
    /// The newest finished run; absent: it never ran.
    pub last_run: Option<Run>,
    /// The moment up to which Postgres has everything from Odoo; absent until the first load is complete.
    pub fresh_as_of: Option<Moment>,
    /// The newest validation of each entity, those that differ first.
    pub validations: Vec<Validation>,
}

/// A comparison of Odoo with Postgres.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The entity.
    pub entity: String,
    /// `same`, `differs`, or `error` if it could not be compared.
    pub verdict: String,
    /// When it was compared.
    pub checked_at: Moment,
    /// Number of records in Odoo.
    pub source_count: Option<i64>,
    /// Number of rows in Postgres.
    pub destination_count: Option<i64>,
    /// Records in Odoo that Postgres lacks.
    pub missing: i64,
    /// Rows in Postgres whose records are gone from Odoo.
    pub extra: i64,
    /// Rows on both sides with different content.
    pub stale: i64,
    /// Why it could not be compared, in words.
    #[serde(default, skip_serializing)]
    pub problem: Option<String>,
    /// Verdict of the comparison before this one.
    #[serde(default, skip_serializing)]
    pub before: Option<String>,
}

/// Reads everything in one statement, whose cost does not depend on the number of files.
pub async fn read(postgres: &impl Postgres) -> Result<Reading, Fault> {
    const STATEMENT: &str = "select odoo_sync.status() where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// The same for pollers: at most two statements run at once over all replicas, so that connections are left
/// for the jobs. `None`: two are running.
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
    /// Length in bytes, according to Odoo.
    pub file_size: i64,
    /// Model of its record.
    pub res_model: Option<String>,
    /// Id of its record.
    pub res_id: Option<i64>,
    /// `pending`, `moved`, `skipped` or `dead`.
    pub state: String,
    /// Why it is skipped, or the kind of its last failure.
    pub reason: Option<String>,
    /// Its last failure, in words.
    pub message: Option<String>,
    /// Number of failed attempts.
    pub attempts: i32,
    /// When it is due again, while it is pending.
    pub next_attempt_at: Option<Moment>,
    /// Whether a run works on it now.
    pub in_work: bool,
    /// Path of the object in the bucket.
    pub object_path: Option<String>,
    /// When it was found in Odoo.
    pub discovered_at: Option<Moment>,
    /// When Storage confirmed it.
    pub moved_at: Option<Moment>,
    /// When it last failed.
    pub failed_at: Option<Moment>,
    /// When it was found to be gone from Odoo.
    pub deleted_at: Option<Moment>,
}

/// The state of one file; `None`: the catalogue has no attachment with this id.
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

/// An action of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Puts dead files back into the queue.
    Retry,
    /// Pauses a job.
    Pause,
    /// Ends a pause.
    Resume,
    /// Runs a job now, outside its schedule.
    Run,
    /// Starts a final check, which tells whether Odoo can be switched off.
    FinalCheck,
    /// Acknowledges findings of a final check.
    Acknowledge,
}

/// A request for an action.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    /// The action.
    pub action: Action,
    /// A job, or a component for all its jobs.
    pub job: String,
    /// Who asks; `None` for the holder of a service key.
    pub user_id: Option<Uuid>,
    /// For a retry: only these files. For an acknowledgement: only these records.
    pub ids: Option<Vec<i64>>,
    /// For a final check: `read_data`. For an acknowledgement: `entity`, `kind` and `note`.
    pub options: Value,
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Whether it succeeded.
    pub ok: bool,
    /// The result, or why it failed.
    pub outcome: String,
    /// What to do if it failed.
    pub remedy: Option<String>,
}

/// Executes the action and records who asked for it, in one statement.
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
    /// Ordered by id.
    pub files: Vec<FileForPeople>,
    /// Number of files of each kind.
    pub kinds: Vec<FilesOfKind>,
}

/// A file that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileForPeople {
    /// Its id in Odoo.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The model of the record that it belongs to.
    pub res_model: Option<String>,
    /// The id of that record.
    pub res_id: Option<i64>,
    /// Length in bytes, according to Odoo.
    pub file_size: i64,
    /// `dead` or `skipped`.
    pub state: String,
    /// The kind of its last failure, or the reason why it is skipped.
    pub kind: String,
    /// Who is to blame.
    pub blame: Option<String>,
    /// What happened, in words.
    pub message: Option<String>,
    /// When it last failed.
    pub failed_at: Option<Moment>,
    /// When it was found to be gone from Odoo.
    pub deleted_at: Option<Moment>,
    /// Who has acknowledged that it is left behind.
    pub accepted_by: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Files that wait for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesOfKind {
    /// The kind of failure, or the reason why they are skipped.
    pub kind: String,
    /// `dead` or `skipped`.
    pub state: String,
    /// Number of files.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// A page of the files that wait for a person: of one kind or of all, with an id above `after_id`, at most
/// `most`.
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

/// The newest final check: its progress, or its verdict with the evidence.
pub async fn certificate(postgres: &impl Postgres) -> Result<Value, Fault> {
    const STATEMENT: &str = "select odoo_sync.certificate() where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}
