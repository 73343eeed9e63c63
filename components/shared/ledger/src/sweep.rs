//! Comparing Odoo's list with the catalogue: deletions leave no trace in Odoo, nor does what its user
//! may see or what is selected only later, so the whole list is read now and then. What a sweep misses
//! is marked as it goes and counts as deleted only at its end, if it is not suspiciously much.
//!
//! A sweep takes as many steps as it likes, by whichever run: each moves its cursor from where that run
//! knows it to be, or changes nothing. No statement is about more rows than it is told.

use crate::runs::RunId;
use fault::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Postgres, call_one};

/// How a range of Odoo's list and the catalogue differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Compared {
    /// So far both were compared: the end of the range, or the last of as many rows as were looked at.
    pub last_id: i64,
    /// Catalogued, but not listed.
    pub unlisted: Vec<i64>,
    /// Listed, but not catalogued, or only as deleted or not selected, or of another date or content.
    pub uncatalogued: Vec<i64>,
    /// How many attachments the catalogue has, in all ranges.
    pub catalogued: u64,
}

/// Compares what is `listed` of a range `(after_id, last_id]` with what is catalogued there, as far as
/// `most_rows` of the catalogue reach.
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

/// A step of a sweep's cursor.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The cursor's name.
    pub cursor: &'a str,
    /// Where this run knows it to be.
    pub from: &'a Value,
    /// Where it goes.
    pub to: &'a Value,
}

/// Marks what a sweep missed, unmarks in the same range what it did not miss, takes what can be seen again from the
/// list of what is hidden, and moves its cursor, in one statement. `false` if the cursor is elsewhere by now, or the run was given up: then nothing is
/// changed.
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

/// How far the end of a sweep came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// More is marked.
    More,
    /// All is settled, and the cursor moved.
    All,
    /// The cursor is elsewhere by now, or the run was given up: nothing was changed.
    Overtaken,
}

/// Settles up to `most_rows` of what a sweep missed: if it is `deleted`, that is `deleted_at`, and what
/// was still to be moved has nothing to move any more; if not, the mark goes and nothing else. With the
/// last of them the cursor moves. (They are found again by their range: statistics from before the sweep
/// know of no mark, and make a join of them a loop in a loop: 4 s instead of 0.1, seen on Postgres 15.)
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
