//! Odoo's data changes while everything is under way.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use world::odoo::{Damage, NewAttachment, Odoo, Uncommitted};

use crate::plan::Change;

/// How long a slow transaction takes to commit.
const SLOW: Duration = Duration::from_secs(3);
/// One in so many files may go: more at once is what a sweep does not believe.
const DELETED_ONE_IN: usize = 25;
/// So many leads may go: more at once is what a comparison does not believe.
const DELETED_LEADS_ONE_IN: usize = 8;

/// What was changed, as far as the comparison has to know of it.
pub struct Changes {
    /// Every content that Odoo ever had, by its SHA-1: what lies in Storage is one of them.
    pub contents: HashSet<String>,
    /// How many changes there were.
    pub made: u64,
    files: Vec<i64>,
    deleted_files: usize,
    deleted_leads: usize,
    uncommitted: Vec<(Instant, Uncommitted)>,
    /// What is odd for a while: files that are lost, leads and messages that cannot be read as they are.
    lost: Vec<i64>,
    odd_leads: Vec<i64>,
    odd_messages: Vec<i64>,
}

impl Changes {
    /// Nothing was changed yet.
    pub fn begin(odoo: &Odoo) -> Self {
        let files = odoo.attachments().ids();
        let contents = files
            .iter()
            .filter_map(|id| odoo.attachments().get(*id)?.checksum)
            .collect();
        Self {
            contents,
            made: 0,
            files,
            deleted_files: 0,
            deleted_leads: 0,
            uncommitted: Vec::new(),
            lost: Vec::new(),
            odd_leads: Vec::new(),
            odd_messages: Vec::new(),
        }
    }

    /// Changes something; `number` says which record.
    pub fn make(&mut self, odoo: &Odoo, change: Change, number: u64) {
        self.commit(odoo, SLOW);
        self.made += 1;
        match change {
            Change::AddFiles => {
                for nth in 0..=number % 12 {
                    self.add(
                        odoo,
                        number.rotate_left(u32::try_from(nth).unwrap_or_default()),
                        None,
                    );
                }
            }
            Change::AddLate => {
                let id = self.add(odoo, number, None);
                let taken = odoo.attachments().take_out(id);
                self.uncommitted
                    .extend(taken.map(|row| (Instant::now(), row)));
            }
            Change::AddDatedWrong => {
                let minutes = if number.is_multiple_of(2) { 20 } else { -20 };
                self.add(odoo, number, Some(date(TimeDelta::minutes(minutes))));
            }
            Change::RewriteFile | Change::TouchFile | Change::DeleteFile => {
                self.change_file(odoo, change, number);
            }
            Change::AddLead
            | Change::MoveLead
            | Change::MoveLeadLate
            | Change::ScoreLead
            | Change::DeleteLead => self.change_lead(odoo, change, number),
            Change::EditPartner => {
                let partners = odoo.records("res.partner");
                if let Some(id) = chosen(&partners.ids(), number) {
                    partners.update(
                        id,
                        &json!({"phone": format!("+32 9 {}", number % 1_000_000)}),
                    );
                }
            }
            Change::Say | Change::Edit | Change::Unsay => {
                self.change_message(odoo, change, number);
            }
            Change::AddForm
            | Change::LoseFile
            | Change::NoNumber
            | Change::TooLong
            | Change::Unreadable
            | Change::UnreadableMessage
            | Change::HalfLetter
            | Change::SayUnselected => self.make_odd(odoo, change, number),
        }
    }

    /// What is odd about one file, one record or one field.
    fn make_odd(&mut self, odoo: &Odoo, change: Change, number: u64) {
        let (leads, messages) = (odoo.records("crm.lead"), odoo.records("mail.message"));
        let lead = chosen(&leads.ids(), number);
        match (change, lead) {
            (Change::AddForm, _) => {
                let form = format!(
                    "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{number}\r\n--xyz--\r\n"
                );
                let id = odoo.attachments().insert(NewAttachment {
                    content: Some(form.into_bytes().into()),
                    mimetype: Some("multipart/form-data; boundary=xyz".to_owned()),
                    ..NewAttachment::default()
                });
                self.files.push(id);
                self.remember(odoo, id);
            }
            (Change::LoseFile, _) => {
                if let Some(id) = chosen(&self.files, number) {
                    odoo.attachments().damage(id, Some(Damage::Lost));
                    self.lost.push(id);
                }
            }
            (Change::SayUnselected, Some(lead)) => {
                let id = odoo.attachments().insert(NewAttachment {
                    content: Some(format!("unselected {number}").into_bytes().into()),
                    mimetype: Some(UNSELECTED.to_owned()),
                    ..NewAttachment::default()
                });
                messages.insert(json!({
                    "model": "crm.lead", "res_id": lead, "message_type": "comment", "subtype_id": 2,
                    "body": "<p>See there</p>", "author_id": 3, "attachment_ids": [id],
                    "email_from": "\"Mitchell Admin\" <admin@yourcompany.example.com>", "date": "2026-11-21 20:21:22",
                }));
            }
            (Change::HalfLetter, Some(id)) => {
                leads.update(id, &json!({"name": {"$raw": r#""Half \ud83d""#}}));
                self.odd_leads.push(id);
            }
            (Change::NoNumber, Some(id)) => {
                leads.update(id, &json!({NUMBER: {"$raw": "NaN"}}));
                self.odd_leads.push(id);
            }
            // One at a time: a page of many is gone through record by record, again and again.
            (Change::TooLong, Some(id)) if number.is_multiple_of(8) => {
                for id in self.odd_leads.drain(..) {
                    mend_lead(odoo, id);
                }
                leads.update(id, &json!({TEXT: "x".repeat(5_000_000)}));
                self.odd_leads.push(id);
            }
            (Change::Unreadable, Some(id)) => {
                leads.fail([id], true);
                self.odd_leads.push(id);
            }
            (Change::UnreadableMessage, _) => {
                if let Some(id) = chosen(&messages.ids(), number) {
                    messages.fail([id], true);
                    self.odd_messages.push(id);
                }
            }
            _ => {}
        }
        // So many at once are no oddities any more.
        if self.odd_leads.len() + self.odd_messages.len() + self.lost.len() > MOST_ODD {
            self.mend(odoo);
        }
    }

    /// What was odd is so no more.
    pub fn mend(&mut self, odoo: &Odoo) {
        for id in self.lost.drain(..) {
            odoo.attachments().damage(id, None);
        }
        for id in self.odd_leads.drain(..) {
            mend_lead(odoo, id);
        }
        odoo.records("mail.message")
            .fail(self.odd_messages.drain(..), false);
    }

    /// Commits what is still under way for longer than this.
    pub fn commit(&mut self, odoo: &Odoo, longer_than: Duration) {
        let (due, waiting) = std::mem::take(&mut self.uncommitted)
            .into_iter()
            .partition(|(since, _)| since.elapsed() >= longer_than);
        self.uncommitted = waiting;
        let due: Vec<(Instant, Uncommitted)> = due;
        for (_, row) in due {
            odoo.attachments().put_back(row);
        }
    }

    fn add(&mut self, odoo: &Odoo, number: u64, write_date: Option<String>) -> i64 {
        // Small, streamed, in pieces.
        let size = match number % 64 {
            0 => 6_500_000 + number % 4_000_000,
            1..=3 => 600_000 + number % 900_000,
            _ => 1 + number % 24_000,
        };
        let id = odoo.attachments().insert(NewAttachment {
            size: Some(size),
            write_date,
            ..NewAttachment::default()
        });
        self.files.push(id);
        self.remember(odoo, id);
        id
    }

    fn remember(&mut self, odoo: &Odoo, id: i64) {
        let attachment = odoo.attachments().get(id);
        self.contents
            .extend(attachment.and_then(|attachment| attachment.checksum));
    }

    fn change_file(&mut self, odoo: &Odoo, change: Change, number: u64) {
        let Some(id) = chosen(&self.files, number) else {
            return;
        };
        match change {
            Change::RewriteFile => {
                odoo.attachments().change_content(id);
                self.remember(odoo, id);
            }
            Change::TouchFile => odoo.attachments().touch(id),
            _ if self.deleted_files < self.files.len() / DELETED_ONE_IN => {
                self.deleted_files += 1;
                odoo.attachments().delete([id]);
            }
            _ => {}
        }
    }

    fn change_lead(&mut self, odoo: &Odoo, change: Change, number: u64) {
        let leads = odoo.records("crm.lead");
        let ids = leads.ids();
        if change == Change::AddLead {
            leads.insert(json!({
                "name": format!("Lead {number}"), "type": "opportunity", "stage_id": 1 + number % 4,
                "partner_id": chosen(&odoo.records("res.partner").ids(), number),
            }));
            return;
        }
        let Some(id) = chosen(&ids, number) else {
            return;
        };
        let values = json!({"name": format!("Changed {number}"), "stage_id": 1 + number % 4, "active": !number.is_multiple_of(5)});
        match change {
            Change::MoveLead => leads.update(id, &values),
            Change::MoveLeadLate => {
                let mut values = values;
                if let Some(values) = values.as_object_mut() {
                    values.insert("write_date".to_owned(), json!(date(TimeDelta::minutes(-5))));
                }
                leads.update(id, &values);
            }
            Change::ScoreLead => {
                leads.update_quietly(id, &json!({"probability": f64::from(u8::try_from(number % 100).unwrap_or_default())}));
            }
            _ if self.deleted_leads < ids.len() / DELETED_LEADS_ONE_IN => {
                self.deleted_leads += 1;
                let messages = odoo.records("mail.message");
                let said: Vec<i64> = messages
                    .ids()
                    .into_iter()
                    .filter(|message| {
                        messages.get(*message).is_some_and(|record| {
                            record.get("res_id").and_then(serde_json::Value::as_i64) == Some(id)
                        })
                    })
                    .collect();
                for message in said {
                    unsay(odoo, message);
                }
                leads.delete([id]);
            }
            _ => {}
        }
    }

    fn change_message(&self, odoo: &Odoo, change: Change, number: u64) {
        let messages = odoo.records("mail.message");
        if change == Change::Say {
            let Some(lead) = chosen(&odoo.records("crm.lead").ids(), number) else {
                return;
            };
            let files: Vec<i64> = chosen(&self.files, number).into_iter().collect();
            let message = messages.insert(json!({
                "model": "crm.lead", "res_id": lead, "message_type": "comment", "subtype_id": 1 + number % 2,
                "body": format!("<p>Said <b>{number}</b></p>"), "author_id": 3, "attachment_ids": files,
                "email_from": "\"Mitchell Admin\" <admin@yourcompany.example.com>", "date": "2026-11-21 20:21:22",
            }));
            if number.is_multiple_of(3) {
                odoo.records("mail.tracking.value").insert(json!({
                    "mail_message_id": message, "old_value_integer": 1, "old_value_char": "New",
                    "new_value_integer": 3, "new_value_char": "Proposition",
                    "field_id": [3521, "Stage (Lead/Opportunity)"],
                }));
            }
            return;
        }
        let Some(id) = chosen(&messages.ids(), number) else {
            return;
        };
        match change {
            Change::Edit => {
                messages.update(id, &json!({"body": format!("<p>Edited {number}</p>")}));
            }
            _ if number.is_multiple_of(4) => unsay(odoo, id),
            _ => {}
        }
    }
}

/// Custom fields of leads, which take what is odd.
const NUMBER: &str = "x_budget";
const TEXT: &str = "x_story";

/// The type of files that the archive is told to leave alone.
pub const UNSELECTED: &str = "application/x-unselected";

/// So many files and records are odd at once.
const MOST_ODD: usize = 12;

/// Adds the fields that take what is odd.
pub fn add_fields(odoo: &Odoo) {
    let leads = odoo.records("crm.lead");
    leads.add_field(NUMBER, "float", None);
    leads.add_field(TEXT, "html", None);
}

fn mend_lead(odoo: &Odoo, id: i64) {
    let leads = odoo.records("crm.lead");
    leads.fail([id], false);
    leads.update(id, &json!({NUMBER: 1.5, TEXT: "<p>short</p>"}));
    let lead = leads.get(id);
    if lead.is_some_and(|lead| lead.get("name").is_none_or(serde_json::Value::is_object)) {
        leads.update(id, &json!({"name": "Whole"}));
    }
}

/// A message goes, and its field changes with it.
fn unsay(odoo: &Odoo, message: i64) {
    let messages = odoo.records("mail.message");
    let changes: Vec<i64> = messages
        .get(message)
        .and_then(|record| {
            let ids = record.get("tracking_value_ids")?.as_array()?;
            Some(ids.iter().filter_map(serde_json::Value::as_i64).collect())
        })
        .unwrap_or_default();
    odoo.records("mail.tracking.value").delete(changes);
    messages.delete([message]);
}

fn chosen(ids: &[i64], number: u64) -> Option<i64> {
    let index = (number >> 8) % (ids.len() as u64).max(1);
    ids.get(usize::try_from(index).ok()?).copied()
}

/// A date of Odoo, so far from now.
fn date(from_now: TimeDelta) -> String {
    (Utc::now() + from_now)
        .format("%Y-%m-%d %H:%M:%S%.6f")
        .to_string()
}
