//! The chatter: what `chatter-sync` copies.
//!
//! Messages are read from `mail.message` itself, since a lead's own date does not tell that something
//! was said about it (seen on 17 and 18); a record without messages is never asked about. Field
//! changes are read from `mail.tracking.value`, for which an Odoo user needs the Settings group: for
//! others they are left out, and that is told once.

mod body;
mod changes;
mod markup;
mod messages;

use ledger::chatter;
use serde_json::{Value, json};

use crate::entity::{column, made};
use crate::{Entity, Index, Job, Particular, Scope, Settings};

/// The chatter. Field changes come after the messages that they belong to.
pub static CHATTER: Job = Job {
    name: "chatter-sync",
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
        column!("body", Text),
        made!("body_html", Text),
        made!("body_text", Text),
        made!("body_omitted", Text),
        made!("kind", Text),
        column!("message_type", Text),
        column!("subtype_id", Link),
        made!("subtype", Text),
        column!("is_internal", Flag),
        column!("parent_id", Link),
        column!("attachment_ids", Links),
        made!("inline_attachment_ids", Links),
        column!("email_id", Text, "message_id"),
    ],
    particular: Some(&Particular {
        domain: |settings| vec![json!(["model", "in", settings.models])],
        beside: &[],
        page: 500,
        index: Index {
            model: "ir.model.data",
            domain: |_| vec![json!(["model", "=", "mail.message.subtype"])],
            fields: &["module", "name", "res_id"],
            key: "res_id",
            fills: "subtype",
        },
        refine: messages::refine,
        optional: false,
        attachments: true,
    }),
};

const FIELD_CHANGES: Entity = Entity {
    name: "field_changes",
    model: "mail.tracking.value",
    table: &chatter::FIELD_CHANGES,
    scope: Scope::All,
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
        column!("currency_id", Link),
    ],
    particular: Some(&Particular {
        domain: |settings| vec![json!(["mail_message_id.model", "in", settings.models])],
        beside: changes::FIELDS,
        page: 1000,
        index: Index {
            model: "ir.model.fields",
            domain: fields_of_models,
            fields: &["name", "field_description", "ttype"],
            key: "id",
            fills: "field",
        },
        refine: changes::refine,
        optional: true,
        attachments: false,
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
            let columns: BTreeSet<_> = entity.table.columns.iter().collect();
            let fields: BTreeSet<_> = entity.fields.iter().map(|field| &field.column).collect();
            assert_eq!(columns, fields, "{}", entity.name);
        }
    }
}
