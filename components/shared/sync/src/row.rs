//! Converts a record of Odoo to a row of its table.

use chrono::{DateTime, Utc};
use fault::{Fault, Kind as FaultKind};
use ledger::sync::Row;
use odoo::records::Record;
use odoo::value::{parse_date, parse_datetime};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};

use crate::cursor::{Seen, Tail};
use crate::entity::LISTED;
use crate::{Kind, Shape, html};

/// What the cursor needs of a record, if that was noted when the record was listed.
pub(crate) fn listed(record: &Record) -> Option<Seen> {
    Some(Seen {
        id: record.get("id")?.as_i64()?,
        write_date: moment(record.get("write_date")),
        tail: serde_json::from_value(record.get(LISTED)?.clone()).ok()?,
    })
}

/// Makes a row, and what the cursor needs of it.
pub(crate) fn row(mut record: Record, shape: &Shape) -> Result<(Row, Seen), Fault> {
    let id = record.get("id").and_then(Value::as_i64).ok_or(Fault::new(
        FaultKind::SourceProtocol,
        "a record of Odoo without an id",
    ))?;
    let listed = record.remove(LISTED);
    let listed = listed.and_then(|tail| serde_json::from_value::<Tail>(tail).ok());
    let mut row = Map::new();
    row.insert("id".into(), json!(id));
    // A column whose field was not read stays unchanged.
    for (column, kind, field) in &shape.columns {
        let given = record.remove(field).map(|given| value(*kind, Some(given)));
        row.extend(given.map(|given| ((*column).to_owned(), given)));
    }
    // So does a made column whose fields or lists this user can no longer read.
    for column in &shape.made {
        let made = record.remove(*column);
        row.extend(made.map(|made| ((*column).to_owned(), clean_all(made))));
    }
    let custom: Map<String, Value> = shape
        .custom
        .iter()
        .filter_map(|(name, kind)| {
            Some((
                clean(name.clone()),
                value(*kind, Some(record.remove(name)?)),
            ))
        })
        .collect();
    let [rest, rest_html] = shape.rest();
    row.insert(rest.into(), Value::Object(custom));
    let custom_html = record.remove(html::CUSTOM).unwrap_or_else(|| json!({}));
    row.insert(rest_html.into(), clean_all(custom_html));
    if let Some(model) = &shape.model {
        row.insert("model".into(), json!(model));
    }
    row.insert(
        "create_date".into(),
        value(Kind::Moment, record.remove("create_date")),
    );
    let write_date = moment(record.get("write_date"));
    row.insert("write_date".into(), json!(write_date));
    // Maps are ordered by key, so the same row has the same hash.
    let said = serde_json::to_vec(&row)
        .map_err(|_| Fault::new(FaultKind::Program, "a row that is no JSON"))?;
    let hash = Sha1::digest(&said);
    let hex = base16ct::lower::encode_string(&hash);
    row.insert("row_hash".into(), json!(hex));
    let tail = listed.unwrap_or_else(|| Tail::of(&hash));
    let seen = Seen {
        id,
        write_date,
        tail,
    };
    Ok((row, seen))
}

fn moment(given: Option<&Value>) -> Option<DateTime<Utc>> {
    given.and_then(Value::as_str).and_then(parse_datetime)
}

/// Converts a value of Odoo, where `false` means empty, for Postgres. A value that does not fit becomes null: one odd
/// value must not keep a page from being written.
fn value(kind: Kind, given: Option<Value>) -> Value {
    let given = given.unwrap_or_default();
    match kind {
        Kind::Text | Kind::Html => match given {
            Value::String(text) => Value::String(clean(text)),
            Value::Number(number) => json!(number.to_string()),
            _ => Value::Null,
        },
        Kind::Integer => match given {
            Value::Number(number) => json!(number.as_i64()),
            Value::String(digits) => json!(digits.parse::<i64>().ok()),
            _ => Value::Null,
        },
        Kind::Number => {
            if given.is_number() {
                given
            } else {
                Value::Null
            }
        }
        Kind::Flag => {
            if given.is_boolean() {
                given
            } else {
                Value::Null
            }
        }
        Kind::Date => {
            json!(given.as_str().and_then(parse_date))
        }
        Kind::Moment => json!(moment(Some(&given))),
        Kind::Link => json!(link(&given)),
        Kind::Links => match &given {
            // A list of ids, not the pair of a many2one, whose second element is a name.
            Value::Array(ids) if ids.iter().all(Value::is_i64) => given,
            other => json!(link(other).into_iter().collect::<Vec<_>>()),
        },
        Kind::Json => match given {
            Value::Bool(false) => Value::Null,
            other => clean_all(other),
        },
    }
}

/// The id of `[id, "name"]`, or of a bare id.
pub(crate) fn link(given: &Value) -> Option<i64> {
    match given {
        Value::Array(pair) => pair.first().and_then(Value::as_i64),
        other => other.as_i64(),
    }
}

/// Removes NUL, the only character that Postgres does not store.
fn clean(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "")
    } else {
        text
    }
}

fn clean_all(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => values.into_iter().map(clean_all).collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (clean(key), clean_all(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odoos_values_become_those_of_postgres() {
        for (kind, given, wanted) in [
            (Kind::Text, json!("a\u{0}b"), json!("ab")),
            (Kind::Text, json!(false), json!(null)),
            (Kind::Integer, json!(0), json!(0)),
            (Kind::Integer, json!("2"), json!(2)),
            (Kind::Integer, json!(false), json!(null)),
            (Kind::Number, json!(1250.5), json!(1250.5)),
            (Kind::Flag, json!(false), json!(false)),
            (Kind::Date, json!("2026-11-21"), json!("2026-11-21")),
            (Kind::Date, json!("soon"), json!(null)),
            (
                Kind::Moment,
                json!("2026-11-21 20:21:22"),
                json!("2026-11-21T20:21:22Z"),
            ),
            (Kind::Link, json!([3, "Proposition"]), json!(3)),
            (Kind::Link, json!(false), json!(null)),
            (Kind::Links, json!([1, 2]), json!([1, 2])),
            (Kind::Links, json!([]), json!([])),
            (Kind::Links, json!([1, "Sales"]), json!([1])),
            (Kind::Links, json!(false), json!([])),
            (
                Kind::Json,
                json!([{"name": "\u{0}x"}]),
                json!([{"name": "x"}]),
            ),
        ] {
            assert_eq!(value(kind, Some(given.clone())), wanted, "{kind:?} {given}");
        }
    }

    #[test]
    fn the_same_record_has_the_same_hash_and_another_one_another() {
        let shape = Shape {
            columns: vec![("name", Kind::Text, "name".into())],
            custom: vec![("x_region".into(), Kind::Text)],
            ..Shape::default()
        };
        let hash = |record: Value| {
            let Value::Object(record) = record else {
                panic!()
            };
            row(record, &shape).unwrap().0["row_hash"].clone()
        };
        let one =
            json!({"id": 1, "name": "A", "x_region": "BE", "write_date": "2026-11-21 20:21:22"});
        let label =
            json!({"id": 1, "x_region": "BE", "write_date": "2026-11-21 20:21:22", "name": "A"});
        let other =
            json!({"id": 1, "name": "A", "x_region": "NL", "write_date": "2026-11-21 20:21:22"});
        assert_eq!(hash(one.clone()), hash(label));
        assert_ne!(hash(one), hash(other));
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(number: i64, text in ".*") {
            for kind in [Kind::Text, Kind::Html, Kind::Integer, Kind::Number, Kind::Flag, Kind::Date, Kind::Moment, Kind::Link, Kind::Links, Kind::Json] {
                for given in [json!(number), json!(text), json!([number, text]), json!({"a": text}), json!(null)] {
                    value(kind, Some(given));
                }
            }
        }
    }
}
