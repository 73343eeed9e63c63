//! Reads any model: its fields, and its records by window or by id.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use outbound::{Clock, Http, TransportError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::salvage::{Part, Unreadable, id_of, is_of_content};
use crate::value::{datetime, parse_datetime};
use crate::{Odoo, Protocol, Window, answer, lenient};

/// How many hidden records a search looks past to find one that the user may see.
const FAR: usize = 100_000;

/// The longest page. Processing it takes several times as much memory for a moment.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// How many of the newest records are tried for a date if the newest one is unreadable.
const NEWEST: usize = 50;

/// A model, and which part of it is read.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// Its name, such as `crm.lead`.
    pub name: &'a str,
    /// Which records, as an Odoo domain; archived ones are included.
    pub domain: &'a [Value],
    /// The language of translated names, such as `de_DE`; empty for untranslated.
    pub language: &'a str,
    /// For a model without dates: a plain stored field to read instead.
    pub undated: Option<&'a str>,
    /// Its many2many fields whose targets can be archived, and the targets' model: see [`Odoo::links`].
    pub links: &'a [(String, String)],
}

/// A field as `fields_get` describes it to the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct FieldInfo {
    /// `char`, `many2one`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is stored in Odoo's database; other fields are computed on each read.
    #[serde(default)]
    pub store: bool,
    /// Its label in Odoo's user interface.
    #[serde(rename = "string", default)]
    pub label: Value,
    /// The model that it refers to.
    #[serde(default)]
    pub relation: Value,
    /// Its possible values, each with a label.
    #[serde(default)]
    pub selection: Value,
}

impl FieldInfo {
    /// The model that it refers to, if any.
    pub fn relation(&self) -> Option<&str> {
        let relation = self.relation.as_str();
        relation.filter(|relation| !relation.is_empty())
    }
}

/// A record as RPC returns it.
pub type Record = Map<String, Value>;

/// A page of records.
#[derive(Debug, Clone, PartialEq)]
pub enum Page {
    /// The records. Fewer than requested means that they are the last, unless the model [hides
    /// late](Model::hides_late).
    Records(Part),
    /// The page is too long: ask for fewer records.
    TooLong,
}

/// A record in a list of ids and dates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stamp {
    /// Its id.
    pub id: i64,
    /// When it was last written, cut to the second.
    #[serde(deserialize_with = "datetime", default)]
    pub write_date: Option<DateTime<Utc>>,
}

impl Model<'_> {
    /// Whether Odoo applies the limit first and then removes what the user may not see, so that a short or even empty
    /// page need not be the last. This holds for messages in 14 to 18 (even administrators are not shown a
    /// notification for one user) and for activities in 14 to 19, which are as visible as their record.
    pub fn hides_late(&self) -> bool {
        matches!(self.name, "mail.message" | "mail.activity")
    }

    /// The field read for a stamp: the date of writing, or another field to show that the record exists.
    fn stamp(&self) -> String {
        self.undated.unwrap_or("write_date").to_owned()
    }

    /// The arguments to read fields of records by id.
    // One invisible record would fail `read` as a whole.
    pub(crate) fn of_ids(&self, ids: &[i64], fields: &[String]) -> Map<String, Value> {
        let mut named = self.call(vec![json!(["id", "in", ids])], Some(ids.len()));
        named.insert("fields".into(), json!(fields));
        named
    }

    pub(crate) fn call(&self, terms: Vec<Value>, limit: Option<usize>) -> Map<String, Value> {
        let mut domain = terms;
        domain.extend(self.domain.iter().cloned());
        let mut named = self.context();
        named.insert("domain".into(), Value::Array(domain));
        if let Some(limit) = limit {
            named.insert("limit".into(), json!(limit));
            named.insert("order".into(), json!("id"));
        }
        named
    }

    /// Includes archived records, which are hidden by default: only 39 of 44 leads were seen on 18.
    pub(crate) fn context(&self) -> Map<String, Value> {
        let context = if self.language.is_empty() {
            json!({ "active_test": false })
        } else {
            json!({ "active_test": false, "lang": self.language })
        };
        let mut named = Map::new();
        named.insert("context".into(), context);
        named
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The fields of a model that this user may read, with labels in `language`. Asked first, as one field too many
    /// fails a whole reading (seen on 17 and 18).
    pub async fn fields(
        &self,
        model: &str,
        language: &str,
    ) -> Result<BTreeMap<String, FieldInfo>, Fault> {
        const ATTRIBUTES: [&str; 5] = ["type", "store", "string", "relation", "selection"];
        let mut named = Map::new();
        named.insert("attributes".into(), json!(ATTRIBUTES));
        if !language.is_empty() {
            named.insert("context".into(), json!({ "lang": language }));
        }
        self.call(model, "fields_get", None, named).await
    }

    /// The external ids of records, by id; empty where there is none. Without the group Settings, users cannot read
    /// `ir.model.data` itself on 16 to 19.
    pub async fn external_ids(
        &self,
        model: &str,
        ids: &[i64],
    ) -> Result<BTreeMap<i64, String>, Fault> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.call(model, "get_external_id", Some(ids), Map::new())
            .await
    }

    /// The next `limit` records of a window, by id.
    pub async fn records(
        &self,
        model: Model<'_>,
        window: Window,
        fields: &[String],
        limit: usize,
    ) -> Result<Page, Fault> {
        let mut named = model.call(window.domain(), Some(limit));
        named.insert("fields".into(), json!(fields));
        self.page(model.name, named, window.after_id, PAGE_BYTES)
            .await
    }

    /// All records of a window, which must be few.
    pub async fn all_records(
        &self,
        model: Model<'_>,
        window: Window,
        fields: &[String],
    ) -> Result<Page, Fault> {
        let mut named = model.call(window.domain(), None);
        named.insert("order".into(), json!("id"));
        named.insert("fields".into(), json!(fields));
        self.page(model.name, named, window.after_id, PAGE_BYTES)
            .await
    }

    /// The records with these ids that exist and that the user may see.
    pub async fn records_by_id(
        &self,
        model: Model<'_>,
        ids: &[i64],
        fields: &[String],
    ) -> Result<Page, Fault> {
        let named = model.of_ids(ids, fields);
        self.page(model.name, named, 0, PAGE_BYTES).await
    }

    /// The stamps of the next `limit` records of a window, by id. An unreadable record has no date.
    pub async fn stamps(
        &self,
        model: Model<'_>,
        window: Window,
        limit: usize,
    ) -> Result<Vec<Stamp>, Fault> {
        self.list(model, window.domain(), limit, window.after_id)
            .await
    }

    /// The stamps of those of these records that exist and that the user may see.
    pub async fn stamps_by_id(&self, model: Model<'_>, ids: &[i64]) -> Result<Vec<Stamp>, Fault> {
        self.list(model, vec![json!(["id", "in", ids])], ids.len(), 0)
            .await
    }

    /// The first id of a window, even after many hidden records; `None` if there is nothing more.
    pub async fn first_id(&self, model: Model<'_>, window: Window) -> Result<Option<i64>, Fault> {
        let ids = self.ids(model, window.domain(), FAR, "id").await?;
        rising(model.name, window.after_id, ids.iter().copied().map(Some))?;
        Ok(ids.first().copied())
    }

    /// When the model was last written to, by Odoo's clock; `None` if it is empty.
    pub async fn newest_record(&self, model: Model<'_>) -> Result<Option<DateTime<Utc>>, Fault> {
        match self.newest(model).await {
            Err(fault) if is_of_content(&fault) => self.newest_readable(model, fault).await,
            newest => newest,
        }
    }

    /// The same, provided that the newest record is readable.
    pub(crate) async fn newest(&self, model: Model<'_>) -> Result<Option<DateTime<Utc>>, Fault> {
        let mut named = model.call(dated(), None);
        named.insert("fields".into(), json!(["write_date"]));
        named.insert("order".into(), json!("write_date desc"));
        let limits: &[usize] = if model.hides_late() {
            &[1, 1000, FAR]
        } else {
            &[1]
        };
        for limit in limits {
            named.insert("limit".into(), json!(limit));
            let newest: Vec<Stamp> = self
                .call(model.name, "search_read", None, named.clone())
                .await?;
            if let Some(newest) = newest.first() {
                return newest.write_date.map(Some).ok_or_else(answer::broken);
            }
        }
        Ok(None)
    }

    /// The same if the newest record is unreadable.
    async fn newest_readable(
        &self,
        model: Model<'_>,
        fault: Fault,
    ) -> Result<Option<DateTime<Utc>>, Fault> {
        let order = "write_date desc";
        let mut ids = self.ids(model, dated(), NEWEST, order).await?;
        ids.sort_unstable();
        let fields = ["write_date".to_owned()];
        let part = self.salvage_ids(model, &ids, &fields, None).await?;
        let dates = part.records.iter().filter_map(written);
        dates.max().map(Some).ok_or(fault)
    }

    /// The first `limit` ids that match these terms.
    pub(crate) async fn ids(
        &self,
        model: Model<'_>,
        terms: Vec<Value>,
        limit: usize,
        order: &str,
    ) -> Result<Vec<i64>, Fault> {
        let mut named = model.call(terms, Some(limit));
        named.insert("order".into(), json!(order));
        self.call(model.name, "search", None, named).await
    }

    async fn list(
        &self,
        model: Model<'_>,
        terms: Vec<Value>,
        limit: usize,
        after_id: i64,
    ) -> Result<Vec<Stamp>, Fault> {
        let mut named = model.call(terms.clone(), Some(limit));
        named.insert("fields".into(), json!([model.stamp()]));
        let listed: Result<Vec<Stamp>, Fault> =
            self.call(model.name, "search_read", None, named).await;
        let stamps = match listed {
            Err(fault) if is_of_content(&fault) => {
                let fields = [model.stamp()];
                let part = self.salvage(model, terms, limit, &fields, fault).await?;
                let read = part.records.iter().filter_map(|record| {
                    Some(Stamp {
                        id: id_of(record)?,
                        write_date: written(record),
                    })
                });
                let unread = part.unreadable.iter().map(|one| Stamp {
                    id: one.id,
                    write_date: None,
                });
                let mut stamps: Vec<Stamp> = read.chain(unread).collect();
                stamps.sort_unstable_by_key(|stamp| stamp.id);
                stamps
            }
            listed => listed?,
        };
        rising(
            model.name,
            after_id,
            stamps.iter().map(|stamp| Some(stamp.id)),
        )?;
        Ok(stamps)
    }

    pub(crate) async fn page(
        &self,
        model: &str,
        named: Map<String, Value>,
        after_id: i64,
        max_bytes: usize,
    ) -> Result<Page, Fault> {
        let request = self.request(model, "search_read", None, named).await?;
        let (response, _permit) = match self.ask(request, Some(max_bytes)).await {
            Err(TransportError::TooLong { .. }) => return Ok(Page::TooLong),
            answer => answer.map_err(answer::transport)?,
        };
        let result = match self.connect().await? {
            Protocol::Json2 => answer::json2(response, max_bytes).await,
            Protocol::JsonRpc { .. } => answer::json_rpc(response, max_bytes).await,
        };
        let Value::Array(rows) = result.map_err(|fault| self.met(fault))? else {
            return Err(answer::broken());
        };
        let mut records: Vec<Record> = rows
            .into_iter()
            .map(|row| match row {
                Value::Object(record) => Ok(record),
                _ => Err(answer::broken()),
            })
            .collect::<Result<_, _>>()?;
        rising(model, after_id, records.iter().map(id_of))?;
        let unreadable = records.iter_mut().filter_map(no_numbers).collect();
        Ok(Page::Records(Part {
            found: records.len(),
            records,
            unreadable,
        }))
    }
}

/// Leaves out rows without a date, made by SQL: a descending order begins with them.
fn dated() -> Vec<Value> {
    vec![json!(["write_date", "!=", false])]
}

/// When a record was last written, cut to the second.
pub fn written(record: &Record) -> Option<DateTime<Utc>> {
    parse_datetime(record.get("write_date")?.as_str()?)
}

/// Removes `NaN` and `Infinity` from a record.
fn no_numbers(record: &mut Record) -> Option<Unreadable> {
    let (fields, were): (Vec<String>, Vec<String>) =
        lenient::take_no_numbers(record).into_iter().unzip();
    let first = were.first()?;
    Some(Unreadable {
        id: id_of(record)?,
        said: format!("{first} is no number that JSON has"),
        fields,
    })
}

/// Ids out of order would make a cursor go in circles, or skip records.
pub(crate) fn rising(
    model: &str,
    after_id: i64,
    mut ids: impl Iterator<Item = Option<i64>>,
) -> Result<(), Fault> {
    ids.try_fold(after_id, |last, id| id.filter(|id| *id > last))
        .map(|_| ())
        .ok_or_else(|| {
            Fault::told(
                Kind::SourceProtocol,
                format!("Odoo's list of {model} is not in the order of its ids"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_out_of_order_is_refused() {
        let ids = |ids: &'static [i64]| ids.iter().map(|id| Some(*id));
        assert!(rising("crm.lead", 4, ids(&[5, 6, 9])).is_ok());
        assert!(rising("crm.lead", 4, ids(&[])).is_ok());
        for wrong in [&[5, 5][..], &[4, 5], &[6, 5]] {
            assert!(rising("crm.lead", 4, ids(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn archived_records_are_asked_for() {
        let domain = [json!(["type", "=", "lead"])];
        let model = Model {
            name: "crm.lead",
            domain: &domain,
            language: "de_DE",
            undated: None,
            links: &[],
        };
        let named = model.call(Window::default().domain(), Some(10));
        assert_eq!(
            named["context"],
            json!({"active_test": false, "lang": "de_DE"})
        );
        assert_eq!(
            named["domain"],
            json!([["id", ">", 0], ["type", "=", "lead"]])
        );
    }
}
