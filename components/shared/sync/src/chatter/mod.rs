//! The chatter, as copied by `chatter-sync`.
//!
//! Messages are read from `mail.message` itself, since a new message does not change the lead's own date (seen on 17
//! and 18); records without messages cost nothing. Field changes are read from `mail.tracking.value`, which requires
//! the group Settings: for other users they are left out, which is reported once.

mod changes;
mod messages;

use ledger::chatter;
use serde_json::{Value, json};

use crate::entity::{column, made};
use crate::{Entity, EntityOptions, Index, Job, List, Scope, Settings};

/// The chatter. Field changes come after their messages.
pub static CHATTER: Job = Job {
    name: "chatter-sync",
    variables: "chatter",
    copies_chatter: true,
    entities: &[MESSAGES, FIELD_CHANGES],
    missing_reads_changes: true,
};

const MESSAGES: Entity = Entity {
    name: "messages",
    model: "mail.message",
    table: &chatter::MESSAGES,
    scope: Scope::All,
    bulk: Some("body"),
    fields: &[
        column!("model", Text),
        column!("res_id", Integer),
        column!("date", Moment),
        column!("author_id", Link),
        column!("email_from", Text),
        column!("subject", Text),
        column!("body", Html),
        made!("body_html", Text),
        made!("body_text", Text),
        made!("body_omitted", Text),
        made!("kind", Text),
        made!("activity_type", Text),
        column!("message_type", Text),
        column!("subtype_id", Link),
        made!("subtype", Text),
        column!("is_internal", Flag),
        made!("is_internal_flag", Flag),
        column!("parent_id", Link),
        column!("attachment_ids", Links),
        made!("inline_attachment_ids", Links),
        column!("email_id", Text, "message_id"),
        column!("reply_to", Text),
        column!("recipient_ids", Links, "partner_ids"),
        // Addresses of external recipients, from 19 on.
        made!("email_to", Text),
        column!("email_cc", Text, "incoming_email_cc"),
        column!("company_id", Link, "record_company_id"),
        made!("notifications", Json),
        made!("reactions", Json),
        made!("withdrawn_at", Moment),
    ],
    options: Some(&EntityOptions {
        domain: |settings| vec![json!(["model", "in", settings.models])],
        beside: &[
            "mail_activity_type_id",
            "tracking_value_ids",
            "notification_ids",
            "reaction_ids",
            "incoming_email_to",
            "outgoing_email_to",
        ],
        raw: None,
        page: 500,
        lists: &[
            List {
                field: "notification_ids",
                model: "mail.notification",
                fields: &[
                    "res_partner_id",
                    "mail_email_address",
                    "notification_type",
                    "notification_status",
                    "is_read",
                    "read_date",
                    "failure_type",
                ],
                fills: "notifications",
            },
            List {
                field: "reaction_ids",
                model: "mail.message.reaction",
                fields: &["content", "partner_id", "guest_id"],
                fills: "reactions",
            },
        ],
        // Without the group Settings, users cannot read `ir.model.data` on 16 to 19; this model and `get_external_id`
        // are open to everyone on 14 to 19.
        index: Index {
            model: "mail.message.subtype",
            domain: |_| Vec::new(),
            fields: &["internal"],
            key: "id",
            external_ids: true,
            fills: "subtype",
        },
        refine: messages::refine,
        version: 2,
        optional: false,
        owns: Some(messages::owns),
        catalogues: true,
    }),
};

const FIELD_CHANGES: Entity = Entity {
    name: "field_changes",
    model: "mail.tracking.value",
    table: &chatter::FIELD_CHANGES,
    // A search by `mail_message_id.model` would scan the whole chatter for each page.
    scope: Scope::Of("mail_message_id"),
    bulk: None,
    fields: &[
        column!("message_id", Link, "mail_message_id"),
        made!("field", Text),
        made!("label", Text),
        made!("type", Text),
        made!("old", Text),
        made!("new", Text),
        made!("old_value", Json),
        made!("new_value", Json),
        made!("raw", Json),
        column!("currency_id", Link),
    ],
    options: Some(&EntityOptions {
        domain: |_| Vec::new(),
        beside: changes::FIELDS,
        raw: Some("raw"),
        page: 2000,
        lists: &[],
        index: Index {
            model: "ir.model.fields",
            domain: fields_of_models,
            fields: &["name", "field_description", "ttype"],
            key: "id",
            external_ids: false,
            fills: "field",
        },
        refine: changes::refine,
        version: 1,
        optional: true,
        owns: None,
        catalogues: false,
    }),
};

fn fields_of_models(settings: &Settings) -> Vec<Value> {
    vec![json!(["model", "in", settings.models])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_column_of_a_table_has_its_field_and_every_field_its_column() {
        for entity in CHATTER.entities {
            let columns: BTreeSet<_> = entity.table.columns().collect();
            let fields: BTreeSet<_> = entity.fields.iter().map(|field| field.column).collect();
            assert_eq!(columns, fields, "{}", entity.name);
        }
    }
}
