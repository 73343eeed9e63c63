//! Finding what is gone from Odoo: deletions leave no trace there, so the whole list is read now and
//! then. What a sweep misses is marked as it goes and counts as deleted only at its end, if it is not
//! suspiciously much: a source that answers with too little must not wipe the catalogue.

use fault::Fault;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Postgres, call, call_one};

/// Which of the catalogued ids of a range `(after_id, last_id]` are not among `listed`.
pub async fn unlisted(
    postgres: &impl Postgres,
    after_id: i64,
    last_id: i64,
    listed: &[i64],
) -> Result<Vec<i64>, Fault> {
    const STATEMENT: &str = "
        select to_jsonb(a.id) from public.odoo_attachments a
         where a.id > ($1::jsonb->>'after_id')::bigint and a.id <= ($1::jsonb->>'last_id')::bigint
           and a.deleted_at is null
           and not exists (select from jsonb_array_elements($1::jsonb->'listed') l where l.value::bigint = a.id)
         order by a.id";
    let argument = json!({ "after_id": after_id, "last_id": last_id, "listed": listed });
    call(postgres, STATEMENT, &argument).await
}

/// Marks what a sweep missed, unmarks in the same range what it did not miss, and moves its cursor, in
/// one statement. `false` if the run was given up.
pub async fn mark_missing(
    postgres: &impl Postgres,
    run_id: Uuid,
    range: (i64, i64),
    missing: &[i64],
    cursor: (&str, &Value),
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), missing as (
          select m.value::bigint as id from jsonb_array_elements($1::jsonb->'missing') m
        ), marked as (
          update public.odoo_attachments a set missing_since = now() from missing m, run where a.id = m.id and a.missing_since is null
          returning 1
        ), seen_again as (
          update public.odoo_attachments a set missing_since = null from run
           where a.missing_since is not null
             and a.id > ($1::jsonb->>'after_id')::bigint and a.id <= ($1::jsonb->>'last_id')::bigint
             and not exists (select from missing m where m.id = a.id)
          returning 1
        ), moved_on as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'cursor', $1::jsonb->'position', now() from run
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select to_jsonb(exists (select from moved_on))
          from (select count(*) from marked) m, (select count(*) from seen_again) s";
    let argument = json!({
        "run_id": run_id, "after_id": range.0, "last_id": range.1, "missing": missing,
        "cursor": cursor.0, "position": cursor.1,
    });
    call_one(postgres, STATEMENT, &argument).await
}

/// What a sweep came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Swept {
    /// How many catalogued attachments are gone from Odoo's list.
    pub missing: u64,
    /// How many there were.
    pub catalogued: u64,
    /// Whether they are marked as deleted now. If not, they were too many.
    pub marked: bool,
}

/// Ends a sweep: what was missed becomes `deleted_at`, if it is not more than `most_share` of the
/// catalogue and `most_files` at least may go, and Odoo listed anything at all. What was still to be
/// moved has nothing to move any more. A sweep that missed too many changes nothing.
pub async fn end_sweep(
    postgres: &impl Postgres,
    run_id: Uuid,
    listed_any: bool,
    most_share: f64,
    most_files: u64,
    cursor: (&str, &Value),
) -> Result<Swept, Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), figures as (
          select (select count(*) from public.odoo_attachments a where a.missing_since is not null) as missing,
                 (select coalesce(sum(p.files), 0) from odoo_sync.progress p) as catalogued
        ), verdict as (
          select f.*, exists (select from run) and (f.missing = 0 or (($1::jsonb->>'listed_any')::boolean
                   and f.missing <= greatest(f.catalogued * ($1::jsonb->>'most_share')::float8, ($1::jsonb->>'most_files')::float8))) as marked
            from figures f
        ), deleted as (
          update public.odoo_attachments a
             set deleted_at = case when v.marked then now() end, missing_since = null,
                 state = case when v.marked and a.state in ('pending', 'dead') then 'skipped' else a.state end,
                 reason = case when v.marked and a.state in ('pending', 'dead') then 'deleted_in_odoo' else a.reason end,
                 lease_id = case when v.marked then null else a.lease_id end,
                 leased_until = case when v.marked then null else a.leased_until end
            from verdict v, run where a.missing_since is not null
          returning 1
        ), moved_on as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'cursor', $1::jsonb->'position', now() from run
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select jsonb_build_object('missing', v.missing, 'catalogued', v.catalogued, 'marked', v.marked)
          from verdict v, (select count(*) from deleted) d, (select count(*) from moved_on) m";
    let argument = json!({
        "run_id": run_id, "listed_any": listed_any, "most_share": most_share, "most_files": most_files,
        "cursor": cursor.0, "position": cursor.1,
    });
    call_one(postgres, STATEMENT, &argument).await
}
