//! The request of a caller, from the body of a POST.

use fault::{Fault, Kind};
use run::{Keys, RequestError};
use serde_json::Value;

use crate::{Entity, Job};

/// What a run does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Read changes since the last run, and continue what is under way.
    #[default]
    Incremental,
    /// Read everything, then compare both sides.
    Full,
    /// Compare both sides, and repair differences.
    Missing,
    /// Compare both sides, and change nothing.
    Validate,
    /// Like `Incremental`, but only count what would change.
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

    /// The name in requests and in the ledger.
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

/// The request of a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub mode: Mode,
    /// Only these entities or wholly copied models; `None` for all.
    pub entities: Option<Vec<String>>,
    /// A person confirms that this many records are deleted in Odoo.
    pub confirm_deletes: bool,
}

impl Request {
    /// Parses a body.
    pub fn parse(body: &[u8], job: &Job) -> Result<Self, RequestError> {
        let keys = Keys::of(body)?;
        Ok(Self {
            mode: keys.one_of("mode", Mode::ALL, Mode::name)?,
            entities: keys
                .get("entities")
                .map(|names| entities(names, job))
                .transpose()?,
            confirm_deletes: keys.get("confirm_deletes").map_or(Ok(false), |confirmed| {
                confirmed
                    .as_bool()
                    .ok_or_else(|| RequestError::new("confirm_deletes", "true or false"))
            })?,
        })
    }

    /// Whether it asks for all the work of its job.
    pub(crate) fn is_whole(&self) -> bool {
        !matches!(self.mode, Mode::Validate | Mode::DryRun) && self.entities.is_none()
    }

    /// Checks that all requested entities are copied.
    pub(crate) fn check(&self, entities: &[&Entity<'_>]) -> Result<(), Fault> {
        let names = self.entities.iter().flatten();
        let copied = |name: &&String| entities.iter().any(|entity| entity.name == **name);
        let Some(other) = names.into_iter().find(|name| !copied(name)) else {
            return Ok(());
        };
        let words = format!("crm_models does not name {other}: nothing of it is copied");
        Err(Fault::told(Kind::Setting, words))
    }

    /// Whether it asks for this entity.
    pub(crate) fn asks_for(&self, entity: &Entity<'_>) -> bool {
        self.entities
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == entity.name))
    }
}

fn entities(names: &Value, job: &Job) -> Result<Vec<String>, RequestError> {
    let known = || job.entities.iter().map(|entity| entity.name);
    let wrong = || {
        let known = known().collect::<Vec<_>>().join(", ");
        RequestError::new("entities", &format!("a list of {known}"))
    };
    names
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|name| {
            let name = name
                .as_str()
                // A setting decides which models are copied as a whole.
                .filter(|name| {
                    known().any(|known| known == *name)
                        || (!job.copies_chatter && may_be_a_model(name))
                });
            name.map(str::to_owned).ok_or_else(wrong)
        })
        .collect()
}

fn may_be_a_model(name: &str) -> bool {
    let of_model = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    name.contains('.') && name.bytes().all(of_model)
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
            (r#"{"entities":["'; drop table a.b; --"]}"#, "entities"),
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
