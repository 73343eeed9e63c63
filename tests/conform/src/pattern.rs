//! How an answer is compared with what is expected.
//!
//! A text is a pattern in which `*` stands for anything, or a word such as `$int`. Of an object only the fields
//! that are named are compared. A list is compared element by element, unless it begins with one of the words
//! `$each`, `$some`, `$none`, `$any of`, `$begins`.

use serde_json::Value;

/// Whether a text has the form of a pattern.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// Where and how a value is not what is expected; `None`: it is.
pub(crate) fn differs(expected: &Value, actual: Option<&Value>) -> Option<String> {
    at("", expected, actual)
}

fn at(place: &str, expected: &Value, actual: Option<&Value>) -> Option<String> {
    let differs = || {
        let shown = actual.map_or_else(|| "nothing".to_owned(), Value::to_string);
        let place = if place.is_empty() {
            String::new()
        } else {
            format!("{place}: ")
        };
        Some(format!(
            "{place}expected {expected}, came {}",
            shorten(&shown)
        ))
    };
    let held = |holds: bool| if holds { None } else { differs() };
    if expected.as_str() == Some("$absent") {
        return held(actual.is_none());
    }
    let Some(value) = actual else {
        return differs();
    };
    match expected {
        Value::String(pattern) => held(match pattern.strip_prefix('$') {
            Some(word) => is(word, value),
            None => value.as_str().is_some_and(|text| like(pattern, text)),
        }),
        Value::Object(fields) => {
            if !value.is_object() {
                return differs();
            }
            fields.iter().find_map(|(name, expected)| {
                if name == "$only" {
                    let more = value
                        .as_object()?
                        .keys()
                        .find(|key| !fields.contains_key(*key))?;
                    return Some(format!("{place}: {more} is one field too many"));
                }
                at(&format!("{place}/{name}"), expected, value.get(name))
            })
        }
        Value::Array(list) => {
            let Some(values) = value.as_array() else {
                return match list.split_first() {
                    Some((word, choices)) if word == "$any of" => held(
                        choices
                            .iter()
                            .any(|choice| at(place, choice, actual).is_none()),
                    ),
                    _ => differs(),
                };
            };
            let fits = |expected: &Value, value: &Value| at(place, expected, Some(value)).is_none();
            match (list.first().and_then(Value::as_str), list.get(1)) {
                (Some("$each"), Some(each)) => {
                    held(!values.is_empty() && values.iter().all(|value| fits(each, value)))
                }
                (Some("$some"), Some(one)) => held(values.iter().any(|value| fits(one, value))),
                (Some("$none"), Some(one)) => held(!values.iter().any(|value| fits(one, value))),
                (Some("$any of"), _) => held(list.iter().skip(1).any(|choice| fits(choice, value))),
                (Some("$begins"), _) => held(
                    values.len() + 1 >= list.len()
                        && list
                            .iter()
                            .skip(1)
                            .zip(values)
                            .all(|(expected, value)| fits(expected, value)),
                ),
                _ if list.len() != values.len() => differs(),
                _ => list
                    .iter()
                    .zip(values)
                    .enumerate()
                    .find_map(|(index, (expected, value))| {
                        at(&format!("{place}/{index}"), expected, Some(value))
                    }),
            }
        }
        // 15 and 15.0 are one number in JSON.
        Value::Number(_) => {
            held(expected == value || (expected.as_f64() == value.as_f64() && value.is_number()))
        }
        other => held(other == value),
    }
}

/// Whether a value is what a word says.
fn is(word: &str, value: &Value) -> bool {
    let text = value.as_str();
    let hex = |length: usize| {
        text.is_some_and(|text| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let digits_as = |pattern: &str| {
        text.is_some_and(|text| {
            text.len() == pattern.len()
                && text
                    .bytes()
                    .zip(pattern.bytes())
                    .all(|(byte, wanted)| match wanted {
                        b'0' => byte.is_ascii_digit(),
                        wanted => byte == wanted,
                    })
        })
    };
    match word {
        "any" => true,
        "null" => value.is_null(),
        "int" => value.is_i64(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "string" => value.is_string(),
        "text" => text.is_some_and(|text| !text.is_empty()),
        "list" => value.is_array(),
        "filled" => value.as_array().is_some_and(|values| !values.is_empty()),
        "object" => value.is_object(),
        "ids" => value
            .as_array()
            .is_some_and(|values| values.iter().all(Value::is_i64)),
        "datetime" => digits_as("0000-00-00 00:00:00"),
        "iso" => digits_as("0000-00-00T00:00:00.000Z"),
        "date" => digits_as("0000-00-00"),
        "sha1" => hex(40),
        "md5" => hex(32),
        "uuid" => text.is_some_and(|text| {
            text.len() == 36
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        }),
        // A many2one with its name.
        "link" => matches!(
            value.as_array().map(Vec::as_slice),
            Some([Value::Number(_), Value::String(_)])
        ),
        _ => false,
    }
}

/// A text that fits on a line.
pub(crate) fn shorten(text: &str) -> String {
    const LONG: usize = 300;
    let text = text.replace(['\n', '\r'], "⏎");
    if text.chars().count() <= LONG {
        return text;
    }
    let head: String = text.chars().take(LONG).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_fits_what_it_describes_and_nothing_else() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*", "", true),
            ("*a*a", "a", false),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern} {text}");
        }
        for (expected, actual, fits) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
            (
                json!({"a": 1, "$only": true}),
                json!({"a": 1, "b": 2}),
                false,
            ),
            (json!({"b": "$absent"}), json!({"a": 1}), true),
            (json!({"b": "$absent"}), json!({"b": null}), false),
            (json!([1, 2]), json!([1, 2, 3]), false),
            (json!(["$begins", 1, 2]), json!([1, 2, 3]), true),
            (json!(["$each", "$int"]), json!([1, "2"]), false),
            (json!(["$each", "$int"]), json!([]), false),
            (json!(["$some", 2]), json!([1, 2]), true),
            (json!(["$none", 2]), json!([1, 2]), false),
            (json!(["$any of", false, ""]), json!(""), true),
            (json!("$link"), json!([3, "Sales"]), true),
            (json!("$link"), json!([3, false]), false),
            (json!("$datetime"), json!("2026-11-21 20:21:22"), true),
            (json!("$datetime"), json!("2026-11-21 20:21:22.1"), false),
            (json!(false), json!(null), false),
            (json!("$nosuch"), json!("$nosuch"), false),
        ] {
            assert_eq!(
                differs(&expected, Some(&actual)).is_none(),
                fits,
                "{expected} {actual}"
            );
        }
    }
}
