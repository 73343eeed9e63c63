//! The tables of the chatter, as `sql/10_chatter.sql` creates them, and the attachments that messages refer
//! to.

use crate::runs::RunId;
use fault::Fault;

use crate::table::{Kind, Table};
use crate::{Postgres, call_one};

/// Messages. Writing them queues their authors and the attachments that the catalogue lacks to be read.
pub static MESSAGES: Table = Table::new(
    "public.odoo_messages",
    "model res_id date author_id email_from subject body body_html body_text body_omitted kind
     activity_type message_type subtype_id subtype is_internal is_internal_flag parent_id
     attachment_ids inline_attachment_ids email_id reply_to recipient_ids email_to
     email_cc company_id notifications reactions withdrawn_at",
)
.references("author_id")
.attachments("attachment_ids inline_attachment_ids")
.kind(Kind::Messages);

/// Field changes (tracking values) of messages.
pub static FIELD_CHANGES: Table = Table::new(
    "public.odoo_field_changes",
    "message_id field label type old new old_value new_value raw currency_id",
)
.kind(Kind::Changes);

/// The next `limit` attachments that messages refer to and the catalogue lacks. Odoo is asked again after a
/// day, because a hidden attachment may be visible by then.
pub async fn wanted(postgres: &impl Postgres, limit: usize) -> Result<Vec<i64>, Fault> {
    const STATEMENT: &str = "
        select coalesce(jsonb_agg(w.id order by w.id), '[]')
          from (select w.id from odoo_sync.wanted_attachments w
                 where w.asked_at is null or w.asked_at < now() - interval '1 day'
                 order by w.id limit ($1::jsonb->>'limit')::int) w";
    call_one(postgres, STATEMENT, &serde_json::json!({ "limit": limit })).await
}

/// Records that Odoo was asked for these attachments: those in the catalogue now leave the list, the others
/// (gone from Odoo, or not visible to this API key) are asked for again after a day. `false`: the run was
/// given up.
pub async fn asked(postgres: &impl Postgres, run_id: RunId, ids: &[i64]) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), answered as (
          select i.id::bigint as id, exists (select from public.odoo_attachments a where a.id = i.id::bigint) as there
            from run, jsonb_array_elements_text($1::jsonb->'ids') as i (id)
        ), there as (
          delete from odoo_sync.wanted_attachments w using answered a where a.id = w.id and a.there
          returning 1
        ), gone as (
          update odoo_sync.wanted_attachments w set asked_at = now() from answered a where a.id = w.id and not a.there
          returning 1
        )
        select to_jsonb(exists (select from run))
          from (select count(*) from there) t, (select count(*) from gone) g";
    let argument = serde_json::json!({ "run_id": run_id, "ids": ids });
    call_one(postgres, STATEMENT, &argument).await
}
