//! Accepted service keys, admins, and the log of refused calls.

use fault::Fault;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::{Postgres, call, call_one};

/// An accepted key, by its hash.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AcceptedKey {
    /// SHA-256 of the key, in hex.
    pub sha256: String,
    /// Its scope: `jobs`, `read` or `admin`.
    pub scope: String,
    /// Seconds until it expires; `None`: never.
    pub expires_in_s: Option<f64>,
}

/// All keys that are valid now: that of the jobs, the one before it for ten minutes after a rotation, and
/// those issued to people. At most 100, those that expire last first.
pub async fn accepted(postgres: &impl Postgres) -> Result<Vec<AcceptedKey>, Fault> {
    // A person may set `infinity`, which also means never. Before Postgres 17 it cannot be subtracted from,
    // and the error would lock out every key.
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

/// Whether a scheduled job calls this component with this body.
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

/// Whether a Supabase user is an admin.
pub async fn is_admin(postgres: &impl Postgres, user: Uuid) -> Result<bool, Fault> {
    const STATEMENT: &str =
        "select to_jsonb(coalesce(public.has_role(($1::jsonb->>'user')::uuid, 'admin'), false))";
    call_one(postgres, STATEMENT, &json!({ "user": user })).await
}

/// Logs a refused call as an `auth_error` row, at most one a minute. The row lock on `log:auth_error` in
/// `odoo_sync.cursors` enforces the limit under any number of writers. Returns whether a row was written.
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
