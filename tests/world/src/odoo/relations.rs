//! Domains that look beyond the model: along a many2one, or up and down a family.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::domain::Domain;
use super::failure::Failure;
use super::methods::{Call, ids_of};
use super::order::Order;

impl Call<'_> {
    /// A domain in which a comparison beyond a many2one, such as `mail_message_id.model`, is one of the
    /// ids that it points to.
    pub(super) fn by_ids<'d>(&self, domain: &'d Value) -> Result<Cow<'d, Value>, Failure> {
        let beyond = |term: &Value| -> Option<(String, String, String)> {
            let (field, rest) = term.get(0)?.as_str()?.split_once('.')?;
            let relation = self.table.fields.get(field)?.relation.clone()?;
            Some((field.to_owned(), rest.to_owned(), relation))
        };
        let Value::Array(terms) = domain else {
            return Ok(Cow::Borrowed(domain));
        };
        if !terms.iter().any(|term| beyond(term).is_some()) {
            return Ok(Cow::Borrowed(domain));
        }
        let mut all = Vec::new();
        for term in terms {
            let table = beyond(term).and_then(|(field, rest, relation)| {
                Some((field, rest, self.tables.get(&relation)?, relation))
            });
            let Some((field, rest, table, relation)) = table else {
                all.push(term.clone());
                continue;
            };
            if relation == "mail.message" {
                self.company.whole_chatters.fetch_add(1, Ordering::Relaxed);
            }
            let inner = json!([[rest, term.get(1), term.get(2)]]);
            let inner = Domain::parse(self.company.version, &inner, &relation, &table.fields)?;
            let order = Order::parse(None, "id", &relation, &table.fields)?;
            let ids = table.search(&inner, &order, 0, usize::MAX, self.user.sees_all_leads());
            all.push(json!([field, "in", ids]));
        }
        Ok(Cow::Owned(Value::Array(all)))
    }

    /// A domain in which `child_of` and `parent_of` are the ids that they come to.
    pub(super) fn by_family(&self, domain: &Value) -> Value {
        let family = |term: &Value| -> Option<Value> {
            let (field, operator) = (term.get(0)?.as_str()?, term.get(1)?.as_str()?);
            let below = match operator {
                "child_of" => true,
                "parent_of" => false,
                _ => return None,
            };
            let relation = match field {
                "id" => self.model,
                field => self.table.fields.get(field)?.relation.as_deref()?,
            };
            let table = self.tables.get(relation)?;
            Some(json!([
                field,
                "in",
                table.family(ids_of(term.get(2)?), below)
            ]))
        };
        match domain {
            Value::Array(terms) => {
                let terms = terms.iter();
                terms
                    .map(|term| family(term).unwrap_or_else(|| term.clone()))
                    .collect()
            }
            other => other.clone(),
        }
    }
}
