//! Display names of the records that copied rows refer to.

use crate::runs::RunId;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Postgres, call_one};

/// A record that a row refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mentioned {
    /// Its model.
    pub model: String,
    /// Its id.
    pub id: i64,
    /// Its display name, if the row came with it.
    #[serde(default)]
    pub name: Option<String>,
}

/// The next `limit` records to ask Odoo the names of: those without a name that it was never asked for, and
/// those it was last asked for more than `age_s` seconds ago.
pub async fn nameless(
    postgres: &impl Postgres,
    limit: usize,
    age_s: f64,
) -> Result<Vec<Mentioned>, Fault> {
    const STATEMENT: &str = "
        select coalesce(jsonb_agg(jsonb_build_object('model', n.model, 'id', n.id) order by n.model, n.id), '[]')
          from (
            (select k.model, k.id from public.odoo_names k where k.name is null and k.asked_at is null
              order by k.model, k.id limit ($1::jsonb->>'limit')::int)
            union all
            (select k.model, k.id from public.odoo_names k
              where k.asked_at < now() - make_interval(secs => ($1::jsonb->>'age_s')::float8)
              order by k.asked_at limit ($1::jsonb->>'limit')::int)
            limit ($1::jsonb->>'limit')::int) n";
    let argument = json!({ "limit": limit, "age_s": age_s });
    call_one(postgres, STATEMENT, &argument).await
}

/// Records that Odoo was asked for these, with the names it gave. `false`: the run was given up.
pub async fn asked(
    postgres: &impl Postgres,
    run_id: RunId,
    asked: &[Mentioned],
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), answered as (
          update public.odoo_names n
             set asked_at = now(), name = coalesce(m.name, n.name),
                 synced_at = case when m.name is not null and m.name is distinct from n.name then now() else n.synced_at end
            from run, jsonb_to_recordset($1::jsonb->'asked') as m (model text, id bigint, name text)
           where n.model = m.model and n.id = m.id
          returning 1
        )
        select to_jsonb(exists (select from run)) from (select count(*) from answered) a";
    let argument = json!({ "run_id": run_id, "asked": asked });
    call_one(postgres, STATEMENT, &argument).await
}
