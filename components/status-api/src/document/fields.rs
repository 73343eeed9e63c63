//! The fields of the document of `GET /status`.

use ledger::status::{LastFailure, LogRow, Moment, Setup, Validation};
use serde::Serialize;

use crate::throughput::{Eta, Rate};
use crate::verdict::{Phase, State};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// `None` only while the `ETag` is computed, because it changes all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<Moment>,
    pub state: State,
    pub archive: Archive,
    pub liveness: Liveness,
    pub last_success: Option<Moment>,
    pub last_failure: Option<LastFailure>,
    pub errors: Errors,
    pub runs: Vec<LogRow>,
    pub jobs: Vec<JobStatus>,
    pub syncs: Syncs,
    pub setup: Option<Setup>,
    pub viewer: Viewer,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Archive {
    pub phase: Phase,
    pub total: i64,
    pub migrated: i64,
    pub failed: i64,
    pub dead: i64,
    pub skipped: i64,
    pub waiting: i64,
    pub remaining: i64,
    pub bytes: i64,
    pub bytes_total: i64,
    pub percent: f64,
    pub listed: bool,
    pub rate: Option<Rate>,
    pub eta: Option<Eta>,
    pub history: History,
    pub next_attempt_at: Option<Moment>,
    pub paused: Option<Paused>,
    pub fault: Option<FaultStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    pub step_s: u16,
    pub files_per_minute: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    pub since: Option<Moment>,
    pub by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultStatus {
    pub kind: Option<String>,
    pub blame: Option<String>,
    pub message: Option<String>,
    pub remedy: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Liveness {
    pub alive: bool,
    pub last_tick: Option<Moment>,
    pub expected_next: Option<Moment>,
    pub stale_after_s: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Errors {
    pub count: i64,
    pub newest_at: Option<Moment>,
    pub groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub scope: &'static str,
    pub job: String,
    pub kind: String,
    pub blame: Option<String>,
    pub count: i64,
    pub dead: i64,
    pub newest: Example,
    pub remedy: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub at: Option<Moment>,
    pub id: Option<i64>,
    pub name: Option<String>,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobStatus {
    #[serde(flatten)]
    pub job: JobFields,
    pub needs_somebody: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobFields {
    pub name: String,
    pub component: String,
    pub state: String,
    pub ok: bool,
    pub problem: Option<String>,
    pub remedy: Option<String>,
    pub last_run: Option<Moment>,
    pub last_success: Option<Moment>,
    pub expected_next: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Syncs {
    pub crm: Sync,
    pub chatter: Sync,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sync {
    pub running: bool,
    pub paused: bool,
    pub last_run: Option<LastRun>,
    pub fresh_as_of: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<f64>,
    pub validation: Option<Comparison>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastRun {
    pub at: Moment,
    pub mode: Option<String>,
    pub outcome: String,
    pub elapsed_s: f64,
    pub fault: Option<FaultStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    pub verdict: String,
    pub checked_at: Moment,
    pub missing: i64,
    pub extra: i64,
    pub stale: i64,
    pub problem: Option<String>,
    pub remedy: Option<String>,
    pub entities: Vec<Validation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Viewer {
    pub admin: bool,
}
