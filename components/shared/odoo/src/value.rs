//! Odoo's values: an empty one is `false`, a many2one is `[id, "name"]`, a date has no time zone.

use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use serde::de::{Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

/// Odoo's datetime format: naive, UTC, whole seconds. The database keeps microseconds that are cut off here, so a
/// comparison with `=` matches nothing and `>` matches the same row again (seen on 17 and 18).
const DATETIME: &str = "%Y-%m-%d %H:%M:%S";

/// Reads `false`, or `null` where a version lacks the field, as `None`, and passes on any other value. An untagged
/// enum would buffer each value first, and format an error for each `false`.
struct OrFalse<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrFalse<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or false")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        T::deserialize(number.into_deserializer()).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        T::deserialize(number.into_deserializer()).map(Some)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        T::deserialize(text.into_deserializer()).map(Some)
    }
}

/// Reads a number or a string, or `false` if it is empty.
pub fn or_false<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(OrFalse(PhantomData))
}

/// Reads the id of a many2one: `[id, "name"]`, or `false`.
pub fn many2one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Many2one {
        Pair(i64, #[allow(dead_code)] serde::de::IgnoredAny),
        Id(i64),
        #[allow(dead_code)]
        Empty(Option<bool>),
    }
    Ok(match Many2one::deserialize(deserializer)? {
        Many2one::Pair(id, _) | Many2one::Id(id) => Some(id),
        Many2one::Empty(_) => None,
    })
}

/// Reads a datetime, or `false`.
pub fn datetime<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text: Option<String> = or_false(deserializer)?;
    text.map(|text| parse_datetime(&text).ok_or_else(|| serde::de::Error::custom("no datetime")))
        .transpose()
}

/// Parses a datetime in Odoo's format.
pub fn parse_datetime(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, DATETIME)
        .ok()
        .filter(|naive| is_of_odoo(naive.date()))
        .map(|naive| naive.and_utc())
}

/// Parses a date in Odoo's format.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    text.parse().ok().filter(|date| is_of_odoo(*date))
}

/// Whether Python, and so Odoo, has this date. Dates beyond would overflow arithmetic (the overlap before the first
/// date does not exist), and Postgres rejects their spelling.
fn is_of_odoo(date: NaiveDate) -> bool {
    (1..=9999).contains(&date.year())
}

/// Formats a datetime for a domain: whole seconds, rounded down.
pub fn format_datetime(moment: DateTime<Utc>) -> String {
    moment.format(DATETIME).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Row {
        #[serde(deserialize_with = "or_false", default)]
        name: Option<String>,
        #[serde(deserialize_with = "many2one", default)]
        company_id: Option<i64>,
        #[serde(deserialize_with = "datetime", default)]
        write_date: Option<DateTime<Utc>>,
    }

    #[test]
    fn false_is_nothing_and_a_pair_is_its_id() {
        let row: Row = serde_json::from_value(json!({"name": false, "company_id": [1, "YourCompany"], "write_date": "2026-11-21 20:21:22"})).unwrap();
        assert_eq!(row.name, None);
        assert_eq!(row.company_id, Some(1));
        assert_eq!(
            format_datetime(row.write_date.unwrap()),
            "2026-11-21 20:21:22"
        );
        let row: Row = serde_json::from_value(json!({"name": "x", "company_id": false})).unwrap();
        assert_eq!(
            row,
            Row {
                name: Some("x".into()),
                company_id: None,
                write_date: None
            }
        );
        assert!(serde_json::from_value::<Row>(json!({"write_date": "yesterday"})).is_err());
    }

    #[test]
    fn a_date_that_python_does_not_have_is_none() {
        for year in ["+262142", "+10000", "0000", "-0001", "-262143"] {
            assert_eq!(parse_datetime(&format!("{year}-01-01 00:00:00")), None);
            assert_eq!(parse_date(&format!("{year}-01-01")), None);
        }
        for year in ["0001", "9999"] {
            assert!(parse_datetime(&format!("{year}-12-31 23:59:59")).is_some());
            assert!(parse_date(&format!("{year}-12-31")).is_some());
        }
    }
}
