//! Names of referenced records, so that an id still means something when Odoo is off. A many2one comes with its name;
//! a list of ids does not, so Odoo is asked for those names.

use std::collections::{BTreeMap, BTreeSet};

use fault::Fault;
use ledger::Postgres;
use ledger::names::{self, Mentioned};
use odoo::records::{Model, Record};
use outbound::{Clock, Http};
use serde_json::Value;

use crate::entity_run::Stop;
use crate::source::PAGE;
use crate::work::{RunContext, concerns_one};
use crate::{Entity, Shape};

/// Models with full rows of their own: nobody looks up their names.
const NAMELESS: &[&str] = &["mail.message", "ir.attachment", "mail.tracking.value"];

/// Contacts are shown by more than their own name, for example with their company's.
const CONTACTS: &str = "res.partner";

/// How many days names stay fresh if no setting says how often contents are compared.
const AGE_DAYS: f64 = 1.0;

/// The records mentioned by the rows of a page, with their names if these came along.
#[derive(Debug, Default)]
pub(crate) struct Mentions(BTreeMap<String, BTreeMap<i64, Option<String>>>);

impl Mentions {
    /// Adds all records that a record mentions, and its own name.
    pub(crate) fn of_record(&mut self, record: &Record, entity: &Entity, shape: &Shape) {
        for (field, relation) in &shape.relations {
            let given = record.get(field);
            match (relation, given) {
                (Some(model), Some(given)) => self.of_value(model, given),
                // A reference, such as `res.partner,42`.
                (None, Some(Value::String(reference))) => {
                    let parts = reference.split_once(',');
                    if let Some((model, Ok(id))) = parts.map(|(model, id)| (model, id.parse())) {
                        self.add(model, id, None);
                    }
                }
                _ => {}
            }
        }
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let id = |name: &str| record.get(name).and_then(Value::as_i64);
        // The record that a message, an activity or a follower belongs to.
        let about = text("model").or(text("res_model"));
        if let (Some(model), Some(id)) = (about, id("res_id")) {
            self.add(model, id, None);
        }
        let named = shape.columns.iter().find(|(column, ..)| *column == "name");
        let name = named.and_then(|(_, _, field)| text(field));
        if let (true, Some(id), Some(name)) = (entity.model != CONTACTS, id("id"), name) {
            self.add(entity.model, id, Some(name));
        }
    }

    /// Adds a many2one, `[id, "name"]`, or a list of ids.
    pub(crate) fn of_value(&mut self, model: &str, given: &Value) {
        match given.as_array().map(Vec::as_slice) {
            Some([id, name]) if !name.is_number() => {
                if let Some(id) = id.as_i64() {
                    self.add(model, id, name.as_str());
                }
            }
            Some(ids) => {
                for id in ids.iter().filter_map(Value::as_i64) {
                    self.add(model, id, None);
                }
            }
            None => {}
        }
    }

    fn add(&mut self, model: &str, id: i64, name: Option<&str>) {
        if id <= 0 || NAMELESS.contains(&model) {
            return;
        }
        // Avoids allocations: most rows of a page mention the same few models and records.
        if !self.0.contains_key(model) {
            self.0.insert(model.to_owned(), BTreeMap::new());
        }
        let Some(of_model) = self.0.get_mut(model) else {
            return;
        };
        let known = of_model.entry(id).or_default();
        let name = name.filter(|name| !name.is_empty());
        if name.is_some() && known.as_deref() != name {
            *known = name.map(str::to_owned);
        }
    }

    /// Takes all mentioned records out.
    pub(crate) fn take(&mut self) -> Vec<Mentioned> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.flat_map(|(model, named)| {
            named.into_iter().map(move |(id, name)| Mentioned {
                model: model.clone(),
                id,
                name,
            })
        })
        .collect()
    }
}

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Asks for missing names, and again for names older than the interval between comparisons of contents, while
    /// time is left.
    pub(crate) async fn name_the_rest(&self) -> Result<(), Stop> {
        let age_s = self.compare_days.unwrap_or(AGE_DAYS) * 86_400.0;
        while !self.source.left().is_zero() {
            let mut asked = names::nameless(self.writer.postgres, PAGE, age_s).await?;
            if asked.is_empty() {
                return Ok(());
            }
            let models: BTreeSet<String> = asked.iter().map(|one| one.model.clone()).collect();
            for model in models {
                let of_model = asked.iter_mut().filter(|one| one.model == model);
                self.ask_for_names(&model, of_model.collect()).await?;
            }
            if !names::asked(self.writer.postgres, self.writer.lease.run_id, &asked).await? {
                return Err(Stop::GivenUp);
            }
        }
        Ok(())
    }

    /// Records that this Odoo lacks, or hides from its user, stay without a name.
    async fn ask_for_names(&self, name: &str, asked: Vec<&mut Mentioned>) -> Result<(), Fault> {
        let model = Model {
            name,
            domain: &[],
            language: &self.settings.language,
            undated: None,
            links: &[],
        };
        // `id` is there because a failing field is left out, and an empty list of fields would mean all of them.
        let fields = ["id", "display_name"].map(str::to_owned);
        let ids: Vec<i64> = asked.iter().map(|one| one.id).collect();
        let mut names = BTreeMap::new();
        let mut rest = ids.as_slice();
        while !rest.is_empty() {
            let (part, count) = match self.source.records_by_id(model, rest, &fields).await {
                Err(fault) if concerns_one(&fault) => break,
                read => read?,
            };
            for record in part.records {
                let id = record.get("id").and_then(Value::as_i64);
                let name = record.get("display_name").and_then(Value::as_str);
                names.extend(id.zip(name.map(str::to_owned)));
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        for one in asked {
            one.name = names.remove(&one.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_come_from_pairs_and_ids_without_one_are_kept_to_be_asked_for() {
        let mut mentions = Mentions::default();
        mentions.of_value("res.country", &json!([233, "United States"]));
        mentions.of_value("res.country", &json!([233]));
        mentions.of_value("crm.tag", &json!([1, 2]));
        mentions.of_value("crm.tag", &json!(false));
        mentions.of_value("utm.source", &json!([7, false]));
        mentions.of_value("mail.message", &json!([7, "Re: offer"]));
        let all: Vec<_> = mentions
            .take()
            .into_iter()
            .map(|one| (one.model, one.id, one.name))
            .collect();
        let of =
            |model: &str, id, name: Option<&str>| (model.to_owned(), id, name.map(str::to_owned));
        assert_eq!(
            all,
            [
                of("crm.tag", 1, None),
                of("crm.tag", 2, None),
                of("res.country", 233, Some("United States")),
                of("utm.source", 7, None),
            ]
        );
        assert!(mentions.take().is_empty());
    }
}
