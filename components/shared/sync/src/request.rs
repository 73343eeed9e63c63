//! What a caller asks for, from the body of a POST.

use serde_json::{Map, Value};

use crate::{Entity, Job};

/// What a run should do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Read what changed since the last time, and go on with what is under way.
    #[default]
    Incremental,
    /// Read everything, then compare both sides.
    Full,
    /// Compare both sides, and mend what differs.
    Missing,
    /// Compare both sides, and change nothing.
    Validate,
    /// As incremental, but only count what would change.
    DryRun,
}

impl Mode {
    const ALL: [Self; 5] = [
        Self::Incremental,
        Self::Full,
        Self::Missing,
        Self::Validate,
        Self::DryRun,
    ];

    /// Its name in requests and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Full => "full",
            Self::Missing => "missing",
            Self::Validate => "validate",
            Self::DryRun => "dry_run",
        }
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub mode: Mode,
    /// Only these entities; `None`: all.
    pub entities: Option<Vec<String>>,
    /// A person knows that so much is gone from Odoo.
    pub confirm_deletes: bool,
}

/// Why a body is no request; it names the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError(String);

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestError {}

impl Request {
    /// Reads a body. Nothing at all and `{}` are the default; keys that are not known are accepted,
    /// since `pg_cron` jobs send some of their own (`time`).
    pub fn parse(body: &[u8], job: &Job) -> Result<Self, RequestError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let document: Value = serde_json::from_slice(body)
            .map_err(|_| RequestError("the body is not JSON".to_owned()))?;
        let Value::Object(keys) = document else {
            return Err(RequestError("the body is not a JSON object".to_owned()));
        };
        Ok(Self {
            mode: mode(&keys)?,
            entities: entities(&keys, job)?,
            confirm_deletes: match keys.get("confirm_deletes") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(confirmed)) => *confirmed,
                Some(_) => {
                    return Err(RequestError("confirm_deletes: true or false".to_owned()));
                }
            },
        })
    }

    /// Whether it asks for this entity.
    pub(crate) fn asks_for(&self, entity: &Entity) -> bool {
        self.entities
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == entity.name))
    }
}

fn mode(keys: &Map<String, Value>) -> Result<Mode, RequestError> {
    let known = Mode::ALL.map(Mode::name).join(", ");
    match keys.get("mode") {
        None | Some(Value::Null) => Ok(Mode::default()),
        Some(mode) => Mode::ALL
            .into_iter()
            .find(|known| mode.as_str() == Some(known.name()))
            .ok_or_else(|| RequestError(format!("mode: one of {known}"))),
    }
}

fn entities(keys: &Map<String, Value>, job: &Job) -> Result<Option<Vec<String>>, RequestError> {
    let known = || job.entities.iter().map(|entity| entity.name);
    let wrong = || {
        let known = known().collect::<Vec<_>>().join(", ");
        RequestError(format!("entities: a list of {known}"))
    };
    match keys.get("entities") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| {
                let name = name
                    .as_str()
                    .filter(|name| known().any(|known| known == *name));
                name.map(str::to_owned).ok_or_else(wrong)
            })
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::CRM;
    use proptest::prelude::*;

    #[test]
    fn what_pg_cron_and_the_dashboard_send_is_accepted() {
        for body in ["", " \n", "{}", r#"{"time":"2026-11-21T20:22:17Z"}"#] {
            assert_eq!(
                Request::parse(body.as_bytes(), &CRM),
                Ok(Request::default())
            );
        }
        let full = Request::parse(br#"{"mode": "full", "validate": true}"#, &CRM).unwrap();
        assert_eq!(full.mode, Mode::Full);
        let some = Request::parse(br#"{"mode":"missing","entities":["leads"]}"#, &CRM).unwrap();
        assert_eq!(some.entities.as_deref(), Some(&["leads".to_owned()][..]));
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (body, key) in [
            (r#"{"mode":"fly"}"#, "mode"),
            (r#"{"mode":1}"#, "mode"),
            (r#"{"entities":"leads"}"#, "entities"),
            (r#"{"entities":["lead"]}"#, "entities"),
            (r#"{"confirm_deletes":"yes"}"#, "confirm_deletes"),
        ] {
            let error = Request::parse(body.as_bytes(), &CRM)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(key), "{body}: {error}");
        }
        assert!(Request::parse(b"[]", &CRM).is_err());
        assert!(Request::parse(b"{", &CRM).is_err());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&body, &CRM);
        }
    }
}
