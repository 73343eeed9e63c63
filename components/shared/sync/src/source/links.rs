//! Links to archived records, which Odoo's lists leave out.

use std::cell::RefCell;
use std::collections::BTreeMap;

use fault::{Fault, Kind};
use odoo::records::{Model, Record};
use odoo::salvage::Part;
use outbound::{Clock, Http};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::Source;
use crate::entity::LISTED;
use crate::tail::Tail;

impl<H: Http, C: Clock> Source<'_, H, C> {
    /// Whether records of a model can be archived.
    pub(crate) async fn can_be_archived(&self, model: &str) -> Result<bool, Fault> {
        let ask = || self.odoo.can_be_archived(model);
        self.once(&self.can_be_archived, model, ask).await
    }

    /// What Odoo says of a model, asked once in a run.
    async fn once<F>(
        &self,
        known: &RefCell<BTreeMap<String, bool>>,
        model: &str,
        ask: impl Fn() -> F,
    ) -> Result<bool, Fault>
    where
        F: Future<Output = Result<bool, Fault>>,
    {
        let before = known.borrow().get(model).copied();
        if let Some(said) = before {
            return Ok(said);
        }
        let said = self.patiently(ask).await?;
        known.borrow_mut().insert(model.to_owned(), said);
        Ok(said)
    }

    /// Those of a model's links that may lead to archived records now.
    async fn incomplete_links(&self, model: Model<'_>) -> Result<Vec<String>, Fault> {
        let mut incomplete = Vec::new();
        for (field, target) in model.links {
            let ask = || self.odoo.has_archived(target);
            if self.once(&self.has_archived, target, ask).await? {
                incomplete.push(field.clone());
            }
        }
        Ok(incomplete)
    }

    /// Notes what the cursor needs of each record, before its links are completed: a run with nothing new need not
    /// ask for them. What an entity looks up beside a record can change without it.
    pub(super) fn note_tails(&self, model: Model<'_>, part: &mut Part) -> Result<(), Fault> {
        if model.links.is_empty() || self.looks_up.get() {
            return Ok(());
        }
        for record in &mut part.records {
            let said = serde_json::to_vec(record)
                .map_err(|_| Fault::new(Kind::Program, "a record that is no JSON"))?;
            let tail = Tail::of(&Sha1::digest(said));
            record.insert(LISTED.to_owned(), json!(tail));
        }
        Ok(())
    }

    /// Adds the archived targets of many2many fields to a page.
    pub(crate) async fn complete_links(
        &self,
        model: Model<'_>,
        part: &mut Part,
    ) -> Result<(), Fault> {
        let id = |record: &Record| record.get("id").and_then(Value::as_i64);
        let ids: Vec<i64> = part.records.iter().filter_map(id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let incomplete = self.incomplete_links(model).await?;
        let links = self.readable(model, &incomplete);
        if links.is_empty() {
            return Ok(());
        }
        let read = self.patiently(|| self.odoo.links(model, &ids, &links));
        let (read, unreadable) = read.await?;
        let mut read: BTreeMap<i64, Record> = read
            .into_iter()
            .filter_map(|record| Some((id(&record)?, record)))
            .collect();
        for record in &mut part.records {
            let of_record = id(record);
            // A record that was deleted meanwhile keeps what the list said.
            if let Some(links) = of_record.and_then(|id| read.remove(&id)) {
                record.extend(links);
            }
            // A record whose links cannot be read is written without them, so the row keeps those that it has.
            if unreadable.iter().any(|one| Some(one.id) == of_record) {
                record.retain(|field, _| !links.contains(field));
            }
        }
        part.unreadable.extend(unreadable);
        Ok(())
    }
}
