//! Repairs JSON as Python writes it: bare `NaN` and `Infinity`, and strings with half surrogate pairs, control
//! characters or bytes that are not UTF-8.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Bare words, and the strings that replace them. No string of Odoo begins with a NUL, since Postgres stores none.
const NO_NUMBERS: [(&str, &str); 3] = [
    ("NaN", r#""\u0000NaN""#),
    ("Infinity", r#""\u0000Infinity""#),
    ("-Infinity", r#""\u0000-Infinity""#),
];

/// Repairs a complete document so that a JSON parser accepts it.
pub(crate) fn mended(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut in_text = false;
    while let Some(first) = rest.chars().next() {
        let length = if in_text {
            in_text = first != '"';
            letter(first, rest, &mut mended)
        } else {
            in_text = first == '"';
            token(first, rest, &mut mended)
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    mended
}

/// Copies one token outside of strings. Returns its length.
fn token(first: char, rest: &str, mended: &mut String) -> usize {
    let bare = NO_NUMBERS.iter().find(|(bare, _)| rest.starts_with(bare));
    if let Some((bare, instead)) = bare {
        mended.push_str(instead);
        return bare.len();
    }
    mended.push(first);
    first.len_utf8()
}

/// Copies one character of a string, or one whole escape. Returns its length.
fn letter(first: char, rest: &str, mended: &mut String) -> usize {
    if first.is_ascii_control() {
        // Writing into memory cannot fail.
        let _ = write!(mended, "\\u{:04x}", u32::from(first));
        return 1;
    }
    if first != '\\' {
        mended.push(first);
        return first.len_utf8();
    }
    let high = unit(rest);
    let whole = match high {
        Some(0xd800..=0xdbff) => match rest.get(6..).and_then(unit) {
            Some(0xdc00..=0xdfff) => 12,
            _ => 0,
        },
        Some(0xdc00..=0xdfff) => 0,
        Some(_) => 6,
        // `\"`, `\\`, `\n`; the parser refuses any other character after a backslash.
        None => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
    };
    match rest.get(..whole) {
        Some(escape) if whole > 0 => {
            mended.push_str(escape);
            whole
        }
        _ => {
            mended.push('\u{fffd}');
            6
        }
    }
}

/// The UTF-16 unit of an escape such as `\u0041`.
fn unit(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

/// Removes values that are not JSON numbers. Returns the fields, and each value's word.
pub(crate) fn take_no_numbers(record: &mut Map<String, Value>) -> Vec<(String, String)> {
    let mut taken = Vec::new();
    for (field, value) in record.iter_mut() {
        let bare = value.as_str().and_then(|text| text.strip_prefix('\0'));
        if let Some(bare) = bare.filter(|bare| NO_NUMBERS.iter().any(|(name, _)| name == bare)) {
            taken.push((field.clone(), bare.to_owned()));
            *value = Value::Null;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_python_writes_is_read() {
        for (written, wanted) in [
            (
                r#"[{"a": NaN, "b": -Infinity, "c": "NaN, \"Infinity\""}, Infinity]"#,
                json!([{"a": "\0NaN", "b": "\0-Infinity", "c": "NaN, \"Infinity\""}, "\0Infinity"]),
            ),
            (
                r#"["\ud83d", "\ud83dx", "\ude9a\ud83d\ude9a", "\\ud83d"]"#,
                json!(["\u{fffd}", "\u{fffd}x", "\u{fffd}🚚", "\\ud83d"]),
            ),
            ("[\"a\tb\u{1}\"]", json!(["a\tb\u{1}"])),
        ] {
            let read: Value = serde_json::from_str(&mended(written.as_bytes())).unwrap();
            assert_eq!(read, wanted, "{written}");
        }
        let surrogate = b"[\"\xed\xa0\xbd\"]";
        let read: Value = serde_json::from_str(&mended(surrogate)).unwrap();
        assert!(read[0].as_str().unwrap().contains('\u{fffd}'));
    }

    #[test]
    fn what_is_no_number_is_named() {
        let mut record = json!({"id": 7, "x": "\0NaN", "name": "NaN", "y": "\0x"});
        let record = record.as_object_mut().unwrap();
        assert_eq!(
            take_no_numbers(record),
            [("x".to_owned(), "NaN".to_owned())]
        );
        assert_eq!(
            (&record["x"], &record["name"]),
            (&json!(null), &json!("NaN"))
        );
    }

    proptest! {
        #[test]
        fn json_stays_as_it_is(texts in prop::collection::vec(".*", 0..6), numbers in prop::collection::vec(any::<i64>(), 0..6)) {
            let document = json!({"texts": texts, "numbers": numbers}).to_string();
            let read: Value = serde_json::from_str(&mended(document.as_bytes())).unwrap();
            prop_assert_eq!(read.to_string(), document);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in r#"[\\u"0-9d\[{NIa ]{0,60}"#) {
            mended(&bytes);
            mended(text.as_bytes());
        }
    }
}
