//! A pipeline that looks lived in: stages, teams, partners, leads, and what was said about them.

use serde_json::{Value, json};

use super::Odoo;
use crate::serve::scramble;

/// How many messages a lead has on average.
const MESSAGES: u64 = 4;

impl Odoo {
    /// Adds so many leads with all that belongs to them; the same ones in every run.
    pub fn fill_pipeline(&self, leads: u32) {
        if leads == 0 {
            return;
        }
        let stages = ["New", "Qualified", "Proposition", "Won"];
        self.records("crm.stage").insert_many((1..).zip(stages).map(|(id, name)| {
            json!({"id": id, "name": name, "sequence": id, "is_won": name == "Won", "fold": name == "Won"})
        }));
        self.records("crm.team").insert_many([
            json!({"id": 1, "name": "Sales", "user_id": 2}),
            json!({"id": 2, "name": "Website", "user_id": 2}),
        ]);
        let tags = ["Product", "Software", "Services", "Training", "Design"];
        self.records("crm.tag").insert_many(
            (1..)
                .zip(tags)
                .map(|(id, name)| json!({"id": id, "name": name, "color": id})),
        );
        let reasons = [
            "Too expensive",
            "We don't have people/skills",
            "Not enough stock",
        ];
        self.records("crm.lost.reason").insert_many(
            (1..)
                .zip(reasons)
                .map(|(id, name)| json!({"id": id, "name": name})),
        );
        let partners: Vec<i64> = self.records("res.partner").insert_many((0..leads.div_ceil(3)).map(|number| {
            json!({
                "name": format!("Customer {number:05}"), "is_company": number % 2 == 0,
                "email": format!("customer{number}@example.com"), "phone": format!("+32 2 {number:07}"),
            })
        }));
        let partner = |dice: u64| {
            let chosen = usize::try_from(dice % partners.len().max(1) as u64).unwrap_or_default();
            partners.get(chosen).copied()
        };
        let leads = self.records("crm.lead").insert_many((0..u64::from(leads)).map(|number| {
            let dice = scramble(number ^ 0x6c65_6164);
            let lost = dice.is_multiple_of(9);
            json!({
                "name": format!("Opportunity {number:05}"), "active": !lost,
                "type": if dice.is_multiple_of(5) { "lead" } else { "opportunity" },
                "stage_id": 1 + (dice >> 8) % 4, "team_id": 1 + (dice >> 12) % 2, "user_id": 2,
                "partner_id": partner(dice >> 16), "email_from": format!("buyer{number}@example.com"),
                "expected_revenue": f64::from(u16::try_from((dice >> 24) % 50_000).unwrap_or_default()),
                "probability": if lost { 0.0 } else { 42.5 }, "priority": ((dice >> 40) % 4).to_string(),
                "tag_ids": [1 + (dice >> 44) % 5], "lost_reason_id": if lost { json!(1) } else { json!(false) },
                "lost_reason": if lost { json!(1) } else { json!(false) },
            })
        }));
        let messages = leads.iter().flat_map(|lead| {
            let dice = scramble(lead.unsigned_abs() ^ 0x6d_7367);
            (0..=dice % (2 * MESSAGES)).map(move |turn| message(*lead, turn, dice))
        });
        let messages = self.records("mail.message").insert_many(messages);
        let changes = messages
            .iter()
            .filter(|id| *id % 5 == 0)
            .map(|id| stage_change(*id, self.version()));
        self.records("mail.tracking.value").insert_many(changes);
    }
}

impl Odoo {
    /// Notes a change of stage in a message, as Odoo does by itself; the id of the tracking value.
    pub fn stage_change(&self, message: i64) -> i64 {
        let change = stage_change(message, self.version());
        self.records("mail.tracking.value").insert(change)
    }

    /// Deletes a message as its author does on the screen: the row stays, without its words, its files and whom it was
    /// sent to (`_message_update_content` and `_cleanup_side_records` of `mail`). 14 has no such way.
    pub fn delete_message(&self, id: i64) {
        let body = match self.version() {
            18.. => "<span class=\"o-mail-Message-edited\"></span>",
            _ => "",
        };
        let messages = self.records("mail.message");
        let files = messages
            .get(id)
            .and_then(|message| message.get("attachment_ids").cloned());
        let files = files
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        self.attachments().delete(files.filter_map(Value::as_i64));
        let nothing = json!({"body": body, "attachment_ids": [], "notification_ids": []});
        messages.update(id, &nothing);
    }
}

fn message(lead: i64, turn: u64, dice: u64) -> Value {
    let (kind, subtype, body) = match (turn, (dice >> turn) % 3) {
        (0, _) => (
            "notification",
            5,
            "<p>A new lead has been created for the team \"Sales\".</p>".to_owned(),
        ),
        (_, 0) => (
            "email",
            1,
            format!("<p>Dear team,</p><p>what about offer {turn}?</p>"),
        ),
        (_, 1) => ("comment", 2, format!("<p>A note, number {turn}</p>")),
        _ => ("notification", 6, String::new()),
    };
    json!({
        "model": "crm.lead", "res_id": lead, "record_name": format!("Opportunity {lead}"), "message_type": kind,
        "subtype_id": subtype, "body": body, "author_id": 3, "is_internal": false,
        "email_from": "\"Mitchell Admin\" <admin@yourcompany.example.com>", "date": "2026-11-21 20:21:22",
    })
}

fn stage_change(message: i64, version: u8) -> Value {
    let mut change = json!({
        "mail_message_id": message, "old_value_integer": 1, "old_value_char": "New", "new_value_integer": 3,
        "new_value_char": "Proposition",
    });
    let described = if version >= 17 {
        json!({"field_id": [3521, "Stage (Lead/Opportunity)"]})
    } else {
        json!({"field": [3521, "Stage (Lead/Opportunity)"], "field_desc": "Stage", "field_type": "many2one"})
    };
    if let (Value::Object(change), Value::Object(described)) = (&mut change, described) {
        change.extend(described);
    }
    change
}
