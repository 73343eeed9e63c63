//! Links to archived records: `search_read` leaves them out of a many2many in any context, `read` does not (code of 14 to
//! 19; seen on 18 and 19).

use std::collections::BTreeMap;

use fault::Fault;
use outbound::{Clock, Http};
use serde_json::{Map, Value, json};

use crate::Odoo;
use crate::records::{Model, Record};
use crate::salvage::{Unreadable, is_of_content};

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Whether records of a model can be archived, as far as the user may know.
    pub async fn can_be_archived(&self, model: &str) -> Result<bool, Fault> {
        let mut named = Map::new();
        named.insert("allfields".into(), json!(["active", "x_active"]));
        named.insert("attributes".into(), json!(["type"]));
        let fields: Result<BTreeMap<String, Value>, Fault> =
            self.call(model, "fields_get", None, named).await;
        match fields {
            Err(fault) if is_of_content(&fault) => Ok(true),
            fields => Ok(!fields?.is_empty()),
        }
    }

    /// Whether there are archived records of a model that the user may read; also if Odoo does not say.
    pub async fn has_archived(&self, model: &str) -> Result<bool, Fault> {
        // Fields of models that are made in the user interface begin with `x_`.
        let active = if model.starts_with("x_") {
            "x_active"
        } else {
            "active"
        };
        let mut named = Map::new();
        named.insert("domain".into(), json!([[active, "=", false]]));
        named.insert("limit".into(), json!(1));
        let archived: Result<Vec<i64>, Fault> = self.call(model, "search", None, named).await;
        match archived {
            Err(fault) if is_of_content(&fault) => Ok(true),
            archived => Ok(!archived?.is_empty()),
        }
    }

    /// These [`Model::links`] of these records, archived targets included. Returns unreadable records, too.
    pub async fn links(
        &self,
        model: Model<'_>,
        ids: &[i64],
        links: &[String],
    ) -> Result<(Vec<Record>, Vec<Unreadable>), Fault> {
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        let mut waiting = vec![ids];
        while let Some(ids) = waiting.pop() {
            let mut named = model.context();
            // `id` is there because reading a single field fails on a deleted record.
            let fields: Vec<&str> = links.iter().map(String::as_str).chain(["id"]).collect();
            named.insert("fields".into(), json!(fields));
            let read: Result<Vec<Record>, Fault> =
                self.call(model.name, "read", Some(ids), named).await;
            match (read, ids) {
                (Ok(read), _) => records.extend(read),
                // Many failures without a success: the records are not to blame.
                (Err(fault), _) if records.is_empty() && unreadable.len() > 8 => return Err(fault),
                (Err(fault), [id]) if is_of_content(&fault) => unreadable.push(Unreadable {
                    id: *id,
                    fields: links.to_vec(),
                    said: fault.message().to_owned(),
                }),
                (Err(fault), _) if is_of_content(&fault) => {
                    let (first, second) = ids.split_at(ids.len() / 2);
                    waiting.extend([second, first]);
                }
                (Err(fault), _) => return Err(fault),
            }
        }
        Ok((records, unreadable))
    }
}
