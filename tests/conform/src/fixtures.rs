//! What exchanges speak of by name: a lead, a file that is lost, a key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// Values by name, and why some are not there.
#[derive(Debug, Clone, Default)]
pub struct Fixtures {
    values: BTreeMap<String, Value>,
    missing: BTreeMap<String, String>,
}

impl Fixtures {
    /// Gives a name to a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// Says why there is nothing of this name.
    pub fn lack(&mut self, name: &str, why: impl Into<String>) {
        self.missing.insert(name.to_owned(), why.into());
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The value of this name as text; empty if there is none.
    pub fn text(&self, name: &str) -> String {
        self.get(name).map(in_text).unwrap_or_default()
    }

    /// Why there is nothing of this name.
    fn why_not(&self, name: &str) -> String {
        let stem = name.split('.').next().unwrap_or(name);
        let why = self.missing.get(name).or_else(|| self.missing.get(stem));
        format!(
            "no {name}: {}",
            why.map_or("not known here", String::as_str)
        )
    }

    /// Puts values for names into a value: `${lead.id}`. The error says what is lacking.
    pub fn fill(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) if text == "$null" => Value::Null,
            Value::String(text) => match text
                .strip_prefix("${")
                .and_then(|rest| rest.strip_suffix('}'))
            {
                // The whole of it keeps its type.
                Some(name) if !name.contains("${") && !name.contains(':') => {
                    self.get(name).cloned().ok_or_else(|| self.why_not(name))?
                }
                _ => Value::String(self.fill_text(text)?),
            },
            Value::Array(values) => Value::Array(
                values
                    .iter()
                    .map(|value| self.fill(value))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(values) => {
                let mut filled = serde_json::Map::new();
                for (name, value) in values {
                    filled.insert(self.fill_text(name)?, self.fill(value)?);
                }
                Value::Object(filled)
            }
            other => other.clone(),
        })
    }

    /// The value of a name in text. `b64:text` is the text in base64, and `b64:@name` the value of a name.
    fn named(&self, name: &str) -> Result<String, String> {
        let value = |name: &str| {
            self.get(name)
                .map(in_text)
                .ok_or_else(|| self.why_not(name))
        };
        Ok(match name.strip_prefix("b64:") {
            None => value(name)?,
            Some(text) => BASE64_STANDARD.encode(match text.strip_prefix('@') {
                Some(name) => value(name)?,
                None => text.to_owned(),
            }),
        })
    }

    /// The same in a text.
    pub fn fill_text(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                break;
            };
            filled.push_str(before);
            filled.push_str(&self.named(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn in_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
