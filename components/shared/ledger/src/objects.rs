//! Objects that should be in Storage according to the catalogue, for verification.

use std::collections::BTreeSet;

use crate::runs::RunId;
use chrono::{DateTime, Utc};
use fault::Fault;
use serde::Deserialize;
use serde_json::json;

use crate::{Postgres, call, call_one};

/// An object that should be in Storage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Moved {
    /// Odoo's id.
    pub id: i64,
    /// SHA-1 in hex.
    pub checksum: String,
    /// Length in bytes.
    pub file_size: u64,
    /// Path of the object in the bucket.
    pub object_path: String,
    /// Its etag when the object was verified; `None`: not verified yet.
    pub etag: Option<String>,
    /// Whether the attachment is deleted in Odoo.
    pub deleted: bool,
    /// Whether an earlier verification found the object missing or different.
    pub lost: bool,
}

/// The moment before which all moves are committed. `moved_at` is the start of a move's transaction, so a
/// move that commits later has a later date.
pub async fn settled_before(postgres: &impl Postgres) -> Result<DateTime<Utc>, Fault> {
    const STATEMENT: &str = "
        select to_jsonb(least(now(), min(s.xact_start))) from pg_catalog.pg_stat_activity s
         where s.datname = current_database() and s.usename = session_user and $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// The next moved files, ordered by SHA-1 and id, that were moved before `before` and come after `after` (a
/// SHA-1 or a prefix of one, and an id). The cost of a page does not depend on how many files share a
/// content.
pub async fn moved(
    postgres: &impl Postgres,
    before: DateTime<Utc>,
    after: (&str, i64),
    limit: usize,
) -> Result<Vec<Moved>, Fault> {
    const STATEMENT: &str = "
        select jsonb_build_object('id', a.id, 'checksum', a.checksum, 'file_size', a.file_size, 'etag', a.etag,
                 'object_path', coalesce(a.object_path, ''), 'deleted', a.deleted_at is not null, 'lost', a.lost_at is not null)
          from public.odoo_attachments a
         where a.state = 'moved' and (a.checksum, a.id) > ($1::jsonb->>'after', ($1::jsonb->>'after_id')::bigint)
           and coalesce(a.moved_at, '-infinity') < ($1::jsonb->>'before')::timestamptz
         order by a.checksum, a.id limit ($1::jsonb->>'limit')::int";
    let argument =
        json!({ "before": before, "after": after.0, "after_id": after.1, "limit": limit });
    call(postgres, STATEMENT, &argument).await
}

/// An attachment in Odoo that [`moved`] does not list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Rest {
    /// Odoo's id.
    pub id: i64,
    /// Its state in the catalogue, or [`Rest::UNKNOWN`].
    pub state: String,
    /// Why it is skipped, or the kind of its last failure.
    pub reason: Option<String>,
    /// Its last failure, in words.
    pub message: Option<String>,
    /// The object, if it was moved since.
    pub moved: Option<Moved>,
}

impl Rest {
    /// The state of an attachment that the catalogue lacks.
    pub const UNKNOWN: &str = "not_catalogued";

    /// Why it is not moved, as a code.
    pub fn why(&self) -> &str {
        match (self.state.as_str(), &self.reason) {
            ("skipped", Some(reason)) => reason,
            (state, _) => state,
        }
    }
}

/// Those of the listed attachments that are not moved, or were moved at or after `since`. With `repaired`,
/// files that were moved before and have been queued again since are left out: [`moved`] has listed them.
pub async fn rest(
    postgres: &impl Postgres,
    listed: &[i64],
    since: DateTime<Utc>,
    repaired: bool,
) -> Result<Vec<Rest>, Fault> {
    const STATEMENT: &str = "
        with listed as (
          select l.value::bigint as id from jsonb_array_elements($1::jsonb->'listed') l
        )
        select jsonb_build_object('id', l.id, 'state', coalesce(a.state, $1::jsonb->>'unknown'),
                 'reason', a.reason, 'message', a.message,
                 'moved', case when a.state = 'moved' then jsonb_build_object('id', a.id, 'checksum', coalesce(a.checksum, ''),
                   'file_size', a.file_size, 'etag', a.etag, 'object_path', coalesce(a.object_path, ''),
                   'deleted', a.deleted_at is not null, 'lost', a.lost_at is not null) end)
          from listed l left join public.odoo_attachments a on a.id = l.id
         where (a.state is distinct from 'moved' or a.checksum is null
                or coalesce(a.moved_at, '-infinity') >= ($1::jsonb->>'since')::timestamptz)
           and not coalesce(($1::jsonb->>'repaired')::boolean and a.state = 'pending' and a.attempts = 0
                            and a.moved_at < ($1::jsonb->>'since')::timestamptz
                            and a.next_attempt_at >= ($1::jsonb->>'since')::timestamptz, false)
         order by l.id";
    let argument = json!({
        "listed": listed, "since": since, "repaired": repaired, "unknown": Rest::UNKNOWN,
    });
    call(postgres, STATEMENT, &argument).await
}

/// Queues all files with these contents (SHA-1 in hex) again, as if they had never been moved, and returns
/// how many. Files deleted in Odoo stay: their content may come with another file.
pub async fn requeue(
    postgres: &impl Postgres,
    run_id: RunId,
    contents: &BTreeSet<String>,
) -> Result<u64, Fault> {
    const STATEMENT: &str = "
        with queued as (
          update public.odoo_attachments a
             set state = 'pending', reason = null, message = null, blame = null, attempts = 0, interruptions = 0,
                 next_attempt_at = now(), upload = null, etag = null
           where exists (select from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running')
             and a.state = 'moved' and a.deleted_at is null
             and a.checksum in (select jsonb_array_elements_text($1::jsonb->'contents'))
          returning 1
        )
        select to_jsonb(count(*)) from queued";
    let argument = json!({ "run_id": run_id, "contents": contents });
    call_one(postgres, STATEMENT, &argument).await
}

/// Stores for which contents (SHA-1 in hex) verification found the objects missing or different, and for
/// which it found them intact again.
pub async fn note_lost(
    postgres: &impl Postgres,
    run_id: RunId,
    lost: &BTreeSet<String>,
    found: &BTreeSet<String>,
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with noted as (
          update public.odoo_attachments a set lost_at = case when n.is_lost then now() end
            from (select l.value as checksum, true as is_lost from jsonb_array_elements_text($1::jsonb->'lost') l
                  union all
                  select f.value, false from jsonb_array_elements_text($1::jsonb->'found') f) n
           where exists (select from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running')
             and a.state = 'moved' and a.checksum = n.checksum and (n.is_lost or a.lost_at is not null)
          returning 1
        )
        select to_jsonb(count(*)) from noted";
    let argument = json!({ "run_id": run_id, "lost": lost, "found": found });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}

/// Stores the current etags of objects: attachment id, object path, etag. An attachment that has another path
/// by now is left alone.
pub async fn note_etags(
    postgres: &impl Postgres,
    etags: &[(i64, String, String)],
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with noted as (
          update public.odoo_attachments a set etag = e.value->>2
            from jsonb_array_elements($1::jsonb) e
           where a.id = (e.value->>0)::bigint and a.object_path = e.value->>1
          returning 1
        )
        select to_jsonb(count(*)) from noted";
    call_one::<u64>(postgres, STATEMENT, &etags)
        .await
        .map(|_| ())
}
