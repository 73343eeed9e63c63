//! Keys that are accepted, users who are admins, and refusals on record.

use fault::Fault;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::{Postgres, call, call_one};

/// The hash of a key that is accepted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AcceptedKey {
    /// SHA-256 of the key, in hex.
    pub sha256: String,
    /// What it may do: `jobs`, `read` or `admin`.
    pub scope: String,
    /// For how many more seconds, or `None` for always.
    pub expires_in_s: Option<f64>,
}

/// All keys that are accepted now. There are few: that of the jobs, for ten minutes after a rotation
/// the one before, and those that people were given. Of more than a hundred, those that are good for longest.
pub async fn accepted(postgres: &impl Postgres) -> Result<Vec<AcceptedKey>, Fault> {
    // `infinity`, which a person may have set, is for always too; before Postgres 17 no difference
    // can be taken from it, and the error would lock out every key.
    const STATEMENT: &str = "
        select jsonb_build_object(
                 'sha256', encode(k.hash, 'hex'),
                 -- Tables of a version before scopes have no such column, and keys that do everything.
                 'scope', coalesce(to_jsonb(k) ->> 'scope', 'admin'),
                 'expires_in_s', case when isfinite(k.expires_at) then extract(epoch from k.expires_at - now()) end)
          from odoo_sync.accepted_keys k
         where $1::jsonb is not null and (k.expires_at is null or k.expires_at > now())
         order by k.expires_at desc nulls first
         limit 100";
    call(postgres, STATEMENT, &json!({})).await
}

/// Whether a component is to be called with this body by one of its scheduled jobs.
pub async fn is_scheduled(
    postgres: &impl Postgres,
    component: &str,
    body: &serde_json::Value,
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        select to_jsonb(exists (
          select from odoo_sync.jobs j
           where j.component = $1::jsonb->>'component' and j.path is not null and j.body = $1::jsonb->'body'))";
    call_one(
        postgres,
        STATEMENT,
        &json!({ "component": component, "body": body }),
    )
    .await
}

/// Whether a user of Supabase is an admin.
pub async fn is_admin(postgres: &impl Postgres, user: Uuid) -> Result<bool, Fault> {
    const STATEMENT: &str =
        "select to_jsonb(coalesce(public.has_role(($1::jsonb->>'user')::uuid, 'admin'), false))";
    call_one(postgres, STATEMENT, &json!({ "user": user })).await
}

/// Writes an `auth_error` row for a refused call, at most one a minute however many come: the row of
/// `odoo_sync.cursors` is the turn, and its lock makes the limit hold under any number of writers.
/// Returns whether a row was written.
pub async fn log_refusal(postgres: &impl Postgres, job: &str, words: &str) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with turn as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          values ('log:auth_error', '{}', now())
          on conflict (name) do update set updated_at = now()
            where c.updated_at <= now() - interval '1 minute'
          returning 1
        ), logged as (
          insert into public.migration_logs (job, remaining, errors, status)
          select $1::jsonb->>'job', case $1::jsonb->>'job' when 'archive-batch' then odoo_sync.remaining() end,
                 array[$1::jsonb->>'words'], 'auth_error'
            from turn
          returning 1
        )
        select to_jsonb(exists (select from logged))";
    call_one(postgres, STATEMENT, &json!({ "job": job, "words": words })).await
}
