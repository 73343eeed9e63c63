//! The data dictionary: models and fields of Odoo, and where they are copied to.

use crate::runs::RunId;
use fault::Fault;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Postgres, call_one};

/// A model that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model<'a> {
    /// Its name in Odoo.
    pub model: &'a str,
    /// The table with its rows.
    pub copied_to: &'static str,
    /// Odoo's display name, if the user may read it; `None` keeps the known one.
    pub label: Option<String>,
    /// Why the model is not copied: `forbidden` or `absent`.
    pub reason: Option<&'static str>,
    /// Its fields; `None`: the model is not copied, and known fields stay as they are.
    pub fields: Option<Vec<Field>>,
}

/// A field as Odoo describes it, and the column with its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Odoo's display name.
    pub label: Value,
    /// Its type in Odoo.
    #[serde(rename = "type")]
    pub kind: String,
    /// The model that a relation points to.
    pub relation: Option<String>,
    /// The values of a selection, each with its label.
    pub selection: Value,
    /// Whether Odoo stores it in its database.
    pub stored: bool,
    /// The column with its values.
    pub copied_to: Option<String>,
    /// Why the field is not copied.
    pub reason: Option<Value>,
}

/// Upserts these models and their fields, and marks fields that are gone. `false`: the run was given up.
pub async fn write(
    postgres: &impl Postgres,
    run_id: RunId,
    models: &[Model<'_>],
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), models as (
          select m.value->>'model' as model, m.value->>'copied_to' as copied_to, m.value->>'label' as label, m.value->>'reason' as reason,
                 m.value->'fields' as fields
            from run, jsonb_array_elements($1::jsonb->'models') m
        ), described as (
          insert into public.odoo_models as o (model, copied_to, label, readable, reason)
          select m.model, m.copied_to, m.label, m.reason is null, m.reason from models m order by 1
          on conflict (model) do update
             set copied_to = excluded.copied_to, label = coalesce(excluded.label, o.label), readable = excluded.readable,
                 reason = excluded.reason, synced_at = now()
          returning 1
        ), listed as (
          select m.model, f.name, f.label, f.type, f.relation, nullif(f.selection, 'null') as selection, f.stored, f.copied_to, f.reason
            from models m cross join lateral jsonb_to_recordset(m.fields) as f (
              name text, label text, type text, relation text, selection jsonb, stored boolean, copied_to text, reason text)
           where jsonb_typeof(m.fields) = 'array'
        ), written as (
          insert into odoo_sync.source_fields as s (model, name, label, type, relation, selection, stored, copied_to, reason)
          select l.* from listed l order by l.model, l.name
          on conflict (model, name) do update
             set label = excluded.label, type = excluded.type, relation = excluded.relation, selection = excluded.selection,
                 stored = excluded.stored, copied_to = excluded.copied_to, reason = excluded.reason, gone_at = null, synced_at = now()
           where (s.label, s.type, s.relation, s.selection, s.stored, s.copied_to, s.reason, s.gone_at) is distinct from
                 (excluded.label, excluded.type, excluded.relation, excluded.selection, excluded.stored, excluded.copied_to, excluded.reason, null)
          returning 1
        ), gone as (
          update odoo_sync.source_fields s set gone_at = now(), synced_at = now()
            from models m
           where s.model = m.model and s.gone_at is null and jsonb_typeof(m.fields) = 'array'
             and not exists (select from listed l where l.model = s.model and l.name = s.name)
          returning 1
        )
        select to_jsonb(exists (select from run))
         where (select count(*) from described) + (select count(*) from written) + (select count(*) from gone) >= 0";
    call_one(
        postgres,
        STATEMENT,
        &json!({ "run_id": run_id, "models": models }),
    )
    .await
}
