//! Any model: which fields it has, and its rows by window or by id.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use outbound::{Clock, Http, TransportError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::salvage::{Part, Unreadable, id_of, is_of_content};
use crate::value::{datetime, parse_datetime};
use crate::{Odoo, Protocol, Window, answer, lenient};

/// So far a search looks for something that the user may see, where only hidden records come first.
const FAR: usize = 100_000;

/// The longest page. What is made of it takes several times as much for a moment.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// So many of the newest records may be unreadable before nobody knows when the model was last written to.
const NEWEST: usize = 50;

/// A model, as far as it is read.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// Its name, such as `crm.lead`.
    pub name: &'a str,
    /// Which of its records, as an Odoo domain; archived ones are among them.
    pub domain: &'a [Value],
    /// In which language translated names come, such as `de_DE`; empty: untranslated.
    pub language: &'a str,
    /// Of a model without dates: a plain stored field that it has instead.
    pub undated: Option<&'a str>,
}

/// A field as `fields_get` describes it, to the user who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct FieldInfo {
    /// `char`, `many2one`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is kept in Odoo's database; others are computed at each reading.
    #[serde(default)]
    pub store: bool,
    /// What Odoo's pages call it.
    #[serde(rename = "string", default)]
    pub label: Value,
    /// The model that its ids are of.
    #[serde(default)]
    pub relation: Value,
    /// What it may be, each with its label.
    #[serde(default)]
    pub selection: Value,
}

impl FieldInfo {
    /// The model that its ids are of, if it has ids.
    pub fn relation(&self) -> Option<&str> {
        let relation = self.relation.as_str();
        relation.filter(|relation| !relation.is_empty())
    }
}

/// A record as RPC shows it.
pub type Record = Map<String, Value>;

/// A page of records.
#[derive(Debug, Clone, PartialEq)]
pub enum Page {
    /// Fewer than were asked for means that these are the last, unless the model
    /// [hides late](Model::hides_late).
    Records(Part),
    /// They are too long together: ask for fewer.
    TooLong,
}

/// A record in a list without contents.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stamp {
    /// Its id.
    pub id: i64,
    /// When it was last written, cut to the second.
    #[serde(deserialize_with = "datetime", default)]
    pub write_date: Option<DateTime<Utc>>,
}

impl Model<'_> {
    /// Whether Odoo searches up to the limit first, and leaves out of that what the user may not see: a short
    /// page, even an empty one, is not the last then. So it is with messages in 14 to 18, also for
    /// administrators, who are not shown what was a notification of one user, and with activities in 14 to 19,
    /// which are as open as the record that they are planned for.
    pub fn hides_late(&self) -> bool {
        matches!(self.name, "mail.message" | "mail.activity")
    }

    /// The field that tells of a record when it was written, or at least that it is there.
    fn stamp(&self) -> String {
        self.undated.unwrap_or("write_date").to_owned()
    }

    /// The call that reads fields of records with these ids.
    // `read` would fail as a whole for one record that may not be seen.
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

    /// Archived records are hidden from whoever does not ask for them: 39 of 44 leads were seen on 18.
    fn context(&self) -> Map<String, Value> {
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
    /// The fields of a model that this user may read. One field too many fails a whole reading, so
    /// this is asked before (seen on 17 and 18). Labels come in this language.
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

    /// The external ids of records, by id; an empty text where there is none. `ir.model.data` itself is closed
    /// to users without the group Settings on 16 to 19.
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

    /// All records of a window, however many: for what is known to be few.
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

    /// The records with these ids, as far as they are there and the user may see them.
    pub async fn records_by_id(
        &self,
        model: Model<'_>,
        ids: &[i64],
        fields: &[String],
    ) -> Result<Page, Fault> {
        let named = model.of_ids(ids, fields);
        self.page(model.name, named, 0, PAGE_BYTES).await
    }

    /// The list of the next `limit` records of a window, by id. One that cannot be read has no date.
    pub async fn stamps(
        &self,
        model: Model<'_>,
        window: Window,
        limit: usize,
    ) -> Result<Vec<Stamp>, Fault> {
        self.list(model, window.domain(), limit, window.after_id)
            .await
    }

    /// The list of these records, as far as they are there and the user may see them.
    pub async fn stamps_by_id(&self, model: Model<'_>, ids: &[i64]) -> Result<Vec<Stamp>, Fault> {
        self.list(model, vec![json!(["id", "in", ids])], ids.len(), 0)
            .await
    }

    /// The first id of a window, also where many hidden records come before it; `None` if there is nothing more.
    pub async fn first_id(&self, model: Model<'_>, window: Window) -> Result<Option<i64>, Fault> {
        let ids = self.ids(model, window.domain(), FAR, "id").await?;
        rising(model.name, window.after_id, ids.iter().copied().map(Some))?;
        Ok(ids.first().copied())
    }

    /// When the model was last written to, by Odoo's own clock; `None` if it is empty.
    pub async fn newest_record(&self, model: Model<'_>) -> Result<Option<DateTime<Utc>>, Fault> {
        match self.newest(model).await {
            Err(fault) if is_of_content(&fault) => self.newest_readable(model, fault).await,
            newest => newest,
        }
    }

    /// The same, if the newest record can be read.
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

    /// The same where the newest record cannot be read.
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

    /// The first `limit` ids where these terms hold.
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

/// Rows that were made by SQL have no date, and an order from the newest down begins with them.
fn dated() -> Vec<Value> {
    vec![json!(["write_date", "!=", false])]
}

/// When a record was last written, cut to the second.
pub fn written(record: &Record) -> Option<DateTime<Utc>> {
    parse_datetime(record.get("write_date")?.as_str()?)
}

/// Takes `NaN` and `Infinity` out of a record.
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

/// Ids that do not rise would make a cursor run in circles, or past what it has not seen.
fn rising(
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
