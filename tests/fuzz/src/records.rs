//! Odoo's values: records as rows of their tables.

use std::collections::BTreeMap;

use odoo::attachment::Attachment;
use odoo::records::{FieldInfo, Record};
use serde_json::Value;
use sync::chatter::CHATTER;
use sync::crm::CRM;
use sync::{Entity, Known, Settings, Shape};

/// Types of custom fields.
const TYPES: [&str; 12] = [
    "char",
    "integer",
    "float",
    "boolean",
    "date",
    "datetime",
    "many2one",
    "many2many",
    "json",
    "binary",
    "html",
    "selection",
];

/// The type of the field of this name, whatever has become of the name.
fn type_of(name: &str) -> &'static str {
    TYPES[name.replace('\0', "").len() % TYPES.len()]
}

/// A record of whatever model.
pub fn records(data: &[u8]) {
    let Ok(Value::Object(record)) = serde_json::from_slice(data) else {
        return;
    };
    if let Ok(attachment) = serde_json::from_value::<Attachment>(Value::Object(record.clone())) {
        catalogued(attachment);
    }
    for entity in CRM.entities.iter().chain(CHATTER.entities) {
        copied(entity, &record);
    }
}

/// Only what can be verified is moved.
fn catalogued(attachment: Attachment) {
    let found = archive::found(attachment);
    assert!(found.file_size >= 0);
    let row = serde_json::to_value(&found).unwrap();
    if row["state"] == "pending" {
        assert!(
            found.kind == "binary"
                && found
                    .checksum
                    .as_deref()
                    .is_some_and(|text| text.parse::<content::Sha1>().is_ok())
        );
        assert!(found.file_size > 0);
    } else {
        assert!(row["state"] == "skipped" && row["reason"].is_string());
    }
    for date in [found.create_date, found.write_date].into_iter().flatten() {
        is_a_moment(&serde_json::to_value(date).unwrap());
    }
}

/// The same record is the same row, and one that Postgres can take.
fn copied(entity: &Entity, record: &Record) {
    let fields: BTreeMap<String, FieldInfo> = record
        .keys()
        .map(|name| {
            let kind = type_of(name).to_owned();
            (
                name.clone(),
                FieldInfo {
                    kind,
                    store: true,
                    ..FieldInfo::default()
                },
            )
        })
        .collect();
    let shape = Shape::of(entity, &fields);
    let row = || {
        let mut record = record.clone();
        if let Some(options) = entity.options {
            let settings = Settings::default();
            let known = Known::from([(1, record.clone())]);
            (options.refine)(&settings)(&mut record, &known);
        }
        shape.row(record).ok()
    };
    let Some(made) = row() else {
        assert!(record.get("id").and_then(Value::as_i64).is_none());
        return;
    };
    assert_eq!(Some(&made), row().as_ref());
    assert_eq!(made["id"], record["id"]);
    assert!(
        made["row_hash"]
            .as_str()
            .is_some_and(|text| text.parse::<content::Sha1>().is_ok())
    );
    for (column, value) in &made {
        if let Some(field) = entity.fields.iter().find(|field| field.column == column) {
            fits(field.kind, value, entity.name, column);
        }
    }
    for (name, value) in made["custom"].as_object().unwrap() {
        let kind = sync::Kind::of_type(type_of(name));
        fits(kind.unwrap(), value, entity.name, name);
    }
    is_a_moment(&made["write_date"]);
    is_a_moment(&made["create_date"]);
}

/// A value is of its column's type, or nothing.
fn fits(kind: sync::Kind, value: &Value, entity: &str, column: &str) {
    use sync::Kind;
    let fits = match kind {
        Kind::Text | Kind::Html => value.is_string(),
        Kind::Integer | Kind::Link => value.is_i64(),
        Kind::Number => value.is_number(),
        Kind::Flag => value.is_boolean(),
        Kind::Links => value
            .as_array()
            .is_some_and(|ids| ids.iter().all(Value::is_i64)),
        Kind::Date | Kind::Moment => {
            is_a_moment(value);
            true
        }
        Kind::Json => true,
    };
    assert!(fits || value.is_null(), "{entity}.{column}: {value}");
    has_no_nul(value);
}

/// The one character that Postgres does not take.
fn has_no_nul(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.contains('\0'), "{text:?}"),
        Value::Array(values) => values.iter().for_each(has_no_nul),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            assert!(!key.contains('\0'), "{key:?}");
            has_no_nul(value);
        }),
        _ => {}
    }
}

/// A date in the form of four digits of year: Postgres takes no other, and neither does Python make one.
fn is_a_moment(value: &Value) {
    if let Some(text) = value.as_str() {
        let year = text.get(..4).and_then(|year| year.parse::<u16>().ok());
        assert!(
            year.is_some_and(|year| year > 0) && text.get(4..5) == Some("-"),
            "{text}"
        );
    }
}
