//! The log of comparisons between the two sides.

use crate::runs::RunId;
use fault::Fault;
use serde::Serialize;
use serde_json::Value;

use crate::{Postgres, call_one};

/// The verdict of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides are the same.
    Same,
    /// The sides differ.
    Differs,
    /// The sides could not be compared.
    Error,
}

/// A row of `sync_validation_log`.
#[derive(Debug, Clone, Serialize)]
pub struct Validation<'a> {
    /// The run that compared.
    pub run_id: RunId,
    /// The entity, such as `attachments`.
    pub entity: &'a str,
    /// Number of records at the source.
    pub source_count: u64,
    /// Number of rows at the destination.
    pub destination_count: u64,
    /// Records missing at the destination.
    pub missing: u64,
    /// Rows missing at the source.
    pub extra: u64,
    /// Rows on both sides with different content.
    pub stale: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Examples and further figures.
    pub detail: Value,
}

/// Logs the result of a comparison.
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
