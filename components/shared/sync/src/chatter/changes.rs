//! Makes a field change readable: which field, from which value to which.

use odoo::records::Record;
use odoo::value::parse_datetime;
use serde_json::{Value, json};

use crate::entity::{Known, Refine};
use crate::{Settings, row};

/// The fields that a change is made from. 14 to 16 have `field`, `field_desc` and `field_type`; later versions have
/// `field_id`, and `field_info` once the field is deleted. Up to 16, monetary values have their own columns.
pub(super) const FIELDS: &[&str] = &[
    "field",
    "field_desc",
    "field_type",
    "field_id",
    "field_info",
    "old_value_integer",
    "old_value_float",
    "old_value_monetary",
    "old_value_char",
    "old_value_text",
    "old_value_datetime",
    "new_value_integer",
    "new_value_float",
    "new_value_monetary",
    "new_value_char",
    "new_value_text",
    "new_value_datetime",
];

/// Makes the columns of a change.
pub(super) fn refine(_: &Settings) -> Refine {
    Box::new(|record: &mut Record, fields: &Known| {
        let field = Field::of(record, fields);
        let old = field.value(record, "old");
        let new = field.value(record, "new");
        let raw = raw(record);
        for (column, value) in [
            ("raw", Value::Object(raw)),
            ("field", json!(field.name)),
            ("label", json!(field.label)),
            ("type", json!(field.kind)),
            ("old", json!(words(&old))),
            ("new", json!(words(&new))),
            ("old_value", old),
            ("new_value", new),
        ] {
            record.insert(column.to_owned(), value);
        }
    })
}

/// Odoo's own fields, without empty values.
fn raw(record: &Record) -> Record {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    };
    let kept = FIELDS
        .iter()
        .filter_map(|name| record.get_key_value(*name))
        .filter(|(_, value)| !empty(value));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The field that changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Field {
    name: Option<String>,
    label: Option<String>,
    kind: Option<String>,
}

impl Field {
    fn of(record: &Record, fields: &Known) -> Self {
        let link = record.get("field_id").or_else(|| record.get("field"));
        let known = link.and_then(row::link).and_then(|id| fields.get(&id));
        let info = record.get("field_info").and_then(Value::as_object);
        // The field of a property only holds it; the change itself describes the property. 19 records such a change
        // when a lead loses a property because its team changes.
        let holds = |field: &&Record| field.get("ttype") == Some(&json!("properties"));
        let property = info.filter(|_| known.is_none_or(|known| holds(&known)));
        let known_itself = known.filter(|field| !holds(field));
        let first = |places: [(Option<&Record>, &str); 3]| {
            places
                .into_iter()
                .filter_map(|(place, name)| place?.get(name)?.as_str())
                .find(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let shown = link
            .and_then(|link| link.get(1))
            .and_then(Value::as_str)
            .map(without_model);
        Self {
            // On 14, `field` may be the technical name itself.
            name: first([(known, "name"), (info, "name"), (None, "")]).or_else(|| {
                record
                    .get("field")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            }),
            label: first([
                (Some(record), "field_desc"),
                (property, "desc"),
                (known, "field_description"),
            ])
            .or(shown),
            kind: first([
                (Some(record), "field_type"),
                (property, "type"),
                (known_itself, "ttype"),
            ]),
        }
    }

    /// The old or new value. Booleans are stored as integers, a many2one as an integer and a text, and a selection as
    /// its label (seen on 17 and 18).
    fn value(&self, record: &Record, side: &str) -> Value {
        let of = |kind: &str| {
            record
                .get(&format!("{side}_value_{kind}"))
                .filter(|value| !value.is_null() && **value != json!(false))
        };
        let integer = of("integer").and_then(Value::as_i64);
        let text = |kind| {
            of(kind)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let moment = || text("datetime").and_then(parse_datetime);
        match self.kind.as_deref() {
            Some("boolean") => json!(integer.unwrap_or_default() != 0),
            Some("integer" | "many2one_reference") => json!(integer),
            Some("float") => of("float").cloned().unwrap_or_default(),
            Some("monetary") => {
                let own = of("monetary").filter(|value| value.as_f64() != Some(0.0));
                own.or_else(|| of("float")).cloned().unwrap_or_default()
            }
            Some("date") => json!(moment().map(|moment| moment.date_naive())),
            Some("datetime") => json!(moment()),
            Some("text" | "html") => json!(text("text").or_else(|| text("char"))),
            Some("many2one") => match (integer.filter(|id| *id != 0), text("char")) {
                (None, None) => Value::Null,
                (id, name) => json!({ "id": id, "name": name }),
            },
            Some(_) => json!(text("char").or_else(|| text("text"))),
            // The type is no longer known: show whatever value there is.
            None => text("char")
                .or_else(|| text("text"))
                .map(|text| json!(text))
                .or_else(|| moment().map(|moment| json!(moment)))
                .or_else(|| {
                    integer
                        .filter(|number| *number != 0)
                        .map(|number| json!(number))
                })
                .or_else(|| {
                    of("float")
                        .filter(|float| float.as_f64() != Some(0.0))
                        .cloned()
                })
                .unwrap_or_default(),
        }
    }
}

/// Removes the model: `Stage (Lead/Opportunity)` becomes `Stage`.
fn without_model(shown: &str) -> String {
    shown
        .strip_suffix(')')
        .and_then(|shown| shown.rsplit_once(" ("))
        .map_or(shown, |(label, _)| label)
        .to_owned()
}

/// A value as text for people.
fn words(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(true) => "Yes".to_owned(),
        Value::Bool(false) => "No".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(link) => match link.get("name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => link.get("id").unwrap_or(&Value::Null).to_string(),
        },
        Value::Number(number) => {
            let shown = number.to_string();
            shown.strip_suffix(".0").unwrap_or(&shown).to_owned()
        }
        Value::Array(_) => value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refined(record: Value, fields: &Value) -> Value {
        let Value::Object(mut record) = record else {
            panic!()
        };
        let known = fields
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|field| Some((field["id"].as_i64()?, field.as_object()?.clone())))
            .collect();
        refine(&Settings::default())(&mut record, &known);
        Value::Object(record)
    }

    /// Recorded on 18.
    fn recorded() -> Value {
        json!({"id": 25, "field_id": [3521, "Stage (Lead/Opportunity)"], "field_info": false, "old_value_integer": 1, "old_value_float": 0.0, "old_value_char": "New", "old_value_text": false, "old_value_datetime": false, "new_value_integer": 3, "new_value_float": 0.0, "new_value_char": "Proposition", "new_value_text": false, "new_value_datetime": false, "currency_id": false, "mail_message_id": [251, "Sample opportunity"]})
    }

    fn stage() -> Value {
        json!([{"id": 3521, "name": "stage_id", "field_description": "Stage", "ttype": "many2one"}])
    }

    #[test]
    fn every_versions_shape_says_the_same() {
        let mut old = recorded();
        let shape = old.as_object_mut().unwrap();
        shape.remove("field_id");
        shape.remove("field_info");
        shape.extend(json!({"field": [3521, "Stage (Lead/Opportunity)"], "field_desc": "Stage", "field_type": "many2one"}).as_object().unwrap().clone());
        for record in [recorded(), old] {
            let change = refined(record, &stage());
            assert_eq!(change["field"], "stage_id");
            assert_eq!(change["label"], "Stage");
            assert_eq!(change["type"], "many2one");
            assert_eq!(
                (&change["old"], &change["new"]),
                (&json!("New"), &json!("Proposition"))
            );
            assert_eq!(change["new_value"], json!({"id": 3, "name": "Proposition"}));
        }
    }

    #[test]
    fn a_field_that_is_gone_is_known_from_what_odoo_kept() {
        let mut record = recorded();
        record["field_id"] = json!(false);
        record["field_info"] = json!({"desc": "Region", "name": "x_region", "type": "char"});
        let change = refined(record, &json!([]));
        assert_eq!(
            (&change["field"], &change["label"], &change["new"]),
            (&json!("x_region"), &json!("Region"), &json!("Proposition"))
        );
        // A user without the group Settings cannot read `ir.model.fields`: the label is still known.
        let change = refined(recorded(), &json!([]));
        assert_eq!(
            (&change["label"], &change["new"]),
            (&json!("Stage"), &json!("Proposition"))
        );
    }

    #[test]
    fn values_come_in_their_types() {
        let of = |kind: &str, more: Value| {
            let mut record = json!({"field_desc": "F", "field_type": kind, "old_value_integer": 0, "old_value_float": 0.0, "old_value_char": false, "old_value_text": false, "old_value_datetime": false, "new_value_integer": 0, "new_value_float": 0.0, "new_value_char": false, "new_value_text": false, "new_value_datetime": false});
            record
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let change = refined(record, &json!([]));
            (change["new_value"].clone(), change["new"].clone())
        };
        for (kind, more, wanted) in [
            (
                "boolean",
                json!({"new_value_integer": 1}),
                (json!(true), json!("Yes")),
            ),
            ("boolean", json!({}), (json!(false), json!("No"))),
            (
                "integer",
                json!({"new_value_integer": 7}),
                (json!(7), json!("7")),
            ),
            (
                "float",
                json!({"new_value_float": 0.0}),
                (json!(0.0), json!("0")),
            ),
            (
                "monetary",
                json!({"new_value_float": 1250.5}),
                (json!(1250.5), json!("1250.5")),
            ),
            (
                "monetary",
                json!({"new_value_monetary": 12.0}),
                (json!(12.0), json!("12")),
            ),
            (
                "char",
                json!({"new_value_char": "x"}),
                (json!("x"), json!("x")),
            ),
            (
                "selection",
                json!({"new_value_char": "High"}),
                (json!("High"), json!("High")),
            ),
            (
                "text",
                json!({"new_value_text": "long"}),
                (json!("long"), json!("long")),
            ),
            (
                "date",
                json!({"new_value_datetime": "2026-12-24 00:00:00"}),
                (json!("2026-12-24"), json!("2026-12-24")),
            ),
            (
                "datetime",
                json!({"new_value_datetime": "2026-12-24 10:00:00"}),
                (json!("2026-12-24T10:00:00Z"), json!("2026-12-24T10:00:00Z")),
            ),
            ("many2one", json!({}), (json!(null), json!(null))),
            (
                "many2many",
                json!({"new_value_char": "a, b"}),
                (json!("a, b"), json!("a, b")),
            ),
        ] {
            assert_eq!(of(kind, more.clone()), wanted, "{kind} {more}");
        }
    }
}
