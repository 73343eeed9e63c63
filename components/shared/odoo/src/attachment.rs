//! `ir.attachment`: which ones are selected, and their metadata.

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::records::{Model, Record, rising};
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
    links: &[],
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

/// An attachment as Odoo lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: i64,
    /// Its name: any characters, sometimes more than 180.
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
    /// The model of the record that it is attached to.
    #[serde(deserialize_with = "or_false", default)]
    pub res_model: Option<String>,
    /// The field whose value it is.
    #[serde(deserialize_with = "or_false", default)]
    pub res_field: Option<String>,
    /// The id of the record that it is attached to; 0 for none.
    #[serde(deserialize_with = "or_false", default)]
    pub res_id: Option<i64>,
    /// Its company.
    #[serde(deserialize_with = "many2one", default)]
    pub company_id: Option<i64>,
    /// When it was created.
    #[serde(deserialize_with = "datetime", default)]
    pub create_date: Option<DateTime<Utc>>,
    /// When its row was last written, cut to the second. This is no version of the content.
    #[serde(deserialize_with = "datetime", default)]
    pub write_date: Option<DateTime<Utc>>,
}

/// Which attachments are selected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Only attachments of these models; empty for all.
    pub models: Vec<String>,
    /// Also values of these fields. By default only real attachments are selected: 190 of the 205 rows of a demo
    /// database were variants of images.
    pub fields: Vec<String>,
    /// Only these MIME types; empty: all.
    pub mimetypes: Vec<String>,
    /// Only these companies; empty: all.
    pub companies: Vec<i64>,
    /// Further terms, as an Odoo domain.
    pub domain: Vec<Value>,
}

impl Selection {
    /// The selection as a domain. It always names `res_field`: otherwise the server adds `res_field = False`, unless
    /// the domain names `id`, as paging by id does (seen on 17 and 18).
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
            // Leaves out the web client's own bundles, which Odoo generates by itself.
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

/// A window of the selection, as a domain.
fn domain(window: Window, selection: &Selection) -> Vec<Value> {
    let mut domain = window.domain();
    domain.extend(selection.domain());
    domain
}

/// An attachment in a list, with what reveals a changed content.
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
    /// Whether only the id is known.
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

/// A page of Odoo's list of attachments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// The readable ones, ordered by id.
    pub rows: Vec<Attachment>,
    /// The unreadable ones, or fields of them.
    pub unreadable: Vec<Unreadable>,
    /// How many were found, unreadable ones included.
    pub found: usize,
}

impl Listed {
    /// The last id found.
    pub fn last_id(&self) -> Option<i64> {
        let read = self.rows.iter().map(|row| row.id);
        read.chain(self.unreadable.iter().map(|one| one.id)).max()
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The next `limit` attachments of a window, by id. (Paging by offset repeats rows: 227 returned, 225 distinct,
    /// seen on 18.) If fewer than `limit` are found, these are the last.
    pub async fn attachments(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Listed, Fault> {
        let listed = self.listed(domain(window, selection), limit).await?;
        let ids = listed.rows.iter().map(|row| Some(row.id));
        rising(MODEL, window.after_id, ids)?;
        Ok(listed)
    }

    /// The ids of the next `limit` attachments of a window.
    pub async fn attachment_ids(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Vec<i64>, Fault> {
        let ids = self
            .ids(ATTACHMENTS, domain(window, selection), limit, "id")
            .await?;
        rising(MODEL, window.after_id, ids.iter().copied().map(Some))?;
        Ok(ids)
    }

    /// The same, with checksum and date. If an unreadable attachment fails the list, only the ids.
    pub async fn attachment_marks(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<Vec<Mark>, Fault> {
        let mut named = ATTACHMENTS.call(domain(window, selection), Some(limit));
        named.insert("fields".into(), json!(["checksum", "write_date"]));
        let marks: Vec<Mark> = match self.call(MODEL, "search_read", None, named).await {
            Err(fault) if is_of_content(&fault) => {
                let ids = self.attachment_ids(selection, window, limit).await?;
                ids.into_iter().map(Mark::unread).collect()
            }
            marks => marks?,
        };
        rising(
            MODEL,
            window.after_id,
            marks.iter().map(|mark| Some(mark.id)),
        )?;
        Ok(marks)
    }

    /// The ids of the next `limit` attachments of a window, selected or not.
    pub async fn visible_attachment_ids(
        &self,
        window: Window,
        limit: usize,
    ) -> Result<Vec<i64>, Fault> {
        // A domain that names `id` turns the server's own filter off.
        self.ids(ATTACHMENTS, window.domain(), limit, "id").await
    }

    /// Those of these attachments that the user can see, selected or not.
    pub async fn attachments_by_id(&self, ids: &[i64]) -> Result<Listed, Fault> {
        self.listed(by_id(ids), ids.len()).await
    }

    /// The ids of those of these attachments that are selected.
    pub async fn selected_attachments(
        &self,
        ids: &[i64],
        selection: &Selection,
    ) -> Result<Vec<i64>, Fault> {
        let domain = [by_id(ids), selection.domain()].concat();
        self.ids(ATTACHMENTS, domain, ids.len(), "id").await
    }

    /// Like [`Odoo::attachments_by_id`], but only the ids.
    pub async fn existing_attachments(&self, ids: &[i64]) -> Result<Vec<i64>, Fault> {
        self.ids(ATTACHMENTS, by_id(ids), ids.len(), "id").await
    }

    /// When the selection was last written to, by Odoo's clock; `None` if it is empty.
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
            // The newest attachment may be one that requires the group Settings.
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

    /// The record (`res_model`, `res_id`) of each of these attachments, and its `access_token` if the user may see
    /// it.
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

    /// Reads a list that failed as a whole. Of the attachments that may require the group Settings, there may be
    /// hundreds: one is tried as a sample for all.
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

    /// Terms for attachments that do not require the group Settings. Up to 16, a search also lists files of fields
    /// and (from 15) files of other users without a record; reading one of those fails the whole page (seen on 14 and
    /// 16).
    fn readable_without_settings(&self) -> Vec<Value> {
        let mut domain = vec![json!(["res_field", "=", false]), json!("|")];
        if let Some(Protocol::JsonRpc { uid }) = self.known().protocol {
            domain.extend([json!("|"), json!(["create_uid", "=", uid])]);
        }
        domain.extend([json!(["public", "=", true]), json!(["res_id", ">", 0])]);
        domain
    }
}

/// Terms for these ids, of attachments proper and of fields.
fn by_id(ids: &[i64]) -> Vec<Value> {
    let mut terms = vec![json!(["id", "in", ids])];
    terms.extend(of_any_field());
    terms
}

/// Without these terms, Odoo leaves out the values of fields.
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
