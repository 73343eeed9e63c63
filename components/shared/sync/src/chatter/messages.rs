//! A message: what kind it is, and its body as others may see it.

use odoo::records::Record;
use serde_json::{Value, json};

use super::body::{Cleaner, Shown};
use crate::entity::{Known, Refine};
use crate::{Settings, row};

/// Makes the columns of a message that Odoo has no field for.
pub(super) fn refine(settings: &Settings) -> Refine {
    let cleaner = Cleaner::new(&settings.odoo.url);
    Box::new(move |record: &mut Record, subtypes: &Known| {
        let subtype = record
            .get("subtype_id")
            .and_then(row::link)
            .and_then(|id| subtypes.get(&id))
            .and_then(external_id);
        let shown = match record.get("body") {
            // It was left out, since the record was too long with it.
            None => Shown::too_large(),
            Some(Value::String(body)) => cleaner.show(body),
            Some(_) => Shown::default(),
        };
        if shown.omitted == Some(Shown::TOO_LARGE) {
            record.remove("body");
        }
        let text = shown.text.as_deref().unwrap_or_default();
        let kind = Message {
            sort: record
                .get("message_type")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            subtype: subtype.as_deref(),
            is_internal: record.get("is_internal").and_then(Value::as_bool) == Some(true),
            says_something: !text.is_empty() || shown.omitted.is_some(),
        }
        .kind();
        record.insert("kind".into(), json!(kind));
        record.insert("subtype".into(), json!(subtype));
        record.insert("body_html".into(), json!(shown.html));
        record.insert("body_text".into(), json!(shown.text));
        record.insert("body_omitted".into(), json!(shown.omitted));
        record.insert("inline_attachment_ids".into(), json!(shown.attachments));
    })
}

/// `mail.mt_note`.
fn external_id(entry: &Record) -> Option<String> {
    let part = |name: &str| entry.get(name).and_then(Value::as_str);
    Some(format!("{}.{}", part("module")?, part("name")?))
}

/// What tells a message's kind.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    /// Its `message_type`.
    sort: &'a str,
    /// The external id of its subtype; names are translated, and `message_type` alone does not tell a
    /// note from a message.
    subtype: Option<&'a str>,
    is_internal: bool,
    says_something: bool,
}

impl Message<'_> {
    /// `email`, `message`, `note` or `system`.
    fn kind(self) -> &'static str {
        match (self.sort, self.subtype) {
            ("email" | "email_outgoing", _) => "email",
            // Sent by Odoo by itself.
            ("user_notification" | "auto_comment", _) => "system",
            ("notification", Some("mail.mt_note" | "mail.mt_comment")) if !self.says_something => {
                "system"
            }
            (_, Some("mail.mt_note")) => "note",
            (_, Some("mail.mt_comment")) => "message",
            // A subtype of its own says what happened: a stage was changed, a lead was won.
            ("notification", _) => "system",
            _ if self.is_internal => "note",
            _ => "message",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_follows_the_subtype_and_not_the_type() {
        let kind = |sort, subtype, is_internal, says_something| {
            Message {
                sort,
                subtype,
                is_internal,
                says_something,
            }
            .kind()
        };
        let note = Some("mail.mt_note");
        let comment = Some("mail.mt_comment");
        for (given, wanted) in [
            (kind("comment", note, true, true), "note"),
            (kind("comment", comment, false, true), "message"),
            // Posted by a program with message_post, whose default is `notification`.
            (kind("notification", note, true, true), "note"),
            (kind("notification", comment, false, true), "message"),
            // What was tracked, and nothing said.
            (kind("notification", note, true, false), "system"),
            (
                kind("notification", Some("crm.mt_lead_stage"), false, true),
                "system",
            ),
            (kind("email", comment, false, true), "email"),
            (kind("email_outgoing", note, false, true), "email"),
            (kind("user_notification", note, false, true), "system"),
            (kind("sms", None, false, true), "message"),
            // The key may not see external ids.
            (kind("comment", None, true, true), "note"),
            (kind("comment", None, false, true), "message"),
        ] {
            assert_eq!(given, wanted);
        }
    }
}
