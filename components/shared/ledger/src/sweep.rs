//! The sweep: compares Odoo's list with the catalogue. Odoo leaves no trace of deletions, of changed access
//! rights, or of records that a new selection includes, so the whole list is read now and then. A sweep marks
//! missing attachments as it goes; at its end they are soft-deleted, unless they are suspiciously many.
//!
//! Any run may take the next step of a sweep. Each step is a compare-and-set of the cursor and changes
//! nothing if the cursor has moved. The number of rows per statement is bounded.

use crate::runs::RunId;
use fault::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Postgres, call_one};

/// Difference between a range of Odoo's list and the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Compared {
    /// Last id that was compared: the end of the range, or the last row within the limit.
    pub last_id: i64,
    /// Ids in the catalogue that Odoo's list lacks.
    pub unlisted: Vec<i64>,
    /// Ids in Odoo's list that the catalogue lacks, has as deleted or not selected, or has with another date
    /// or content.
    pub uncatalogued: Vec<i64>,
    /// Number of attachments in the whole catalogue.
    pub catalogued: u64,
}

/// Compares `listed`, Odoo's list of the range `(after_id, last_id]`, with the catalogue, up to `most_rows`
/// rows of it.
pub async fn compare(
    postgres: &impl Postgres,
    range: (i64, i64),
    listed: &Value,
    most_rows: usize,
) -> Result<Compared, Fault> {
    const STATEMENT: &str = "
        with listed as (
          select * from jsonb_to_recordset($1::jsonb->'listed') as l (id bigint, checksum text, write_date timestamptz, is_unread boolean)
        ), catalogued as (
          select a.id, a.checksum, a.write_date, a.deleted_at is null as live, a.deleted_at is null and a.reason is distinct from 'not_selected' as known
            from public.odoo_attachments a
           where a.id > ($1::jsonb->>'after_id')::bigint and a.id <= ($1::jsonb->>'last_id')::bigint
           order by a.id limit ($1::jsonb->>'most_rows')::bigint
        ), reached as (
          select case when count(*) < ($1::jsonb->>'most_rows')::bigint
                      then ($1::jsonb->>'last_id')::bigint else max(c.id) end as last_id
            from catalogued c
        )
        select jsonb_build_object(
          'last_id', r.last_id,
          'unlisted', (select coalesce(jsonb_agg(c.id order by c.id), '[]') from catalogued c
                        where c.live and not exists (select from listed l where l.id = c.id)),
          'uncatalogued', (select coalesce(jsonb_agg(l.id order by l.id), '[]') from listed l
                            where l.id <= r.last_id and not exists (
                              select from catalogued c
                               where c.id = l.id and c.known
                                 and (l.is_unread or (c.checksum is not distinct from l.checksum
                                                      and c.write_date is not distinct from l.write_date)))),
          'catalogued', (select greatest(coalesce(sum(p.files), 0), 0) from odoo_sync.progress p))
          from reached r";
    let argument = json!({
        "after_id": range.0, "last_id": range.1, "listed": listed, "most_rows": most_rows,
    });
    call_one(postgres, STATEMENT, &argument).await
}

/// A step of the sweep's cursor.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The cursor's name.
    pub cursor: &'a str,
    /// The position that this run expects.
    pub from: &'a Value,
    /// The new position.
    pub to: &'a Value,
}

/// Marks attachments that the sweep misses, unmarks the others of the range, takes visible ones off the list
/// of hidden records, and moves the cursor, in one statement. `false`: the cursor has moved or the run was
/// given up, and nothing changes.
pub async fn mark_missing(
    postgres: &impl Postgres,
    run_id: RunId,
    range: (i64, i64),
    (missing, hidden): (&[i64], &[i64]),
    step: Step<'_>,
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with cursor as (
          select c.name from odoo_sync.cursors c
           where c.name = $1::jsonb->>'cursor' and c.position = $1::jsonb->'from'
             and exists (select from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running')
             for update
        ), missing as (
          select m.value::bigint as id from jsonb_array_elements($1::jsonb->'missing') m
        ), marked as (
          update public.odoo_attachments a set missing_since = now() from missing m, cursor
           where a.id = m.id and a.missing_since is null and a.deleted_at is null
          returning 1
        ), seen_again as (
          update public.odoo_attachments a set missing_since = null from cursor
           where a.missing_since is not null
             and a.id > ($1::jsonb->>'after_id')::bigint and a.id <= ($1::jsonb->>'last_id')::bigint
             and a.id not in (select m.id from missing m)
          returning 1
        ), visible as (
          delete from odoo_sync.unreadable u using cursor
           where u.model = 'ir.attachment' and u.hidden
             and u.id > ($1::jsonb->>'after_id')::bigint and u.id <= ($1::jsonb->>'last_id')::bigint
             and not $1::jsonb->'hidden' @> to_jsonb(u.id)
          returning 1
        ), moved_on as (
          update odoo_sync.cursors c set position = $1::jsonb->'to', updated_at = now() from cursor
           where c.name = cursor.name
          returning 1
        )
        select to_jsonb(exists (select from moved_on))
          from (select count(*) from marked) m, (select count(*) from seen_again) s, (select count(*) from visible) v";
    let argument = json!({
        "run_id": run_id, "after_id": range.0, "last_id": range.1, "missing": missing, "hidden": hidden,
        "cursor": step.cursor, "from": step.from, "to": step.to,
    });
    call_one(postgres, STATEMENT, &argument).await
}

/// Progress of the end of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// More attachments are marked.
    More,
    /// All are settled, and the cursor has moved.
    All,
    /// The cursor had moved or the run was given up: nothing changed.
    Overtaken,
}

/// Settles up to `most_rows` marked attachments: if `deleted`, soft-deletes them and skips those still to be
/// moved; otherwise only removes the mark. The last step moves the cursor.
///
/// The marked rows are selected by id range: with statistics from before the sweep, Postgres would run a join
/// with them as a nested loop (4 s instead of 0.1, seen on Postgres 15).
pub async fn settle_missing(
    postgres: &impl Postgres,
    run_id: RunId,
    deleted: bool,
    most_rows: usize,
    step: Step<'_>,
) -> Result<Settled, Fault> {
    const STATEMENT: &str = "
        with cursor as (
          select c.name, ($1::jsonb->>'deleted')::boolean as deleted from odoo_sync.cursors c
           where c.name = $1::jsonb->>'cursor' and c.position = $1::jsonb->'from'
             and exists (select from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running')
             for update
        ), reached as (
          select count(*) as missing, max(m.id) as last_id
            from (select a.id from public.odoo_attachments a
                   where a.missing_since is not null
                   order by a.id limit ($1::jsonb->>'most_rows')::bigint) m
        ), settled as (
          update public.odoo_attachments a
             set deleted_at = case when c.deleted then now() end, missing_since = null,
                 state = case when c.deleted and a.state in ('pending', 'dead') then 'skipped' else a.state end,
                 reason = case when c.deleted and a.state in ('pending', 'dead') then 'deleted_in_odoo' else a.reason end,
                 lease_id = case when c.deleted then null else a.lease_id end,
                 leased_until = case when c.deleted then null else a.leased_until end
            from cursor c
           where a.id <= (select r.last_id from reached r) and a.missing_since is not null
          returning 1
        ), moved_on as (
          update odoo_sync.cursors c set position = $1::jsonb->'to', updated_at = now() from cursor, reached r
           where c.name = cursor.name and r.missing < ($1::jsonb->>'most_rows')::bigint
          returning 1
        )
        select to_jsonb(case when exists (select from moved_on) then 'all'
                             when exists (select from cursor) then 'more' else 'overtaken' end)
          from (select count(*) from settled) s";
    let argument = json!({
        "run_id": run_id, "deleted": deleted, "most_rows": most_rows,
        "cursor": step.cursor, "from": step.from, "to": step.to,
    });
    call_one(postgres, STATEMENT, &argument).await
}
