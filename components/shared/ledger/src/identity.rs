//! Which Odoo and which bucket the tables belong to.

use crate::runs::RunId;
use fault::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Postgres, call_one};

/// The known identity of one side.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Identity {
    /// What distinguishes it from others.
    pub identity: Value,
    /// A description for people.
    pub words: String,
}

/// Stores the identity of a side and its description; an existing one is overwritten.
pub async fn keep(
    postgres: &impl Postgres,
    run_id: RunId,
    side: &str,
    (identity, words): (&Value, &str),
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with kept as (
          insert into odoo_sync.identities as i (side, identity, words)
          select $1::jsonb->>'side', $1::jsonb->'identity', $1::jsonb->>'words' from odoo_sync.runs r
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          on conflict (side) do update set identity = excluded.identity, words = excluded.words
          returning 1
        )
        select to_jsonb(count(*)) from kept";
    let argument = json!({ "run_id": run_id, "side": side, "identity": identity, "words": words });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}
