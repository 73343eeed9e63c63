//! A component's part in a final check: its entities, and what it finds.

use crate::runs::RunId;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Postgres, call_one};

/// The final check that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its id.
    pub id: i64,
    /// Whether the bytes of all objects are to be read.
    pub read_data: bool,
}

/// A reason not to switch Odoo off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong, in a word.
    pub kind: String,
    /// Id of the record; 0 means the whole entity.
    pub id: i64,
    /// What is wrong, in words.
    pub said: String,
}

impl Finding {
    /// A finding about a record, or about the whole entity with id 0.
    pub fn new(kind: &str, id: i64, said: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            id,
            said: said.into(),
        }
    }
}

/// The part without an entity: rights that the Odoo user lacks. The job that joins first reports it.
pub const RIGHTS: &str = "rights";

/// Joins the check with these entities. Returns whether this job is the one that reports missing rights.
pub async fn join(
    postgres: &impl Postgres,
    run_id: RunId,
    check: Check,
    entities: &[&str],
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with taking_part as (
          select c.id, r.job
            from odoo_sync.runs r cross join odoo_sync.final_checks c
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
             and c.id = ($1::jsonb->>'check_id')::bigint and c.state = 'running'
        ), joined as (
          insert into odoo_sync.final_check_parts (check_id, entity, job)
          select t.id, e.name, t.job
            from taking_part t cross join jsonb_array_elements_text($1::jsonb->'entities' || ($1::jsonb->'rights')) e (name)
          on conflict do nothing
          returning entity
        )
        select to_jsonb(exists (select from joined j where j.entity = $1::jsonb->>'rights')
                        or exists (select from taking_part t join odoo_sync.final_check_parts p on p.check_id = t.id and p.job = t.job
                                    where p.entity = $1::jsonb->>'rights' and p.done_at is null))";
    let argument =
        json!({ "run_id": run_id, "check_id": check.id, "entities": entities, "rights": RIGHTS });
    call_one(postgres, STATEMENT, &argument).await
}

/// Stores a part's evidence and findings so far. `findings` are added to the earlier ones, or replace them
/// with `anew`; `done` ends the part.
pub async fn keep(
    postgres: &impl Postgres,
    run_id: RunId,
    check: Check,
    entity: &str,
    (evidence, done): (&Value, bool),
    (findings, anew): (&[Finding], bool),
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with part as (
          update odoo_sync.final_check_parts p
             set evidence = $1::jsonb->'evidence', done_at = case when ($1::jsonb->>'done')::boolean then now() end
            from odoo_sync.runs r
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running' and r.job = p.job
             and p.check_id = ($1::jsonb->>'check_id')::bigint and p.entity = $1::jsonb->>'entity'
          returning p.check_id, p.entity
        ), cleared as (
          delete from odoo_sync.final_check_findings f using part p
           where ($1::jsonb->>'anew')::boolean and f.check_id = p.check_id and f.entity = p.entity
             and not exists (select from jsonb_to_recordset($1::jsonb->'findings') as n (kind text, id bigint)
                              where n.kind = f.kind and n.id = f.id)
          returning 1
        ), found as (
          insert into odoo_sync.final_check_findings (check_id, entity, kind, id, said)
          select p.check_id, p.entity, n.kind, n.id, min(n.said)
            from part p cross join jsonb_to_recordset($1::jsonb->'findings') as n (kind text, id bigint, said text)
           group by p.check_id, p.entity, n.kind, n.id
          on conflict do nothing
          returning 1
        )
        select to_jsonb((select count(*) from cleared) + (select count(*) from found))";
    let argument = json!({
        "run_id": run_id, "check_id": check.id, "entity": entity, "evidence": evidence, "done": done,
        "findings": findings, "anew": anew,
    });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}

/// Ends the check with its verdict if all parts are done and the last run of each job found no change, or if
/// a day has passed.
pub async fn conclude(postgres: &impl Postgres) -> Result<(), Fault> {
    const STATEMENT: &str = "
        select to_jsonb(true) from odoo_sync.conclude_check() where $1::jsonb is not null";
    call_one::<bool>(postgres, STATEMENT, &json!({}))
        .await
        .map(|_| ())
}
