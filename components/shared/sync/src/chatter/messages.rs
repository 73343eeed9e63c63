//! Determines the kind of a message, and makes its other columns.

use chrono::{DateTime, Utc};
use odoo::records::Record;
use odoo::value::parse_datetime;
use serde_json::{Value, json};

use crate::entity::{EXTERNAL_ID, Known, Refine};
use crate::html::{Owned, Shown};
use crate::{Settings, row};

/// Makes the columns of a message that no field of Odoo fills.
pub(super) fn refine(_: &Settings) -> Refine {
    Box::new(|record: &mut Record, subtypes: &Known| {
        let shown = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let omitted = shown("body_omitted");
        let says_something = !shown("body_text").is_empty() || !omitted.is_empty();
        if omitted == Shown::TOO_LARGE {
            record.remove("body");
        }
        let subtype = Subtype::of(record, subtypes);
        let flag = record.get("is_internal").and_then(Value::as_bool);
        let is_internal = flag == Some(true) || subtype.is_internal;
        let activity = record.get("mail_activity_type_id");
        let activity = activity
            .and_then(|pair| pair.get(1))
            .and_then(Value::as_str);
        let activity = activity.map(str::to_owned);
        let tracked = record.get("tracking_value_ids").and_then(Value::as_array);
        let kind = Message {
            sort: record
                .get("message_type")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            subtype: subtype.external_id.as_deref(),
            is_internal,
            activity: activity.is_some(),
            says_something,
            tracks: tracked.map(|values| !values.is_empty()),
        }
        .kind();
        let withdrawn_at = withdrawn_at(record);
        let email_to = ["incoming_email_to", "outgoing_email_to"]
            .into_iter()
            .find_map(|name| record.get(name)?.as_str().map(str::to_owned));
        for (column, listed) in [
            (
                "notifications",
                listed(record, "notification_ids", notification),
            ),
            ("reactions", listed(record, "reaction_ids", reaction)),
        ] {
            record.extend(listed.map(|listed| (column.to_owned(), json!(listed))));
        }
        for (column, value) in [
            ("email_to", json!(email_to)),
            ("withdrawn_at", json!(withdrawn_at)),
            ("kind", json!(kind)),
            ("activity_type", json!(activity)),
            ("subtype", json!(subtype.external_id)),
            ("is_internal", json!(is_internal)),
            ("is_internal_flag", json!(flag)),
        ] {
            record.insert(column.to_owned(), value);
        }
    })
}

/// Converts the records read in place of a field's ids. Returns `None` if the user may not see the field or the
/// records: the column then stays as it is.
fn listed(record: &Record, field: &str, of: fn(&Record) -> Value) -> Option<Vec<Value>> {
    let listed = record.get(field)?.as_array()?;
    listed
        .iter()
        .map(|one| one.as_object().map(of))
        .collect::<Option<_>>()
}

/// Who a message was sent to, how, and with what result.
fn notification(record: &Record) -> Value {
    let link = |name: &str| record.get(name).and_then(row::link);
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let read_at = text("read_date").and_then(parse_datetime);
    json!({
        "partner_id": link("res_partner_id"), "email": text("mail_email_address"),
        "type": text("notification_type"), "status": text("notification_status"),
        "read": record.get("is_read").and_then(Value::as_bool), "read_at": read_at,
        "failure": text("failure_type"),
    })
}

fn reaction(record: &Record) -> Value {
    let link = |name: &str| record.get(name).and_then(row::link);
    json!({
        "content": record.get("content"), "partner_id": link("partner_id"), "guest_id": link("guest_id"),
    })
}

/// When a message was deleted by its author or an administrator: Odoo keeps it without files, and with an empty body
/// (17) or only a mark in it (18 and 19). An e-mail without a body still has its subject, and does not count.
fn withdrawn_at(record: &Record) -> Option<DateTime<Utc>> {
    const MARK: &str = r#"<span class="o-mail-Message-edited"></span>"#;
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let body = text("body")?.trim();
    let comment = text("message_type") == Some("comment");
    let gone = body == MARK || (body.is_empty() && comment);
    let gone = gone && own_files(record).is_empty();
    record
        .get("write_date")
        .filter(|_| gone)
        .and_then(Value::as_str)
        .and_then(parse_datetime)
}

/// A message's subtype. A message without one is internal; so is one with an unknown subtype, to be on the safe side.
struct Subtype {
    /// Such as `mail.mt_note`; names are translated.
    external_id: Option<String>,
    is_internal: bool,
}

impl Subtype {
    fn of(record: &Record, subtypes: &Known) -> Self {
        let id = record.get("subtype_id").and_then(row::link);
        let known = id.and_then(|id| subtypes.get(&id));
        let of = |name| known.and_then(|subtype| subtype.get(name));
        let external_id = of(EXTERNAL_ID).and_then(Value::as_str);
        Self {
            external_id: external_id
                .filter(|external_id| !external_id.is_empty())
                .map(str::to_owned),
            is_internal: of("internal").and_then(Value::as_bool) != Some(false),
        }
    }
}

/// A message owns its own files, and those of its record.
pub(super) fn owns(record: &Record) -> Owned {
    let model = record.get("model").and_then(Value::as_str);
    let res_id = record.get("res_id").and_then(Value::as_i64);
    Owned {
        files: own_files(record),
        on: model.map(str::to_owned).zip(res_id),
    }
}

fn own_files(record: &Record) -> Vec<i64> {
    let ids = record.get("attachment_ids").and_then(Value::as_array);
    ids.into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .collect()
}

/// What decides a message's kind.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    /// Its `message_type`: how it was sent.
    sort: &'a str,
    /// The external id of its subtype: what it is about.
    subtype: Option<&'a str>,
    is_internal: bool,
    /// Whether it reports a completed activity.
    activity: bool,
    says_something: bool,
    /// Whether it reports changed fields; `None` if the user may not see that.
    tracks: Option<bool>,
}

impl Message<'_> {
    /// Decides the kind by what happened. Nothing that a person wrote is `system`.
    fn kind(self) -> &'static str {
        let said = match self.subtype {
            Some("mail.mt_comment") => "message",
            _ if self.is_internal => "note",
            _ => "message",
        };
        match (self.sort, self.subtype) {
            ("email" | "email_outgoing", _) => "email",
            ("sms", _) => "sms",
            // Sent by Odoo itself: to one user, or as an acknowledgement.
            ("user_notification" | "auto_comment", _) => "system",
            (_, Some("mail.mt_activities")) => "activity",
            _ if self.activity => "activity",
            // A message posted by a program with `message_post` is a notification, too.
            ("notification", None | Some("mail.mt_note" | "mail.mt_comment")) => {
                match (self.says_something, self.tracks) {
                    (true, _) => said,
                    (false, Some(false)) => "system",
                    (false, _) => "change",
                }
            }
            // A subtype of its own says what happened: a stage was changed, a lead was won, or lost and why.
            ("notification", Some(_)) => "change",
            _ => said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types of `mail`, `sms` and `snailmail` in 14 to 19 (and `whatsapp` in 17 to 19), subtypes of `mail` and `crm`,
    /// combined as in their sources.
    #[test]
    fn a_kind_says_what_happened_and_nothing_that_somebody_wrote_is_system() {
        let (note, comment) = (Some("mail.mt_note"), Some("mail.mt_comment"));
        let activities = Some("mail.mt_activities");
        let own = Some("__export__.subtype");
        for (sort, subtype, is_internal, says, tracks, wanted) in [
            // A person in the chatter: "Log note", "Send message", and a company's own subtype.
            ("comment", note, true, true, None, "note"),
            ("comment", comment, false, true, None, "message"),
            ("comment", comment, true, true, None, "message"),
            ("comment", None, true, true, None, "note"),
            ("comment", own, true, true, None, "note"),
            ("comment", own, false, true, None, "message"),
            ("comment", comment, false, false, None, "message"),
            // `message_post` by a program, with `notification` as default.
            ("notification", note, true, true, Some(false), "note"),
            ("notification", comment, false, true, Some(false), "message"),
            ("notification", None, true, true, None, "note"),
            // Mail, in and out.
            ("email", comment, false, true, None, "email"),
            ("email", note, true, true, None, "email"),
            ("email_outgoing", note, true, true, None, "email"),
            ("sms", note, true, true, None, "sms"),
            ("snailmail", note, true, true, None, "note"),
            ("whatsapp_message", comment, false, true, None, "message"),
            ("out_of_office", comment, false, true, None, "message"),
            // `action_feedback` of an activity, with a person's words.
            ("notification", activities, true, true, None, "activity"),
            ("comment", activities, true, true, None, "activity"),
            // `_message_track`: changed fields, with a subtype of the model or as a note without words.
            (
                "notification",
                Some("crm.mt_lead_stage"),
                false,
                false,
                Some(true),
                "change",
            ),
            (
                "notification",
                Some("crm.mt_lead_won"),
                false,
                true,
                Some(true),
                "change",
            ),
            (
                "notification",
                Some("crm.mt_lead_lost"),
                false,
                true,
                Some(true),
                "change",
            ),
            (
                "notification",
                Some("crm.mt_lead_create"),
                false,
                true,
                Some(false),
                "change",
            ),
            ("notification", own, true, false, None, "change"),
            ("notification", note, true, false, Some(true), "change"),
            ("notification", note, true, false, None, "change"),
            // No one said anything.
            ("notification", note, true, false, Some(false), "system"),
            ("notification", None, true, false, Some(false), "system"),
            ("user_notification", note, true, true, None, "system"),
            ("auto_comment", note, true, true, None, "system"),
        ] {
            let message = Message {
                sort,
                subtype,
                is_internal,
                activity: false,
                says_something: says,
                tracks,
            };
            assert_eq!(message.kind(), wanted, "{message:?}");
        }
        let call = Message {
            sort: "notification",
            subtype: None,
            is_internal: true,
            activity: true,
            says_something: true,
            tracks: Some(false),
        };
        assert_eq!(call.kind(), "activity");
    }

    fn refined(record: &Value, subtypes: &Known) -> Record {
        let mut record = record.as_object().cloned().unwrap_or_default();
        refine(&Settings::default())(&mut record, subtypes);
        record
    }

    /// `_get_search_domain_share` of `mail.message`, 14 to 19: a message is public only if its subtype is.
    #[test]
    fn internal_is_what_odoo_shows_to_colleagues_only() {
        let of = |internal: Value| json!({"id": 1, "internal": internal, EXTERNAL_ID: ""});
        let known = |internal: Value| {
            let subtype = of(internal).as_object().cloned().unwrap_or_default();
            Known::from([(1, subtype)])
        };
        for (flag, subtype, internal, wanted) in [
            (json!(false), json!([1, "Note"]), json!(true), true),
            (json!(true), json!([1, "Discussions"]), json!(false), true),
            (json!(false), json!([1, "Discussions"]), json!(false), false),
            (json!(null), json!([1, "Note"]), json!(true), true),
            (json!(false), json!(false), json!(false), true),
            // An unknown subtype is shown to colleagues only.
            (json!(false), json!([2, "?"]), json!(false), true),
        ] {
            let record = json!({"id": 9, "body": "<p>x</p>", "message_type": "comment", "is_internal": flag, "subtype_id": subtype});
            let row = refined(&record, &known(internal));
            assert_eq!(row["is_internal"], wanted, "{record}");
            assert_eq!(row["is_internal_flag"], flag, "{record}");
        }
    }

    #[test]
    fn a_message_owns_its_files_and_those_of_its_record() {
        let record = json!({"id": 9, "model": "crm.lead", "res_id": 50, "attachment_ids": [1]});
        let owned = owns(record.as_object().unwrap());
        assert_eq!(
            (owned.files, owned.on),
            (vec![1], Some(("crm.lead".to_owned(), 50)))
        );
        let nowhere = json!({"id": 9, "model": false, "res_id": 0});
        assert_eq!(owns(nowhere.as_object().unwrap()).on, None);
    }

    #[test]
    fn a_message_that_was_withdrawn_is_told_from_one_that_says_nothing() {
        let mark = "<span class=\"o-mail-Message-edited\"></span>";
        for (sort, body, files, wanted) in [
            ("comment", json!(mark), json!([]), true),
            ("comment", json!(""), json!([]), true),
            ("email", json!(mark), json!([]), true),
            ("email", json!(""), json!([]), false),
            (
                "comment",
                json!(format!("<p>edited {mark}</p>")),
                json!([]),
                false,
            ),
            ("comment", json!(""), json!([7]), false),
            ("notification", json!(""), json!([]), false),
        ] {
            let record = json!({"id": 9, "message_type": sort, "body": body, "attachment_ids": files, "write_date": "2026-11-21 20:21:22"});
            let row = refined(&record, &Known::new());
            let at = if wanted {
                json!("2026-11-21T20:21:22Z")
            } else {
                json!(null)
            };
            assert_eq!(row["withdrawn_at"], at, "{record}");
        }
    }

    #[test]
    fn recipients_and_reactions_are_told_where_they_may_be_seen() {
        let record = json!({
            "id": 9, "body": "<p>x</p>", "incoming_email_to": false, "outgoing_email_to": "a@example.com",
            "notification_ids": [{"id": 4, "res_partner_id": [7, "Ada"], "notification_type": "email", "notification_status": "bounce",
                "is_read": true, "read_date": "2026-11-21 20:21:22", "failure_type": "mail_bounce"}],
        });
        let row = refined(&record, &Known::new());
        assert_eq!(
            row["notifications"],
            json!([{"partner_id": 7, "email": null, "type": "email", "status": "bounce", "read": true,
                "read_at": "2026-11-21T20:21:22Z", "failure": "mail_bounce"}])
        );
        assert_eq!(
            (&row["email_to"], row.get("reactions")),
            (&json!("a@example.com"), None)
        );
        // Ids that could not be read are not notifications.
        let record = json!({"id": 9, "notification_ids": [4]});
        let row = refined(&record, &Known::new());
        assert_eq!(row.get("notifications"), None);
    }
}
