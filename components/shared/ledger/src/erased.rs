//! Objects to delete from the bucket, because their records were erased.

use crate::runs::RunId;
use fault::Fault;
use serde_json::json;

use crate::{Postgres, call_one};

/// The next `limit` objects to delete. An object that a file refers to again leaves the list.
pub async fn unwanted(
    postgres: &impl Postgres,
    run_id: RunId,
    limit: usize,
) -> Result<Vec<String>, Fault> {
    const STATEMENT: &str = "
        with wanted as (
          delete from odoo_sync.unwanted_objects u using odoo_sync.runs r
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
             and exists (select from public.odoo_attachments a where a.object_path = u.object_path)
          returning u.object_path
        )
        select coalesce(jsonb_agg(n.object_path order by n.object_path), '[]')
          from (select u.object_path from odoo_sync.unwanted_objects u
                 where not exists (select from wanted w where w.object_path = u.object_path)
                 order by u.since, u.object_path limit ($1::jsonb->>'limit')::int) n";
    let argument = json!({ "run_id": run_id, "limit": limit });
    call_one(postgres, STATEMENT, &argument).await
}

/// Takes objects off the list once they are deleted from the bucket.
pub async fn removed(
    postgres: &impl Postgres,
    run_id: RunId,
    paths: &[String],
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with removed as (
          delete from odoo_sync.unwanted_objects u using odoo_sync.runs r
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
             and u.object_path in (select jsonb_array_elements_text($1::jsonb->'paths'))
          returning 1
        )
        select to_jsonb(count(*)) from removed";
    let argument = json!({ "run_id": run_id, "paths": paths });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}
