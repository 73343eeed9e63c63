//! `ir.attachment`: which ones, and what is known of each.

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Odoo;
use crate::value::{datetime, many2one, or_false, parse_datetime};
pub use crate::window::Window;

const MODEL: &str = "ir.attachment";

const FIELDS: [&str; 13] = [
    "name",
    "type",
    "mimetype",
    "file_size",
    "checksum",
    "url",
    "res_model",
    "res_field",
    "res_id",
    "company_id",
    "create_date",
    "write_date",
    "id",
];

/// What Odoo says of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: i64,
    /// Its name: any characters, 180 and more of them.
    #[serde(deserialize_with = "or_false", default)]
    pub name: Option<String>,
    /// `binary`, `url`, or (from 18) `cloud_storage`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MIME type.
    #[serde(deserialize_with = "or_false", default)]
    pub mimetype: Option<String>,
    /// Length in bytes.
    #[serde(deserialize_with = "or_false", default)]
    pub file_size: Option<i64>,
    /// SHA-1 in hex; `None` for an empty file (seen on 18).
    #[serde(deserialize_with = "or_false", default)]
    pub checksum: Option<String>,
    /// Where a `url` points.
    #[serde(deserialize_with = "or_false", default)]
    pub url: Option<String>,
    /// Model of the record it hangs on.
    #[serde(deserialize_with = "or_false", default)]
    pub res_model: Option<String>,
    /// The field it is the value of.
    #[serde(deserialize_with = "or_false", default)]
    pub res_field: Option<String>,
    /// Id of the record it hangs on; 0 for none.
    #[serde(deserialize_with = "or_false", default)]
    pub res_id: Option<i64>,
    /// Company.
    #[serde(deserialize_with = "many2one", default)]
    pub company_id: Option<i64>,
    /// When it was made.
    #[serde(deserialize_with = "datetime", default)]
    pub create_date: Option<DateTime<Utc>>,
    /// When its row was last written, cut to the second. No version of the content.
    #[serde(deserialize_with = "datetime", default)]
    pub write_date: Option<DateTime<Utc>>,
}

/// Which attachments are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Only those of these models; empty: of all.
    pub models: Vec<String>,
    /// Values of these fields too; by default only attachments proper, since 190 of the 205 rows of
    /// a demo database were variants of images.
    pub fields: Vec<String>,
    /// Only these MIME types; empty: all.
    pub mimetypes: Vec<String>,
    /// Only these companies; empty: all.
    pub companies: Vec<i64>,
    /// More terms, as an Odoo domain.
    pub domain: Vec<Value>,
}

impl Selection {
    /// The selection as a domain. It always names `res_field`: otherwise the server adds
    /// `res_field = False`, unless the domain names `id`, as paging by id does (seen on 17 and 18).
    pub fn domain(&self) -> Vec<Value> {
        let mut domain = Vec::new();
        if self.fields.is_empty() {
            domain.push(json!(["res_field", "=", false]));
        } else {
            domain.extend([
                json!("|"),
                json!(["res_field", "=", false]),
                json!(["res_field", "in", self.fields]),
            ]);
        }
        if self.models.is_empty() {
            // The web client's own bundles: noise that Odoo makes anew by itself.
            domain.extend([
                json!("|"),
                json!(["res_model", "=", false]),
                json!(["res_model", "!=", "ir.ui.view"]),
            ]);
        } else {
            domain.push(json!(["res_model", "in", self.models]));
        }
        domain.extend([
            json!("|"),
            json!(["url", "=", false]),
            json!(["url", "not like", "/web/assets/"]),
        ]);
        if !self.mimetypes.is_empty() {
            domain.push(json!(["mimetype", "in", self.mimetypes]));
        }
        if !self.companies.is_empty() {
            domain.push(json!(["company_id", "in", self.companies]));
        }
        domain.extend(self.domain.iter().cloned());
        domain
    }
}

/// A window of the selection as a domain.
fn domain(window: Window, selection: &Selection) -> Vec<Value> {
    let mut domain = window.domain();
    domain.extend(selection.domain());
    domain
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The next `limit` attachments of a window, by id. (Paging by offset repeats rows: 227 returned,
    /// 225 distinct, seen on 18.) Fewer than `limit` means that these were the last.
    pub async fn attachments(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Vec<Attachment>, Fault> {
        let mut named = Map::new();
        named.insert("domain".into(), json!(domain(window, selection)));
        named.insert("fields".into(), json!(FIELDS));
        named.insert("limit".into(), json!(limit));
        named.insert("order".into(), json!("id"));
        self.call(MODEL, "search_read", None, named).await
    }

    /// The ids of the next `limit` attachments of a window: a listing without contents, for a sweep.
    pub async fn attachment_ids(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Vec<i64>, Fault> {
        let mut named = Map::new();
        named.insert("domain".into(), json!(domain(window, selection)));
        named.insert("limit".into(), json!(limit));
        named.insert("order".into(), json!("id"));
        self.call(MODEL, "search", None, named).await
    }

    /// Those of these attachments that the user can see, whatever the selection.
    pub async fn attachments_by_id(&self, ids: &[i64]) -> Result<Vec<Attachment>, Fault> {
        let mut named = Map::new();
        named.insert("domain".into(), json!(by_id(ids)));
        named.insert("fields".into(), json!(FIELDS));
        named.insert("order".into(), json!("id"));
        self.call(MODEL, "search_read", None, named).await
    }

    /// As [`Odoo::attachments_by_id`], the ids only.
    pub async fn existing_attachments(&self, ids: &[i64]) -> Result<Vec<i64>, Fault> {
        let mut named = Map::new();
        named.insert("domain".into(), json!(by_id(ids)));
        self.call(MODEL, "search", None, named).await
    }

    /// When the selection was last written to, by Odoo's own clock; `None` if it is empty.
    pub async fn newest_write(
        &self,
        selection: &Selection,
    ) -> Result<Option<DateTime<Utc>>, Fault> {
        let mut named = Map::new();
        // One without a date, as SQL inserts it, would come first.
        let mut domain = vec![json!(["write_date", "!=", false])];
        domain.extend(selection.domain());
        named.insert("domain".into(), json!(domain));
        named.insert("fields".into(), json!(["write_date"]));
        named.insert("limit".into(), json!(1));
        named.insert("order".into(), json!("write_date desc"));
        let listing: Value = self.call(MODEL, "search_read", None, named).await?;
        match listing.get(0).map(|row| row.get("write_date")) {
            None => Ok(None),
            Some(date) => date
                .and_then(Value::as_str)
                .and_then(parse_datetime)
                .map(Some)
                .ok_or(Fault::new(
                    Kind::SourceProtocol,
                    "Odoo's attachment has no write_date",
                )),
        }
    }
}

/// These ids, of attachments proper and of fields.
fn by_id(ids: &[i64]) -> Value {
    json!([
        ["id", "in", ids],
        "|",
        ["res_field", "=", false],
        ["res_field", "!=", false]
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn res_field_is_always_named() {
        for selection in [
            Selection::default(),
            Selection {
                fields: vec!["image_1920".into()],
                models: vec!["res.partner".into()],
                ..Selection::default()
            },
        ] {
            let domain = domain(Window::default(), &selection);
            assert!(
                domain
                    .iter()
                    .any(|term| term.get(0) == Some(&json!("res_field")))
            );
        }
    }

    #[test]
    fn a_recorded_row_is_understood() {
        let row: Attachment = serde_json::from_value(json!({"id": 1843, "name": "empty.txt", "type": "binary", "mimetype": "text/plain", "file_size": 0, "checksum": false, "res_model": "crm.lead", "res_field": false, "res_id": 50, "datas": "", "write_date": "2026-11-21 20:21:22", "company_id": [1, "YourCompany"]})).unwrap();
        assert_eq!(
            (row.checksum, row.file_size, row.company_id),
            (None, Some(0), Some(1))
        );
    }
}
