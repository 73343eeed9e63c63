//! `ir.attachment`: which ones, and what is known of each.

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::records::{Model, Record};
use crate::salvage::{Part, Unreadable, is_of_content};
use crate::value::{datetime, many2one, or_false};
pub use crate::window::Window;
use crate::{Odoo, Protocol, answer};

pub(crate) const MODEL: &str = "ir.attachment";

pub(crate) const ATTACHMENTS: Model<'static> = Model {
    name: MODEL,
    domain: &[],
    language: "",
    undated: None,
};

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

/// An attachment in a list, and what tells its content from the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its id.
    pub id: i64,
    /// SHA-1 in hex.
    #[serde(deserialize_with = "or_false", default)]
    pub checksum: Option<String>,
    /// When its row was last written, cut to the second.
    #[serde(deserialize_with = "datetime", default)]
    pub write_date: Option<DateTime<Utc>>,
    /// Whether only its id is known.
    #[serde(default)]
    pub is_unread: bool,
}

impl Mark {
    fn unread(id: i64) -> Self {
        Self {
            id,
            checksum: None,
            write_date: None,
            is_unread: true,
        }
    }
}

/// A part of Odoo's list of attachments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// In the order of their ids.
    pub rows: Vec<Attachment>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// How many were found, those among them that could not be read.
    pub found: usize,
}

impl Listed {
    /// The last id that was found.
    pub fn last_id(&self) -> Option<i64> {
        let read = self.rows.iter().map(|row| row.id);
        read.chain(self.unreadable.iter().map(|one| one.id)).max()
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The next `limit` attachments of a window, by id. (Paging by offset repeats rows: 227 returned,
    /// 225 distinct, seen on 18.) Fewer than `limit` found means that these were the last.
    pub async fn attachments(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Listed, Fault> {
        self.listed(domain(window, selection), limit).await
    }

    /// The ids of the next `limit` attachments of a window: a listing without contents, for a sweep.
    pub async fn attachment_ids(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Vec<i64>, Fault> {
        self.ids(ATTACHMENTS, domain(window, selection), limit, "id")
            .await
    }

    /// The same with what tells a content from the one before. Where one that the user may not read fails the
    /// list, the ids alone.
    pub async fn attachment_marks(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Vec<Mark>, Fault> {
        let mut named = ATTACHMENTS.call(domain(window, selection), Some(limit));
        named.insert("fields".into(), json!(["checksum", "write_date"]));
        match self.call(MODEL, "search_read", None, named).await {
            Err(fault) if is_of_content(&fault) => {
                let ids = self.attachment_ids(selection, window, limit).await?;
                Ok(ids.into_iter().map(Mark::unread).collect())
            }
            marks => marks,
        }
    }

    /// The ids of the next `limit` attachments of a window, whatever the selection.
    pub async fn visible_attachment_ids(
        &self,
        window: Window,
        limit: usize,
    ) -> Result<Vec<i64>, Fault> {
        // A domain that names `id` lifts the server's own filter.
        self.ids(ATTACHMENTS, window.domain(), limit, "id").await
    }

    /// Those of these attachments that the user can see, whatever the selection.
    pub async fn attachments_by_id(&self, ids: &[i64]) -> Result<Listed, Fault> {
        self.listed(by_id(ids), ids.len()).await
    }

    /// Those of these attachments that are selected, the ids only.
    pub async fn selected_attachments(
        &self,
        ids: &[i64],
        selection: &Selection,
    ) -> Result<Vec<i64>, Fault> {
        let domain = [by_id(ids), selection.domain()].concat();
        self.ids(ATTACHMENTS, domain, ids.len(), "id").await
    }

    /// As [`Odoo::attachments_by_id`], the ids only.
    pub async fn existing_attachments(&self, ids: &[i64]) -> Result<Vec<i64>, Fault> {
        self.ids(ATTACHMENTS, by_id(ids), ids.len(), "id").await
    }

    /// When the selection was last written to, by Odoo's own clock; `None` if it is empty.
    pub async fn newest_write(
        &self,
        selection: &Selection,
    ) -> Result<Option<DateTime<Utc>>, Fault> {
        let selected = selection.domain();
        let model = Model {
            domain: &selected,
            ..ATTACHMENTS
        };
        match self.newest(model).await {
            // The newest is one that nobody reads without the group Settings.
            Err(fault) if fault.kind() == Kind::SourceForbidden => {
                let selected = [selected, self.readable_without_settings()].concat();
                let model = Model {
                    domain: &selected,
                    ..ATTACHMENTS
                };
                self.newest_record(model).await
            }
            Err(fault) if is_of_content(&fault) => self.newest_record(model).await,
            newest => newest,
        }
    }

    async fn listed(&self, terms: Vec<Value>, limit: usize) -> Result<Listed, Fault> {
        let mut named = ATTACHMENTS.call(terms.clone(), Some(limit));
        named.insert("fields".into(), json!(FIELDS));
        let rows: Result<Vec<Attachment>, Fault> =
            self.call(MODEL, "search_read", None, named).await;
        match rows {
            Ok(rows) => Ok(Listed {
                found: rows.len(),
                rows,
                unreadable: Vec::new(),
            }),
            Err(fault) if is_of_content(&fault) => {
                let part = self.salvage_listed(terms, limit, &FIELDS, fault).await?;
                let rows = part.records.into_iter().map(Value::Object);
                Ok(Listed {
                    rows: rows
                        .map(serde_json::from_value)
                        .collect::<Result<_, _>>()
                        .map_err(|_| answer::broken())?,
                    unreadable: part.unreadable,
                    found: part.found,
                })
            }
            Err(fault) => Err(fault),
        }
    }

    /// Where these attachments hang (`res_model`, `res_id`), and their `access_token`, as far as the user may
    /// see that.
    pub async fn attachment_places(&self, ids: &[i64]) -> Result<Vec<Record>, Fault> {
        const PLACE: [&str; 3] = ["res_model", "res_id", "access_token"];
        let mut named = ATTACHMENTS.call(by_id(ids), Some(ids.len()));
        named.insert("fields".into(), json!(PLACE));
        match self.call(MODEL, "search_read", None, named).await {
            Err(fault) if is_of_content(&fault) => {
                let part = self.salvage_listed(by_id(ids), ids.len(), &PLACE, fault);
                Ok(part.await?.records)
            }
            places => places,
        }
    }

    /// A list that fails as a whole. Of what a user without the group Settings is never shown one is tried
    /// for all: there may be hundreds.
    async fn salvage_listed(
        &self,
        terms: Vec<Value>,
        limit: usize,
        fields: &[&str],
        fault: Fault,
    ) -> Result<Part, Fault> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let mut refused = Vec::new();
        let mut tried = Some(fault.clone());
        let mut ids = match self.ids(ATTACHMENTS, terms, limit, "id").await {
            Err(other) if is_of_content(&other) => return Err(fault),
            listed => listed?,
        };
        let found = ids.len();
        if fault.kind() == Kind::SourceForbidden {
            let readable = [by_id(&ids), self.readable_without_settings()].concat();
            let readable = self.ids(ATTACHMENTS, readable, ids.len(), "id").await?;
            let doubtful = |id: &i64| readable.binary_search(id).is_err();
            if let Some(sample) = ids.iter().copied().find(doubtful) {
                let sample = ATTACHMENTS.of_ids(&[sample], &fields);
                let sample: Result<Value, Fault> =
                    self.call(MODEL, "search_read", None, sample).await;
                match sample {
                    Err(fault) if fault.kind() == Kind::SourceForbidden => {
                        refused = ids.iter().copied().filter(doubtful).collect();
                        ids = readable;
                        tried = None;
                    }
                    sample => drop(sample?),
                }
            }
        }
        let mut part = match ids.as_slice() {
            [] => Part::default(),
            ids => self.salvage_ids(ATTACHMENTS, ids, &fields, tried).await?,
        };
        part.found = found;
        part.unreadable
            .extend(refused.into_iter().map(|id| Unreadable {
                id,
                fields: Vec::new(),
                said: fault.message().to_owned(),
            }));
        Ok(part)
    }

    /// What Odoo refuses nobody for the one reason that the user lacks the group Settings: up to 16, a search
    /// lists files of fields, and (from 15) what hangs on no record and was made by others, and reading
    /// one of them fails the whole page (seen on 14 and 16).
    fn readable_without_settings(&self) -> Vec<Value> {
        let mut domain = vec![json!(["res_field", "=", false]), json!("|")];
        if let Some(Protocol::JsonRpc { uid }) = self.known().protocol {
            domain.extend([json!("|"), json!(["create_uid", "=", uid])]);
        }
        domain.extend([json!(["public", "=", true]), json!(["res_id", ">", 0])]);
        domain
    }
}

/// These ids, of attachments proper and of fields.
fn by_id(ids: &[i64]) -> Vec<Value> {
    let mut terms = vec![json!(["id", "in", ids])];
    terms.extend(of_any_field());
    terms
}

/// Without it Odoo leaves out the values of fields.
pub(crate) fn of_any_field() -> [Value; 3] {
    [
        json!("|"),
        json!(["res_field", "=", false]),
        json!(["res_field", "!=", false]),
    ]
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
