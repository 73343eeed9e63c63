//! Claiming: leases on files.

use crate::runs::RunId;
use content::Sha1;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Postgres, call, call_one};

/// A file under this run's lease.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Claimed<S = Sha1> {
    /// Odoo's id.
    pub id: i64,
    /// File name, cut to the length that is stored with the object.
    pub name: Option<String>,
    /// MIME type.
    pub mimetype: Option<String>,
    /// Length in bytes.
    pub file_size: u64,
    /// SHA-1 of its content.
    pub checksum: S,
    /// Failed attempts so far.
    pub attempts: u32,
    /// How often a run that held this file crashed.
    pub interruptions: u32,
    /// Position of a large upload, to resume it.
    pub upload: Option<Value>,
    /// Whether the same content is in Storage already, under another attachment.
    pub stored: bool,
    /// Whether a verification found the object missing or different: then Storage's own statement about the
    /// object is not trusted.
    #[serde(default)]
    pub lost: bool,
}

/// Claims up to `limit` due files for `lease_s` seconds; `ids` narrows to those files, due or not. Files
/// under a valid lease are passed over; an expired lease counts as one interruption. A run that was given up
/// gets nothing.
pub async fn claim(
    postgres: &impl Postgres,
    run_id: RunId,
    lease_s: u32,
    limit: usize,
    ids: Option<&[i64]>,
) -> Result<Vec<Result<Claimed, Unverifiable>>, Fault> {
    // All files come in one row, because each row is a call of the host, and as text, which Spin passes on unchanged.
    const DUE: &str = include_str!("../statements/claim_due.sql");
    const NAMED: &str = include_str!("../statements/claim_named.sql");
    let argument = json!({ "run_id": run_id, "lease_s": lease_s, "limit": limit, "ids": ids });
    let statement = if ids.is_some() { NAMED } else { DUE };
    let rows: Vec<Claimed<Option<String>>> = call_one(postgres, statement, &argument).await?;
    Ok(rows.into_iter().map(Claimed::named).collect())
}

/// A claimed row whose content has no valid SHA-1 to verify it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverifiable {
    /// Odoo's id.
    pub id: i64,
    /// What its checksum column has instead.
    pub checksum: Option<String>,
}

impl Claimed<Option<String>> {
    fn named(self) -> Result<Claimed, Unverifiable> {
        let sha1 = self.checksum.as_deref().and_then(|text| text.parse().ok());
        let Some(checksum) = sha1 else {
            return Err(Unverifiable {
                id: self.id,
                checksum: self.checksum,
            });
        };
        Ok(Claimed {
            id: self.id,
            name: self.name,
            mimetype: self.mimetype,
            file_size: self.file_size,
            checksum,
            attempts: self.attempts,
            interruptions: self.interruptions,
            upload: self.upload,
            stored: self.stored,
            lost: self.lost,
        })
    }
}

/// A claimed file whose lease is renewed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Renewed {
    /// Odoo's id.
    pub id: i64,
    /// Position of its upload, where there is a new one to store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Value>,
}

/// Renews the lease of a run and of the files that it has claimed, and stores the positions of large uploads.
/// `false`: the run was given up.
pub async fn renew(
    postgres: &impl Postgres,
    run_id: RunId,
    lease_s: u32,
    held: &[Renewed],
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with run as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id, r.leased_until
        ), renewed as (
          update public.odoo_attachments a
             set leased_until = run.leased_until, next_attempt_at = run.leased_until, upload = coalesce(h.upload, a.upload)
            from run, jsonb_to_recordset($1::jsonb->'held') as h (id bigint, upload jsonb)
           where a.id = h.id and a.lease_id = run.id
          returning 1
        )
        select to_jsonb(exists (select from run)) from (select count(*) from renewed) as done";
    let argument = json!({ "run_id": run_id, "lease_s": lease_s, "held": held });
    call_one(postgres, STATEMENT, &argument).await
}

/// Some file of at most `max_bytes` that is moved and that the last sweep still found in Odoo, as if claimed,
/// so that it can be fetched again.
pub async fn any_moved(postgres: &impl Postgres, max_bytes: u64) -> Result<Option<Claimed>, Fault> {
    // Start at a random place in the index; if nothing follows, at its beginning.
    const STATEMENT: &str = "
        select jsonb_build_object('id', m.id, 'file_size', m.file_size, 'checksum', m.checksum, 'attempts', m.attempts,
                 'interruptions', m.interruptions, 'stored', true)
          from ((select * from public.odoo_attachments a
                  where a.state = 'moved' and a.deleted_at is null and a.missing_since is null
                    and a.file_size <= ($1::jsonb->>'max_bytes')::bigint and a.checksum >= (select md5(random()::text))
                  order by a.checksum limit 1)
                union all
                (select * from public.odoo_attachments a
                  where a.state = 'moved' and a.deleted_at is null and a.missing_since is null
                    and a.file_size <= ($1::jsonb->>'max_bytes')::bigint
                  order by a.checksum limit 1)) m
         limit 1";
    let argument = json!({ "max_bytes": max_bytes });
    Ok(call(postgres, STATEMENT, &argument).await?.pop())
}
