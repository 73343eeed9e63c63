//! What all jobs share: how they are asked, what they stand on, how they end.
//!
//! `pg_cron` and the dashboard call every job alike, and read its answer alike; what is particular to
//! a job (its modes, its figures) is in the crate of that job.

mod request;

use fault::Fault;
use serde::Serialize;
use serde_json::{Value, json};

pub use request::{Keys, RequestError};

/// The world outside.
#[derive(Debug)]
pub struct Environment<H, C, P> {
    /// Outbound HTTP.
    pub http: H,
    /// Time.
    pub clock: C,
    /// Postgres.
    pub postgres: P,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did what there was to do, or what its time allowed.
    #[default]
    Success,
    /// A fault stopped it, or a part of it.
    Error,
    /// Another one is at work; nothing was changed.
    Running,
    /// A person has paused the job; nothing was changed.
    Paused,
}

/// A fault as it is answered and kept in the ledger: `kind`, `blame`, `message`.
pub fn told(fault: &Fault) -> Value {
    json!({ "kind": fault.kind(), "blame": fault.blame(), "message": fault.message() })
}
