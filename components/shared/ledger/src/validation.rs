//! What a comparison of the two sides found, for people.

use crate::runs::RunId;
use fault::Fault;
use serde::Serialize;
use serde_json::Value;

use crate::{Postgres, call_one};

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The two sides are the same.
    Same,
    /// They are not.
    Differs,
    /// That cannot be told.
    Error,
}

/// A row of `sync_validation_log`.
#[derive(Debug, Clone, Serialize)]
pub struct Validation<'a> {
    /// The run that compared.
    pub run_id: RunId,
    /// What was compared, such as `attachments`.
    pub entity: &'a str,
    /// How many the source has.
    pub source_count: u64,
    /// How many the destination has.
    pub destination_count: u64,
    /// Missing at the destination.
    pub missing: u64,
    /// Missing at the source.
    pub extra: u64,
    /// On both sides, but different.
    pub stale: u64,
    /// What it came to.
    pub verdict: Verdict,
    /// Examples and further figures.
    pub detail: Value,
}

/// Logs what a comparison found.
pub async fn log(postgres: &impl Postgres, validation: &Validation<'_>) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with logged as (
          insert into public.sync_validation_log
                 (run_id, entity, source_count, destination_count, missing, extra, stale, verdict, detail)
          select v.run_id, v.entity, v.source_count, v.destination_count, v.missing, v.extra, v.stale, v.verdict, v.detail
            from jsonb_to_record($1::jsonb) as v (run_id uuid, entity text, source_count bigint, destination_count bigint,
                 missing bigint, extra bigint, stale bigint, verdict text, detail jsonb)
          returning 1
        )
        select to_jsonb(count(*)) from logged";
    call_one::<u64>(postgres, STATEMENT, validation)
        .await
        .map(|_| ())
}
