//! The list of what cannot be read in Odoo, so that nothing is left out silently.

use crate::runs::RunId;
use fault::Fault;
use serde::Serialize;

use crate::{Postgres, call_one};

/// A record, or fields of it, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Id of the record; 0 means the whole model.
    pub id: i64,
    /// The fields that were left out; empty: the whole record was.
    pub fields: Vec<String>,
    /// Odoo's error.
    pub said: String,
    /// The record still exists and was copied, but the Odoo user may no longer see it.
    pub hidden: bool,
}

impl Unreadable {
    /// A record that the Odoo user may no longer see.
    pub fn hidden(id: i64) -> Self {
        Self {
            id,
            fields: Vec::new(),
            said: "it is still there, and the Odoo user may no longer see it".to_owned(),
            hidden: true,
        }
    }
}

/// Adds records to the list and returns how many are new on it.
pub async fn note(
    postgres: &impl Postgres,
    run_id: RunId,
    model: &str,
    unreadable: &[Unreadable],
) -> Result<u32, Fault> {
    const STATEMENT: &str = include_str!("statements/note_unreadable.sql");
    if unreadable.is_empty() {
        return Ok(0);
    }
    let argument =
        serde_json::json!({ "run_id": run_id, "model": model, "unreadable": unreadable });
    call_one(postgres, STATEMENT, &argument).await
}

/// Stores which fields of a model became unreadable (their columns keep the old values); an empty list clears
/// the entry.
pub async fn note_frozen(
    postgres: &impl Postgres,
    run_id: RunId,
    model: &str,
    fields: &[String],
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.job from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), fields as (
          select coalesce(array_agg(f.name order by f.name), '{}') as names from jsonb_array_elements_text($1::jsonb->'fields') f (name)
        ), thawed as (
          delete from odoo_sync.unreadable u using fields f
           where u.model = $1::jsonb->>'model' and u.id = -1 and f.names = '{}'
          returning 1
        ), frozen as (
          insert into odoo_sync.unreadable as u (model, id, job, fields, said)
          select $1::jsonb->>'model', -1, run.job, f.names,
                 'they could be read once and cannot any more: their columns keep what they had'
            from run, fields f where f.names <> '{}'
          on conflict (model, id) do update set fields = excluded.fields, seen_at = now()
          returning 1
        )
        select to_jsonb((select count(*) from thawed) + (select count(*) from frozen))";
    let argument = serde_json::json!({ "run_id": run_id, "model": model, "fields": fields });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}
