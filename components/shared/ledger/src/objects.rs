//! Objects that the catalogue says are in the Storage, for whoever compares.

use fault::Fault;
use serde::Deserialize;
use serde_json::json;

use crate::{Postgres, call, call_one};

/// An object that should be in the Storage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Moved {
    /// Odoo's id.
    pub id: i64,
    /// SHA-1 in hex.
    pub checksum: String,
    /// Length in bytes.
    pub file_size: u64,
    /// Where it lies.
    pub object_path: String,
    /// Its etag when it was first verified.
    pub etag: Option<String>,
    /// Whether it is known to be gone from Odoo.
    pub deleted: bool,
}

/// The next files that count as moved and whose SHA-1 begins with `prefix`, after `after` (a SHA-1 and
/// an id), in that order.
pub async fn moved(
    postgres: &impl Postgres,
    prefix: &str,
    after: (&str, i64),
    limit: usize,
) -> Result<Vec<Moved>, Fault> {
    const STATEMENT: &str = "
        select jsonb_build_object('id', a.id, 'checksum', a.checksum, 'file_size', a.file_size, 'etag', a.etag,
                 'object_path', coalesce(a.object_path, ''), 'deleted', a.deleted_at is not null)
          from public.odoo_attachments a
         where a.state = 'moved' and a.checksum >= $1::jsonb->>'prefix' and a.checksum < ($1::jsonb->>'prefix') || 'g'
           and (a.checksum, a.id) > ($1::jsonb->>'after', ($1::jsonb->>'after_id')::bigint)
         order by a.checksum, a.id limit ($1::jsonb->>'limit')::int";
    let argument =
        json!({ "prefix": prefix, "after": after.0, "after_id": after.1, "limit": limit });
    call(postgres, STATEMENT, &argument).await
}

/// Notes the etags that objects have now: of each attachment the id, where its object lies, and the etag.
/// One whose content has been replaced meanwhile, and lies elsewhere, keeps what it has.
pub async fn note_etags(
    postgres: &impl Postgres,
    etags: &[(i64, &str, String)],
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
